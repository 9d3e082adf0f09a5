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
    gaps,
)
from tap_llamaclassify.timestamps import LAST, from_datetime, to_datetime, whole_second
from tests.support.builders import cases

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


# By how much, exactly.


@cases(
    "spans, end, windows",
    {
        "nothing read": ((), END, [Window(None, END)]),
        "nothing read, and no end": ((), None, [Window()]),
        "read from the beginning on": ((("", MIDDLE),), END, [Window(MIDDLE, END)]),
        "read amid": (((BEGIN, MIDDLE),), END, [Window(None, BEGIN), Window(MIDDLE, END)]),
        "read amid, and no end": (
            ((BEGIN, MIDDLE),),
            None,
            [Window(None, BEGIN), Window(MIDDLE, None)],
        ),
        "read twice": (
            (("", BEGIN), (MIDDLE, LATER)),
            END,
            [Window(BEGIN, MIDDLE), Window(LATER, END)],
        ),
        "read up to the end": ((("", END),), END, []),
        "read beyond the end": (((BEGIN, ago(0)),), END, [Window(None, BEGIN)]),
        "read only after the end": (((ago(0), LAST),), END, [Window(None, END)]),
        "read to the end of time": (((BEGIN, LAST),), None, [Window(None, BEGIN)]),
        "spans that touch": ((("", BEGIN), (BEGIN, MIDDLE)), END, [Window(MIDDLE, END)]),
        "a span inside another": ((("", LATER), (BEGIN, MIDDLE)), END, [Window(LATER, END)]),
    },
)
def test_windows_are_what_spans_leave_out(
    spans: Sequence[tuple[str, str]], end: str | None, windows: list[Window]
) -> None:
    assert gaps(spans, end) == windows


def test_window_counts_what_its_older_neighbour_has_too() -> None:
    jobs = page([BEGIN, MIDDLE, None, END]).items
    assert Window(MIDDLE).in_overlap(jobs) == 1
    assert Window(END).in_overlap(jobs) == 2
    assert Window().in_overlap(jobs) == 0


def test_window_without_ends_shares_only_what_has_no_created_at() -> None:
    jobs = page([BEGIN, None, END]).items
    assert [job["created_at"] for job in Window().shared(jobs)] == [None]
    assert [job["created_at"] for job in Window(None, MIDDLE).shared(jobs)] == [None, END]


def test_window_tells_what_its_pages_held() -> None:
    stats = WindowStats(Window(MIDDLE), SIZE)
    stats.add(page([END, MIDDLE, None, BEGIN]))
    stats.add(page([END, BEGIN]))
    assert (stats.pages, stats.jobs, stats.again) == (2, 6, 2)
    assert stats.created == [END, MIDDLE, BEGIN, END, BEGIN]


@pytest.mark.parametrize("is_server_clock", [True, False])
def test_clock_is_the_servers_or_the_newest_job(*, is_server_clock: bool) -> None:
    stats = WindowStats(Window(), SIZE)
    shown = page([MIDDLE, END, BEGIN])
    shown.is_server_clock = is_server_clock
    stats.add(shown)
    assert stats.clock == (from_datetime(NOW) if is_server_clock else END)
    empty = page([])
    empty.is_server_clock = False
    assert look_at(WindowStats(Window(), SIZE), []).clock == LAST
    another = WindowStats(Window(), SIZE)
    another.add(empty)
    assert another.clock == LAST


@cases(
    "total, of_whole, believed",
    {
        "more than were seen": (11, None, True),
        "as many as were seen": (10, None, True),
        "fewer than were seen": (9, None, False),
        "none": (None, None, False),
        "fewer than the whole has": (10, 11, True),
        "as many as the whole has": (11, 11, False),
    },
)
def test_total_is_believed_between_what_was_seen_and_what_the_whole_has(
    total: int | None, of_whole: int | None, *, believed: bool
) -> None:
    whole = WindowStats(Window(), SIZE)
    whole.add(page(NEWEST[:1], of_whole))
    stats = WindowStats(Window(MIDDLE), SIZE, whole=whole)
    stats.add(page(NEWEST[:SIZE], total))
    assert stats.total == (total if believed else None)
    assert stats.total_of_all == max(of_whole or 0, (total if believed else None) or 0)
    assert stats.pages_left == (max((total or 0) / SIZE - 1, 0) if believed else None)


# The middle half of the last pages: 20 jobs in 19 minutes.
RATE = 20 / (19 * MINUTES) / SIZE


@cases(
    "created, begin, end, pages, seconds",
    {
        "newest first": (NEWEST, ago(500), None, LOOK, (500 - 39) * MINUTES),
        "newest first, and further on": (NEWEST, ago(500), None, 6, (500 - 59) * MINUTES),
        "oldest first": (OLDEST, BEGIN, None, LOOK, 90 * A_DAY - 39 * MINUTES),
        "oldest first, with an end": (OLDEST, BEGIN, MIDDLE, LOOK, 45 * A_DAY - 39 * MINUTES),
        "oldest first, without a beginning": (
            OLDEST,
            None,
            MIDDLE,
            LOOK,
            45 * A_DAY - 39 * MINUTES,
        ),
        "with an end that is to come": (
            OLDEST,
            BEGIN,
            ago(-60),
            LOOK,
            90 * A_DAY - 39 * MINUTES,
        ),
    },
)
def test_pages_that_are_left_are_told_by_the_time_and_the_middle_of_the_last_pages(
    created: Sequence[str], begin: str | None, end: str | None, pages: int, seconds: float
) -> None:
    stats = look_at(WindowStats(Window(begin, end), SIZE), created[: pages * SIZE])
    assert stats.pages_left == pytest.approx(RATE * seconds, rel=1e-9)


