"""Batch files: the settings that make them, and what is in them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from llamacloud_sandbox.server import Sandbox
from tests.support.builders import Message, Output, job

TYPED_FORMATS = ("parquet", "arrow")
FORMATS = ("jsonl", *TYPED_FORMATS)


def batch_config(root: Path | str, form: str = "parquet", **changes: Any) -> dict[str, Any]:
    return {
        "encoding": {"format": form},
        "storage": {"root": str(root), "prefix": "run-"},
    } | changes


def batches_of(output: Output, alias: str) -> list[Message]:
    return [message for message in output.of_type("BATCH") if message["stream"] == alias]


def files_of(output: Output, alias: str) -> list[str]:
    return [url.removeprefix("file://") for b in batches_of(output, alias) for url in b["manifest"]]


def lines_of(files: list[str]) -> list[Any]:
    texts = [Path(file).read_bytes() for file in files]
    unpacked = [gzip.decompress(text) if text[:2] == b"\x1f\x8b" else text for text in texts]
    return [json.loads(line) for text in unpacked for line in text.splitlines()]


def table_of(file: str) -> Any:
    """Read a Parquet or an Arrow file into an Arrow table."""
    if file.endswith(".parquet"):
        return pq.read_table(file)
    return pa.ipc.open_file(pa.memory_map(file)).read_all()


def parts_of(file: str) -> list[int]:
    """Count the rows of each row group of a Parquet file, or record batch of an Arrow file."""
    if file.endswith(".parquet"):
        made = pq.ParquetFile(file).metadata
        return [made.row_group(place).num_rows for place in range(made.num_row_groups)]
    opened = pa.ipc.open_file(pa.memory_map(file))
    return [opened.get_batch(place).num_rows for place in range(opened.num_record_batches)]


def put_jobs(sandbox: Sandbox, count: int, **fields: Any) -> None:
    sandbox.settings.order = "oldest"
    start = datetime(2026, 11, 1, tzinfo=UTC)
    for n in range(count):
        created = f"{start + timedelta(seconds=n):%Y-%m-%dT%H:%M:%S.000000Z}"
        own = {"project_id": sandbox.project_id, "created_at": created}
        sandbox.world.put(job(f"j{n:04}", **own | fields))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


Columns = Mapping[str, Any]


def types_of(column: Mapping[str, Any]) -> set[str]:
    types = column.get("type", [])
    return {*([types] if isinstance(types, str) else types)} - {"null"}


def duckdb_type(column: Mapping[str, Any]) -> str:
    types = types_of(column)
    if types == {"string"} and column.get("format") == "date-time":
        return "TIMESTAMP WITH TIME ZONE"
    if types == {"string"} and column.get("format") == "date":
        return "DATE"
    if types == {"array"} and types_of(column.get("items", {})) == {"integer"}:
        return "BIGINT[]"
    alone = {"integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN"}
    return alone.get(next(iter(types)), "VARCHAR") if len(types) == 1 else "VARCHAR"


def is_json(column: Mapping[str, Any]) -> bool:
    return duckdb_type(column) == "VARCHAR" and types_of(column) != {"string"}


def microseconds(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def as_loaded(row: Mapping[str, Any], columns: Columns) -> tuple[Any, ...]:
    """Turn a record into the cells of a table, in the order of its columns."""
    assert row.keys() <= columns.keys()
    return tuple(
        microseconds(row[name])
        if row.get(name) is not None and duckdb_type(column) == "TIMESTAMP WITH TIME ZONE"
        else row.get(name)
        for name, column in columns.items()
    )


def cells(source: Any, columns: Columns) -> list[tuple[Any, ...]]:
    """Read files or a table by DuckDB: times as microseconds, days and JSON as they say."""
    with duckdb.connect() as warehouse:
        if not isinstance(source, list):
            found = warehouse.from_arrow(source)
        elif source[0].endswith(".arrow"):
            found = warehouse.from_arrow(pa.concat_tables(map(table_of, source)))
        else:
            from_parquet: Any = warehouse.from_parquet
            found = from_parquet(source)
        assert dict(zip(found.columns, map(str, found.types), strict=True)) == {
            name: duckdb_type(column) for name, column in columns.items()
        }
        assert found.columns == list(columns)
        picked = [
            f'epoch_us("{name}")'
            if str(kind).startswith("TIMESTAMP")
            else f'CAST("{name}" AS VARCHAR)'
            if str(kind) == "DATE"
            else f'"{name}"'
            for name, kind in zip(found.columns, found.types, strict=True)
        ]
        rows = found.project(", ".join(picked)).fetchall()
    places = [place for place, column in enumerate(columns.values()) if is_json(column)]
    return [
        tuple(
            json.loads(cell) if place in places and cell is not None else cell
            for place, cell in enumerate(row)
        )
        for row in rows
    ]


TEXT, TIME, INTEGER = pa.string(), pa.timestamp("us", "UTC"), pa.int64()
ARROW: dict[str, list[tuple[str, Any, bool]]] = {
    "classify_jobs": [
        ("id", TEXT, False),
        ("project_id", TEXT, True),
        ("user_id", TEXT, True),
        ("status", TEXT, True),
        ("mode", TEXT, True),
        ("error_message", TEXT, True),
        ("job_record_id", TEXT, True),
        ("rule_count", INTEGER, True),
        ("created_at", TIME, True),
        ("effective_at", TIME, True),
        ("updated_at", TIME, True),
        ("additional_fields", TEXT, True),
    ],
    "classify_job_rules": [
        ("job_id", TEXT, False),
        ("rule_index", INTEGER, False),
        ("project_id", TEXT, True),
        ("type", TEXT, True),
        ("description", TEXT, True),
        ("updated_at", TIME, True),
        ("additional_fields", TEXT, True),
    ],
    "classify_job_parsing_configs": [
        ("job_id", TEXT, False),
        ("project_id", TEXT, True),
        ("lang", TEXT, True),
        ("max_pages", INTEGER, True),
        ("target_pages", pa.list_(INTEGER), True),
        ("updated_at", TIME, True),
        ("additional_fields", TEXT, True),
    ],
}
