"""Reads when jobs came to each status: of those created lately, for the API reaches no further.

Whatever else it shows is taken, too; where it leaves a hole between this reading and the last one,
that is said.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tap_llamaclassify.api.endpoints import TIMINGS, TIMINGS_HOURS
from tap_llamaclassify.api.models import Json, Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.config.settings import A_DAY, Settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.bookmarks import Bookmark
from tap_llamaclassify.replication.listing_bookmarks import ListingBookmarks, Wanted
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.replication.unfinished import DAYS, MOST, Unfinished
from tap_llamaclassify.timestamps import EVER, LAST, moved, whole_second

BEGUN = ("pending", "throttled", "running")
"""The statuses before a job is finished."""
FINISHED = frozenset({"completed", "failed", "cancelled"})
ENDS = ("completed_at", "failed_at", "cancelled_at")

_logger = logging.getLogger(__name__)


class TimingsReader:
    """One listing of data points, from the bookmark less `reconcile_days` on by creation.

    Args:
        client: Asks.
        settings: What the user set.
        wanted: The one table.
        limit: Read no further when there are so many, and keep nothing.
    """

    def __init__(
        self, client: Client, settings: Settings, wanted: Wanted, limit: int | None = None
    ) -> None:
        self._client = client
        self._settings = settings
        self._limit = limit
        self._label = client.connection.label
        self._bookmarks = ListingBookmarks(wanted, settings, client.clock, self._label)
        (self._kept,) = wanted.values()
        known = self._kept.unfinished_jobs if self._kept else {}
        self._unfinished = Unfinished([known], self._label, is_finished)
        self._oldest = LAST

    def steps(self) -> Iterator[Step]:
        """Read the listing."""
        points = 0
        for page in self._pages():
            points += len(page.items)
            yield self._step(page)
            # Let go of this page before the next one comes in.
            del page
            if self._limit is not None and points >= self._limit:
                return
        if self._limit is None and self._kept is not None:
            self._warn_of_a_hole()
            self._unfinished.warn(self._clock)
            yield Step(kept=self._after())

    def _pages(self) -> Iterator[Page]:
        # Until the first reply tells the server's clock, the bookmark is taken to be right.
        begin = self._begin(self._bookmarks.bookmarks_at(LAST))
        listing = self._listing(begin)
        page = listing.next()
        self._bookmarks.start(page)
        if (trusted := self._begin(self._bookmarks.bookmarks_by_table)) != begin:
            begin, listing = trusted, self._listing(trusted)
            page = listing.next()
        is_whole = page.is_last or self._limit is not None
        if is_whole:
            yield page
        # Let go of this page before the next one comes in.
        del page
        if not is_whole:
            yield from self._look(begin)
            # One that has changed since the first page may be on that now.
            listing = self._listing(begin)
        while not listing.is_over:
            page = listing.next()
            if self._limit is None:
                listing.fetch()
            yield page
            del page

    def _look(self, begin: str) -> Iterator[Page]:
        """See which jobs are unfinished: one that changes meanwhile may move to a page before."""
        for number, page in enumerate(self._listing(begin, status=BEGUN).pages(ahead=False), 1):
            yield page
            is_filtered = not any(map(is_finished, page.items))
            if not is_filtered or number * self._client.connection.page_size >= MOST:
                return

    def _listing(self, begin: str, **filters: Sequence[str]) -> Paginator:
        return Paginator(self._client, TIMINGS, {"created_at_on_or_after": begin, **filters})

    def _begin(self, bookmarks: Mapping[str, Bookmark]) -> str:
        """Return the creation from which data points are of interest."""
        settings = self._settings
        start_date = settings.start_date and moved(settings.start_date, -DAYS * A_DAY)
        known = next((bookmark.begin for bookmark in bookmarks.values()), None)
        reach = max(settings.lookback_seconds, settings.reconcile_days * A_DAY)
        begin = known and moved(known, -reach)
        if begin and self._kept:
            begin = min([begin, *self._kept.unfinished_jobs.values()])
        # Without a bound the API goes back no further than by hours.
        return max(filter(None, (EVER, start_date, begin)))

    def _step(self, page: Page) -> Step:
        items = self._bookmarks.due_of(page)
        self._unfinished.note(page.items, self._clock)
        created = [created for point in page.items if (created := point.get("created_at"))]
        self._oldest = min([self._oldest, *created])
        return Step(items, pages=[page])

    def _after(self) -> dict[str, StreamState]:
        clock = self._clock
        unfinished = self._unfinished.left(clock)
        return {
            name: replace(kept, last_read_at=whole_second(clock), unfinished_jobs=unfinished)
            for name, kept in self._bookmarks.after().items()
        }

    def _warn_of_a_hole(self) -> None:
        """Say that jobs may be missing which were created after the last reading, too long ago."""
        last = self._kept.last_read_at if self._kept else None
        reaches = moved(self._clock, -TIMINGS_HOURS * 3600) or ""
        if last and last < reaches <= self._oldest:
            _logger.warning(
                "%sclassify_job_timings: the last reading began at %s, and the API shows the last "
                "%d hours only: what was created in between and before that is missing. A sync at "
                "least once in that time leaves no hole",
                self._label,
                last,
                TIMINGS_HOURS,
            )

    @property
    def _clock(self) -> str:
        return self._bookmarks.clock or LAST


def is_finished(point: Json) -> bool:
    """Return whether a data point's job is taken not to change any more."""
    transitions = point.get("state_transitions") or {}
    has_ended = any(transitions.get(name) for name in ENDS)
    return has_ended or (point.get("status") or "").lower() in FINISHED
