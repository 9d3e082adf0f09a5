"""Which windows are read next, and which are cut: even work for little that is read in vain.

The pages of a window that is cut are read again in its parts, and each part has one more that is
not full. So there is a cut only as long as all that was read in vain stays a small share of what is
known to be there: a sync ends within three listings, whatever the API makes of the bounds.
"""

from __future__ import annotations

from collections.abc import Iterable

from tap_llamaclassify.replication.windows import Window, WindowStats

AIM = 45
"""Pages that a window is to have where they are read one after the other."""
AIM_AT_ONCE = 24
"""The same where they are read side by side."""
LEAST_AIM = 8
"""The same at the end, when few are left for all."""
TURNS = 3
"""Windows that each of those side by side is to read, one after the other."""
TOO_LONG = 1.67
"""A window of so many times the pages that it is to have is cut."""
MOST_PARTS = 8
"""Into how many windows one is cut at most."""
SHARE_OF_TOTAL = 0.13
"""What may be read in vain, as a share of what there is, where the API says how much that is."""
SHARE = 0.2
"""The same, as a share of what was read."""
SLACK = 6.0
"""Pages that may be read in vain besides, before much was read."""
SLACK_BACK = 8.0
"""The same for a window without a beginning, which takes more pages to look at."""
NOT_FULL = 0.5
"""Pages that a window is expected to have more than its jobs would fill."""


class WindowPlan:
    """The windows that are still to be read, and those that are under way.

    Args:
        page_size: Jobs that a page has.
        at_once: How many windows are read side by side.
    """

    def __init__(self, page_size: int, at_once: int) -> None:
        self._page_size = page_size
        self._at_once = at_once
        self._pending: list[WindowStats] = []
        self._active: list[WindowStats] = []
        self._may_cut = True
        self._jobs_read = 0
        self._in_vain = 0.0

    def start(self, windows: Iterable[Window]) -> None:
        """Read these, in place of all that were to be read."""
        self._active = []
        self._pending = [WindowStats(window, self._page_size) for window in windows]

    def next(self) -> WindowStats | None:
        """Return the oldest window that may be read now; None when none is left, or may be yet."""
        if not self._pending or len(self._active) >= self._at_once:
            return None
        stats = self._pending.pop(0)
        self._active.append(stats)
        return stats

    def note_read(self, stats: WindowStats) -> bool:
        """Take down that a window was read to its end; return whether others are left."""
        self._active.remove(stats)
        own = stats.jobs - stats.again
        self._jobs_read += own
        self._in_vain += stats.pages - own / self._page_size
        return bool(self._active or self._pending)

    def cut(self, stats: WindowStats) -> bool:
        """Read parts of a window in its place, if it is too long and that is worth its pages."""
        left = stats.pages_left
        if not self._may_cut or left is None:
            return False
        pages = self._aim(left)
        if stats.pages + left <= TOO_LONG * pages or left <= stats.pages:
            return False
        most = min(MOST_PARTS, int((self._affordable(stats) - stats.pages) / NOT_FULL) + 1)
        parts = stats.parts(pages, most) if most > 1 else []
        if len(parts) < 2:  # noqa: PLR2004 - what is not cut is one
            return False
        self._in_vain += stats.pages
        self._active.remove(stats)
        self._pending = sorted([*self._pending, *parts], key=lambda each: each.window.begin or "")
        stats.created.clear()
        return True

    def stop_cutting(self, stats: WindowStats) -> list[WindowStats]:
        """Read what is left as one: the API does not keep to the bounds of windows.

        Args:
            stats: Of the window that is read on.

        Returns:
            Those that are given up.
        """
        if not self._may_cut:
            return []
        self._may_cut = False
        given_up = [each for each in self._active if each is not stats]
        self._in_vain += sum(each.pages for each in given_up)
        self.start(_joined(each.window for each in (*given_up, *self._pending)))
        self._active = [stats]
        return given_up

    def _aim(self, left: float) -> float:
        """Return how many pages a window is to have."""
        if self._at_once == 1:
            return AIM
        others = sum(each.pages_left or 0 for each in self._active) + sum(
            each.known / self._page_size for each in self._pending
        )
        return min(max(LEAST_AIM, max(left, others) / self._at_once / TURNS), AIM_AT_ONCE)

    def _affordable(self, stats: WindowStats) -> float:
        """Return the pages that may still be read in vain."""
        pages = [max(each.pages, each.known / self._page_size) for each in self._active]
        known = (self._jobs_read + sum(each.known for each in self._pending)) / self._page_size
        known += sum(pages)
        expected = NOT_FULL * (len(self._active) + len(self._pending))
        if stats.total is not None:
            most = SHARE_OF_TOTAL * max(known, stats.total_of_all / self._page_size)
        else:
            is_open = stats.window.begin is None
            most = SHARE * known + (SLACK_BACK if is_open else SLACK)
        return most - self._in_vain - expected


def _joined(windows: Iterable[Window]) -> list[Window]:
    """Make one of neighbours."""
    made: list[Window] = []
    for window in sorted(windows, key=lambda each: each.begin or ""):
        if made and made[-1].end == window.begin:
            made[-1] = Window(made[-1].begin, window.end)
        else:
            made.append(window)
    return made
