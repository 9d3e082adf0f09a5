"""Loaders and tools in environments of their own, and the tables that a loader must end with."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import yaml

from tests.support.commands import ROOT

Row = dict[str, Any]
Tables = dict[str, dict[tuple[Any, ...], Row]]

KEYS = {
    "classify_jobs": ("id",),
    "classify_job_rules": ("job_id", "rule_index"),
    "classify_job_parsing_configs": ("job_id",),
}
PYARROW = "pyarrow==26.0.1"
JOB_COLUMNS = ("id", "project_id", "user_id", "status", "mode", "error_message", "job_record_id")
JOB_TIMES = ("created_at", "effective_at", "updated_at")

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


def expected(jobs: Iterable[Row]) -> Tables:
    """Make the rows straight from the API's jobs."""
    jobs = list(jobs)
    rows = {
        "classify_jobs": [_job_row(job) for job in jobs],
        "classify_job_rules": [
            _part_row(job, rule, "type", "description") | {"rule_index": index}
            for job in jobs
            for index, rule in enumerate(job["rules"])
        ],
        "classify_job_parsing_configs": [
            _part_row(job, config, "lang", "max_pages", "target_pages")
            for job in jobs
            if (config := job["parsing_configuration"]) is not None
        ],
    }
    return {table: keyed(table, rows[table]) for table in KEYS}


def keyed(table: str, rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    """Index the rows of a table of v1 jobs by their key."""
    return keyed_by(KEYS[table], rows)


def keyed_by(key: Sequence[str], rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    """Index rows by their key, which none may have twice."""
    by_key = {tuple(row[name] for name in key): row for row in rows}
    assert len(by_key) == len(rows)
    return by_key


def in_duckdb(file: Path, keys: Mapping[str, Sequence[str]] = KEYS) -> Tables:
    """Read back what target-duckdb has put into some tables of a file."""
    with duckdb.connect(str(file), read_only=True) as warehouse:
        return {table: keyed_by(key, _duckdb_rows(warehouse, table)) for table, key in keys.items()}


def _duckdb_rows(warehouse: duckdb.DuckDBPyConnection, table: str) -> list[Row]:
    found = warehouse.sql(f"FROM llamacloud.{table}")
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    # The spacing of JSON means nothing; of v2, target_pages is text.
    columns = ["additional_fields", *["target_pages"] * (table == "classify_job_parsing_configs")]
    for row in rows:
        row.update({name: json.loads(row[name] or "null") for name in columns})
    return rows


def _job_row(job: Row) -> Row:
    columns = (*JOB_COLUMNS, *JOB_TIMES, "rules", "parsing_configuration")
    return {
        **{name: job.get(name) for name in JOB_COLUMNS},
        **{name: utc(job.get(name)) for name in JOB_TIMES},
        "rule_count": len(job["rules"]),
        "additional_fields": _others(job, *columns),
    }


def _part_row(job: Row, part: Row, *columns: str) -> Row:
    return {
        "job_id": job["id"],
        "project_id": job["project_id"],
        **{name: part[name] for name in columns},
        "updated_at": utc(job["updated_at"]),
        "additional_fields": _others(part, *columns),
    }


def utc(text: str | None) -> datetime | None:
    """Read a timestamp as a column without a zone holds it."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None) if text else None


def _others(owner: Row, *columns: str) -> Row | None:
    return {name: value for name, value in owner.items() if name not in columns} or None