def test_two_jobs_with_created_at_tell_how_many_pages_are_left() -> None:
    stats = WindowStats(Window(ago(500)), SIZE)
    for created in ([ago(0)], [None], [None], [ago(10)]):
        stats.add(page(created))
    assert stats.pages_left == pytest.approx(2 / (10 * MINUTES) * 490 * MINUTES / SIZE)


def test_jobs_of_one_instant_leave_more_pages_than_can_be_read() -> None:
    created = [*NEWEST[:9], *[ago(10)] * 22, *NEWEST[11:20]]
    stats = look_at(WindowStats(Window(ago(500)), SIZE), created)
    assert stats.pages_left == pytest.approx(20 / 1e-6 * (500 - 19) * MINUTES / SIZE)


def edges_of(parts: Sequence[WindowStats]) -> list[str | None]:
    return [part.window.begin for part in parts[1:]]


def before(at: str, seconds: float) -> str:
    return from_datetime(to_datetime(at) - timedelta(seconds=seconds))


@cases(
    "created, begin, end, total, most, edges",
    {
        "in no order, by what was seen": (
            SHUFFLED,
            None,
            None,
            1000,
            4,
            [sorted(SHUFFLED[:60])[n] for n in (15, 30, 45)],
        ),
        "in no order, without a total": (
            SHUFFLED,
            None,
            None,
            None,
            4,
            [sorted(SHUFFLED[:60])[n] for n in (15, 30, 45)],
        ),
        "two jobs": ([ago(10), ago(20)], ago(100), None, 20, 4, [ago(50)]),
        "in no order, into two": (
            SHUFFLED,
            None,
            None,
            61,
            4,
            [sorted(SHUFFLED[:60])[30]],
        ),
        "newest first, by the time that ten pages took": (
            NEWEST,
            None,
            None,
            None,
            4,
            [before(ago(0), 5900 * n) for n in (3, 2, 1)],
        ),
        "newest first, evenly between its ends": (
            NEWEST,
            ago(1000),
            None,
            None,
            4,
            [before(ago(0), 15_000 * n) for n in (3, 2, 1)],
        ),
        "as many as there are pages for": (
            NEWEST,
            ago(1000),
            None,
            None,
            99,
            [before(ago(1000), -60_000 / 11 * n) for n in range(1, 11)],
        ),
        "oldest first, evenly between its ends": (
            OLDEST,
            BEGIN,
            END,
            None,
            4,
            [before(BEGIN, -89 * A_DAY / 4 * n) for n in (1, 2, 3)],
        ),
        "oldest first, without a beginning": (
            OLDEST,
            None,
            END,
            None,
            4,
            [before(BEGIN, -89 * A_DAY / 4 * n) for n in (1, 2, 3)],
        ),
    },
)
def test_window_is_cut_exactly_there(
    created: Sequence[str],
    begin: str | None,
    end: str | None,
    total: int | None,
    most: int,
    edges: Sequence[str],
) -> None:
    stats = look_at(WindowStats(Window(begin, end), SIZE), created[:60], total=total)
    parts = stats.parts(10, most)
    assert edges_of(parts) == [whole_second(edge) for edge in edges]
    assert (parts[0].window.begin, parts[-1].window.end) == (begin, end)
    assert all(part.whole is stats and part.page_size == SIZE for part in parts)
    known = [
        sum((p.window.begin or "") <= at < (p.window.end or LAST) for at in stats.created)
        for p in parts
    ]
    assert [part.known for part in parts] == known
    assert sum(known) == len(stats.created)


@cases(
    "created, begin, edge",
    {
        "one job": ([MIDDLE], None, None),
        "one is far from all others": ([END, *[MIDDLE] * 9], MIDDLE, before(END, 22 * A_DAY)),
        "one is two seconds from all others": (
            [before(MIDDLE, -2), *[MIDDLE] * 9],
            MIDDLE,
            before(MIDDLE, -1),
        ),
        "one is half a second from all others": (
            [before(MIDDLE, -0.5), *[MIDDLE] * 9],
            MIDDLE,
            None,
        ),
    },
)
def test_window_whose_jobs_are_at_its_edge_is_cut_halfway_to_the_others_if_at_all(
    created: Sequence[str], begin: str | None, edge: str | None
) -> None:
    parts = look_at(WindowStats(Window(begin), SIZE), created, total=100).parts(10, 2)
    assert edges_of(parts) == ([edge] if edge else [])


SOON = ago(-10)


@cases(
    "created, edge",
    {
        "the one in the middle": ([ago(-n) for n in (10, 20, 30, 40, 90)], ago(-30)),
        "the second of three": ([ago(-n) for n in (10, 20, 90)], ago(-20)),
        "halfway, for most are the newest": ([ago(-n) for n in (10, 20, 20, 20)], ago(-15)),
        "halfway, for most are the oldest": ([ago(-n) for n in (10, 10, 10, 20)], ago(-15)),
        "nowhere, for all are one": ([SOON] * 4, None),
        "nowhere, for nothing is between them": ([SOON, before(SOON, -1e-6)], None),
    },
)
def test_window_of_jobs_beyond_the_clock_is_cut_between_them(
    created: Sequence[str], edge: str | None
) -> None:
    parts = look_at(WindowStats(Window(ago(-5)), SIZE), created, total=100).parts(10, 2)
    assert edges_of(parts) == ([edge] if edge else [])
