"""Job history for notebooks and data frames: the same listing and rows, without Singer."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from tap_llamaclassify.arrow import Columns
from tap_llamaclassify.client import Client
from tap_llamaclassify.connection import connect
from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.readers import Failed, steps_of
from tap_llamaclassify.schemas import schema_of
from tap_llamaclassify.settings import Settings, check
from tap_llamaclassify.tables import TABLES, Source, Table


def record_batches(
    config: Mapping[str, Any] | None = None, *, tables: Collection[str] | None = None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """List all jobs of each API once, and yield them page by page, for each table.

    Every batch of a table has the same schema, that of the Parquet files: timestamps are UTC,
    `additional_fields` is JSON text. Should the listing have to start again, rows come twice.

    Args:
        config: The tap's own settings, `start_date` among them; what is missing comes from the
            environment or is the default.
        tables: The names of the tables wanted; those of v1 jobs by default.

    Returns:
        A table's name and some of its rows, for each page and table that has any. Whoever asks
        for the next one may meet an ApiError: the jobs cannot be listed.

    Raises:
        SettingsError: A setting is wrong, or there is no such table.
    """
    settings = check(config or {})
    connections = connect(settings, os.environ)
    if isinstance(tables, str):
        raise SettingsError(f"tables must be a list of names, such as [{tables!r}]")
    names = [table.name for table in TABLES]
    if unknown := sorted({*(tables or ())} - {*names}):
        raise SettingsError(f"there is no table {unknown[0]}; there are {', '.join(names)}")
    wanted = {
        table: Columns(table.name, schema_of(table.name), table.keys)
        for table in TABLES
        if (table.source is Source.V1 if tables is None else table.name in tables)
    }
    return _read([Client(connection) for connection in connections], settings, wanted)


def _read(
    clients: Iterable[Client], settings: Settings, wanted: Mapping[Table, Columns]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    for client in clients:
        for step in steps_of(client, settings, {table.name: None for table in wanted}):
            if isinstance(step, Failed):
                raise step.error
            for table, columns in wanted.items():
                if rows := table.rows_of(step.items.get(table.name, ())):
                    yield table.name, columns.batch(rows)
