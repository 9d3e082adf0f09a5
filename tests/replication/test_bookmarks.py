"""Where a run begins, and where the next one will: a bookmark by itself, without an API."""

from __future__ import annotations

from dataclasses import replace

from tap_llamaclassify.replication.bookmarks import CLOCK_SKEW_SECONDS, Bookmark
from tap_llamaclassify.replication.stream_state import StreamState
from tests.support.builders import cases, seconds_after

FIRST, LAST = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"
EARLY, OLD = "2026-09-01T00:00:00.000000Z", "2026-10-01T00:00:00.000000Z"
MIDDLE, NEW = "2026-11-01T00:00:00.000000Z", "2026-11-20T00:00:00.000000Z"
CLOCK = "2026-11-30T12:00:00.000000Z"
FUTURE = "2026-12-24T00:00:00.000000Z"
SPANS = (("", EARLY), (OLD, MIDDLE))
BROKEN_OFF = StreamState(OLD, created_at_read=SPANS, reading_began_at=MIDDLE)


def bookmark_of(
    kept: StreamState, *, clock: str = CLOCK, floor: str | None = None, lookback: int = 60
) -> Bookmark:
    return Bookmark(kept, clock=clock, floor=floor, lookback_seconds=lookback)


@cases(
    "at, lookback, is_trusted",
    {
        "none": (None, 60, True),
        "past": (OLD, 60, True),
        "as far ahead as clocks are apart": (seconds_after(CLOCK, CLOCK_SKEW_SECONDS), 60, True),
        "further ahead": (seconds_after(CLOCK, CLOCK_SKEW_SECONDS + 1), 60, False),
        "as far ahead as is read again": (seconds_after(CLOCK, 5), 5, True),
        "further ahead than is read again": (seconds_after(CLOCK, 6), 5, False),
        "now, and nothing is read again": (CLOCK, 0, True),
        "far ahead": (FUTURE, 60, False),
    },
)
def test_bookmark_ahead_of_the_clock_is_not_gone_on_from(
    at: str | None, lookback: int, *, is_trusted: bool
) -> None:
    bookmark = bookmark_of(StreamState(at), floor=EARLY, lookback=lookback)
    assert bookmark.is_trusted is is_trusted
    assert bookmark.begin == (at if is_trusted else None)
    assert (bookmark.since() == EARLY) is (not is_trusted or at is None)


def test_clock_at_the_end_of_time_is_as_far_as_a_bookmark_goes() -> None:
    assert bookmark_of(StreamState(LAST), clock=LAST).is_trusted


@cases(
    "kept, begin",
    {
        "first run": (StreamState(), None),
        "jobs keep their places": (StreamState(NEW), NEW),
        "places were kept when it began": (StreamState(NEW, previous_bookmark=OLD), NEW),
        "jobs move": (StreamState(NEW, shifts=True, previous_bookmark=OLD), OLD),
        "jobs move, and it went back": (
            StreamState(OLD, shifts=True, previous_bookmark=NEW),
            OLD,
        ),
        "jobs were just seen to move": (StreamState(NEW, shifts=True), None),
        "jobs move, and it is not trusted": (
            StreamState(FUTURE, shifts=True, previous_bookmark=OLD),
            None,
        ),
    },
)
def test_run_begins_at_the_bookmark_or_the_one_before_where_jobs_move(
    kept: StreamState, begin: str | None
) -> None:
    assert bookmark_of(kept).begin == begin


@cases(
    "at, floor, since",
    {
        "neither": (None, None, None),
        "start date alone": (None, OLD, OLD),
        "bookmark alone": (NEW, None, seconds_after(NEW, -60)),
        "bookmark after the start date": (NEW, OLD, seconds_after(NEW, -60)),
        "bookmark before the start date": (OLD, NEW, NEW),
        "what is read again begins before time": (FIRST, OLD, OLD),
    },
)
def test_jobs_are_read_from_a_little_before_the_bookmark_but_not_from_before_start_date(
    at: str | None, floor: str | None, since: str | None
) -> None:
    assert bookmark_of(StreamState(at), floor=floor).since() == since


