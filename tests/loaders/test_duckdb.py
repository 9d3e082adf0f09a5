"""The real target-duckdb behind the tap's command line: the tables are what the API shows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb
import pytest
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import ALL_KEYS, Row, Tables, api_shows, expected
from tests.support.commands import COMMAND, Command, Ended, ran, words_of
from tests.support.loaders import (
    AWKWARD,
    AWKWARD_V2,
    EVERYTHING,
    NUMBERS,
    Pipeline,
    check_two_runs,
    in_duckdb,
    live_on,
    loader,
    plugin,
    put_awkward,
    select_all,
)

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
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Run an API that has so many v2 jobs, 400 if a test does not say, beside v1 jobs."""
    v2_jobs = getattr(request, "param", 400)
    history = History(jobs=400, v2_jobs=v2_jobs, days=30, unknown_fields=0.2)
    with Sandbox(World(history)) as running:
        running.settings.data_points_reach = "bounds"
        put_awkward(running, NUL, **{"v2": AWKWARD_V2} if v2_jobs else {})
        yield running


class IntoDuckdb(Pipeline):
    """The tap piped into target-duckdb."""

    @property
    def file(self) -> Path:
        """Where the tables are."""
        return self.folder / "warehouse.duckdb"

    @override
    def settings(self) -> Row:
        # Small batches: a defect of a loader may show at their edges only.
        own: Row = {"filepath": str(self.file), "batch_size_rows": 100}
        return {**plugin("target-duckdb")["config"], **own}

    def tables(self) -> Tables:
        """Read back all that is in the file."""
        return in_duckdb(self.file, ALL_KEYS)

    def types(self) -> dict[str, str]:
        """Return the types of the columns of a table, by the names of both."""
        with duckdb.connect(str(self.file), read_only=True) as warehouse:
            found = warehouse.execute(TYPES).fetchall()
        return {f"{table}.{column}": kind for table, column, kind in found}


@pytest.fixture
def pipeline(command: Command, config: Row, target: Path, tmp_path: Path) -> IntoDuckdb:
    return IntoDuckdb(command, config | EVERYTHING, target, tmp_path)


@pytest.mark.parametrize("sandbox", [0], ids=["v1 only"], indirect=True)
def test_second_run_moves_what_changed_and_hardly_more_and_leaves_the_tables_as_the_api(
    sandbox: Sandbox, pipeline: IntoDuckdb
) -> None:
    moved_first = pipeline.run()
    before = {job["id"]: job for job in sandbox.world.jobs(sandbox.project_id)}
    live_on(sandbox)
    moved = pipeline.run()

    jobs = {m["record"]["id"] for m in moved if m["type"] == "RECORD" if m["stream"] == V1_JOBS}
    now = sandbox.world.jobs(sandbox.project_id)
    assert jobs >= {job["id"] for job in now if job != before.get(job["id"])} != set()
    assert len(moved) < len(moved_first) / 5
    assert in_duckdb(pipeline.file) == expected(now)


V1_JOBS, V2_JOBS = "classify_jobs", "classify_v2_jobs"


def test_all_streams_equal_the_api_cell_by_cell_after_each_of_two_runs(
    sandbox: Sandbox, pipeline: IntoDuckdb
) -> None:
    catalog = select_all(sandbox)
    run = partial(pipeline.run, "--catalog", catalog)
    check_two_runs(sandbox, run, pipeline.tables, partial(api_shows, sandbox))

    types = pipeline.types()
    assert {name for name in types if types[name] == "DOUBLE"} == NUMBERS
    assert types["classify_projects.is_default"] == "BOOLEAN"
    assert types["classify_v2_job_parsing_configs.target_pages"] == "VARCHAR"


@pytest.mark.heavy
def test_two_connections_fill_the_same_tables_and_one_goes_on_from_where_its_key_alone_was(
    sandbox: Sandbox, pipeline: IntoDuckdb
) -> None:
    catalog = select_all(sandbox)
    pipeline.run("--catalog", catalog)
    live_on(sandbox)
    keys = sandbox.keys
    projects = [*keys][:2]
    connections = [{"name": f"c{n}", "api_key": keys[id_]} for n, id_ in enumerate(projects)]
    moved = pipeline.run(
        *("--catalog", catalog), api_key=None, connections=connections, adopt_state="c0"
    )
    assert pipeline.tables() == api_shows(sandbox, *projects)
    jobs = [m["record"] for m in moved if m["type"] == "RECORD" if m["stream"] == V2_JOBS]
    first, second = ([j for j in jobs if j["project_id"] == id_] for id_ in projects)
    assert len(first) < len(sandbox.world.v2_jobs(projects[0])) / 5
    assert len(second) == len(sandbox.world.v2_jobs(projects[1])) > 0


def test_loader_that_fails_says_why_and_the_tap_points_there_in_one_line(
    sandbox: Sandbox, config: Row, target: Path, tmp_path: Path
) -> None:
    assert sandbox.world.jobs(sandbox.project_id)
    no_file = {**plugin("target-duckdb")["config"], "filepath": str(tmp_path)}
    words = words_of([COMMAND, config, target, no_file], tmp_path)
    pipe = '"$0" --config "$1" 2>tap.log | "$2" --config "$3" 2>loader.log; echo "${PIPESTATUS[@]}"'
    assert ran(["bash", "-c", pipe, *words], cwd=tmp_path) == "1 1\n"
    tapped, loaded = ((tmp_path / name).read_text() for name in ("tap.log", "loader.log"))
    assert "Is a directory" in loaded
    (line,) = Ended(1, "", tapped).errors
    assert line == "the loader has closed the pipe: see what it says of that, and run again"
    assert "Traceback" not in tapped
