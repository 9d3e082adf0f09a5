"""What one extraction of dlt reads: all tables that are selected, in one go, from dlt's state."""

from __future__ import annotations

import gc
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.runtime.collector import NULL_COLLECTOR
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.extract import DltResource, DltSource

from tap_llamaclassify.config.settings import parse_settings
from tap_llamaclassify.errors import ApiError, SettingsError
from tap_llamaclassify.http.client import Activity
from tap_llamaclassify.python_api import History, record_batches
from tap_llamaclassify.tables.arrow import Columns, without_lists
from tap_llamaclassify.tables.row_store import ROWS, RowStore
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import BY_DEFAULT, TABLES, Table

BOOKMARK = "bookmark"
"""Where a resource's state has what a Singer state has in the bookmarks of the stream."""


@dataclass
class Part:
    """One package of several: how far it is read, and what came of that.

    Attributes:
        max_jobs: How many jobs are enough, unless the source says otherwise; None for all.
        is_begun: Whether anything was read.
        is_whole: Whether all was read that there is.
        error: What could not be read, when all else was.
    """

    max_jobs: int | None
    is_begun: bool = False
    is_whole: bool = False
    error: ApiError | None = None


@dataclass(frozen=True)
class Choice:
    """Which tables an extraction reads, and how.

    Attributes:
        resources: The name of each table's resource.
        in_full: Those that are read from their beginning.
        pages: How many pages are enough for a look, after which no bookmark moves; None for all.
    """

    resources: Mapping[str, str]
    in_full: frozenset[str]
    pages: int | None

    @classmethod
    def of(cls, source: DltSource, asked: Table) -> Choice:
        """Take it from what is selected of a source, and the table that is asked for."""
        names = {table.name for table in TABLES}
        chosen = {each.name: each for each in source.resources.extracted if each.name in names}
        if asked.name not in chosen:
            # Its resource was given another name, and is read by itself.
            chosen = {asked.name: dlt.current.resource()}
        limits = [each.limit.max_items if each.limit else None for each in chosen.values()]
        return cls(
            {table: each.name for table, each in chosen.items()},
            frozenset(table for table, each in chosen.items() if is_replaced(each)),
            max((limit for limit in limits if limit), default=None) if all(limits) else None,
        )

    @property
    def by_name(self) -> Collection[str] | None:
        """The tables, where somebody has chosen them; None for those that are there anyway."""
        is_default = self.resources.keys() == {table.name for table in BY_DEFAULT}
        return None if is_default and not self.in_full else [*self.resources]


def is_replaced(resource: DltResource) -> bool:
    """Return whether what a resource brings is to take the place of all that there was."""
    disposition = resource.write_disposition
    if isinstance(disposition, Mapping):
        disposition = disposition["disposition"]
    return disposition == "replace"


class Reading:
    """What is read for one extraction, put aside until dlt takes it.

    Args:
        source: The one that is extracted.
        choice: What of it.
        config: The tap's settings.
    """

    def __init__(self, source: DltSource, choice: Choice, config: Mapping[str, Any]) -> None:
        self._source = source
        self._choice = choice
        self._config = config
        folder = tempfile.mkdtemp(prefix="llamaclassify-")
        # Nobody tells it when dlt gives up in the middle.
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._stores = {
            table.name: _store_of(table, Path(folder))
            for table in TABLES
            if table.name in choice.resources
        }
        self._bookmarks: Mapping[str, Any] = {}
        self._progress = _Progress()

    def waits_for(self, table: Table, source: DltSource) -> bool:
        """Return whether a source's table is still to be taken from this."""
        return self._source is source and table.name in self._stores

    def read(self, max_jobs: int | None, part: Part | None) -> None:
        """Read all tables.

        Args:
            max_jobs: How many jobs are enough; None for all.
            part: What is told of what could not be read; else that is an error at once.

        Raises:
            ApiError: Something cannot be read.
        """
        if part:
            part.is_begun = True
        if self._choice.pages:
            self._look(self._choice.pages)
            if part:
                part.is_whole = True
            return
        in_full = self._choice.in_full
        if max_jobs and in_full:
            raise SettingsError(
                f"max_jobs is set, and {min(in_full)} is replaced, which takes all of its rows: "
                "unset max_jobs, or let it merge"
            )
        history = History(
            self._config,
            tables=self._choice.by_name,
            state={"bookmarks": self._kept()},
            in_full=in_full,
            batch_rows=ROWS,
            on_progress=self._progress,
        )
        try:
            with _rarely_collecting():
                is_whole = self._put_aside(history, max_jobs)
        except ApiError as error:
            if part is None or in_full:
                raise
            part.error = error
        else:
            if part:
                part.is_whole = is_whole
        self._bookmarks = history.state["bookmarks"]

    def take(self, table: Table) -> Iterator[pa.RecordBatch]:
        """Return a table's rows, and let its bookmark move when all of them were taken."""
        yield from self._stores[table.name].batches()
        del self._stores[table.name]
        if not self._stores:
            self._remove()
        state = dlt.current.resource_state(self._choice.resources[table.name])
        if table.name in self._choice.in_full:
            state.pop(BOOKMARK, None)
        elif bookmark := self._bookmarks.get(table.name):
            state[BOOKMARK] = bookmark

    def _kept(self) -> dict[str, Any]:
        states = {
            table: dlt.current.resource_state(resource)
            for table, resource in self._choice.resources.items()
            if table not in self._choice.in_full
        }
        return {table: state[BOOKMARK] for table, state in states.items() if BOOKMARK in state}

    def _look(self, pages: int) -> None:
        batches = record_batches(
            self._config,
            tables=self._choice.by_name,
            limit=pages * parse_settings(self._config).page_size,
            on_progress=self._progress,
        )
        for table, batch in batches:
            self._stores[table].add(without_lists(batch))

    def _put_aside(self, history: History, max_jobs: int | None) -> bool:
        """Take what a history brings; return whether that was all."""
        enough: dict[str, Any] | None = None
        with closing(iter(history)) as batches:
            for table, batch in batches:
                self._stores[table].add(without_lists(batch))
                if max_jobs and self._progress.jobs >= max_jobs:
                    state = history.state
                    # Where the state has not moved yet, all this would be read once more.
                    if enough not in (None, state):
                        return False
                    enough = state
        return True


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Look for cycles now and then: rows have none, and there are many."""
    thresholds = gc.get_threshold()
    gc.set_threshold(20_000, 50, 50)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _store_of(table: Table, folder: Path) -> RowStore:
    columns = Columns(table.name, schema_of(table.name), table.keys)
    # dlt writes CSV for some databases, and no list into it.
    return RowStore(folder / table.name, without_lists(columns.batch([])).schema, table.keys)


class _Progress:
    """Tells dlt's collector of pages and jobs, while it extracts.

    Attributes:
        jobs: How many have come.
    """

    def __init__(self) -> None:
        self.jobs = self._pages = 0
        self._collector = dlt.current.pipeline().collector if _is_extracting() else NULL_COLLECTOR

    def __call__(self, so_far: Activity) -> None:
        self._collector.update("LlamaCloud pages", so_far.pages - self._pages)
        self._collector.update("LlamaCloud jobs", so_far.jobs - self.jobs)
        self.jobs, self._pages = so_far.jobs, so_far.pages


def _is_extracting() -> bool:
    try:
        dlt.current.load_package_state()
    except CurrentLoadPackageStateNotAvailable:
        return False
    return True
