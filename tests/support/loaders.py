"""Loaders and tools in environments of their own, and jobs that a loader may stumble over."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import yaml

from llamacloud_sandbox.server import Sandbox
from tests.support.api_rows import KEYS, Row, Tables, keyed_by
from tests.support.builders import ALL_STREAMS
from tests.support.commands import ROOT, Command, Ended, ended, words_of
from tests.support.items import configuration, v2_job
from tests.support.runs import put, select

PYARROW = "pyarrow==26.0.1"
EVERYTHING: Row = {"fetch_results": True, "fetch_usage": True}
"""The settings that let every column be filled."""

AWKWARD: Row = {
    "id": "Übung 日本 📷",
    "user_id": "user, \"the\" 'first'",
    "status": "ERROR",
    "rules": [
        {"type": "räumung", "description": '"quotes", \\N, \\" and\nline\r\nbreaks\t;'},
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
"""A job whose values a loader may stumble over."""

LARGEST = 2**63 - 1

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
"""Another, at the limits of what columns hold."""

AWKWARD_V2: Row = v2_job(
    "Übung 日本 📷 v2",
    configuration=configuration(
        rules=[
            {"type": "räumung", "description": '"quotes", \\N, \\" and\nline\r\nbreaks\t;'},
            {"type": "null", "description": "NULL", "weight": 0.25},
        ],
        parsing_configuration={"lang": "ja", "max_pages": 0, "target_pages": "1,3,5-7"},
    ),
    result={"type": None, "confidence": 0.1 + 0.2, "reasoning": "—\u2028“”"},
    usage={"credits": 1e-9, "parse_credits": 12345678.123456},
    created_at="2026-11-20T09:00:00+02:00",
    updated_at="2026-11-20T09:00:00.123456Z",
)
"""A v2 job whose values a loader may stumble over."""


def installed(name: str, requirements: str, *, constraints: Path | None = None) -> Path:
    """Install a loader or tool into an environment of its own, once; return where its files are.

    Args:
        name: What the environment is called.
        requirements: What is installed, as on pip's command line in the checkout.
        constraints: A file that pins what comes along.
    """
    folder = ROOT / ".venvs" / name
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        # Tests run in several processes.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(folder, requirements, constraints)
    return folder


def _install(folder: Path, requirements: str, constraints: Path | None) -> None:
    stamp = folder / "requirements.txt"
    pins = constraints.read_text(encoding="utf-8") if constraints else ""
    wanted = f"{requirements}\n{pins}" if pins else requirements
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        _uv("venv", "--clear", "--python", sys.executable, folder)
        pinned: list[str | Path] = ["-c", constraints] if constraints else []
        python = folder / "bin" / "python"
        _uv("pip", "install", "--python", python, *shlex.split(requirements), *pinned)
        stamp.write_text(wanted, encoding="utf-8")


def _uv(*arguments: str | Path) -> None:
    command = [Path(sys.executable).with_name("uv"), *arguments]
    environment = {"UV_SYSTEM_CERTS": "1"} | os.environ
    ended = subprocess.run(
        command, capture_output=True, check=False, cwd=ROOT, encoding="utf-8", env=environment
    )
    assert ended.returncode == 0, ended.stderr


def plugin(name: str) -> Row:
    """Return what meltano.yml says of a loader."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    loaders: dict[str, Row] = {each["name"]: each for each in project["plugins"]["loaders"]}
    return loaders[name]


def loader(name: str) -> Path:
    """Install a loader of meltano.yml; return its command."""
    its = plugin(name)
    folder = installed(name, its["pip_url"])
    return folder / "bin" / str(its["executable"])


def in_duckdb(file: Path, keys: Mapping[str, Sequence[str]] = KEYS) -> Tables:
    """Read back what target-duckdb has put into some tables of a file."""
    with duckdb.connect(str(file), read_only=True) as warehouse:
        return {table: keyed_by(key, _duckdb_rows(warehouse, table)) for table, key in keys.items()}


