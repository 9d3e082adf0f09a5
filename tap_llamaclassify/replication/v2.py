"""Reads the jobs of the v2 API: what was created since, and again what was unfinished.

The API filters by `created_at`, not by `updated_at`. Finished jobs are taken not to change; those
that were unfinished when last seen are asked for by their ids.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from tap_llamaclassify.api import endpoints
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.config.settings import A_DAY, Settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.json_text import encoder
from tap_llamaclassify.replication.allowance import Allowance
from tap_llamaclassify.replication.coverage import Coverage
from tap_llamaclassify.replication.listing_bookmarks import ListingBookmarks, Wanted
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.replication.unfinished import BEGUN, DAYS, MOST, Unfinished, is_finished
from tap_llamaclassify.replication.usage import Usage
from tap_llamaclassify.replication.window_listings import WindowListings
from tap_llamaclassify.replication.window_plan import WindowPlan
from tap_llamaclassify.replication.windows import Window, WindowStats
from tap_llamaclassify.tables.tables import V2_JOBS
from tap_llamaclassify.timestamps import LAST, moved, whole_second

SKEW = 1
"""Seconds after the server's clock until which jobs are listed: its servers' clocks differ."""

_logger = logging.getLogger(__name__)


class V2Reader:
    """The jobs created since the bookmark, in windows side by side; each may be kept when read.

    Args:
        client: Asks.
        settings: What the user set.
        wanted: The tables.
        limit: Read no further when there are so many jobs, and keep nothing.
        allowance: Begin no more windows when it is used; None to read all.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        wanted: Wanted,
        limit: int | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._limit = limit
        self._allowance = allowance
        self._may_stop = False
        self._is_cut = False
        self._label = client.connection.label
        self._bookmarks = ListingBookmarks(wanted, settings, client.clock, self._label)
        self._coverage = Coverage(self._bookmarks, settings)
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
        self._plan = WindowPlan(self._page_size, settings.parallel_windows)
        self._versions: dict[str, int] = {}
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
            if self._is_cut:
                return
            self._unfinished.warn(self._clock)
            self._bookmarks.note(
                *(b.read[-1][1] for b in self._bookmarks.bookmarks_by_table.values() if b.read)
            )
            yield Step(kept=self._with_unfinished(self._bookmarks.after()))

    def _in_one_listing(self) -> Iterator[Step]:
        """Read all jobs there are, without a filter: one may have no `created_at`."""
        listing = self._listing(Window())
        if not self._has_looked:
            first = listing.next()
            if first.is_last:
                yield self._step(first)
                return
            yield from self._look(first, None)
        jobs = later = 0
        for page in listing.pages(ahead=self._limit is None):
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
        for page in self._listing(window).pages():
            yield self._step(page)

    def _in_windows(self) -> Iterator[Step]:
        # Until the first reply tells the server's clock, each bookmark is taken to be right.
        begin = self._coverage.begin(LAST)
        page = self._listing(Window(begin)).next()
        self._bookmarks.start(page)
        if (trusted := self._coverage.begin()) != begin:
            begin = trusted
            page = self._listing(Window(begin)).next()
        if page.is_last:
            yield self._step(page)
            self._check(WindowStats(Window(begin), self._page_size), page)
        else:
            yield from self._look(page, begin)
            windows = self._coverage.windows(self._end)
            self._expect(page, windows)
            self._plan.start(windows)
            yield from self._side_by_side()
        if not self._is_filtered:
            yield from self._in_one_listing()
        elif self._not_seen_again and not self._is_cut:
            # The API does not count the end of a window as we do.
            yield from self._at_once(Window(begin))

    def _side_by_side(self) -> Iterator[Step]:
        """Read the windows of the plan, each to its end or until it is cut."""
        listings = WindowListings(self._listing)
        while self._is_filtered:
            for cut in self._plan.cut_held():
                listings.end(cut)
            while not self._is_enough() and (begun := self._plan.next()):
                listings.go_on(begun)
            if self._plan.is_over:
                return
            stats, page = listings.next()
            stats.add(page)
            self._note_versions(stats.window, page)
            is_read = page.is_last and self._plan.note_read(stats)
            if self._check(stats, page) and self._plan.stop_cutting():
                listings.end_all()
            elif page.is_last or self._plan.cut(stats):
                listings.end(stats)
            elif not self._plan.hold(stats):
                listings.go_on(stats)
            yield self._step(page)
            if is_read and self._is_filtered:
                so_far = self._coverage.so_far(stats.window, self._clock)
                self._may_stop |= bool(so_far) and (stats.window.end or LAST) < self._last
                yield Step(kept=self._with_unfinished(so_far))
            # Let go of this page before the next one comes in.
            del page

    def _is_enough(self) -> bool:
        """Return whether the windows that are not begun are left to the next run.

        They are not before one was read and kept that is not the newest: that one comes again each
        time, and nothing else would ever be read.
        """
        if not (self._allowance and self._allowance.is_used and self._may_stop):
            return False
        if self._plan.is_left:
            self._is_cut = self._allowance.is_cut = True
        return True

    def _note_versions(self, window: Window, page: Page) -> None:
        """See which jobs came in two versions: the newer one may have been written first."""
        if self._settings.parallel_windows == 1 or not self._plan.may_cut:
            return
        for job in window.shared(page.items):
            version = hash(encoder.encode(job))
            if self._versions.setdefault(job["id"], version) != version:
                self._unfinished.ask_again(job, self._clock)

    def _expect(self, first: Page, windows: Iterable[Window]) -> None:
        """Remember which jobs of a first page, that has no upper end, are to come again."""
        spans = [(window.begin or "", min(window.end or LAST, self._clock)) for window in windows]
        self._not_seen_again = {
            job["id"]
            for job in first.items
            if is_finished(job)
            and any(begin < (job.get("created_at") or "") < end for begin, end in spans)
        }

    def _look(self, first: Page, begin: str | None) -> Iterator[Step]:
        """See which jobs are unfinished, before a listing of more than one page is read.

        Where jobs are listed by their updates, one that changes meanwhile may move to a page that
        was read; it would not come again, for it was created before the bookmark.
        """
        self._has_looked = True
        self._bookmarks.start(first)
        created = [created for job in first.items if (created := job.get("created_at"))]
        # Where it is this machine's clock, there may be jobs that are later by days.
        if first.is_server_clock:
            self._end = moved(whole_second(max(self._clock, *created)), 1 + SKEW)
        oldest = moved(self._clock, -DAYS * A_DAY)
        since = Window(max(filter(None, (begin, oldest)), default=None)).filters
        for status in BEGUN:
            # All at once as far as can be, so that none can move.
            filters = {**since, "status": status, "page_size": str(endpoints.V2_LARGEST_PAGE)}
            for number, page in enumerate(
                Paginator(self._client, endpoints.V2_JOBS, filters).pages(ahead=False), 1
            ):
                yield self._step(page)
                self._unfinished.expect(page.items, self._clock)
                is_filtered = all(job.get("status") == status for job in page.items)
                if not is_filtered or number * endpoints.V2_LARGEST_PAGE >= MOST:
                    break

    def _of_ids(self) -> Iterator[Step]:
        for ids in self._unfinished.not_met():
            for page in Paginator(self._client, endpoints.V2_JOBS, {"job_ids": ids}).pages():
                yield self._step(page)
                if not {*ids}.issuperset(job["id"] for job in page.items):
                    # The API lists others: what was asked for is among all of them.
                    yield from self._at_once(Window(None, self._end))
                    self._unfinished.met_again()
                    return
        self._unfinished.met_again()

    def _check(self, stats: WindowStats, page: Page) -> bool:
        """Return whether the API does not keep to the bounds of a window.

        It may go by the hour or by the day, so that windows only make it list jobs twice.
        """
        outside = stats.window.seconds_outside(page.items)
        if outside > A_DAY:
            self._is_filtered = False
            _logger.warning(
                "%sThe API lists jobs that were created at other times than was asked for: all of "
                "them are read",
                self._label,
            )
        return bool(outside)

    def _step(self, page: Page) -> Step:
        items = self._bookmarks.due_of(page)
        if self._allowance:
            self._allowance.take(len(page.items))
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

    def _listing(self, window: Window) -> Paginator:
        return Paginator(self._client, endpoints.V2_JOBS, window.filters)

    def _with_unfinished(self, kept: dict[str, StreamState]) -> dict[str, StreamState]:
        unfinished = self._unfinished.left(self._clock)
        return {name: replace(each, unfinished=unfinished) for name, each in kept.items()}
