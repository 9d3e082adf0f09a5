"""The real target-duckdb behind the tap's command line: the tables are what the API shows."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from loaders import AWKWARD, KEYS, Row, Tables, expected, in_duckdb, loader, plugin
from sandbox.history import History
from sandbox.server import Sandbox
from sandbox.world import World

DAY = 86_400.0

# DuckDB's text can hold U+0000.
NUL = AWKWARD | {"rules": [{"type": "nul", "description": "\x00"}, *AWKWARD["rules"]]}


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

    def run(self) -> list[Row]:
        """Sync once; answer the records that the loader was given, each with its stream."""
        tapped = self._command("--config", self._config, *self._state)
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
