"""The real target-duckdb behind the tap's command line: the tables are what the API shows."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from conftest import ROOT, Command
from sandbox.history import History
from sandbox.server import Sandbox
from sandbox.world import World

DAY = 86_400.0

KEYS = {
    "classify_jobs": ("id",),
    "classify_job_rules": ("job_id", "rule_index"),
    "classify_job_parsing_configs": ("job_id",),
}
JSON_COLUMNS = {"additional_fields", "target_pages"}
JOB_COLUMNS = (
    "id",
    "project_id",
    "user_id",
    "status",
    "mode",
    "error_message",
    "job_record_id",
)
JOB_TIMES = ("created_at", "effective_at", "updated_at")

AWKWARD: dict[str, Any] = {
    "id": "Übung 日本 📷",
    "user_id": "user, \"the\" 'first'",
    "status": "ERROR",
    "rules": [
        {"type": "räumung", "description": '\x00, "quotes", \\N, \\" and\nline\r\nbreaks\t;'},
        {"type": "請求書", "description": " spaces around ", "weight": 0.25},
        {"type": "null", "description": "NULL"},
    ],
    "mode": None,
    "created_at": "2026-11-20T09:00:00+02:00",
    "updated_at": "2026-11-20T09:00:00.123456Z",
    "error_message": "ファイルを解析できません\u2028📷 „Übersicht“",
    "parsing_configuration": {"lang": "ja", "max_pages": 0, "target_pages": [], "ocr": True},
    "labels": {"nested": [1, 2.5, None, {"ключ": "значение"}], "empty": {}},
    "note": "",
}

Row = dict[str, Any]
Tables = dict[str, dict[tuple[Any, ...], Row]]


@pytest.fixture(scope="session")
def target() -> Path:
    """Install the loader that meltano.yml names, once, into an environment of its own."""
    requirements = loader()["pip_url"]
    folder = ROOT / ".venvs" / "target-duckdb"
    installed = folder / "requirements.txt"
    if not installed.exists() or installed.read_text(encoding="utf-8") != requirements:
        uv("venv", "--clear", "--python", sys.executable, folder)
        uv("pip", "install", "--python", folder / "bin" / "python", *shlex.split(requirements))
        installed.write_text(requirements, encoding="utf-8")
    return folder / "bin" / "target-duckdb"


def loader() -> Row:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    loaders: dict[str, Row] = {each["name"]: each for each in project["plugins"]["loaders"]}
    return loaders["target-duckdb"]


def uv(*arguments: str | Path) -> None:
    command = [Path(sys.executable).with_name("uv"), *arguments]
    environment = {"UV_SYSTEM_CERTS": "1"} | os.environ
    ended = subprocess.run(
        command, capture_output=True, check=False, encoding="utf-8", env=environment
    )
    assert ended.returncode == 0, ended.stderr


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
        settings = loader()["config"] | {"filepath": str(self._file), "batch_size_rows": 100}
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
        with duckdb.connect(str(self._file), read_only=True) as warehouse:
            return {table: self._rows(warehouse, table) for table in KEYS}

    def _rows(self, warehouse: duckdb.DuckDBPyConnection, table: str) -> dict[Any, Row]:
        rows = warehouse.sql(f"FROM llamacloud.{table}")
        return keyed(table, [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()])


@pytest.fixture
def pipeline(command: Command, config: Row, target: Path, tmp_path: Path) -> Pipeline:
    return Pipeline(command, config, target, tmp_path)


def keyed(table: str, rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    """Index rows by their key, JSON columns read, because their spacing means nothing."""
    for row in rows:
        for name in JSON_COLUMNS & row.keys():
            row[name] = None if row[name] is None else json.loads(row[name])
    by_key = {tuple(row[name] for name in KEYS[table]): row for row in rows}
    assert len(by_key) == len(rows), f"{table} has a key twice"
    return by_key


def expected(sandbox: Sandbox) -> Tables:
    """Make the rows straight from the API's jobs."""
    jobs = sandbox.world.jobs(sandbox.project_id)
    rules = [rule_row(job, index) for job in jobs for index in range(len(job["rules"]))]
    configs = [config_row(job) for job in jobs if job["parsing_configuration"] is not None]
    rows = {
        "classify_jobs": [job_row(job) for job in jobs],
        "classify_job_rules": rules,
        "classify_job_parsing_configs": configs,
    }
    return {table: keyed(table, rows[table]) for table in KEYS}


def job_row(job: Row) -> Row:
    columns = (*JOB_COLUMNS, *JOB_TIMES, "rules", "parsing_configuration")
    return {
        **{name: job.get(name) for name in JOB_COLUMNS},
        **{name: utc(job.get(name)) for name in JOB_TIMES},
        "rule_count": len(job["rules"]),
        "additional_fields": others(job, *columns),
    }


def rule_row(job: Row, index: int) -> Row:
    rule = job["rules"][index]
    return {
        "job_id": job["id"],
        "rule_index": index,
        "project_id": job["project_id"],
        "type": rule["type"],
        "description": rule["description"],
        "updated_at": utc(job["updated_at"]),
        "additional_fields": others(rule, "type", "description"),
    }


def config_row(job: Row) -> Row:
    config = job["parsing_configuration"]
    return {
        "job_id": job["id"],
        "project_id": job["project_id"],
        "lang": config["lang"],
        "max_pages": config["max_pages"],
        "target_pages": json.dumps(config["target_pages"]),
        "updated_at": utc(job["updated_at"]),
        "additional_fields": others(config, "lang", "max_pages", "target_pages"),
    }


def utc(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None) if text else None


def others(owner: Row, *columns: str) -> str | None:
    fields = {name: value for name, value in owner.items() if name not in columns}
    return json.dumps(fields) if fields else None


def test_duckdb_equals_the_api_cell_by_cell_after_each_of_two_runs(
    sandbox: Sandbox, pipeline: Pipeline
) -> None:
    sandbox.world.put(AWKWARD | {"project_id": sandbox.project_id})
    pipeline.run()
    first = expected(sandbox)
    assert pipeline.tables() == first

    sandbox.world.advance(2 * DAY)
    sandbox.world.touch(AWKWARD["id"], status="SUCCESS", error_message=None, labels=["новый", 1])
    pipeline.run()
    second = expected(sandbox)
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
