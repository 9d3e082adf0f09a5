"""Job history for notebooks and data frames: the same listing and rows, without Singer."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import pyarrow as pa

from tap_llamaclassify.arrow import Columns
from tap_llamaclassify.client import Client
from tap_llamaclassify.connection import connect
from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.listing import Listing
from tap_llamaclassify.rows import due
from tap_llamaclassify.schemas import schema_of
from tap_llamaclassify.settings import check
from tap_llamaclassify.tables import TABLES, Table


def record_batches(
    config: Mapping[str, Any] | None = None, *, tables: Collection[str] | None = None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """List all jobs once, and yield them page by page, for each table.

    Every batch of a table has the same schema, that of the Parquet files: timestamps are UTC,
    `additional_fields` is JSON text. Should the listing have to start again, rows come twice.

    Args:
        config: The tap's own settings, `start_date` among them; what is missing comes from the
            environment or is the default.
        tables: The names of the tables wanted; all by default.

    Returns:
        A table's name and some of its rows, for each page and table that has any. Whoever asks
        for the next one may meet an ApiError: the jobs cannot be listed.

    Raises:
        SettingsError: A setting is wrong, or there is no such table.
    """
    settings = check(config or {})
    connection = connect(settings, os.environ)
    if isinstance(tables, str):
        raise SettingsError(f"tables must be a list of names, such as [{tables!r}]")
    names = [table.name for table in TABLES]
    if unknown := sorted({*(tables or ())} - {*names}):
        raise SettingsError(f"there is no table {unknown[0]}; there are {', '.join(names)}")
    wanted = {
        table: Columns(table.name, schema_of(table.name), table.keys)
        for table in TABLES
        if tables is None or table.name in tables
    }
    return _read(Listing(Client(connection), connection), wanted, settings.start_date)


def _read(
    listing: Listing, wanted: Mapping[Table, Columns], since: str | None
) -> Iterator[tuple[str, pa.RecordBatch]]:
    for page in listing.pages():
        jobs = due(page.jobs, since)
        for table, columns in wanted.items():
            if rows := table.rows_of(jobs):
                yield table.name, columns.batch(rows)
