"""Job history for notebooks and data frames: the same listing and rows, without Singer."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tap_llamaclassify.config.connections import resolve_connections
from tap_llamaclassify.config.settings import Settings, parse_settings
from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.readers import Failed, steps_of
from tap_llamaclassify.replication.summary import Part, warn_of_nothing, warn_of_the_unmissed
from tap_llamaclassify.tables.arrow import Columns
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import BY_DEFAULT, TABLES, Table


def record_batches(
    config: Mapping[str, Any] | None = None, *, tables: Collection[str] | None = None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """List all jobs of each API once, and yield them page by page, for each table.

    Every batch of a table has the same schema, that of the Parquet files: timestamps are UTC,
    `additional_fields` is JSON text. Should the listing have to start again, rows come twice.

    Args:
        config: The tap's own settings, `start_date` among them; what is missing comes from the
            environment or is the default.
        tables: The names of the tables wanted; by default those of v2 and v1 jobs. Then v1 may be
            gone, as long as v2 is there: a warning says so.

    Returns:
        A table's name and some of its rows, for each page and table that has any, and for a table
        without any row one batch that is empty. Whoever asks for the next one may meet an ApiError:
        the jobs cannot be listed.

    Raises:
        SettingsError: A setting is wrong, there is no such table, or `fetch_results` is not set and
            classify_job_results is wanted.
    """
    settings = parse_settings(config or {})
    connections = resolve_connections(settings, os.environ)
    wanted = {
        table: Columns(table.name, schema_of(table.name), table.keys)
        for table in (BY_DEFAULT if tables is None else _named(tables, settings))
    }
    parts = [
        Part(Client(connection), {table.name: None for table in wanted})
        for connection in connections
    ]
    return _read(parts, settings, wanted, by_name=tables is not None)


def _named(tables: Collection[str], settings: Settings) -> list[Table]:
    if isinstance(tables, str):
        raise SettingsError(f"tables must be a list of names, such as [{tables!r}]")
    names = [table.name for table in TABLES]
    if unknown := sorted({*tables} - {*names}):
        raise SettingsError(f"there is no table {unknown[0]}; there are {', '.join(names)}")
    wanted = [table for table in TABLES if table.name in tables]
    for table in wanted:
        setting = table.endpoint.setting
        if setting and not getattr(settings, setting):
            raise SettingsError(
                f"{table.name} takes a request a job, which {setting} allows: set it, or leave the "
                "table out"
            )
    return wanted


def _read(
    parts: Sequence[Part], settings: Settings, wanted: Mapping[Table, Columns], *, by_name: bool
) -> Iterator[tuple[str, pa.RecordBatch]]:
    without = dict(wanted)
    for part in parts:
        for step in steps_of(part.client, settings, part.wanted):
            if isinstance(step, Failed):
                part.failures.append(step)
                continue
            for table, columns in wanted.items():
                if rows := table.rows(step.items.get(table.name, ())):
                    without.pop(table, None)
                    yield table.name, columns.batch(rows)
        errors = [failed.error for failed in part.failures] if by_name else part.errors
        if errors:
            raise errors[0]
    warn_of_the_unmissed(parts)
    warn_of_nothing(parts, settings)
    yield from ((table.name, columns.batch([])) for table, columns in without.items())