def _duckdb_rows(warehouse: duckdb.DuckDBPyConnection, table: str) -> list[Row]:
    found = warehouse.sql(f"FROM llamacloud.{table}")
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    # The spacing of JSON means nothing; of v2, target_pages is text.
    columns = ["additional_fields", *["target_pages"] * (table == "classify_job_parsing_configs")]
    columns += ["properties", "usage_tags"] * (table == "classify_usage")
    for row in rows:
        row.update({name: json.loads(row[name] or "null") for name in columns})
        if "day" in row:
            # The loader knows no dates.
            row["day"] = date.fromisoformat(row["day"])
    return rows


def select_all(sandbox: Sandbox) -> Row:
    """Make a catalog that selects every stream."""
    return select(sandbox, *ALL_STREAMS)


def put_awkward(sandbox: Sandbox, *jobs: Row, **v2_jobs: Row) -> None:
    """Put v1 jobs, and v2 jobs under any names, into the first project."""
    put(sandbox, *jobs)
    for each in v2_jobs.values():
        sandbox.world.put_v2(each | {"project_id": sandbox.project_id})


def live_on(sandbox: Sandbox, said: str = "\x00") -> None:
    """Let two days go by, in which awkward jobs change, and projects and organizations, too.

    `said` is what the v2 job says of its failure.
    """
    world = sandbox.world
    world.advance(2 * 86_400)
    changes: dict[str, Row] = {
        AWKWARD["id"]: {"status": "SUCCESS", "error_message": None, "labels": ["новый", 1]},
        ODD["id"]: {"error_message": "now with text", "labels": None},
    }
    for id_ in changes.keys() & world.entries().keys():
        world.touch(id_, **changes[id_])
    if AWKWARD_V2["id"] in world.v2_entries():
        world.touch_v2(AWKWARD_V2["id"], status="FAILED", error_message=said, result=None)
    world.put_project({"id": sandbox.project_id, "name": "Renamed", "is_default": None})
    world.put_organization({"id": world.organization_id, "name": "Renamed"})
    world.put_configuration(world.configurations(sandbox.project_id)[0] | {"name": "Renamed"})


class Pipeline:
    """The tap piped into a loader, which writes the state that the next run begins with."""

    def __init__(self, command: Command, config: Row, target: Path, folder: Path) -> None:
        self._command = command
        self._config = config
        self._target = target
        self.folder = folder
        self.state: Row = {}
        self.sessions: Row = {}
        """What the environment tells the loader."""

    def settings(self) -> Row:
        """Return the loader's settings."""
        raise NotImplementedError

    def attempt(
        self, *arguments: Any, target: Row | None = None, **config: Any
    ) -> tuple[list[Row], Ended]:
        """Sync once; return the messages that the tap wrote, and how the loader ended."""
        given = {name: v for name, v in (self._config | config).items() if v is not None}
        tapped = self._command("--config", given, "--state", self.state, *arguments)
        assert tapped.code == 0, tapped.stderr
        words = words_of(["--config", self.settings() | (target or {})], self.folder, "target ")
        environment = os.environ | self.sessions
        loaded = ended([self._target, *words], tapped.stdout, env=environment)
        return tapped.output.messages, loaded

    def run(self, *arguments: Any, target: Row | None = None, **config: Any) -> list[Row]:
        """Sync once to its good end; return the messages that the loader was given."""
        messages, loaded = self.attempt(*arguments, target=target, **config)
        assert loaded.code == 0, loaded.stderr
        self.state = json.loads(loaded.stdout.splitlines()[-1])
        return messages


NUMBERS = {
    "classify_job_results.confidence",
    "classify_usage.credits",
    "classify_v2_jobs.result_confidence",
    "classify_v2_jobs.usage_credits",
    "classify_v2_jobs.usage_parse_credits",
}
"""The columns of numbers that need not be whole."""


def check_two_runs(
    sandbox: Sandbox,
    run: Callable[[], object],
    landed: Callable[[], Tables],
    shown: Callable[[], Tables],
    *,
    said: str = "\x00",
) -> None:
    """Make sure that a loader has what the API shows after each of two runs, and that it changed.

    `said` is what a v2 job says that fails in between.
    """
    run()
    first = shown()
    assert landed() == first
    live_on(sandbox, said)
    run()
    second = shown()
    assert landed() == second
    assert all(second[table] != first[table] for table in second)
