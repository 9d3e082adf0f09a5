"""Windows of `created_at` are cut where pages tell to, and miss no instant between them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random

import pytest

from tap_llamaclassify.api.models import Page
from tap_llamaclassify.replication.windows import (
    LOOK,
    LOOK_BACK,
    MOST_LOOKED_AT,
    Window,
    WindowStats,
)
from tap_llamaclassify.timestamps import from_datetime, to_datetime

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SIZE = 10
MINUTES = 60.0
A_DAY = 86_400
BEGIN, MIDDLE, LATER, END = (from_datetime(NOW - timedelta(days=n)) for n in (90, 45, 20, 1))


def page(created: Sequence[str | None], total: int | None = None) -> Page:
    items = [{"id": str(n), "created_at": at} for n, at in enumerate(created)]
    return Page(items, next_page_token="next", total_size=total, asked_at=NOW)


def ago(minutes: float) -> str:
    return from_datetime(NOW - timedelta(minutes=minutes))


def look_at(stats: WindowStats, created: Sequence[str], *, total: int | None = None) -> WindowStats:
    """Show a window's jobs page by page."""
    for begin in range(0, len(created), SIZE):
        stats.add(page(created[begin : begin + SIZE], total))
    return stats


NEWEST = [ago(minutes) for minutes in range(1000)]
OLDEST = [from_datetime(to_datetime(BEGIN) + timedelta(minutes=n)) for n in range(1000)]
SHUFFLED = Random(1).sample(NEWEST, len(NEWEST))  # noqa: S311 - it is to repeat


def test_window_asks_for_a_second_more_than_its_own_and_an_open_one_for_all() -> None:
    assert Window().filters == {}
    before = from_datetime(NOW - timedelta(days=90, seconds=1))
    assert Window(BEGIN).filters == {"created_at_on_or_after": before}
    assert Window(BEGIN, END).filters == {
        "created_at_on_or_after": before,
        "created_at_on_or_before": END,
    }


@pytest.mark.parametrize("window", [Window(), Window(BEGIN), Window(None, END), Window(BEGIN, END)])
def test_parts_of_a_window_share_their_edges_and_have_its_ends(window: Window) -> None:
    parts = window.cut([LATER, MIDDLE])
    assert [part.begin for part in parts] == [window.begin, MIDDLE, LATER]
    assert [part.end for part in parts] == [MIDDLE, LATER, window.end]


@pytest.mark.parametrize("at", [BEGIN, END, ago(60 * 24 * 91), ago(0)])
def test_window_is_not_cut_at_or_beyond_its_ends(at: str) -> None:
    assert Window(BEGIN, END).cut([at]) == [Window(BEGIN, END)]


@pytest.mark.parametrize(
    ("created", "begin", "pages", "left"),
    [
        pytest.param(NEWEST, None, LOOK_BACK, float("inf"), id="newest, without a beginning"),
        pytest.param(NEWEST, ago(500), LOOK, 50 - LOOK, id="newest"),
        pytest.param(OLDEST, BEGIN, LOOK, 90 * 24 * 60 / SIZE, id="oldest"),
    ],
)
def test_pace_of_a_listing_by_creation_tells_how_many_pages_are_left(
    created: Sequence[str], begin: str | None, pages: int, left: float
) -> None:
    stats = look_at(WindowStats(Window(begin), SIZE), created[: (pages - 1) * SIZE])
    assert stats.pages_left is None
    look_at(stats, created[(pages - 1) * SIZE : pages * SIZE])
    assert stats.pages_left == pytest.approx(left, rel=0.15)


def test_listing_in_no_order_tells_nothing() -> None:
    assert look_at(WindowStats(Window(BEGIN), SIZE), SHUFFLED).pages_left is None


@pytest.mark.parametrize(
    ("created", "begin", "total"),
    [
        pytest.param(NEWEST, ago(1000), None, id="by pace"),
        pytest.param(OLDEST, BEGIN, None, id="from the oldest on"),
        pytest.param(NEWEST, None, 1000, id="without a beginning"),
        pytest.param(SHUFFLED, None, 1000, id="in no order"),
    ],
)
def test_parts_are_even(created: Sequence[str], begin: str | None, total: int | None) -> None:
    stats = look_at(WindowStats(Window(begin), SIZE), created[: LOOK_BACK * SIZE], total=total)
    parts = stats.parts(10, 4)
    assert [part.window.end for part in parts[:-1]] == [p.window.begin for p in parts[1:]]
    edges = [to_datetime(part.window.end or "") for part in parts[:-1]]
    lengths = [(after - before).total_seconds() for before, after in pairwise(edges)]
    assert len(lengths) == 2
    assert max(lengths) <= 2.5 * min(lengths)


