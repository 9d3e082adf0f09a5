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
SHARE_OF_TOTAL = 0.12
"""What may be read in vain, as a share of what there is, where the API says how much that is."""
SHARE = 0.2
"""The same where it does not say so, as a share of what was read and is expected."""
DOUBT = 50
"""Pages that are known before anything is expected of the window that tells most."""
SLACK = 10.0
"""Pages that may be read in vain besides, before much was read."""
SLACK_BACK = 12.0
"""The same for a window without a beginning, which takes more pages to look at."""
BEFORE = 3
"""Pages that were asked for before: a first one, and those of unfinished jobs."""
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
        self._held: list[WindowStats] = []
        self._may_cut = True
        self._jobs_read = 0
        self._in_vain: float = BEFORE

    def start(self, windows: Iterable[Window]) -> None:
        """Read these, in place of all that were to be read."""
        self._active, self._held = [], []
        self._pending = [WindowStats(window, self._page_size) for window in windows]

    def next(self) -> WindowStats | None:
        """Return the window that is to be read now, or on; None when none is, or may be yet."""
        if len(self._active) >= self._at_once:
            return None
        if self._pending:
            stats = self._pending.pop(0)
        elif self._held and not self._active:
            stats = self._held.pop(0)
        else:
            return None
        self._active.append(stats)
        return stats

    @property
    def is_over(self) -> bool:
        """Whether no window is under way."""
        return not self._active

    @property
    def is_left(self) -> bool:
        """Whether windows are not begun yet, or wait."""
        return bool(self._pending or self._held)

    def note_read(self, stats: WindowStats) -> bool:
        """Take down that a window was read to its end; return whether others are left."""
        self._active.remove(stats)
        own = stats.jobs - stats.again
        self._jobs_read += own
        self._in_vain += stats.pages - own / self._page_size
        return bool(self._active or self._held or self._pending)

    def cut(self, stats: WindowStats) -> bool:
        """Read parts of a window in its place, if it is too long and that is worth its pages."""
        if not self._is_too_long(stats):
            return False
        a_part = NOT_FULL if stats.total is not None else 1
        most = min(MOST_PARTS, int((self._affordable(stats) - stats.pages) / a_part) + 1)
        parts = stats.parts(self._aim(stats), most) if most > 1 else []
        if len(parts) < 2:  # noqa: PLR2004 - what is not cut is one
            return False
        self._in_vain += stats.pages
        self._active = [each for each in self._active if each is not stats]
        self._pending = sorted([*self._pending, *parts], key=_turn_of)
        stats.created.clear()
        return True

    def hold(self, stats: WindowStats) -> bool:
        """Let one wait that is too long, and not worth its pages yet, while others are read."""
        is_alone = not (self._pending or len(self._active) > 1)
        is_open = stats.window.begin is None and stats.total is None
        if is_alone or not is_open or not self._is_too_long(stats):
            return False
        self._active.remove(stats)
        self._held.append(stats)
        return True

    def cut_held(self) -> list[WindowStats]:
        """Cut those that wait and are worth their pages by now; return them."""
        held = self._held
        self._held = [stats for stats in held if not self.cut(stats)]
        return [stats for stats in held if stats not in self._held]

    @property
    def may_cut(self) -> bool:
        """Whether the API keeps to the bounds of windows, as far as is known."""
        return self._may_cut

    def stop_cutting(self) -> bool:
        """Read what is left as one: the API does not keep to the bounds of windows.

        Returns:
            Whether those that are under way are given up, because there are others.
        """
        left = [*self._active, *self._held, *self._pending]
        is_new = self._may_cut and len(left) > 1
        self._may_cut = False
        if is_new:
            self.start(_joined(each.window for each in left))
        return is_new

    def _is_too_long(self, stats: WindowStats) -> bool:
        left = stats.pages_left
        if not self._may_cut or left is None or left <= stats.pages:
            return False
        return stats.pages + left > TOO_LONG * self._aim(stats)

    def _aim(self, stats: WindowStats) -> float:
        """Return how many pages a window is to have."""
        if self._at_once == 1:
            return AIM
        others = sum(each.pages_left or 0 for each in (*self._active, *self._held))
        others += sum(each.known for each in self._pending) / self._page_size
        left = max(stats.pages_left or 0, others)
        return min(max(LEAST_AIM, left / self._at_once / TURNS), AIM_AT_ONCE)

    def _affordable(self, stats: WindowStats) -> float:
        """Return the pages that may still be read in vain."""
        begun = [*self._active, *self._held]
        pages = [max(each.pages, each.known / self._page_size) for each in begun]
        known = (self._jobs_read + sum(each.known for each in self._pending)) / self._page_size
        known += sum(pages)
        expected = NOT_FULL * (len(begun) + len(self._pending))
        if stats.total is not None:
            most = SHARE_OF_TOTAL * max(known, stats.total_of_all / self._page_size)
        else:
            most = min(SHARE * (known + _believed(begun, known)), known)
            most += SLACK_BACK if stats.window.begin is None else SLACK
        return most - self._in_vain - expected


def _believed(begun: Iterable[WindowStats], known: float) -> float:
    """Return how many pages are left by what windows tell that do not know it.

    The one that tells most may stand in a burst, and be far off: it is believed by and by.
    """
    *lefts, longest = sorted(each.pages_left or 0 for each in begun)
    return sum(lefts) + min(longest, max(0, 2 * (known - DOUBT)))


def _turn_of(stats: WindowStats) -> tuple[bool, str]:
    """Let the oldest come first, but last the one of which nobody knows how long it is."""
    begin, whole = stats.window.begin, stats.whole
    return begin is None and whole is not None and whole.total is None, begin or ""


def _joined(windows: Iterable[Window]) -> list[Window]:
    """Make one of neighbours."""
    made: list[Window] = []
    for window in sorted(windows, key=lambda each: each.begin or ""):
        if made and made[-1].end == window.begin:
            made[-1] = Window(made[-1].begin, window.end)
        else:
            made.append(window)
    return made
