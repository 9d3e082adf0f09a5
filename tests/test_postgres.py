"""meltanolabs-target-postgres behind the tap's command line, on a PostgreSQL of the test's own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from loaders import (
    AWKWARD,
    JOB_TIMES,
    KEYS,
    Row,
    Tables,
    expected,
    keyed,
    loader,
    plugin,
)
from postgres import HOST, USER, Server, running_server
from sandbox.history import History
from sandbox.server import Sandbox
from sandbox.world import World

pytestmark = pytest.mark.heavy

DAY = 86_400.0
LARGEST = 2**63 - 1


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def target() -> Path:
    return loader("target-postgres")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(History(jobs=400, days=30, unknown_fields=0.2))) as running:
        yield running


class Pipeline:
    """The tap piped into the loader, with a database and a state of its own."""

    def __init__(
        self, command: Command, config: Row, target: Path, *, server: Server, folder: Path
    ) -> None:
        self._command = command
        self._config = config
        self._target = target
        self._server = server
        self._folder = folder
        self._state: Row = {}
        self.database = f"of_{folder.name.strip('_')}".lower()
        server.query(f'CREATE DATABASE "{self.database}"')

    def run(self, *arguments: Any, target: Row | None = None, **config: Any) -> Row:
        """Sync once to its good end; answer how many messages of each type there were."""
        messages, loaded = self.attempt(*arguments, target=target, **config)
        assert loaded.returncode == 0, loaded.stderr
        self._state = json.loads(loaded.stdout.splitlines()[-1])
        kinds = [json.loads(line)["type"] for line in messages.split("\n") if line]
        return {kind: kinds.count(kind) for kind in kinds}

    def attempt(
        self, *arguments: Any, target: Row | None = None, **config: Any
    ) -> tuple[str, subprocess.CompletedProcess[str]]:
        """Sync once; answer what the tap wrote and how the loader ended."""
        given = ["--config", self._config | config, "--state", self._state, *arguments]
        tapped = self._command(*given)
        assert tapped.code == 0, tapped.stderr
        address = {"host": HOST, "port": self._server.port, "user": USER, "password": "none"}
        settings = plugin("target-postgres")["config"] | address | {"database": self.database}
        path = self._folder / "target.json"
        path.write_text(json.dumps(settings | (target or {})), encoding="utf-8")
        loaded = subprocess.run(
            [self._target, "--config", path],
            capture_output=True,
            check=False,
            encoding="utf-8",
            input=tapped.stdout,
        )
        return tapped.stdout, loaded

    def tables(self, where: str = "true") -> Tables:
        """Read back what is in the database, less the loader's own columns."""
        return {table: keyed(table, self._rows(table, where)) for table in KEYS}

    def _rows(self, table: str, where: str) -> list[Row]:
        # No value from outside is among these words.
        sql = f"SELECT coalesce(json_agg(t), '[]') FROM llamacloud.{table} t WHERE {where}"  # noqa: S608
        rows = json.loads(self._server.query(sql, self.database))
        for row in rows:
            for name in [name for name in row if name.startswith("_sdc_")]:
                del row[name]
            for name in row.keys() & {*JOB_TIMES}:
                row[name] = row[name] and datetime.fromisoformat(row[name])
        return list(rows)

    def types(self) -> dict[str, str]:
        """Answer the type of every column, less the loader's own."""
        sql = (
            "SELECT json_object_agg(table_name || '.' || column_name, udt_name) "
            "FROM information_schema.columns WHERE table_schema = 'llamacloud' "
            "AND column_name NOT LIKE '\\_sdc\\_%'"
        )
        types: dict[str, str] = json.loads(self._server.query(sql, self.database))
        return types


@pytest.fixture
def pipeline(
    command: Command, config: Row, target: Path, server: Server, tmp_path: Path
) -> Pipeline:
    return Pipeline(command, config, target, server=server, folder=tmp_path)


def shown(sandbox: Sandbox) -> Tables:
    """Make the tables from what the API shows."""
    return expected(sandbox.world.jobs(sandbox.project_id))


def full_tables(command: Command) -> Row:
    """Make a catalog that reads every stream as a whole."""
    catalog: Row = json.loads(command("--discover").stdout)
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"
    return catalog


ODD: Row = AWKWARD | {
    "id": 'it\'s "odd" \\ 100% $1 {} :name',
    "error_message": "",
    "user_id": "\u00a0\u200b\ufeff\U0001f469\u200d\U0001f52c e\u0301 \x7f\x01",
    "job_record_id": "x" * 1_000_000,
    "parsing_configuration": {
        "lang": "",
        "max_pages": LARGEST,
        "target_pages": [0, LARGEST, -LARGEST - 1],
    },
    "labels": {"deep": [{"er": [{"still": LARGEST, "float": 0.1, "": "\\u0041"}]}]},
}


