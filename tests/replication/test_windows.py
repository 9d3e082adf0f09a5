"""Windows of `created_at` are cut where pages tell to, and miss no instant between them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from tap_llamaclassify.api.models import Page
from tap_llamaclassify.replication.windows import (
    AIM,
    FIRST_LOOK,
    FIRST_LOOK_BACK,
    LONGEST,
    LONGEST_UNORDERED,
    Window,
    WindowStats,
)
from tap_llamaclassify.timestamps import from_datetime, to_datetime

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SIZE = 10
MINUTES = 60.0
A_DAY = 86_400
BEGIN, MIDDLE, END = (from_datetime(NOW - timedelta(days=days)) for days in (90, 45, 1))


def page(created: Sequence[str | None], total: int | None = None) -> Page:
    items = [{"id": str(n), "created_at": at} for n, at in enumerate(created)]
    return Page(items, next_page_token="next", total_size=total, asked_at=NOW)


def ago(minutes: float) -> str:
    return from_datetime(NOW - timedelta(minutes=minutes))


def look_at(sight: WindowStats, created: Sequence[str], *, total: int | None = None) -> WindowStats:
    """Show a sight jobs page by page, as long as it wants no cut."""
    for begin in range(0, len(created), SIZE):
        sight.add(page(created[begin : begin + SIZE], total))
    return sight


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
def test_parts_of_a_window_share_their_edge_and_have_its_ends(window: Window) -> None:
    older, newer = window.cut(MIDDLE) or pytest.fail("it was not cut")
    assert (older.begin, older.end) == (window.begin, MIDDLE)
    assert (newer.begin, newer.end) == (MIDDLE, window.end)


@pytest.mark.parametrize("at", [None, BEGIN, END, ago(60 * 24 * 91), ago(0)])
def test_window_is_not_cut_at_or_beyond_its_ends(at: str | None) -> None:
    assert Window(BEGIN, END).cut(at) is None


@pytest.mark.parametrize(
    ("created", "begin", "pages"),
    [
        pytest.param(NEWEST, None, FIRST_LOOK_BACK, id="newest, without a beginning"),
        pytest.param(NEWEST, BEGIN, FIRST_LOOK, id="newest"),
        pytest.param(OLDEST, BEGIN, FIRST_LOOK, id="oldest"),
    ],
)
def test_listing_by_creation_is_cut_when_its_pace_tells_that_it_is_long(
    created: Sequence[str], begin: str | None, pages: int
) -> None:
    sight = look_at(WindowStats(Window(begin), SIZE), created[: (pages - 1) * SIZE])
    assert sight.cut() is None
    look_at(sight, created[(pages - 1) * SIZE : pages * SIZE])
    older, newer = sight.cut() or pytest.fail("it was not cut")
    edge = older.window.end or ""
    minutes = abs((to_datetime(edge) - to_datetime(created[0])).total_seconds()) / MINUTES
    assert minutes == pytest.approx(AIM * SIZE, rel=0.15)
    assert newer.window == Window(edge)


def test_short_listing_by_creation_is_not_cut() -> None:
    begin = ago(LONGEST * SIZE * 0.9)
    sight = look_at(WindowStats(Window(begin), SIZE), NEWEST[: FIRST_LOOK * SIZE])
    assert sight.cut() is None


def test_listing_in_no_order_is_cut_when_it_was_too_long() -> None:
    jobs = [SHUFFLED[n % len(SHUFFLED)] for n in range(LONGEST_UNORDERED * SIZE)]
    sight = look_at(WindowStats(Window(BEGIN), SIZE), jobs[:-SIZE])
    assert sight.cut() is None
    look_at(sight, jobs[-SIZE:])
    older, _ = sight.cut() or pytest.fail("it was not cut")
    half = NEWEST[len(NEWEST) // 2]
    assert abs((to_datetime(older.window.end or "") - to_datetime(half)).total_seconds()) < 6000


def test_total_cuts_at_the_first_page_or_never() -> None:
    assert look_at(WindowStats(Window(), SIZE), SHUFFLED[:SIZE], total=1000).cut()
    assert not look_at(WindowStats(Window(), SIZE), NEWEST[: 20 * SIZE], total=450).cut()


def test_window_most_of_which_was_read_is_not_cut() -> None:
    assert look_at(WindowStats(Window(), SIZE), NEWEST[: 40 * SIZE], total=90 * SIZE).cut()
    assert not look_at(WindowStats(Window(), SIZE), NEWEST[: 50 * SIZE], total=90 * SIZE).cut()


@pytest.mark.parametrize("total", [0, 10], ids=["none", "fewer than were seen"])
def test_total_that_is_less_than_was_seen_is_not_believed(total: int) -> None:
    sight = look_at(WindowStats(Window(BEGIN), SIZE), NEWEST[: FIRST_LOOK * SIZE], total=total)
    assert sight.total is None
    assert sight.cut()


def test_total_of_a_part_that_is_that_of_the_whole_is_not_believed() -> None:
    whole = look_at(WindowStats(Window(), SIZE), NEWEST[:SIZE], total=10**6)
    for part in whole.cut() or pytest.fail("it was not cut"):
        assert look_at(part, NEWEST[SIZE : 2 * SIZE], total=10**6).total is None
        assert look_at(part, NEWEST[SIZE : 2 * SIZE], total=600).total == 600


def test_jobs_of_one_instant_are_soon_given_up() -> None:
    sights, cuts = [WindowStats(Window(), SIZE)], 0
    while sights:
        parts = look_at(sights.pop(), [BEGIN] * 1000, total=10**6 - cuts).cut()
        cuts += parts is not None
        # The newer part has none of them.
        sights += parts[:1] if parts else []
        assert cuts <= 2


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_jobs_of_two_instants_are_cut_between_or_at_them(share: float) -> None:
    many = int(share * 1000)
    sight = look_at(
        WindowStats(Window(), SIZE), [END] * many + [BEGIN] * (1000 - many), total=10**6
    )
    older, _ = sight.cut() or pytest.fail("it was not cut")
    assert BEGIN <= (older.window.end or "") <= END


def test_burst_does_not_make_windows_of_no_length() -> None:
    burst = [from_datetime(NOW - timedelta(milliseconds=n)) for n in range(SIZE)]
    sight = look_at(WindowStats(Window(), SIZE), burst, total=10**6)
    older, newer = sight.cut() or pytest.fail("it was not cut")
    assert (older.window.end or "") < (newer.window.end or from_datetime(NOW))


def test_jobs_without_created_at_or_in_the_future_do_not_disturb() -> None:
    sight = WindowStats(Window(BEGIN), SIZE)
    for begin in range(0, LONGEST * SIZE, SIZE):
        future = from_datetime(NOW + timedelta(days=400))
        sight.add(page([None, None, future, *NEWEST[begin : begin + SIZE - 3]]))
    older, _ = sight.cut() or pytest.fail("it was not cut")
    assert (older.window.end or "") <= from_datetime(NOW)


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