@cases(
    "changes, is_under_way",
    {
        "as it was": ({}, True),
        "without a bookmark": ({"bookmark": None}, True),
        "begun at the bookmark": ({"bookmark": MIDDLE}, True),
        "begun before the bookmark": ({"bookmark": NEW}, False),
        "bookmark not trusted": ({"bookmark": FUTURE}, False),
        "nothing read": ({"created_at_read": ()}, False),
        "no beginning": ({"reading_began_at": None}, False),
        "begun as far ahead as clocks are apart": (
            {"reading_began_at": seconds_after(CLOCK, CLOCK_SKEW_SECONDS)},
            True,
        ),
        "begun further ahead": (
            {"reading_began_at": seconds_after(CLOCK, CLOCK_SKEW_SECONDS + 1)},
            False,
        ),
        "read as far ahead": (
            {"created_at_read": (("", OLD), (MIDDLE, seconds_after(CLOCK, CLOCK_SKEW_SECONDS)))},
            True,
        ),
        "read further ahead": ({"created_at_read": (("", FUTURE), (OLD, MIDDLE))}, False),
    },
)
def test_run_goes_on_with_what_one_that_was_broken_off_has_read_if_that_can_be_right(
    changes: dict[str, object], *, is_under_way: bool
) -> None:
    kept = replace(BROKEN_OFF, **changes)  # type: ignore[arg-type] # fields by name
    bookmark = bookmark_of(kept)
    assert bookmark.is_under_way is is_under_way
    assert bookmark.read == (kept.created_at_read if is_under_way else ())
    found = bookmark.meanwhile()
    assert found.created_at_read == bookmark.read
    assert found.reading_began_at == (kept.reading_began_at if is_under_way else None)


@cases(
    "kept, newest, at",
    {
        "newest listed": (StreamState(OLD), NEW, NEW),
        "older than the bookmark": (StreamState(NEW), OLD, NEW),
        "nothing listed": (StreamState(OLD), None, OLD),
        "nothing listed at first": (StreamState(), None, None),
        "first": (StreamState(), OLD, OLD),
        "beyond the clock": (StreamState(OLD), FUTURE, CLOCK),
        "bookmark a little beyond the clock": (
            StreamState(seconds_after(CLOCK, 1)),
            FUTURE,
            seconds_after(CLOCK, 1),
        ),
        "bookmark that is not trusted": (StreamState(FUTURE), OLD, OLD),
        "bookmark that is not trusted, and nothing listed": (StreamState(FUTURE), None, None),
        "since what was broken off had begun": (BROKEN_OFF, NEW, MIDDLE),
        "before what was broken off had begun": (BROKEN_OFF, EARLY, OLD),
        "since what was broken off before the bookmark had begun": (
            replace(BROKEN_OFF, bookmark=NEW),
            seconds_after(NEW, 1),
            seconds_after(NEW, 1),
        ),
        "broken off with a clock ahead": (
            replace(BROKEN_OFF, reading_began_at=seconds_after(CLOCK, 1)),
            FUTURE,
            CLOCK,
        ),
    },
)
def test_bookmark_is_the_newest_update_within_the_clock_and_never_goes_back(
    kept: StreamState, newest: str | None, at: str | None
) -> None:
    bookmark = bookmark_of(kept)
    assert bookmark.meanwhile(newest).bookmark == at
    assert bookmark.after(newest, shifted=False).bookmark == at


@cases(
    "kept, shifted, shifts, previous",
    {
        "never": (StreamState(OLD), False, False, None),
        "for the first time": (StreamState(OLD), True, True, None),
        "before": (StreamState(OLD, shifts=True, previous_bookmark=EARLY), False, True, OLD),
        "again": (StreamState(OLD, shifts=True, previous_bookmark=EARLY), True, True, OLD),
        "in the run before": (StreamState(OLD, shifts=True), False, True, OLD),
        "first in the run that was broken off": (
            replace(BROKEN_OFF, shifts=True),
            False,
            True,
            None,
        ),
        "before the run that was broken off": (
            replace(BROKEN_OFF, shifts=True, previous_bookmark=EARLY),
            False,
            True,
            OLD,
        ),
        "before, and the bookmark is not trusted": (
            StreamState(FUTURE, shifts=True, previous_bookmark=EARLY),
            False,
            True,
            None,
        ),
    },
)
def test_next_run_begins_where_this_one_did_once_jobs_were_seen_to_move(
    kept: StreamState, previous: str | None, *, shifted: bool, shifts: bool
) -> None:
    bookmark = bookmark_of(kept)
    assert bookmark.after(NEW, shifted=shifted) == StreamState(
        MIDDLE if bookmark.is_under_way else NEW, shifts=shifts, previous_bookmark=previous
    )
    meanwhile = bookmark.meanwhile(shifted=shifted)
    assert (meanwhile.shifts, meanwhile.previous_bookmark) == (shifts, kept.previous_bookmark)


def test_nothing_else_that_is_kept_is_lost_meanwhile() -> None:
    kept = replace(BROKEN_OFF, unfinished={"a": OLD}, set_aside=("b",), covers=("c",))
    assert bookmark_of(kept).meanwhile() == kept
    assert bookmark_of(kept).meanwhile(NEW) == replace(kept, bookmark=MIDDLE)
