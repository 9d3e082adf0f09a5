"""The bookmarks of all tables that one listing serves: which jobs are due, and what to keep."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from tap_llamaclassify.api.models import Json, Page
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.http.pacing import Clock
from tap_llamaclassify.replication.bookmarks import Bookmark
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.tables.rows import due
from tap_llamaclassify.timestamps import from_datetime, moved

Wanted = Mapping[str, StreamState | None]
"""The tables to read by name, and what the state keeps of each; None for one to read in full."""

_logger = logging.getLogger(__name__)


class ListingBookmarks:
    """The bookmarks of the tables that one listing serves.

    Args:
        wanted: The tables.
        settings: What the user set.
        watch: Tells how long the listing takes.
        label: What stands before log lines: whose listing it is.
    """

    def __init__(self, wanted: Wanted, settings: Settings, watch: Clock, label: str = "") -> None:
        self._watch = watch
        self._began_at = watch.monotonic()
        self._is_server_clock = True
        self._wanted = wanted
        self._settings = settings
        self._label = label
        self.bookmarks_by_table: dict[str, Bookmark] = {}
        self.clock: str | None = None
        self.newest: str | None = None
        self._has_shifted = False

    def start(self, page: Page) -> None:
        """Set out, when the server's clock is known; once is enough."""
        if self.clock is not None:
            return
        self.clock = from_datetime(page.asked_at)
        self._is_server_clock = page.is_server_clock
        self.bookmarks_by_table = self.bookmarks_at(self.clock)
        if untrusted := [
            name for name, bookmark in self.bookmarks_by_table.items() if not bookmark.is_trusted
        ]:
            _logger.warning(
                "%sBookmarks later than the server's clock cannot be right, and are not trusted: "
                "%s are read from %s",
                self._label,
                ", ".join(untrusted),
                self._settings.start_date or "their beginning",
            )
        for name, bookmark in self.bookmarks_by_table.items():
            since = bookmark.since()
            what = f"what was updated since {since}" if since else "everything"
            _logger.info("%s%s: emitting %s", self._label, name, what)

    def bookmarks_at(self, clock: str) -> dict[str, Bookmark]:
        """Return the tables' bookmarks as they are by a clock."""
        return {
            name: Bookmark(
                kept,
                clock=clock,
                floor=self._settings.start_date,
                lookback_seconds=self._settings.lookback_seconds,
            )
            for name, kept in self._wanted.items()
            if kept is not None
        }

    def due_of(self, page: Page) -> dict[str, Sequence[Json]]:
        """Return a page's jobs, less what a table's bookmark leaves out, and take note of them."""
        self.start(page)
        updates = [update for item in page.items if (update := item.get("updated_at")) is not None]
        self.note(*updates)
        self._has_shifted |= page.overlaps
        passed: dict[str | None, Sequence[Json]] = {}
        items = {}
        for name in self._wanted:
            bookmark = self.bookmarks_by_table.get(name)
            since = bookmark.since() if bookmark else self._settings.start_date
            if since not in passed:
                passed[since] = due(page.items, since)
            items[name] = passed[since]
        return items

    def note(self, *instants: str) -> None:
        """Take note of how far everything is known now."""
        self.newest = max([*instants, self.newest] if self.newest else instants, default=None)

    @property
    def known_until(self) -> str | None:
        """The instant until which all updates are sure to be listed; None for none.

        It is the server's clock when the listing began. Where replies show no time, this machine's
        clock may be wrong, but not by how much: it can tell how long the listing took.
        """
        if self._is_server_clock or self.clock is None:
            return self.clock
        took = self._watch.monotonic() - self._began_at
        behind = self.newest and moved(self.newest, -took)
        return behind and min(behind, self.clock)

    def meanwhile(self) -> dict[str, StreamState]:
        """Return what to keep of each table when more is to come."""
        return {
            name: bookmark.meanwhile(shifted=self._has_shifted)
            for name, bookmark in self.bookmarks_by_table.items()
        }

    def sure(self, newest: str | None) -> str | None:
        """Return how far of it a bookmark may go."""
        return newest and min(newest, self.known_until or newest)

    def after(self) -> dict[str, StreamState]:
        """Return what to keep of each table once all is written."""
        kept = {
            name: bookmark.after(self.sure(self.newest), shifted=self._has_shifted)
            for name, bookmark in self.bookmarks_by_table.items()
        }
        before = [kept.shifts for kept in self._wanted.values() if kept is not None]
        if self._has_shifted and not all(before):
            _logger.warning(
                "%sJobs moved from page to page while they were listed, so some may have been "
                "passed over: the next run emits everything again, and later ones the changes of "
                "two runs",
                self._label,
            )
        return kept
