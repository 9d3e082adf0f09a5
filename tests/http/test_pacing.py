"""The pace keeps its limit, patience has an end, and `Retry-After` is read as it is meant."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from tap_llamaclassify.http.pacing import Clock, RateLimiter, RetryBudget, http_date, retry_after
from tests.support.builders import SimulatedClock, cases

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
DATE = "Mon, 23 Nov 2026 12:00:00 GMT"
MOMENT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def starts_of(pace: RateLimiter, clock: SimulatedClock, pauses: list[int]) -> list[float]:
    """Send a request after each pause; return the seconds at which they left."""
    starts = []
    for pause in pauses:
        clock.sleep(pause)
        if due_in := pace.due_in():
            clock.sleep(due_in)
        pace.note()
        starts.append(clock.monotonic())
    return starts


@given(st.integers(1, 5), st.lists(st.integers(0, 90), max_size=30))
def test_pace_never_lets_more_than_its_limit_leave_in_any_minute(
    limit: int, pauses: list[int]
) -> None:
    clock = SimulatedClock()
    starts = starts_of(RateLimiter(limit, clock), clock, pauses)

    # So many later, at least a minute has passed; the tolerance is the clock's own, microseconds.
    between = [later - start for start, later in zip(starts, starts[limit:], strict=False)]
    assert all(seconds >= 60 - 1e-5 for seconds in between)


def test_pace_lets_the_first_leave_at_once_and_waits_no_longer_than_it_must() -> None:
    clock = SimulatedClock()
    begin = clock.monotonic()
    starts = starts_of(RateLimiter(3, clock), clock, [0, 0, 10, 0, 0, 0, 200, 0])

    assert [start - begin for start in starts] == [0, 0, 10, 60, 60, 70, 270, 270]


def all_waits(patience: RetryBudget, clock: SimulatedClock, after: float | None) -> list[float]:
    """Wait until patience ends; return for how long each time."""
    while (wait := patience.wait(after)) is not None:
        clock.sleep(wait)
    return clock.naps


def test_patience_keeps_a_minute_as_its_longest_wait_over_many_tries() -> None:
    clock = SimulatedClock()
    patience = RetryBudget(60.0 * 3000, clock)

    assert set(all_waits(patience, clock, None)[6:-1]) == {60}
    assert patience.tries > 3000


@cases(
    "after, retry_seconds, wait",
    {
        "short": (7, 600, 7),
        "five minutes": (300, 600, 300),
        "longer than five minutes": (300.5, 600, None),
        "all that is left": (10, 10, 10),
        "more than is left": (10.5, 10, None),
        "part of a second": (0.5, 600, 0.5),
        "nothing to wait for": (0, 600, 1),
        "nothing to wait for and nothing left": (0, 0, None),
    },
)
def test_patience_obeys_the_server_within_its_bounds(
    after: float, retry_seconds: int, wait: float | None
) -> None:
    assert RetryBudget(retry_seconds, SimulatedClock()).wait(after) == wait


def test_patience_counts_the_time_that_replies_take() -> None:
    clock = SimulatedClock()
    patience = RetryBudget(60, clock)
    clock.sleep(59.5)

    assert patience.left() == 0.5
    assert patience.wait(None) == 0.5
    clock.sleep(0.5)
    assert patience.wait(None) is None


def test_patience_does_not_end_while_nobody_tries() -> None:
    clock = SimulatedClock()
    patience = RetryBudget(60, clock)
    clock.sleep(10)
    patience.rest()
    patience.rest()
    clock.sleep(1000)
    assert patience.left() == 50

    patience.go_on()
    clock.sleep(20)
    patience.go_on()
    clock.sleep(20)
    assert patience.left() == 10
    patience.extend(5)
    assert patience.left() == 15


@cases(
    "headers, seconds",
    {
        "none": ({}, None),
        "seconds": ({"Retry-After": "7"}, 7),
        "seconds between spaces": ({"Retry-After": " 7 "}, 7),
        "part of a second": ({"Retry-After": "0.25"}, 0.25),
        "no seconds": ({"Retry-After": "0"}, 0),
        "thirty years": ({"Retry-After": "999999999"}, 999999999),
        "date": ({"Retry-After": "Mon, 23 Nov 2026 12:00:42 GMT", "Date": DATE}, 42),
        "date in the past": ({"Retry-After": "Mon, 23 Nov 2026 11:59:00 GMT", "Date": DATE}, 0),
        "date against this machine's clock": ({"Retry-After": "Sun, 01 Nov 2026 12:00:42 GMT"}, 42),
        "empty": ({"Retry-After": ""}, None),
        "negative": ({"Retry-After": "-5"}, None),
        "a word": ({"Retry-After": "soon"}, None),
        "power of ten": ({"Retry-After": "1e3"}, None),
        "infinite": ({"Retry-After": "inf"}, None),
        "no number": ({"Retry-After": "nan"}, None),
        "a unit": ({"Retry-After": "7 s"}, None),
        "digit that is not ASCII": ({"Retry-After": "\u0667"}, None),
    },
)
def test_retry_after_is_read_as_seconds_from_now(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(CaseInsensitiveDict(headers), NOW) == seconds


@cases(
    "text, moment",
    {
        "GMT": (DATE, MOMENT),
        "form of RFC 850": ("Monday, 23-Nov-26 12:00:00 GMT", MOMENT),
        "form of asctime": ("Mon Nov 23 12:00:00 2026", MOMENT),
        "no zone": ("Mon, 23 Nov 2026 12:00:00 -0000", MOMENT),
        "another zone": ("Mon, 23 Nov 2026 14:00:00 +0200", MOMENT),
        "empty": ("", None),
        "a word": ("yesterday", None),
        "no such day": ("Mon, 32 Nov 2026 12:00:00 GMT", None),
        "year beyond any calendar": ("Mon, 23 Nov 99999999999999999999 12:00:00 GMT", None),
        "zone beyond any map": ("Mon, 23 Nov 2026 12:00:00 +99999999999999999999", None),
    },
)
def test_http_date_is_read_or_is_none(text: str, moment: datetime | None) -> None:
    read = http_date(text)
    assert read == moment
    assert read is None or read.tzinfo is UTC


@pytest.mark.usefixtures("elsewhere")
def test_http_date_without_a_zone_is_utc_wherever_this_machine_is() -> None:
    assert http_date("Mon Nov 23 12:00:00 2026") == MOMENT


@given(st.text(max_size=40) | st.text("0123456789:+- ,.JanFebNovMonGMT()", max_size=50))
def test_http_date_has_a_zone_or_is_none_for_any_text(text: str) -> None:
    moment = http_date(text)

    assert moment is None or moment.tzinfo


def test_clock_is_this_machines() -> None:
    clock = Clock()
    before, ticks = datetime.now(UTC), clock.monotonic()
    clock.wait(0, threading.Event())

    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() >= ticks


def test_clock_throws_dice_over_the_whole_wait() -> None:
    throws = [Clock().up_to(60) for _ in range(2000)]

    # Each bound is missed by honest dice less than once in 10 to the 40th.
    assert 0 <= min(throws) < 3
    assert 57 < max(throws) <= 60
    assert Clock().up_to(0) == 0