def test_window_that_was_not_cut_for_long_is_read_on_and_holds_no_more_of_what_it_showed() -> None:
    jobs = [ago(minutes) for minutes in range(SIZE * (MOST_LOOKED_AT + 1))]
    stats = WindowStats(Window(BEGIN), SIZE)
    look_at(stats, jobs[:-SIZE])
    left, held = stats.pages_left, len(stats.created)
    look_at(stats, jobs[-SIZE:])
    assert left
    assert held == SIZE * MOST_LOOKED_AT
    assert not stats.created
    assert stats.pages_left is None
    assert stats.jobs == len(jobs)


def test_total_tells_at_the_first_page() -> None:
    assert look_at(WindowStats(Window(), SIZE), SHUFFLED[:SIZE], total=1000).pages_left == 99


@pytest.mark.parametrize("total", [0, 10], ids=["none", "fewer than were seen"])
def test_total_that_is_less_than_was_seen_is_not_believed(total: int) -> None:
    stats = look_at(WindowStats(Window(BEGIN), SIZE), NEWEST[: LOOK * SIZE], total=total)
    assert stats.total is None
    assert stats.pages_left


def test_total_of_a_part_that_is_that_of_the_whole_is_not_believed() -> None:
    whole = look_at(WindowStats(Window(), SIZE), NEWEST[:SIZE], total=10**6)
    for part in whole.parts(10, 2):
        assert look_at(part, NEWEST[SIZE : 2 * SIZE], total=10**6).total is None
        assert look_at(part, NEWEST[SIZE : 2 * SIZE], total=600).total == 600
        assert part.total_of_all == 10**6


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_jobs_of_two_instants_are_cut_between_or_at_them(share: float) -> None:
    many = int(share * 1000)
    jobs = [END] * many + [BEGIN] * (1000 - many)
    older, _ = look_at(WindowStats(Window(), SIZE), jobs, total=10**6).parts(10, 2)
    assert BEGIN <= (older.window.end or "") <= END


def test_burst_does_not_make_windows_of_no_length() -> None:
    burst = [from_datetime(NOW - timedelta(milliseconds=n)) for n in range(SIZE)]
    for part in look_at(WindowStats(Window(), SIZE), burst, total=10**6).parts(10, 8):
        assert (part.window.begin or "") < (part.window.end or from_datetime(NOW))


def test_jobs_without_created_at_or_in_the_future_do_not_disturb() -> None:
    stats = WindowStats(Window(BEGIN), SIZE)
    for begin in range(0, LOOK * SIZE, SIZE):
        future = from_datetime(NOW + timedelta(days=400))
        stats.add(page([None, None, future, *NEWEST[begin : begin + SIZE - 3]]))
    for part in stats.parts(10, 8)[:-1]:
        assert (part.window.end or "") <= from_datetime(NOW)


def test_window_tells_which_jobs_another_may_have_too() -> None:
    edges = [MIDDLE, END, from_datetime(to_datetime(END) - timedelta(seconds=1)), None]
    inside = from_datetime(to_datetime(MIDDLE) + timedelta(seconds=1))
    outside = [BEGIN, from_datetime(NOW)]
    jobs = page([*edges, inside, *outside]).items
    shared = [job["created_at"] for job in Window(MIDDLE, END).shared(jobs)]
    assert shared == [*edges, *outside]


@pytest.mark.parametrize(
    ("created", "seconds"),
    [
        pytest.param([MIDDLE, END, None], 0, id="its ends"),
        pytest.param([], 0, id="none"),
        pytest.param([ago(45 * 24 * 60 + 1 / 60)], 0, id="where its neighbour ends"),
        pytest.param([END, ago(24 * 60 - 2)], 120, id="newer"),
        pytest.param([ago(46 * 24 * 60), MIDDLE], A_DAY - 1, id="older"),
        pytest.param([BEGIN, from_datetime(NOW)], 45 * A_DAY - 1, id="both"),
    ],
)
def test_window_tells_by_how_much_a_job_is_outside(
    created: Sequence[str | None], seconds: float
) -> None:
    assert Window(MIDDLE, END).seconds_outside(page(created).items) == seconds
    assert Window().seconds_outside(page(created).items) == 0
