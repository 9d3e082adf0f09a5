"""Cuts a listing that is too long into windows of `created_at`: where, and whether at all.

Completeness does not rest on it: neighbours overlap, so wherever the cuts are, and whether or not
the API counts the bounds themselves in, each job that has a `created_at` stands in a window. Nor
does the end of a sync: what is read again is never more than what is known to be there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from tap_llamaclassify.api.models import Json, Page
from tap_llamaclassify.timestamps import LAST, from_datetime, moved, to_datetime, whole_second

MOST_PAGES = 50
"""Pages that a window is to have at most."""
LONGEST = 75
"""Pages after which a window is cut, although it was not expected to be that long."""
LONGEST_UNORDERED = 150
"""The same where the order does not tell when it was: all but a half of it is read again."""
AIM = 45
"""Pages that a cut aims at."""
FIRST_LOOK = 4
"""Pages that are read before their jobs tell how many more there are."""
OVERLAP = 1
"""Seconds that are read on both sides of a cut; cuts are at whole seconds, so that an API that
shows no fractions has no job outside of its window."""
FIRST_LOOK_BACK = 8
"""The same for a window without a beginning, whose length they cannot tell."""
IN_ORDER = 0.5
"""The rank correlation from which on jobs are taken to be listed by their creation."""


@dataclass(frozen=True)
class Window:
    """Jobs created between two instants in the fixed form, both among them; None for no bound."""

    begin: str | None = None
    end: str | None = None

    @property
    def filters(self) -> dict[str, str]:
        """The query parameters that ask for its jobs."""
        bounds = {"created_at_on_or_after": self.earliest, "created_at_on_or_before": self.end}
        return {name: bound for name, bound in bounds.items() if bound is not None}

    @property
    def earliest(self) -> str | None:
        """What is asked for begins so early, in case the API leaves out the bound itself."""
        return self.begin and moved(self.begin, -OVERLAP)

    def cut(self, at: str | None) -> tuple[Window, Window] | None:
        """Cut it in two, the older one first; None when the second is not inside."""
        second = at and whole_second(at)
        if not second or second <= (self.begin or "") or second >= (self.end or LAST):
            return None
        return Window(self.begin, second), Window(second, self.end)

    def in_overlap(self, jobs: Sequence[Json]) -> int:
        """Count the jobs that its older neighbour has, too."""
        begin = self.begin or ""
        return sum((job.get("created_at") or begin) < begin for job in jobs)

    def seconds_outside(self, jobs: Sequence[Json]) -> float:
        """Return by how much the job is outside that is most; 0 when all are inside."""
        created = [created for job in jobs if (created := job.get("created_at"))]
        if not created:
            return 0
        oldest, newest = min(created), max(created)
        before = _seconds(oldest, self.earliest or oldest)
        return max(before, _seconds(self.end or newest, newest), 0)


@dataclass
class WindowStats:
    """What the pages of a window that were read tell about all of it.

    Attributes:
        page_size: Jobs that a page has.
        whole: What the window was cut off from, if it was: it has fewer jobs than that.
        known: How many jobs were seen that are in it, before it was read.
        total: How many jobs the API says there are, if it says so and can be believed.
        clock: The server's clock, or the newest job seen; those created later are of no account.
    """

    window: Window
    page_size: int
    whole: WindowStats | None = None
    known: int = 0
    total: int | None = None
    clock: str = LAST
    pages: int = 0
    created: list[str] = field(default_factory=list)

    def add(self, page: Page) -> None:
        """Look at another page."""
        self.pages += 1
        self.created += [created for job in page.items if (created := job.get("created_at"))]
        # This machine's clock may be ahead: a window must not reach beyond now.
        newest = max(self.created, default=LAST)
        self.clock = from_datetime(page.asked_at) if page.is_server_clock else newest
        total, most = page.total_size, self.whole.total if self.whole else None
        is_true = total is not None and len(self.created) <= total < (most or total + 1)
        self.total = total if is_true else None

    def cut(self) -> tuple[WindowStats, WindowStats] | None:
        """Cut the window, the older part first, if it is too long and can be cut."""
        if len(self.created) < 2 or not self._is_too_long():  # noqa: PLR2004 - a cut has two sides
            return None
        times = sorted(self.created)
        parts = self.window.cut(self._aim(times)) or self.window.cut(_between(times))
        return parts and (self._part(parts[0]), self._part(parts[1]))

    def _part(self, window: Window) -> WindowStats:
        begin, end = window.begin or "", window.end or LAST
        known = sum(begin <= created < end for created in self.created)
        return WindowStats(window, self.page_size, whole=self, known=known)

    def _is_too_long(self) -> bool:
        if self.total is not None:
            # What was read is read again: not where that is most of it.
            return self.total > max(MOST_PAGES, 2 * self.pages) * self.page_size
        if self.pages >= LONGEST:
            return self.pages >= LONGEST_UNORDERED or self._direction() != 0
        is_open = self.window.begin is None and not self.whole
        if self.pages < (FIRST_LOOK_BACK if is_open else FIRST_LOOK):
            return False
        seconds = self._seconds_left()
        left = (LONGEST - self.pages) * self.page_size
        return seconds is not None and self._rate() * seconds > left

    def _seconds_left(self) -> float | None:
        """Return the time that is still to be read; None where the order does not tell."""
        match self._direction():
            case 1:
                return _seconds(max(self.created), min(self.window.end or self.clock, self.clock))
            case -1 if self.window.begin is None:
                return float("inf")
            case -1:
                return _seconds(self.window.begin or "", min(self.created))
            case _:
                return None

    def _direction(self) -> int:
        """Return 1 where the oldest jobs come first, -1 where the newest do, else 0."""
        count = len(self.created)
        ranks = sorted(range(count), key=self.created.__getitem__)
        apart = sum((place - rank) ** 2 for rank, place in enumerate(ranks))
        correlation = 1 - 6 * apart / (count * (count**2 - 1))
        return (correlation >= IN_ORDER) - (correlation <= -IN_ORDER)

    def _rate(self) -> float:
        """Return jobs a second, by the middle half: a few may be far from the rest."""
        times = sorted(self.created)
        quarter = len(times) // 4
        seconds = _seconds(times[quarter], times[-1 - quarter])
        return (len(times) - 2 * quarter) / max(seconds, 1e-6)

    def _aim(self, times: Sequence[str]) -> str | None:
        """Return the instant up to which, or from which on, there should be AIM pages."""
        wanted = AIM * self.page_size
        match self._direction():
            case 1:
                at = moved(times[0], wanted / self._rate())
                return at and min(at, self.clock)
            case -1:
                return moved(min(times[-1], self.clock), -wanted / self._rate())
            case _:
                share = wanted / self.total if self.total else 0.5
                return times[int(len(times) * min(share, 0.5))]


class Windows:
    """The windows that are still to be read, oldest first.

    The pages of a window that is cut are read again in its parts, and one more of them is not full.
    So there is a cut only while all cuts before have cost no more than 1.3 times the requests
    that are known to be needed, and half of what was read of this window: one that helped
    nothing is followed by no other, and a sync ends within three listings, whatever the API makes
    of the bounds.
    """

    def __init__(self, page_size: int) -> None:
        self._page_size = page_size
        self._pending: list[WindowStats] = []
        self._may_cut = True
        self._jobs_read = 0
        self._wasted = 0.0

    def __bool__(self) -> bool:
        """Return whether any is left."""
        return bool(self._pending)

    def start(self, window: Window) -> None:
        """Read this one, in place of all that were to be read."""
        self._pending = [WindowStats(window, self._page_size)]

    def next(self) -> WindowStats:
        """Return the oldest one, which is to be read now."""
        return self._pending.pop()

    def note_read(self, jobs: int, *, again: int) -> None:
        """Take down that one was read to its end.

        Args:
            jobs: How many jobs it has shown.
            again: How many of these are of the one before, too.
        """
        self._jobs_read += jobs - again
        self._wasted += again / self._page_size

    def cut(self, sight: WindowStats) -> bool:
        """Read the parts of one in its place, if it is too long and that is worth its pages."""
        known = self._jobs_read + sum(each.known for each in self._pending)
        if not self._may_cut or self._wasted > 1.3 * known / self._page_size + sight.pages / 2:
            return False
        parts = sight.cut()
        if parts is None:
            return False
        self._wasted += sight.pages + 1
        self._pending += reversed(parts)
        sight.created.clear()
        return True

    def stop_cutting(self) -> None:
        """Read all that is left as one: the API does not keep to the bounds of windows."""
        self._may_cut = False
        if self._pending:
            last, first = self._pending[0].window, self._pending[-1].window
            self.start(Window(first.begin, last.end))


def _between(times: Sequence[str]) -> str | None:
    """Return an instant that has jobs on both sides, if there is one."""
    middle = times[len(times) // 2]
    if times[0] < middle < times[-1]:
        return middle
    oldest, newest = to_datetime(times[0]), to_datetime(times[-1])
    halfway = oldest + (newest - oldest) / 2
    return from_datetime(halfway) if timedelta(0) < halfway - oldest < newest - oldest else None


def _seconds(since: str, until: str) -> float:
    return (to_datetime(until) - to_datetime(since)).total_seconds()
