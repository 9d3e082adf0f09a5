"""A limit that nobody told us of is outlasted at little cost, and left behind when it is gone."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tap_llamaclassify.http.pacing import LONGEST_RETRY_AFTER
from tap_llamaclassify.http.rate_limit import Departure, LearnedLimit
from tests.support.builders import SimulatedClock, cases

LATENCY = 0.2
Refusal = Callable[[float], float | None]
"""What a server answers at a second: None, or how long to wait."""


def none(_: float) -> None:
    return None


def sliding(limit: int, seconds: float) -> Refusal:
    """So many in any time."""
    taken: deque[float] = deque(maxlen=limit)

    def refusal(now: float) -> float | None:
        if len(taken) == limit and taken[0] > now - seconds:
            return taken[0] + seconds - now
        taken.append(now)
        return None

    return refusal


def fixed(limit: int, seconds: float) -> Refusal:
    """So many in each time, by the server's clock."""
    taken: dict[int, int] = {}

    def refusal(now: float) -> float | None:
        number = int((now + 7) // seconds)
        if taken.get(number, 0) == limit:
            return (number + 1) * seconds - now - 7
        taken[number] = taken.get(number, 0) + 1
        return None

    return refusal


def now_and_then(every: int) -> Refusal:
    """One in so many, for no reason that one can learn from."""
    count = 0

    def refusal(_: float) -> float | None:
        nonlocal count
        count += 1
        return 1.0 if count % every == 0 else None

    return refusal


def left(limit: LearnedLimit, number: int) -> Departure:
    """Let a request leave that may."""
    departure = limit.leave(number)
    assert departure
    return departure


@dataclass
class Life:
    """Requests that are sent so many at once, one after the other, by a limit that learns."""

    server: Refusal
    at_once: int = 1
    is_telling: bool = False
    sent: int = 0
    took: float = 0.0
    let_through: list[float] = field(default_factory=list)

    def run(self, requests: int) -> Life:
        """Send requests until so many were let through."""
        clock = SimulatedClock()
        begin = clock.monotonic()
        limit = LearnedLimit(clock)
        turn = 0
        free = self.at_once
        scouts: list[Departure] = []
        under_way: list[tuple[float, int, Departure | None]] = []

        while len(self.let_through) < requests:
            now = clock.monotonic() - begin
            wait = limit.due_in()
            is_due = free and not scouts and len(self.let_through) + len(under_way) < requests
            if is_due and not wait:
                free -= 1
                turn += 1
                self.sent += 1
                departure = left(limit, turn)
                if limit.refused_for is not None:
                    scouts.append(departure)
                heapq.heappush(under_way, (now + LATENCY, turn, departure))
                continue
            at, _, answered = under_way[0] if under_way else (now + wait, 0, None)
            if answered is None or (is_due and now + wait < at):
                clock.sleep(wait)
                continue
            heapq.heappop(under_way)
            clock.sleep(max(0.0, at - now))
            free += 1
            refusal = self.server(at - LATENCY / 2)
            if answered in scouts:
                scouts.remove(answered)
            if refusal is None:
                self.let_through.append(at)
                limit.answered(answered)
            else:
                limit.refused(answered, refusal if self.is_telling else None)
        self.took = clock.monotonic() - begin
        return self


LIMITS: dict[str, tuple[Callable[[], Refusal], float]] = {
    "20 in any minute": (lambda: sliding(20, 60), 20 / 60),
    "20 each minute": (lambda: fixed(20, 60), 20 / 60),
    "200 in any minute": (lambda: sliding(200, 60), 200 / 60),
    "30 in any 10 seconds": (lambda: sliding(30, 10), 3),
    "5 in any second": (lambda: sliding(5, 1), 5),
    "10 each second": (lambda: fixed(10, 1), 10),
}


@pytest.mark.parametrize("at_once", [1, 4, 8])
@pytest.mark.parametrize("is_telling", [False, True], ids=["silent", "with Retry-After"])
@pytest.mark.parametrize("name", LIMITS)
def test_limit_is_outlasted_with_few_requests_more_and_little_time(
    name: str, at_once: int, *, is_telling: bool
) -> None:
    make, rate = LIMITS[name]
    for requests in (65, 600):
        life = Life(make(), at_once, is_telling).run(requests)
        # Those that are under way when the limit is met are refused with it.
        assert life.sent <= requests * (1.2 if rate < 5 else 1.08) + (rate >= 5) * 2 * at_once
        least = max(requests / rate, requests * LATENCY / at_once)
        assert life.took <= (1.5 if is_telling else 2) * least + 60


@pytest.mark.parametrize("at_once", [1, 8])
def test_limit_that_is_gone_is_left_behind_in_a_quarter_of_an_hour_or_so(at_once: int) -> None:
    limit, requests = sliding(20, 60), 3_000 * at_once
    life = Life(lambda now: limit(now) if now < 300 else None, at_once).run(requests)
    last = life.let_through[-300 * at_once :]
    assert last[-1] - last[0] <= 1.05 * len(last) * LATENCY / at_once
    assert life.took <= 300 + 20 * 60 + requests * LATENCY / at_once


@pytest.mark.parametrize("is_telling", [False, True], ids=["silent", "with Retry-After"])
@pytest.mark.parametrize("at_once", [1, 8])
def test_outage_of_some_minutes_is_left_behind_as_soon(at_once: int, *, is_telling: bool) -> None:
    requests = 5_000 * at_once
    life = Life(lambda now: 9.0 if 60 < now < 360 else None, at_once, is_telling).run(requests)
    last = life.let_through[-300 * at_once :]
    assert last[-1] - last[0] <= 1.05 * len(last) * LATENCY / at_once
    assert life.took <= 360 + 8 * 60 + requests * LATENCY / at_once


@pytest.mark.parametrize("at_once", [1, 8])
def test_minute_that_another_has_used_up_teaches_nothing(at_once: int) -> None:
    life = Life(lambda now: 9.0 if now < 50 else None, at_once).run(600)
    assert life.took <= 2 * 60 + 600 * LATENCY / at_once


def test_late_refusal_of_one_that_left_before_all_was_well_again_is_not_new() -> None:
    clock = SimulatedClock()
    limit = LearnedLimit(clock)
    first, late = left(limit, 1), left(limit, 2)
    limit.refused(first, None)
    clock.sleep(limit.due_in())
    limit.answered(left(limit, 3))
    assert limit.refused(late, None) == 0
    assert (limit.refused_for, limit.due_in()) == (None, 0)
    # What the API asks for is done all the same.
    assert limit.refused(late, 7) == limit.due_in() == 7


@pytest.mark.parametrize("at_once", [1, 8])
def test_single_refusal_costs_a_moment_and_no_pace(at_once: int) -> None:
    every = 500 * at_once
    life = Life(now_and_then(every), at_once).run(3 * every - 3)
    assert life.sent == 3 * every - 1
    assert life.took <= 3 * every * LATENCY / at_once + 3 * 2


def test_nothing_is_held_back_before_anything_was_refused() -> None:
    life = Life(none, 8).run(1_000)
    assert life.sent == 1_000
    assert life.took == pytest.approx(1_000 * LATENCY / 8)


@cases(
    "asked_for, held_for",
    {
        "moment": (7.0, 7.0),
        "too long": (10_000.0, LONGEST_RETRY_AFTER),
        "nothing": (None, 1.0),
        "none": (0.0, 1.0),
    },
)
def test_refusal_holds_back_all_requests(asked_for: float | None, held_for: float) -> None:
    clock = SimulatedClock()
    limit = LearnedLimit(clock)
    first, second = left(limit, 1), left(limit, 2)
    assert limit.refused(first, asked_for) == held_for
    assert limit.due_in() == held_for
    assert limit.leave(3) is None
    clock.sleep(0.5)
    # It left before that, and says the same.
    assert limit.refused(second, None) == held_for - 0.5


def test_longest_hold_counts() -> None:
    clock = SimulatedClock()
    limit = LearnedLimit(clock)
    assert limit.due_in() == 0
    for seconds in (7, 3):
        limit.hold(seconds)
    assert limit.due_in() == 7
    clock.sleep(6.5)
    assert limit.due_in() == 0.5
    clock.sleep(0.5)
    assert limit.due_in() == 0


@pytest.mark.parametrize("end", ["answered", "refused", "lost", "ended"])
def test_one_request_alone_finds_out_whether_others_are_refused_still(end: str) -> None:
    clock = SimulatedClock()
    limit = LearnedLimit(clock)
    limit.refused(left(limit, 1), None)
    clock.sleep(limit.due_in())
    limit.await_scout()
    scout = left(limit, 2)
    assert limit.leave(3) is None
    waiting = threading.Thread(target=limit.await_scout, daemon=True)
    waiting.start()
    assert waiting.is_alive()
    match end:
        case "answered":
            limit.answered(scout)
        case "refused":
            limit.refused(scout, None)
        case "lost":
            limit.lost(scout)
        case _:
            limit.end()
    waiting.join(10)
    assert not waiting.is_alive()
    assert (limit.refused_for is None) == (end == "answered")
