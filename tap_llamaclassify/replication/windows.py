"""Windows of `created_at`, and what the pages of one tell about all of it.

Completeness does not rest on where cuts are: neighbours overlap, so whether or not the API counts
the bounds themselves in, each job that has a `created_at` stands in a window.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

from tap_llamaclassify.api.models import Json, Page
from tap_llamaclassify.replication.read_spans import Span
from tap_llamaclassify.timestamps import LAST, from_datetime, moved, to_datetime, whole_second

OVERLAP = 1
"""Seconds that are read on both sides of a cut; cuts are at whole seconds, so that an API that
shows no fractions has no job outside of its window."""
IN_ORDER = 0.5
"""The rank correlation from which on jobs are taken to be listed by their creation."""
LOOK = 4
"""Pages that are read before their jobs tell how many more there are."""
LOOK_BACK = 6
"""The same for a window without a beginning, whose length they cannot tell."""
MOST_LOOKED_AT = 200
"""Pages of a window after which it is read to its end, whatever is left of it."""


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

    def cut(self, edges: Iterable[str]) -> list[Window]:
        """Cut it at instants, the oldest part first; those that are not inside are left out."""
        begin, end = self.begin or "", self.end or LAST
        inside = sorted({whole_second(edge) for edge in edges})
        bounds = [self.begin, *(edge for edge in inside if begin < edge < end), self.end]
        return [Window(*pair) for pair in pairwise(bounds)]

    def in_overlap(self, jobs: Sequence[Json]) -> int:
        """Count the jobs that its older neighbour has, too."""
        begin = self.begin or ""
        return sum((job.get("created_at") or begin) < begin for job in jobs)

    def shared(self, jobs: Sequence[Json]) -> list[Json]:
        """Return the jobs that another window may have, too."""
        begin = self.begin or ""
        end = (self.end and moved(self.end, -OVERLAP)) or LAST
        return [job for job in jobs if not begin < (job.get("created_at") or "") < end]

    def seconds_outside(self, jobs: Sequence[Json]) -> float:
        """Return by how much the job is outside that is most; 0 when all are inside."""
        created = [created for job in jobs if (created := job.get("created_at"))]
        if not created:
            return 0
        oldest, newest = min(created), max(created)
        before = _seconds(oldest, self.earliest or oldest)
        return max(before, _seconds(self.end or newest, newest), 0)


def gaps(spans: Sequence[Span], end: str | None) -> list[Window]:
    """Return the windows up to an end that spans leave out, the oldest first."""
    begin, last = "", end or LAST
    windows = []
    for span in (*spans, (last, last)):
        if begin < (until := min(span[0], last)):
            windows.append(Window(begin or None, until if span[0] < LAST else end))
        begin = max(begin, span[1])
    return windows


@dataclass(eq=False)
class WindowStats:
    """What the pages of a window that were read tell about all of it.

    Attributes:
        page_size: Jobs that a page has.
        whole: What the window was cut off from, if it was: it has fewer jobs than that.
        known: How many jobs were seen that are in it, before it was read.
        total: How many jobs the API says there are, if it says so and can be believed.
        clock: The server's clock, or the newest job seen; those created later are of no account.
        jobs: How many it has shown.
        again: How many of these are of the window before it, too.
        pages_left: How many pages are still to be read; None when that cannot be told, or not yet.
    """

    window: Window
    page_size: int
    whole: WindowStats | None = None
    known: int = 0
    total: int | None = None
    clock: str = LAST
    pages: int = 0
    jobs: int = 0
    again: int = 0
    created: list[str] = field(default_factory=list)
    pages_left: float | None = None

    def add(self, page: Page) -> None:
        """Look at another page."""
        self.pages += 1
        self.jobs += len(page.items)
        self.again += self.window.in_overlap(page.items)
        if self.pages > MOST_LOOKED_AT:
            self.created.clear()
            self.pages_left = None
            return
        self.created += [created for job in page.items if (created := job.get("created_at"))]
        # This machine's clock may be ahead: a window must not reach beyond now.
        self.clock = (
            from_datetime(page.asked_at)
            if page.is_server_clock
            else max(self.created, default=LAST)
        )
        total, most = page.total_size, self.whole.total if self.whole else None
        is_true = total is not None and self.jobs <= total < (most or total + 1)
        self.total = total if is_true else None
        self.pages_left = self._pages_left()

    def parts(self, pages: float, most: int) -> list[WindowStats]:
        """Cut it into windows of so many pages each, as near as can be told, the oldest first.

        Args:
            pages: What each is to have.
            most: Into how many at most.
        """
        times = sorted(self.created)
        windows = self.window.cut(self._edges(times, pages, most))
        if len(windows) == 1 and (middle := _between(times)):
            windows = self.window.cut([middle])
        return [
            WindowStats(w, self.page_size, whole=self, known=_inside(times, w)) for w in windows
        ]

    @property
    def total_of_all(self) -> int:
        """How many jobs there are in all that it was cut off from, as far as the API says so."""
        return max(self.total or 0, self.whole.total_of_all if self.whole else 0)

    def _pages_left(self) -> float | None:
        if self.total is not None:
            return max(self.total / self.page_size - self.pages, 0)
        if len(self.created) < 2 or self.pages < LOOK:  # noqa: PLR2004 - a span has two ends
            return None
        if self._direction == 0:
            return None
        seconds = self._seconds_left()
        if seconds is None:
            return float("inf") if self.pages >= LOOK_BACK else None
        return self._rate() * seconds / self.page_size

    def _seconds_left(self) -> float | None:
        """Return the time that is still to be read; None where it has no beginning."""
        if self._direction > 0:
            return _seconds(max(self.created), min(self.window.end or self.clock, self.clock))
        return _seconds(self.window.begin, min(self.created)) if self.window.begin else None

    @property
    def _direction(self) -> int:
        """1 where the oldest jobs come first, -1 where the newest do, else 0."""
        created = self.created[: LOOK_BACK * self.page_size]
        count = len(created)
        if count < 2:  # noqa: PLR2004 - an order takes two
            return 0
        ranks = sorted(range(count), key=created.__getitem__)
        apart = sum((place - rank) ** 2 for rank, place in enumerate(ranks))
        correlation = 1 - 6 * apart / (count * (count**2 - 1))
        return (correlation >= IN_ORDER) - (correlation <= -IN_ORDER)

    def _rate(self) -> float:
        """Return jobs a second, by the middle half of the last pages: a few may be far away."""
        times = sorted(self.created[-LOOK * self.page_size :])
        quarter = len(times) // 4
        seconds = _seconds(times[quarter], times[-1 - quarter])
        return (len(times) - 2 * quarter) / max(seconds, 1e-6)

    def _edges(self, times: Sequence[str], pages: float, most: int) -> list[str]:
        """Return the instants between parts."""
        if len(times) < 2:  # noqa: PLR2004 - a span has two ends
            return []
        left = self.pages_left
        wanted = most if left is None else min((self.pages + left) / pages, most)
        numbers = range(1, max(round(wanted), 2))
        if self._direction == 0:
            return [times[len(times) * number // (len(numbers) + 1)] for number in numbers]
        newest = min(self.window.end or self.clock, self.clock)
        if self._direction < 0 and not self.window.begin:
            # By all of them, nights among them: nobody knows what comes.
            seconds = _seconds(times[0], times[-1]) * pages / self.pages
            edges = [moved(min(times[-1], newest), -seconds * number) for number in numbers]
            return [edge for edge in edges if edge]
        oldest = self.window.begin or times[0]
        part = _seconds(oldest, newest) / (len(numbers) + 1)
        edges = [moved(oldest, part * number) for number in numbers]
        return [edge for edge in edges if edge]


def _inside(times: Sequence[str], window: Window) -> int:
    return bisect_left(times, window.end or LAST) - bisect_left(times, window.begin or "")


def _between(times: Sequence[str]) -> str | None:
    """Return an instant that has jobs on both sides, if there is one."""
    if not times:
        return None
    middle = times[len(times) // 2]
    if times[0] < middle < times[-1]:
        return middle
    oldest, newest = to_datetime(times[0]), to_datetime(times[-1])
    halfway = oldest + (newest - oldest) / 2
    return from_datetime(halfway) if timedelta(0) < halfway - oldest < newest - oldest else None


def _seconds(since: str, until: str) -> float:
    return (to_datetime(until) - to_datetime(since)).total_seconds()
