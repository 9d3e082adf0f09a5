"""The real target-duckdb behind the tap's command line: the tables are what the API shows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support import loaders_v2
from tests.support.commands import Command
from tests.support.loaders import AWKWARD, KEYS, Row, Tables, expected, in_duckdb, loader, plugin
from tests.support.loaders_v2 import AWKWARD_V2, EVERYTHING, api_shows, select_all

DAY = 86_400.0

# DuckDB's text can hold U+0000.
NUL = AWKWARD | {"rules": [{"type": "nul", "description": "\x00"}, *AWKWARD["rules"]]}


TYPES = """
    SELECT table_name, column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'llamacloud'
"""


@pytest.fixture(scope="session")
def target() -> Path:
    return loader("target-duckdb")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(History(jobs=400, days=30, unknown_fields=0.2))) as running:
        yield running


class Pipeline:
    """The tap piped into the loader, which writes the state that the next run begins with."""

    def __init__(self, command: Command, config: Row, target: Path, folder: Path) -> None:
        self._command = command
        self._config = config
        self._target = target
        self._state: list[Any] = []
        self._file = folder / "warehouse.duckdb"
        self._target_config = folder / "target.json"
        # Small batches: a defect of a loader may show at their edges only.
        own = {"filepath": str(self._file), "batch_size_rows": 100}
        settings = plugin("target-duckdb")["config"] | own
        self._target_config.write_text(json.dumps(settings), encoding="utf-8")

    def run(self, *arguments: Any, **settings: Any) -> list[Row]:
        """Sync once; return the records that the loader was given, each with its stream."""
        config = {name: v for name, v in (self._config | settings).items() if v is not None}
        tapped = self._command("--config", config, *self._state, *arguments)
        assert tapped.code == 0, tapped.stderr
        loaded = subprocess.run(
            [self._target, "--config", self._target_config],
            capture_output=True,
            check=False,
            encoding="utf-8",
            input=tapped.stdout,
        )
        assert loaded.returncode == 0, loaded.stderr
        self._state = ["--state", json.loads(loaded.stdout.splitlines()[-1])]
        # Not splitlines: U+2028 is no end of line in JSON.
        messages = map(json.loads, tapped.stdout.rstrip("\n").split("\n"))
        return [message for message in messages if message["type"] == "RECORD"]

    def tables(self) -> Tables:
        """Read back all that is in the file."""
        return in_duckdb(self._file)

    def all_tables(self) -> Tables:
        """Read back all that is in the file when every stream was selected."""
        return loaders_v2.in_duckdb(self._file)

    def types(self) -> dict[str, str]:
        """Return the types of the columns of a table, by the names of both."""
        with duckdb.connect(str(self._file), read_only=True) as warehouse:
            found = warehouse.execute(TYPES).fetchall()
        return {f"{table}.{column}": kind for table, column, kind in found}


@pytest.fixture
def pipeline(command: Command, config: Row, target: Path, tmp_path: Path) -> Pipeline:
    return Pipeline(command, config, target, tmp_path)


def shown(sandbox: Sandbox) -> Tables:
    """Make the tables from what the API shows."""
    return expected(sandbox.world.jobs(sandbox.project_id))


def test_duckdb_equals_the_api_cell_by_cell_after_each_of_two_runs(
    sandbox: Sandbox, pipeline: Pipeline
) -> None:
    sandbox.world.put(NUL | {"project_id": sandbox.project_id})
    pipeline.run()
    first = shown(sandbox)
    assert pipeline.tables() == first

    sandbox.world.advance(2 * DAY)
    sandbox.world.touch(NUL["id"], status="SUCCESS", error_message=None, labels=["новый", 1])
    pipeline.run()
    second = shown(sandbox)
    assert pipeline.tables() == second
    assert all(second[table] != first[table] for table in KEYS)


def test_second_run_moves_what_changed_and_hardly_more(
    sandbox: Sandbox, pipeline: Pipeline
) -> None:
    moved_first = pipeline.run()
    before = {job["id"]: job for job in sandbox.world.jobs(sandbox.project_id)}
    sandbox.world.advance(2 * DAY)
    moved = pipeline.run()

    jobs = {r["record"]["id"] for r in moved if r["stream"] == "classify_jobs"}
    now = sandbox.world.jobs(sandbox.project_id)
    assert jobs >= {job["id"] for job in now if job != before.get(job["id"])} != set()
    assert len(moved) < len(moved_first) / 5


@pytest.fixture
def both() -> Iterator[Sandbox]:
    """Run an API that has v1 jobs and v2 jobs."""
    history = History(jobs=60, v2_jobs=400, days=30, unknown_fields=0.2)
    with Sandbox(World(history)) as running:
        yield running


@pytest.fixture
def pipeline_of_all(command: Command, both: Sandbox, target: Path, tmp_path: Path) -> Pipeline:
    settings = {"api_url": both.url, "api_key": both.key, "retry_seconds": 0}
    return Pipeline(command, settings | EVERYTHING, target, tmp_path)


def live_on(sandbox: Sandbox) -> None:
    """Let two days go by, in which also something happens that is no job's ordinary course."""
    sandbox.world.advance(2 * DAY)
    sandbox.world.touch_v2(AWKWARD_V2["id"], status="FAILED", error_message="\x00", result=None)
    sandbox.world.put_project({"id": sandbox.project_id, "name": "Renamed", "is_default": None})
    sandbox.world.put_organization({"id": sandbox.world.organization_id, "name": "Renamed"})


def test_all_streams_equal_the_api_cell_by_cell_after_each_of_two_runs(
    both: Sandbox, pipeline_of_all: Pipeline
) -> None:
    both.world.put_v2(AWKWARD_V2 | {"project_id": both.project_id})
    catalog = select_all(both)
    pipeline_of_all.run("--catalog", catalog)
    first = api_shows(both)
    assert pipeline_of_all.all_tables() == first

    live_on(both)
    pipeline_of_all.run("--catalog", catalog)
    second = api_shows(both)
    assert pipeline_of_all.all_tables() == second
    assert all(second[table] != first[table] for table in loaders_v2.KEYS)

    types = pipeline_of_all.types()
    assert {name for name in types if types[name] == "DOUBLE"} == {
        "classify_job_results.confidence",
        "classify_v2_jobs.result_confidence",
        "classify_v2_jobs.usage_credits",
        "classify_v2_jobs.usage_parse_credits",
    }
    assert types["classify_projects.is_default"] == "BOOLEAN"
    assert types["classify_v2_job_parsing_configs.target_pages"] == "VARCHAR"


def test_two_connections_fill_the_same_tables_and_one_goes_on_from_where_its_key_alone_was(
    both: Sandbox, pipeline_of_all: Pipeline
) -> None:
    both.world.put_v2(AWKWARD_V2 | {"project_id": both.project_id})
    catalog = select_all(both)
    pipeline_of_all.run("--catalog", catalog)
    live_on(both)
    projects = [*both.keys][:2]
    connections = [{"name": f"c{n}", "api_key": both.keys[id_]} for n, id_ in enumerate(projects)]
    moved = pipeline_of_all.run(
        *("--catalog", catalog), api_key=None, connections=connections, adopt_state="c0"
    )
    assert pipeline_of_all.all_tables() == api_shows(both, *projects)
    first, second = (
        [r for r in moved if r["stream"] == "classify_v2_jobs" if r["record"]["project_id"] == id_]
        for id_ in projects
    )
    assert len(first) < len(both.world.v2_jobs(projects[0])) / 5
    assert len(second) == len(both.world.v2_jobs(projects[1])) > 0