def test_postgres_equals_the_api_cell_by_cell_after_each_of_two_runs(
    sandbox: Sandbox, pipeline: Pipeline
) -> None:
    for awkward in (AWKWARD, ODD):
        sandbox.world.put(awkward | {"project_id": sandbox.project_id})
    assert pipeline.run()["RECORD"] > 400
    first = shown(sandbox)
    assert pipeline.tables() == first

    sandbox.world.advance(2 * DAY)
    sandbox.world.touch(AWKWARD["id"], status="SUCCESS", error_message=None, labels=["новый", 1])
    sandbox.world.touch(ODD["id"], error_message="now with text", labels=None)
    pipeline.run()
    second = shown(sandbox)
    assert pipeline.tables() == second
    assert all(second[table] != first[table] for table in KEYS)


def test_columns_have_types_to_query(pipeline: Pipeline) -> None:
    pipeline.run()
    types = pipeline.types()
    assert {name for name in types if types[name] == "timestamp"} == {
        *(f"classify_jobs.{name}" for name in JOB_TIMES),
        "classify_job_rules.updated_at",
        "classify_job_parsing_configs.updated_at",
    }
    assert {name for name in types if types[name] == "jsonb"} == {
        f"{table}.additional_fields" for table in KEYS
    }
    assert types["classify_job_parsing_configs.target_pages"] == "_int8"
    assert types["classify_job_parsing_configs.max_pages"] == "int8"


@pytest.mark.parametrize(
    ("hard_delete", "still_there"),
    [(True, "true"), (False, "_sdc_deleted_at IS NULL")],
    ids=["rows go", "rows are marked"],
)
def test_full_table_removes_what_was_deleted_at_the_source(
    sandbox: Sandbox,
    pipeline: Pipeline,
    command: Command,
    hard_delete: bool,  # noqa: FBT001 - a column of the table above
    still_there: str,
) -> None:
    pipeline.run()
    before = shown(sandbox)
    for job_id in [key for (key,) in before["classify_job_parsing_configs"]][:7]:
        sandbox.world.delete(job_id)
    sandbox.world.advance(DAY)
    loader = {"hard_delete": hard_delete}
    catalog = full_tables(command)
    for _ in range(2):
        # The second time, rows that carry the version of the time before have to go.
        sent = pipeline.run(
            "--catalog", catalog, target=loader, emit_activate_version_messages=True
        )
        assert sent["ACTIVATE_VERSION"] == 3
        now = shown(sandbox)
        assert pipeline.tables(still_there) == now
        assert all(before[table].keys() - now[table].keys() for table in KEYS)
        sandbox.world.delete(next(iter(now["classify_job_parsing_configs"]))[0])
    assert (pipeline.tables() == pipeline.tables(still_there)) is hard_delete


NUL: Row = AWKWARD | {"id": "nul", "error_message": "before\x00after"}


def test_nul_fails_the_load_unless_the_loader_is_told_to_sanitize(
    sandbox: Sandbox, pipeline: Pipeline
) -> None:
    sandbox.world.put(NUL | {"project_id": sandbox.project_id})
    _, loaded = pipeline.attempt(target={"sanitize_null_text_characters": False})
    assert loaded.returncode != 0
    assert loaded.stdout == ""
    pipeline.run()
    tables = expected(
        [
            job if job["id"] != "nul" else job | {"error_message": "before\ufffdafter"}
            for job in sandbox.world.jobs(sandbox.project_id)
        ]
    )
    assert pipeline.tables() == tables


def test_nul_below_the_first_level_of_an_unknown_field_fails_the_load_nevertheless(
    sandbox: Sandbox, pipeline: Pipeline
) -> None:
    sandbox.world.put(NUL | {"project_id": sandbox.project_id, "labels": {"deep": ["\x00"]}})
    _, loaded = pipeline.attempt()
    assert loaded.returncode != 0
    assert loaded.stdout == ""
    sandbox.world.put(NUL | {"project_id": sandbox.project_id, "label": "a\x00b"})
    pipeline.run()
    landed = pipeline.tables()["classify_jobs"]["nul",]
    assert landed["additional_fields"]["label"] == "a\ufffdb"


def test_batch_files_land_as_records_do(
    sandbox: Sandbox, pipeline: Pipeline, tmp_path: Path
) -> None:
    for awkward in (AWKWARD, ODD):
        sandbox.world.put(awkward | {"project_id": sandbox.project_id})
    batches = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": (tmp_path / "batches").as_uri()},
        "batch_size": 150,
    }
    (tmp_path / "batches").mkdir()
    sent = pipeline.run(batch_config=batches)
    assert "RECORD" not in sent
    assert sent["BATCH"] > len(KEYS)
    assert pipeline.tables() == shown(sandbox)
