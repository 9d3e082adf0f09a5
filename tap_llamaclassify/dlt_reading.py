"""What one extraction of dlt reads: all tables that are selected, in one go, from dlt's state."""

from __future__ import annotations

import gc
import shutil
import tempfile
import threading
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.runtime.collector import NULL_COLLECTOR
from dlt.extract import DltResource, DltSource

from tap_llamaclassify.config.settings import parse_settings
from tap_llamaclassify.errors import ApiError, OutputError, SettingsError
from tap_llamaclassify.http.client import Activity
from tap_llamaclassify.python_api import Batches, History, record_batches
from tap_llamaclassify.tables.arrow import Columns, without_lists
from tap_llamaclassify.tables.row_store import ROWS, RowStore
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import (
    BY_DEFAULT,
    FILES,
    RESULTS,
    TABLES,
    TIMINGS,
    V2_JOBS,
    Table,
)

BOOKMARK = "bookmark"
"""Where a resource's state has what a Singer state has in the bookmarks of the stream."""


@dataclass
class Part:
    """One package of several: how far it is read, and what came of that.

    Attributes:
        max_jobs: How many jobs are enough, unless the source says otherwise; None for all.
        is_begun: Whether anything was read.
        is_cut: Whether some of it was left to the next.
        error: What could not be read, when all else was.
    """

    max_jobs: int | None = None
    is_begun: bool = False
    is_cut: bool = False
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
        if (own := dlt.current.resource()).name != asked.name:
            # It was given another name, and is read by itself.
            chosen = {asked.name: own}
        limits = [each.limit.max_items if each.limit else None for each in chosen.values()]
        pages = [max(limit, 1) for limit in limits if limit is not None]
        return cls(
            {table: each.name for table, each in chosen.items()},
            frozenset(table for table, each in chosen.items() if takes_all(each)),
            max(pages) if len(pages) == len(limits) else None,
        )

    @property
    def loses_files(self) -> bool:
        """Whether files would be taken to be no more only because their jobs are not read again."""
        naming = {*V2_JOBS.endpoint.tables, RESULTS.name} & self.resources.keys()
        return FILES.name in self.in_full and not (naming and naming <= self.in_full)

    def check(self, max_jobs: int | None) -> None:
        """Make sure that no table loses rows because not all of them are read.

        Raises:
            SettingsError: One would.
        """
        if self.loses_files:
            raise SettingsError(
                f"{FILES.name} is replaced, and has only the files of the jobs that are read: let "
                "it merge, or replace the tables of v2 jobs and the results with it"
            )
        if TIMINGS.name in self.in_full:
            raise SettingsError(
                f"{TIMINGS.name} is replaced, and the API shows the last days only: let it merge"
            )
        if max_jobs and self.in_full:
            raise SettingsError(
                f"max_jobs is set, and {min(self.in_full)} is replaced, which takes all of its "
                "rows: unset max_jobs, or let it merge"
            )

    @property
    def by_name(self) -> Collection[str] | None:
        """The tables, where somebody has chosen them; None for those that are there anyway."""
        is_default = self.resources.keys() == {table.name for table in BY_DEFAULT}
        return None if is_default and not self.in_full else [*self.resources]


def takes_all(resource: DltResource) -> bool:
    """Return whether what a resource does not bring is taken to be no more."""
    disposition = resource.write_disposition
    if isinstance(disposition, Mapping):
        if disposition.get("strategy") == "scd2":
            return True
        disposition = disposition["disposition"]
    return disposition == "replace"


class Reading:
    """What is read for one extraction, put aside until dlt takes it.

    Args:
        choice: What is read.
        config: The tap's settings.
        load_id: That of the package that it is for; None outside of a pipeline.
    """

    def __init__(self, choice: Choice, config: Mapping[str, Any], load_id: str | None) -> None:
        self._choice = choice
        self._config = config
        self._load_id = load_id
        folder = _new_folder()
        # Nobody tells it when dlt gives up in the middle.
        self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._stores = {
            table.name: _store_of(table, folder)
            for table in TABLES
            if table.name in choice.resources
        }
        self._bookmarks: Mapping[str, Any] = {}
        self._progress = _Progress(is_shown=load_id is not None)

    def waits_for(self, table: Table, load_id: str | None) -> bool:
        """Return whether a table is still to be taken from this, for a package."""
        return self._load_id == load_id and table.name in self._stores

    def read(self, max_jobs: int | None, part: Part | None) -> None:
        """Read all tables.

        Args:
            max_jobs: How many jobs are enough; None for all.
            part: What is told of what could not be read; else that is an error at once.

        Raises:
            ApiError: Something cannot be read.
        """
        choice = self._choice
        part_ = part or Part()
        part_.is_begun = True
        if choice.pages:
            self._put_aside(
                record_batches(
                    self._config,
                    tables=choice.by_name,
                    limit=choice.pages * parse_settings(self._config).page_size,
                    on_progress=self._progress,
                )
            )
            return
        choice.check(max_jobs)
        history = History(
            self._config,
            tables=choice.by_name,
            state={"bookmarks": self._kept()},
            in_full=choice.in_full,
            max_jobs=max_jobs,
            batch_rows=ROWS,
            on_progress=self._progress,
        )
        try:
            self._put_aside(iter(history))
        except ApiError as error:
            if part is None or choice.in_full:
                raise
            part.error = part.error or error
        part_.is_cut |= not history.is_whole
        self._bookmarks = history.state["bookmarks"]

    def take(self, table: Table) -> Iterator[pa.RecordBatch]:
        """Return a table's rows, and let its bookmark move when all of them were taken."""
        yield from self._stores.pop(table.name).batches()
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

    def _put_aside(self, batches: Batches) -> None:
        with _rarely_collecting():
            for table, batch in batches:
                self._stores[table].add(without_lists(batch))


_collecting_rarely = 0
_thresholds = gc.get_threshold()
_gate = threading.Lock()


@contextmanager
def _rarely_collecting() -> Iterator[None]:
    """Look for cycles now and then: rows have none, and there are many."""
    global _collecting_rarely, _thresholds  # noqa: PLW0603 - so is the collector's own setting
    with _gate:
        if not _collecting_rarely:
            _thresholds = gc.get_threshold()
            gc.set_threshold(20_000, 50, 50)
        _collecting_rarely += 1
    try:
        yield
    finally:
        with _gate:
            _collecting_rarely -= 1
            if not _collecting_rarely:
                gc.set_threshold(*_thresholds)


def _new_folder() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="llamaclassify-"))
    except OSError as error:
        raise OutputError(
            f"rows cannot be put aside: {error.strerror}; TMPDIR can name a folder that can be "
            "written to"
        ) from None


def _store_of(table: Table, folder: Path) -> RowStore:
    columns = Columns(table.name, schema_of(table.name), table.keys)
    # dlt writes CSV for some databases, and no list into it.
    return RowStore(folder / table.name, without_lists(columns.batch([])).schema, table.keys)


class _Progress:
    """Tells dlt's collector of pages and jobs, while it extracts."""

    def __init__(self, *, is_shown: bool) -> None:
        self._jobs = self._pages = 0
        self._collector = dlt.current.pipeline().collector if is_shown else NULL_COLLECTOR

    def __call__(self, so_far: Activity) -> None:
        self._collector.update("LlamaCloud pages", so_far.pages - self._pages)
        self._collector.update("LlamaCloud jobs", so_far.jobs - self._jobs)
        self._jobs, self._pages = so_far.jobs, so_far.pages
