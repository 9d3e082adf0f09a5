"""Windows that are read side by side, in whatever order their pages come; one thread parses."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue

from tap_llamaclassify.api.models import Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.replication.windows import Window, WindowStats


class WindowListings:
    """The listings that are under way; each holds one reply at most that nobody has asked for.

    Args:
        listing: Makes what lists a window.
    """

    def __init__(self, listing: Callable[[Window], Paginator]) -> None:
        self._listing = listing
        self._paginators: dict[WindowStats, Paginator] = {}
        self._answered: SimpleQueue[WindowStats] = SimpleQueue()

    def go_on(self, stats: WindowStats) -> None:
        """Ask for the next page of a window, or for its first."""
        if stats not in self._paginators:
            self._paginators[stats] = self._listing(stats.window)
        self._paginators[stats].fetch(lambda: self._answered.put(stats))

    def next(self) -> tuple[WindowStats, Page]:
        """Wait for a page of any window that was asked for.

        Raises:
            ApiError: It cannot be had.
        """
        while True:
            stats = self._answered.get()
            if paginator := self._paginators.get(stats):
                return stats, paginator.next()

    def end(self, stats: WindowStats) -> None:
        """Ask for no more of a window."""
        del self._paginators[stats]

    def end_all(self) -> None:
        """Ask for no more of any."""
        self._paginators.clear()
