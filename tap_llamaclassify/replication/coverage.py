"""Which spans of creation the tables need not be read for, and what to keep as more are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

from tap_llamaclassify.config.settings import A_DAY, Settings
from tap_llamaclassify.replication.bookmarks import Bookmark
from tap_llamaclassify.replication.listing_bookmarks import ListingBookmarks
from tap_llamaclassify.replication.read_spans import Spans, common, joined
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.replication.unfinished import DAYS
from tap_llamaclassify.replication.windows import Window, gaps
from tap_llamaclassify.timestamps import LAST, moved


class Coverage:
    """Spans of creation that were read, by this run or by those before it.

    Args:
        bookmarks: Of the tables.
        settings: What the user set.
    """

    def __init__(self, bookmarks: ListingBookmarks, settings: Settings) -> None:
        self._bookmarks = bookmarks
        self._settings = settings
        self._read: Spans = ()

    def begin(self, clock: str | None = None) -> str | None:
        """Return the earliest `created_at` that is of interest; None for any.

        Args:
            clock: The bookmarks are taken as they are by that; by default by the server's.
        """
        known = self._bookmarks.bookmarks_by_table
        bookmarks = self._bookmarks.bookmarks_at(clock) if clock else known
        windows = gaps(self._covered(bookmarks.values()), None)
        return windows[0].begin if windows else LAST

    def windows(self, end: str | None) -> list[Window]:
        """Return what is to be read, up to an instant; None for whatever there is."""
        return gaps(self._covered(self._bookmarks.bookmarks_by_table.values()), end)

    def so_far(self, window: Window, clock: str) -> dict[str, StreamState]:
        """Return what to keep when all jobs that were created in a window were read.

        Args:
            window: It is taken down.
            clock: The server's when the listing began: later jobs may be missing.
        """
        kept, meanwhile = {}, self._bookmarks.meanwhile()
        self._read = joined([*self._read, (window.begin or "", window.end or LAST)])
        for name, bookmark in self._bookmarks.bookmarks_by_table.items():
            # Until all was read, what is unfinished is not known beside a bookmark.
            if bookmark.kept.unfinished is None and bookmark.begin:
                continue
            covered = self._covered_by(bookmark)
            # What is read before that is of no interest to it.
            begin = covered[0][1] if covered and not covered[0][0] else ""
            spans = joined([*bookmark.read, *self._read])
            read = tuple(
                ("" if at <= begin else at, min(end, clock))
                for at, end in spans
                if begin < end and at < clock
            )
            if read:
                so_far = meanwhile[name]
                kept[name] = replace(
                    so_far,
                    created_at_read=read,
                    reading_began_at=so_far.reading_began_at or self._bookmarks.known_until,
                )
        return kept

    def _covered(self, bookmarks: Iterable[Bookmark]) -> Spans:
        """Return the spans that no table needs to be read for."""
        return reduce(common, map(self._covered_by, bookmarks))

    def _covered_by(self, bookmark: Bookmark) -> Spans:
        # A job that was updated after the start date may have been created before it.
        start_date = self._settings.start_date
        begins = [start_date and moved(start_date, -DAYS * A_DAY)]
        read: Spans = ()
        lookback: int = self._settings.lookback_seconds
        # Where they are not known, some may have finished meanwhile: they are to be met.
        if bookmark.kept.unfinished is not None:
            reach = max(lookback, self._settings.reconcile_days * A_DAY)
            begins.append(bookmark.begin and moved(bookmark.begin, -reach))
            read = bookmark.read
        spans = [("", begin) for begin in begins if begin]
        return joined([*spans, *((at, moved(end, -lookback) or end) for at, end in read)])
