"""When jobs arrive: irregular instants, denser in working hours; knows nothing of what a job is."""

from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from random import Random

HOUR = timedelta(hours=1)
WEEK = timedelta(weeks=1)
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
GROUP = 16
BURST_SHARE = 0.4
BURST_GAP = 0.02


class Rhythm:
    """How much work has come by any instant, where every week is like the next.

    The load is in hours of full activity, counted from a Monday.
    """

    def __init__(self) -> None:
        hours = [_activity(day, hour) for day in range(7) for hour in range(24)]
        self._ends = list(accumulate(hours))
        self._starts = [0.0, *self._ends[:-1]]

    def load_at(self, moment: datetime) -> float:
        """Hours of full activity between the first Monday and an instant."""
        weeks, rest = divmod(moment - MONDAY, WEEK)
        hour, part = divmod(rest, HOUR)
        start, end = self._starts[hour], self._ends[hour]
        return weeks * self._ends[-1] + start + (end - start) * (part / HOUR)

    def moment_of(self, load: float) -> datetime:
        """The instant by which so much work has come: the inverse of `load_at`."""
        weeks, rest = divmod(load, self._ends[-1])
        hour = min(bisect_right(self._ends, rest), len(self._ends) - 1)
        start, end = self._starts[hour], self._ends[hour]
        return MONDAY + weeks * WEEK + (hour + (rest - start) / (end - start)) * HOUR


def arrivals(random: Random, jobs: int, *, start: datetime, span: timedelta) -> Iterator[datetime]:
    """Instants in ascending order: so many in the span before `start`, then on at that rate."""
    if jobs == 0:
        return
    rhythm = Rhythm()
    first = rhythm.load_at(start - span)
    load_per_job = (rhythm.load_at(start) - first) / jobs
    for position in _positions(random, jobs):
        yield rhythm.moment_of(first + position * load_per_job)


def _positions(random: Random, jobs: int) -> Iterator[float]:
    # Gaps are drawn freely within a group and scaled to its length: irregular as
    # real traffic, and yet exactly `jobs` of them come before the history's end.
    begin = 0
    while True:
        size = min(GROUP, jobs - begin) if begin < jobs else GROUP
        gaps = [_gap(random) for _ in range(size + 1)]
        scale = size / sum(gaps)
        yield from (begin + sum_ * scale for sum_ in accumulate(gaps[:-1]))
        begin += size


def _gap(random: Random) -> float:
    # Scripts submit in bursts; people do not.
    return random.expovariate(1.0) * (BURST_GAP if random.random() < BURST_SHARE else 1.0)


def _activity(day: int, hour: int) -> float:
    workday = 1.0 if day < 5 else 0.2  # noqa: PLR2004 - Saturday is day 5 of a week
    if 8 <= hour < 18:  # noqa: PLR2004 - office hours on a clock
        return workday
    return workday * (0.4 if 6 <= hour < 22 else 0.08)  # noqa: PLR2004 - waking hours on a clock
