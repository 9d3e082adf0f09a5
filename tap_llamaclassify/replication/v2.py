"""Reads the jobs of the v2 API: what was created since, and again what was unfinished.

The API filters by `created_at`, not by `updated_at`. Finished jobs are taken not to change; those
that were unfinished when last seen are asked for by their ids.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace

from tap_llamaclassify.api import endpoints
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.config.settings import A_DAY, Settings
from tap_llamaclassify.http.client import Client, Params
from tap_llamaclassify.replication.bookmarks import Bookmark
from tap_llamaclassify.replication.listing_bookmarks import ListingBookmarks, Wanted
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.replication.unfinished import BEGUN, DAYS, MOST, Unfinished, is_finished
from tap_llamaclassify.replication.usage import Usage
from tap_llamaclassify.replication.windows import Window, Windows, WindowStats
from tap_llamaclassify.tables.tables import V2_JOBS
from tap_llamaclassify.timestamps import LAST, moved, whole_second

SKEW = 1
"""Seconds after the server's clock until which jobs are listed: its servers' clocks differ."""

_logger = logging.getLogger(__name__)


class V2Reader:
    """The jobs created since the bookmark in windows, oldest first; each may be kept when read.

    Args:
        client: Asks.
        settings: What the user set.
        wanted: The tables.
        limit: Read no further when there are so many jobs, and keep nothing.
    """

    def __init__(
        self, client: Client, settings: Settings, wanted: Wanted, limit: int | None = None
    ) -> None:
        self._client = client
        self._settings = settings
        self._limit = limit
        self._label = client.connection.label
        self._bookmarks = ListingBookmarks(wanted, settings, client.clock, self._label)
        known = [kept for kept in wanted.values() if kept is not None]
        # What is read in full is read without filter: a job may have no created_at.
        self._is_windowed = limit is None and len(known) == len(wanted)
        self._unfinished = Unfinished([kept.unfinished or {} for kept in known], self._label)
        self._usage = (
            Usage(client, settings.parallel_requests)
            if settings.fetch_usage and V2_JOBS.name in wanted
            else None
        )
        self._page_size = min(client.connection.page_size, endpoints.V2_LARGEST_PAGE)
        self._windows = Windows(self._page_size)
        self._begin: str | None = None
        self._end: str | None = None
        self._not_seen_again: set[str] = set()
        self._is_filtered = True
        self._has_looked = limit is not None

    def steps(self) -> Iterator[Step]:
        """Read what is due."""
        if self._is_windowed:
            yield from self._in_windows()
        else:
            yield from self._in_one_listing()
        if self._limit is None:
            yield from self._of_ids()
            self._unfinished.warn(self._clock)
            self._bookmarks.note(
                *filter(None, (b.read_until for b in self._bookmarks.bookmarks_by_table.values()))
            )
            yield Step(kept=self._with_unfinished(self._bookmarks.after()))

    def _in_one_listing(self) -> Iterator[Step]:
        """Read all jobs there are, without a filter: one may have no `created_at`."""
        jobs = later = 0
        for page in self._listing({}).pages(ahead=self._limit is None, tentative=True):
            if not self._has_looked and not page.is_last:
                yield from self._look(page, None)
                yield from self._in_one_listing()
                return
            yield self._step(page)
            jobs += len(page.items)
            if self._limit is not None and jobs >= self._limit:
                return
            later += sum((job.get("created_at") or "") > self._last for job in page.items)
            if later > max(endpoints.V2_LARGEST_PAGE, jobs / 2):
                _logger.warning(
                    "%sJobs are made as fast as they are listed: those created after %s, and those "
                    "without created_at, are left to the next run",
                    self._label,
                    self._last,
                )
                yield from self._at_once(Window(None, self._last))
                return

    def _at_once(self, window: Window) -> Iterator[Step]:
        for page in self._listing(window.filters).pages():
            yield self._step(page)

    def _in_windows(self) -> Iterator[Step]:
        # Until the first reply tells the server's clock, each bookmark is taken to be right.
        self._begin = self._begin_of(self._bookmarks.bookmarks_at(LAST).values())
        self._windows.start(Window(self._begin))
        while self._windows:
            sight = self._windows.next()
            is_read = yield from self._through(sight)
            if not self._is_filtered:
                yield from self._in_one_listing()
                return
            if is_read and self._windows and sight.window.end:
                yield Step(kept=self._with_unfinished(self._kept_until(sight.window.end)))
        if self._not_seen_again:
            # The API does not count the end of a window as we do.
            yield from self._at_once(Window(self._begin))

    def _through(self, sight: WindowStats) -> Generator[Step, None, bool]:
        """Read a window to its end; return whether that was reached, or other windows are due."""
        jobs = again = 0
        for page in self._listing(sight.window.filters).pages(tentative=True):
            self._bookmarks.start(page)
            if (
                begin := self._begin_of(self._bookmarks.bookmarks_by_table.values())
            ) != self._begin:
                self._begin = begin
                self._windows.start(Window(begin))
                return False
            if not self._has_looked and not page.is_last:
                yield from self._look(page, begin)
                self._expect(page, begin)
                self._windows.start(Window(begin, self._last))
                return False
            yield self._step(page)
            self._check(sight, page)
            if not self._is_filtered:
                return False
            jobs += len(page.items)
            again += sight.window.in_overlap(page.items)
            if page.is_last:
                continue
            sight.add(page)
            if self._windows.cut(sight):
                return False
        self._windows.note_read(jobs, again=again)
        return True

    def _expect(self, first: Page, begin: str | None) -> None:
        """Remember which jobs of a first page, that has no upper end, are to come again."""
        self._not_seen_again = {
            job["id"]
            for job in first.items
            if is_finished(job) and (begin or "") < (job.get("created_at") or "") < self._clock
        }

    def _look(self, first: Page, begin: str | None) -> Iterator[Step]:
        """See which jobs are unfinished, before a listing of more than one page is read.

        Where jobs are listed by their updates, one that changes meanwhile may move to a page that
        was read; it would not come again, for it was created before the bookmark.
        """
        self._has_looked = True
        self._bookmarks.start(first)
        created = [created for job in first.items if (created := job.get("created_at"))]
        self._end = moved(whole_second(max(self._clock, *created)), 1 + SKEW)
        oldest = moved(self._clock, -DAYS * A_DAY)
        since = Window(max(filter(None, (begin, oldest)), default=None)).filters
        for status in BEGUN:
            # All at once as far as can be, so that none can move.
            filters = {**since, "status": status, "page_size": str(endpoints.V2_LARGEST_PAGE)}
            for number, page in enumerate(self._listing(filters).pages(ahead=False), 1):
                yield self._step(page)
                self._unfinished.expect(page.items, self._clock)
                is_filtered = all(job.get("status") == status for job in page.items)
                if not is_filtered or number * endpoints.V2_LARGEST_PAGE >= MOST:
                    break

    def _of_ids(self) -> Iterator[Step]:
        for ids in self._unfinished.not_met():
            for page in self._listing({"job_ids": ids}).pages():
                yield self._step(page)
                if not {*ids}.issuperset(job["id"] for job in page.items):
                    # The API lists others: what was asked for is among all of them.
                    yield from self._at_once(Window(None, self._end))
                    return

    def _check(self, sight: WindowStats, page: Page) -> None:
        """See whether the API keeps to the bounds of a window."""
        outside = sight.window.seconds_outside(page.items)
        if outside:
            # It may go by the hour or by the day, so that windows only make it list jobs twice.
            self._windows.stop_cutting()
        if outside > A_DAY and self._is_filtered:
            self._is_filtered = False
            _logger.warning(
                "%sThe API lists jobs that were created at other times than was asked for: all of "
                "them are read",
                self._label,
            )

    def _step(self, page: Page) -> Step:
        items = self._bookmarks.due_of(page)
        self._unfinished.note(page.items, self._clock)
        self._not_seen_again.difference_update(job["id"] for job in page.items)
        if self._usage and self._usage.fill(items[V2_JOBS.name]):
            page.has_misfits = True
        return Step(items, pages=[page])

    @property
    def _clock(self) -> str:
        return self._bookmarks.clock or LAST

    @property
    def _last(self) -> str:
        """When the last job was created that this run lists; later ones are the next run's."""
        return self._end or LAST

    def _listing(self, filters: Params) -> Paginator:
        return Paginator(self._client, endpoints.V2_JOBS, filters)

    def _begin_of(self, bookmarks: Iterable[Bookmark]) -> str | None:
        """Return the earliest `created_at` that is of interest; None for any."""
        begins = [self._begin_of_one(bookmark) for bookmark in bookmarks]
        return None if None in begins else min(filter(None, begins))

    def _begin_of_one(self, bookmark: Bookmark) -> str | None:
        # A job that was updated after the start date may have been created before it.
        start_date = self._settings.start_date
        floor = start_date and moved(start_date, -DAYS * A_DAY)
        if bookmark.kept.unfinished is None:
            # Some may have finished meanwhile, so that they are to be met in a listing of all.
            return floor
        lookback: int = self._settings.lookback_seconds
        if bookmark.read_until:
            return moved(bookmark.read_until, -lookback)
        reach = max(lookback, self._settings.reconcile_days * A_DAY)
        begin = bookmark.begin and moved(bookmark.begin, -reach)
        return max(begin, floor or begin) if begin else floor

    def _kept_until(self, end: str) -> dict[str, StreamState]:
        """Return what to keep when all jobs that were created until then were read."""
        kept, meanwhile = {}, self._bookmarks.meanwhile()
        for name, bookmark in self._bookmarks.bookmarks_by_table.items():
            begin = self._begin_of_one(bookmark)
            if begin is None or end > begin:
                so_far = meanwhile[name]
                kept[name] = replace(
                    so_far,
                    created_at_read_until=min(end, self._clock),
                    reading_began_at=so_far.reading_began_at or self._bookmarks.known_until,
                )
        return kept

    def _with_unfinished(self, kept: dict[str, StreamState]) -> dict[str, StreamState]:
        unfinished = self._unfinished.left(self._clock)
        return {name: replace(each, unfinished=unfinished) for name, each in kept.items()}
