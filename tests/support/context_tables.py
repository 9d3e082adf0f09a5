"""Timings, usage, configurations and files made up for jobs, in a warehouse without the tap."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any

from tests.support.api_rows import Row, Tables, keyed_by
from tests.support.awkward_jobs import HOSTILE
from tests.support.commands import ROOT

KEYS = {
    "classify_job_timings": ("job_id",),
    "classify_usage": ("id",),
    "classify_configurations": ("id",),
    "classify_files": ("id",),
}
LOST = 0.1
"""The share of jobs, configurations and files of which nothing is told."""
TYPES = {"integer": "bigint", "number": "double precision", "string": "text"}
DUCKDB = {"date-time": "timestamp", "date": "text", "array": "json", "object": "json"}
POSTGRES = DUCKDB | {"date": "date", "array": "text[]", "object": "jsonb"}
"""How each loader writes what is no plain value."""


def made_up(tables: Tables, seed: int = 7) -> Tables:
    """Make rows of all four tables for the jobs and results of some."""
    dice = Random(seed)  # noqa: S311 - no secret
    jobs = [
        row
        for table in ("classify_jobs", "classify_v2_jobs")
        for row in tables[table].values()
        if dice.random() >= LOST
    ]
    rows: dict[str, Iterable[Row]] = {
        "classify_job_timings": [_timing(job, dice) for job in jobs],
        "classify_usage": [*_usage(jobs, dice)],
        "classify_configurations": [*_configurations(jobs, dice)],
        "classify_files": [*_files(tables, dice)],
    }
    return {
        table: keyed_by(KEYS[table], [dict.fromkeys(_columns(table)) | row for row in found])
        for table, found in rows.items()
    }


def _timing(job: Row, dice: Random) -> Row:
    created = job["created_at"] or datetime(2026, 11, 1)  # noqa: DTZ001 - as databases have it
    told, at = {}, created
    for name in ("pending", "throttled", "running", "failed", "completed", "cancelled"):
        # Now and then one comes before the one before.
        at += timedelta(microseconds=dice.randint(-10_000_000, 60_000_000))
        told[f"{name}_at"] = at if dice.random() < 0.6 else None
    return told | {
        "job_id": job["id"],
        "project_id": job["project_id"],
        "status": dice.choice(("running", "completed", HOSTILE)),
        "created_at": created if dice.random() < 0.7 else None,
        "updated_at": job["updated_at"],
    }


def _usage(jobs: list[Row], dice: Random) -> Iterator[Row]:
    number = 0
    for job in jobs:
        own = [("pages_classified", job["id"]), ("image_classified", job["id"]), (HOSTILE, None)]
        parsed = [("pages_parsed", job["parse_job_id"])] if job.get("parse_job_id") else []
        for event, key in [*dice.sample(own, dice.randint(0, 3)), *parsed, ("x", "of no job")]:
            number += 1
            yield {
                "id": f"metric {number}",
                "organization_id": "organization",
                "project_id": job["project_id"],
                "day": f"2026-11-{dice.randint(1, 23):02}",
                "event_type": event,
                "event_aggregation_key": key,
                "value": dice.choice((1, 7, 40, None)),
                "credits": dice.choice((None, 0.0, 0.1, 0.5, 2.5, 19.0)),
                "usage_tags": dice.choice((None, [], [HOSTILE, "b"])),
                "properties": dice.choice((None, {"mode": HOSTILE})),
            }


def _configurations(jobs: list[Row], dice: Random) -> Iterator[Row]:
    for number, id_ in enumerate(sorted({job.get("configuration_id") or "" for job in jobs})):
        if dice.random() >= LOST:
            name = dice.choice((f"Configuration {number}", HOSTILE, None))
            yield {"id": id_, "name": name, "product_type": "classify_v2", "rule_count": 1}


def _files(tables: Tables, dice: Random) -> Iterator[Row]:
    named = {
        *(row["file_id"] or "" for row in tables["classify_job_results"].values()),
        *(row["file_input"] or "" for row in tables["classify_v2_jobs"].values()),
    }
    for id_ in sorted({id_.removeprefix("dfl-") for id_ in named if id_}):
        spellings = dice.choice(([id_], [f"dfl-{id_}"], [id_, f"dfl-{id_}"], []))
        for spelt in spellings:
            # Two spellings of one file may have changed at once.
            changed = datetime(2026, 10, dice.randint(1, 3))  # noqa: DTZ001 - as databases have it
            name = dice.choice((f"{spelt}.pdf", HOSTILE, None))
            yield {"id": spelt, "name": name, "last_modified_at": dice.choice((changed, None))}


def _columns(table: str) -> dict[str, Row]:
    schema = json.loads((ROOT / "schemas" / f"{table}.json").read_text(encoding="utf-8"))
    properties: dict[str, Row] = schema["properties"]
    return properties


def put(execute: Callable[..., Any], made: Tables, types: dict[str, str], mark: str) -> None:
    """Write tables anew by what runs statements; `mark` stands for a value in these."""
    for table, rows in made.items():
        columns = _columns(table)
        kinds = {name: _kind(column) for name, column in columns.items()}
        declared = ", ".join(f"{name} {(TYPES | types)[kind]}" for name, kind in kinds.items())
        execute(f"DROP TABLE IF EXISTS llamacloud.{table} CASCADE")
        execute(f"CREATE TABLE llamacloud.{table} ({declared})")
        statement = f"INSERT INTO llamacloud.{table} VALUES ({', '.join([mark] * len(columns))})"  # noqa: S608 - names of our own
        for row in rows.values():
            execute(
                statement,
                [
                    _value(row[name], types[kind]) if kind in types else row[name]
                    for name, kind in kinds.items()
                ],
            )


def _kind(column: Row) -> str:
    (kind,) = {*([column["type"]] if isinstance(column["type"], str) else column["type"])} - {
        "null"
    }
    return str(column.get("format", kind))


def _value(value: Any, type_: str) -> Any:
    return json.dumps(value) if type_ in {"json", "jsonb"} else value
