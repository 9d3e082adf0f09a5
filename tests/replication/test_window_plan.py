"""Windows are even and cost little, however jobs are spread; counted in pages, without requests."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Literal, get_args

import pytest

from tap_llamaclassify.api.models import Page
from tap_llamaclassify.replication.window_plan import WindowPlan
from tap_llamaclassify.replication.windows import Window, WindowStats
from tap_llamaclassify.timestamps import LAST, from_datetime

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SIZE = 100
DAYS = 90
Order = Literal["newest", "oldest", "shuffled"]


def _evenly(count: int) -> Iterator[float]:
    return (DAYS * 86_400 * number / count for number in range(count))


def _working_week(count: int) -> Iterator[float]:
    """Half of the jobs between nine and five of a working day, few by night and at weekends."""
    dice = Random(1)  # noqa: S311 - it is to repeat
    made = 0
    while made < count:
        age = dice.random() * DAYS * 86_400
        at = NOW - timedelta(seconds=age)
        weight = 1.0 if at.weekday() < 5 and 9 <= at.hour < 17 else 0.05
        if dice.random() < weight:
            made += 1
            yield age


def _burst(count: int) -> Iterator[float]:
    """Half of the jobs in one hour, a month ago."""
    dice = Random(2)  # noqa: S311 - it is to repeat
    for number in range(count):
        yield 30 * 86_400 + dice.random() * 3600 if number % 2 else dice.random() * DAYS * 86_400


def _growth(count: int) -> Iterator[float]:
    """Ever more jobs: as many in the last ninth of the time as in all before."""
    dice = Random(3)  # noqa: S311 - it is to repeat
    return (DAYS * 86_400 * dice.random() ** 3 for _ in range(count))


WORLDS: dict[str, Callable[[int], Iterator[float]]] = {
    "evenly": _evenly,
    "a working week": _working_week,
    "a burst": _burst,
    "growth": _growth,
}


class World:
    """Jobs that are listed in some order, and what it costs to read them by a plan."""

    def __init__(self, ages: Iterator[float], order: Order, *, total: bool) -> None:
        self.created = sorted(from_datetime(NOW - timedelta(seconds=age)) for age in ages)
        self._order = order
        self._total = total
        self.requests = 0
        self.seen: set[str] = set()
        self._listed: dict[Window, list[str]] = {}

    def listing(self, window: Window) -> list[str]:
        """Return the jobs of a window as they are listed."""
        begin = bisect_left(self.created, window.earliest or "")
        jobs = self.created[begin : bisect_right(self.created, window.end or LAST)]
        match self._order:
            case "newest":
                return jobs[::-1]
            case "oldest":
                return jobs
            case _:
                return Random(4).sample(jobs, len(jobs))  # noqa: S311 - it is to repeat

    def page(self, window: Window, number: int) -> Page:
        """Return a page of a window."""
        self.requests += 1
        if window not in self._listed:
            self._listed[window] = self.listing(window)
        jobs = self._listed[window]
        some = jobs[number * SIZE : (number + 1) * SIZE]
        self.seen.update(some)
        is_last = (number + 1) * SIZE >= len(jobs)
        return Page(
            [{"id": at, "created_at": at} for at in some],
            next_page_token=None if is_last else "next",
            total_size=len(jobs) if self._total else None,
            asked_at=NOW,
        )

    def read(self, window: Window, at_once: int) -> int:
        """Read a window by a plan; return how many pages come one after the other."""
        plan = WindowPlan(SIZE, at_once)
        plan.start([window])
        under_way: list[tuple[int, int, WindowStats]] = []
        now = turn = 0
        while True:
            plan.cut_held()
            while stats := plan.next():
                heapq.heappush(under_way, (now + 1, turn := turn + 1, stats))
            if plan.is_over:
                return now
            now, _, stats = heapq.heappop(under_way)
            page = self.page(stats.window, stats.pages)
            stats.add(page)
            if page.is_last:
                plan.note_read(stats)
            elif not (plan.cut(stats) or plan.hold(stats)):
                heapq.heappush(under_way, (now + 1, turn := turn + 1, stats))


@pytest.mark.parametrize("total", [True, False], ids=["total", "no total"])
@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    "days",
    [
        pytest.param(None, id="from the beginning"),
        pytest.param(DAYS, id="since", marks=pytest.mark.heavy),
    ],
)
def test_windows_cost_little_more_than_one_listing_and_a_fraction_of_its_time(
    world: str, order: Order, days: int | None, *, total: bool
) -> None:
    since = from_datetime(NOW - timedelta(days=days)) if days else None
    window = Window(since, from_datetime(NOW + timedelta(seconds=2)))
    is_one_listing = order == "shuffled" or (order == "newest" and world == "growth" and not days)
    for pages in (10, 30, 100, 400):
        for at_once, part in ((1, 1.3), (4, 0.35 if total else 0.4), (8, 0.2 if total else 0.6)):
            life = World(WORLDS[world](pages * SIZE), order, total=total)
            turns = life.read(window, at_once)
            assert life.seen == {*life.created}
            most = pages * (115 if total else 130) / 100
            # A first page and two of unfinished jobs are asked for besides.
            assert life.requests + 3 <= max(most, pages + (3 if total else 12))
            if pages == 400 and (total or not is_one_listing):
                assert turns <= pages * part, (at_once, turns)
