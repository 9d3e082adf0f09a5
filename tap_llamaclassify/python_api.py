"""Job history for notebooks and data frames: the same listing and rows, without Singer."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from tap_llamaclassify.config.connections import Connection, resolve_connections
from tap_llamaclassify.config.settings import Settings, parse_settings
from tap_llamaclassify.errors import ApiError, SettingsError
from tap_llamaclassify.http.client import Activity, Client
from tap_llamaclassify.replication.allowance import Allowance
from tap_llamaclassify.replication.listing_bookmarks import Wanted
from tap_llamaclassify.replication.readers import named_by
from tap_llamaclassify.replication.reading import check_allowed, read_parts
from tap_llamaclassify.replication.shared_state import spelled_out
from tap_llamaclassify.replication.state import Partition, State
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.replication.summary import (
    Part,
    activity_of,
    error_of,
    warn_of_insecure,
    warn_of_nothing,
    warn_of_the_unmissed,
)
from tap_llamaclassify.tables.arrow import Columns, last_of_each
from tap_llamaclassify.tables.rows import Row
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import BY_DEFAULT, TABLES, Table

Batches = Generator[tuple[str, pa.RecordBatch], None, None]
OnProgress = Callable[[Activity], None]

_logger = logging.getLogger(__name__)


class History:
    """Job history as Arrow record batches: what is new since a state, and the state after it.

    Iterate over it for `(table, batch)`. Every batch of a table has the same schema, that of the
    Parquet files: timestamps are UTC, `additional_fields` is JSON text; a table that brings nothing
    has one empty batch. Rows may come twice, in two versions: the last one of a key counts.
    Iterating once more brings what has come since.

    Args:
        config: The tap's own settings, `start_date` among them; what is missing comes from the
            environment or is the default.
        tables: The names of the tables wanted; by default those of v2 and v1 jobs. Then v1 may be
            gone, as long as v2 is there: a warning says so.
        state: The `state` of an earlier history, or the value of the tap's last STATE; None to
            begin at the beginning.
        in_full: The names of those tables that are read from their beginning, whatever the state
            keeps, and of which it keeps nothing.
        max_jobs: Begin no more windows of v2 when so many jobs have come: they are left to the next
            time. None for all.
        batch_rows: How many rows wait before they become a batch of each table; at the end of a
            window they wait no longer. By default a page's are enough.
        on_progress: Called after each piece with the pages, jobs, requests and waits so far.

    Raises:
        SettingsError: A setting is wrong, there is no such table, or `fetch_results` is not set and
            classify_job_results is wanted.
        StateError: The state is not understood.
    """

    def __init__(  # noqa: PLR0913 - each by its name
        self,
        config: Mapping[str, Any] | None = None,
        *,
        tables: Collection[str] | None = None,
        state: Mapping[str, Any] | None = None,
        in_full: Collection[str] = (),
        max_jobs: int | None = None,
        batch_rows: int = 1,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._source = _Source(config, tables, on_progress, batch_rows)
        self._max_jobs = max_jobs
        self._allowance: Allowance | None = None
        self._in_full = frozenset(in_full)
        keys = {table.name: table.replication_key for table in TABLES}
        self._kept = State(keys, self._source.settings.start_date)
        given = copy.deepcopy(spelled_out(state or {}))
        for stream in self._kept.load(given):
            _logger.warning("The state's bookmarks.%s is of no table of this history", stream)
        self._adopting = self._source.settings.adopt_state
        names = [name for each in self._source.connections if (name := each.name)]
        for text in self._kept.unused(names, self._adopting):
            _logger.warning(text)
        self._bookmarks: dict[str, Any] = given.get("bookmarks", {})
        for each in self._source.connections:
            self._wanted(each)

    @property
    def state(self) -> dict[str, Any]:
        """What to hand in the next time, as JSON: it speaks of no batch that may still be at work.

        While a batch is worked on it tells of those before it: keep it with what they became.
        """
        return {"bookmarks": copy.deepcopy(self._bookmarks)}

    @property
    def is_whole(self) -> bool:
        """Whether the last iteration left nothing to the next because of `max_jobs`."""
        return not (self._allowance and self._allowance.is_cut)

    def __iter__(self) -> Batches:
        """Read what is new, and yield it piece by piece.

        Raises:
            ApiError: Something cannot be read; all else was, and the state tells of it.
        """
        self._allowance = Allowance(self._max_jobs) if self._max_jobs else None
        return self._source.read(self._wanted, self._keep, allowance=self._allowance)

    def _wanted(self, connection: Connection) -> Wanted:
        return {
            table.name: self._kept.kept(table.name, self._place(connection.name))
            if table.replication_key and table.name not in self._in_full
            else None
            for table in self._source.columns
        }

    def _keep(self, connection: str | None, kept: Mapping[str, StreamState]) -> None:
        for name, each in kept.items():
            self._bookmarks[name] = self._kept.keep(name, self._place(connection), each)

    def _place(self, connection: str | None) -> Partition:
        return Partition.of(connection, self._adopting)


def record_batches(
    config: Mapping[str, Any] | None = None,
    *,
    tables: Collection[str] | None = None,
    limit: int | None = None,
    on_progress: OnProgress | None = None,
) -> Batches:
    """List all jobs of each API once, whatever was read before; else as `History` does.

    Should the listing have to start again, rows come twice.

    Args:
        config: As for `History`.
        tables: As for `History`.
        limit: Read no further in an API when there are so many jobs, to have a look.
        on_progress: As for `History`.

    Returns:
        A table's name and some of its rows, for each page and table that has any, and for a table
        without any row one batch that is empty. Whoever asks for the next one may meet an ApiError:
        the jobs cannot be listed.

    Raises:
        SettingsError: As for `History`.
    """
    return _Source(config, tables, on_progress).read(limit=limit)


def read_table(
    table: str,
    config: Mapping[str, Any] | None = None,
    *,
    on_progress: OnProgress | None = None,
) -> pa.Table:
    """Read a whole table into memory, each row once, such as `read_table(...).to_pandas()`.

    Args:
        table: Its name.
        config: As for `History`.
        on_progress: As for `History`.

    Raises:
        SettingsError: As for `History`.
        ApiError: It cannot be read.
    """
    source = _Source(config, [table, *named_by(table)], on_progress)
    whole = pa.Table.from_batches([batch for name, batch in source.read() if name == table])
    return last_of_each(whole, next(each.keys for each in source.columns if each.name == table))


class _Source:
    """What is to be read, and by which settings.

    Attributes:
        columns: Of each table that is wanted.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None,
        tables: Collection[str] | None,
        on_progress: OnProgress | None,
        batch_rows: int = 1,
    ) -> None:
        self.settings = parse_settings(config or {})
        self.connections = resolve_connections(self.settings, os.environ)
        self.columns = {
            table: Columns(table.name, schema_of(table.name), table.keys)
            for table in (BY_DEFAULT if tables is None else _named(tables, self.settings))
        }
        self._by_name = tables is not None
        self._on_progress = on_progress
        self._batch_rows = batch_rows

    def read(
        self,
        wanted: Callable[[Connection], Wanted] | None = None,
        keep: Callable[[str | None, Mapping[str, StreamState]], None] | None = None,
        limit: int | None = None,
        allowance: Allowance | None = None,
    ) -> Batches:
        """Read all connections.

        Args:
            wanted: Tells what is wanted of one, and what is kept of it; by default all, in full.
            keep: Takes what to keep of one once all that came before is worked on.
            limit: Read no further in an API when there are so many items, and keep nothing.
            allowance: Begin no more windows when it is used; None to read all.
        """
        warn_of_insecure(self.connections)
        in_full = {table.name: None for table in self.columns}
        require_all = self.settings.require_all
        parts = [
            Part(Client(each), wanted(each) if wanted else in_full, require_all=require_all)
            for each in self.connections
        ]
        rows: dict[Table, list[Row]] = {table: [] for table in self.columns}
        empty = dict(self.columns)
        for part, step in read_parts(parts, self.settings, limit=limit, allowance=allowance):
            for table in rows:
                rows[table] += table.rows(step.items.get(table.name, ()))
            is_kept = bool(keep and step.kept)
            if is_kept or sum(map(len, rows.values())) >= self._batch_rows:
                yield from self._batches(rows, empty)
            if keep and is_kept:
                keep(part.client.connection.name, step.kept)
            if self._on_progress:
                self._on_progress(replace(activity_of(parts)))
        yield from self._batches(rows, empty)
        if error := self._error_of(parts):
            raise error
        warn_of_the_unmissed(parts)
        warn_of_nothing(parts, self.settings)
        yield from ((table.name, columns.batch([])) for table, columns in empty.items())

    def _batches(self, rows: dict[Table, list[Row]], empty: dict[Table, Columns]) -> Batches:
        """Let go of the rows that are held."""
        for table, its in rows.items():
            if its:
                empty.pop(table, None)
                batch = self.columns[table].batch(its)
                its.clear()
                yield table.name, batch

    def _error_of(self, parts: Sequence[Part]) -> ApiError | None:
        named = [error for part in parts if self._by_name for error in part.errors_where_named]
        return error_of(parts, "read") or next(iter(named), None)


def _named(tables: Collection[str], settings: Settings) -> list[Table]:
    if isinstance(tables, str):
        raise SettingsError(f"tables must be a list of names, such as [{tables!r}]")
    names = [table.name for table in TABLES]
    if unknown := sorted({*tables} - {*names}):
        raise SettingsError(f"there is no table {unknown[0]}; there are {', '.join(names)}")
    wanted = [table for table in TABLES if table.name in tables]
    check_allowed(wanted, settings)
    return wanted
