"""The bookmarks of the tables that one listing serves: which jobs are due, and what is kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from tap_llamaclassify.api.models import Page
from tap_llamaclassify.config.settings import parse_settings
from tap_llamaclassify.replication.listing_bookmarks import ListingBookmarks
from tap_llamaclassify.replication.stream_state import StreamState
from tests.support.builders import SimulatedClock, cases, seconds_after

EARLY, OLD = "2026-09-01T00:00:00.000000Z", "2026-10-01T00:00:00.000000Z"
MIDDLE, NEW = "2026-11-01T00:00:00.000000Z", "2026-11-20T00:00:00.000000Z"
CLOCK = "2026-11-30T12:00:00.000000Z"
FUTURE = "2026-12-24T00:00:00.000000Z"
JOBS, RULES, WHOLE = "jobs", "rules", "whole"


def bookmarks_of(
    wanted: Mapping[str, StreamState | None],
    watch: SimulatedClock | None = None,
    label: str = "",
    **settings: Any,
) -> ListingBookmarks:
    settings = {"lookback_seconds": 60} | settings
    given, clock = parse_settings(settings), watch or SimulatedClock()
    if label:
        return ListingBookmarks(wanted, given, clock, label)
    return ListingBookmarks(wanted, given, clock)


def page(*updates: str | None, at: str = CLOCK, is_server_clock: bool = True) -> Page:
    items = [{"id": str(number), "updated_at": update} for number, update in enumerate(updates)]
    asked_at = datetime.fromisoformat(at)
    return Page(items, asked_at=asked_at, is_server_clock=is_server_clock)


def test_clock_is_that_of_the_first_page() -> None:
    bookmarks = bookmarks_of({JOBS: StreamState(OLD)})
    assert (bookmarks.clock, bookmarks.known_until) == (None, None)
    bookmarks.start(page())
    bookmarks.start(page(at=FUTURE, is_server_clock=False))
    assert (bookmarks.clock, bookmarks.known_until) == (CLOCK, CLOCK)
    assert bookmarks.bookmarks_by_table[JOBS].begin == OLD
    assert bookmarks.bookmarks_by_table.keys() == {JOBS}


def test_bookmarks_by_another_clock_are_not_those_that_are_gone_on_from() -> None:
    bookmarks = bookmarks_of({JOBS: StreamState(NEW), WHOLE: None})
    found = bookmarks.bookmarks_at(OLD)
    assert found.keys() == {JOBS}
    assert not found[JOBS].is_trusted
    assert bookmarks.bookmarks_by_table == {}


def test_log_says_what_is_emitted_of_each_table_and_which_bookmark_cannot_be_right(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    wanted = {JOBS: StreamState(NEW), "a": StreamState(FUTURE), "b": StreamState(FUTURE)}
    bookmarks_of(wanted, label="emea: ").start(page())
    assert caplog.messages == [
        (
            "emea: Bookmarks later than the server's clock cannot be right, and are not trusted: "
            "a, b are read from their beginning"
        ),
        f"emea: jobs: emitting what was updated since {seconds_after(NEW, -60)}",
        "emea: a: emitting everything",
        "emea: b: emitting everything",
    ]
    caplog.clear()
    bookmarks_of({"a": StreamState(FUTURE)}, start_date=OLD).start(page())
    assert caplog.messages[0].endswith(f"not trusted: a are read from {OLD}")
    assert caplog.messages[1:] == [f"a: emitting what was updated since {OLD}"]


def test_each_table_has_the_jobs_that_are_due_by_its_own_bookmark() -> None:
    wanted = {
        JOBS: StreamState(OLD),
        RULES: StreamState(NEW),
        "also": StreamState(NEW),
        "first": StreamState(),
        WHOLE: None,
    }
    bookmarks = bookmarks_of(wanted, start_date=EARLY)
    shown = page(seconds_after(EARLY, -1), EARLY, OLD, None, MIDDLE, NEW)
    items = bookmarks.due_of(shown)
    found = {name: [item["id"] for item in some] for name, some in items.items()}
    assert found == {
        JOBS: ["2", "3", "4", "5"],
        RULES: ["3", "5"],
        "also": ["3", "5"],
        "first": ["1", "2", "3", "4", "5"],
        WHOLE: ["1", "2", "3", "4", "5"],
    }
    assert items["also"] is items[RULES]
    assert bookmarks.newest == NEW
    assert bookmarks.clock == CLOCK


def test_listing_of_nothing_gives_no_bookmark() -> None:
    bookmarks = bookmarks_of({JOBS: StreamState()})
    assert bookmarks.newest is None
    bookmarks.due_of(page())
    assert bookmarks.newest is None
    assert bookmarks.after() == {JOBS: StreamState()}


def test_newest_is_the_newest_ever_noted() -> None:
    bookmarks = bookmarks_of({})
    bookmarks.note()
    assert bookmarks.newest is None
    for instants, newest in (((OLD, MIDDLE, EARLY), MIDDLE), ((OLD,), MIDDLE), ((), MIDDLE)):
        bookmarks.note(*instants)
        assert bookmarks.newest == newest
    bookmarks.note(NEW)
    assert bookmarks.newest == NEW


@cases(
    "newest, is_server_clock, known",
    {
        "the server's clock": (NEW, True, CLOCK),
        "the newest update, less what the listing took": (NEW, False, seconds_after(NEW, -90)),
        "this machine's clock, where that is earlier": (FUTURE, False, CLOCK),
        "nothing, where nothing is listed": (None, False, None),
    },
)
def test_all_is_known_until_the_servers_clock_or_what_stands_for_it(
    newest: str | None, known: str | None, *, is_server_clock: bool
) -> None:
    watch = SimulatedClock()
    watch.sleep(1000)
    bookmarks = bookmarks_of({JOBS: StreamState(OLD)}, watch)
    watch.sleep(90)
    bookmarks.due_of(page(newest, is_server_clock=is_server_clock))
    assert bookmarks.known_until == known
    assert bookmarks.sure(None) is None
    assert bookmarks.sure(EARLY) == EARLY
    assert bookmarks.sure(FUTURE) == (known or FUTURE)
    assert bookmarks.after()[JOBS].bookmark == (OLD if newest is None else min(newest, known or ""))


MOVED = (
    "emea: Jobs moved from page to page while they were listed, so some may have been passed over: "
    "the next run emits everything again, and later ones the changes of two runs"
)


@cases(
    "wanted, overlaps, said",
    {
        "seen for the first time": ({JOBS: StreamState(OLD), WHOLE: None}, True, [MOVED]),
        "seen by one table before": (
            {JOBS: StreamState(OLD, shifts=True), RULES: StreamState(OLD)},
            True,
            [MOVED],
        ),
        "seen by all before": (
            {JOBS: StreamState(OLD, shifts=True), WHOLE: None},
            True,
            [],
        ),
        "never seen": ({JOBS: StreamState(OLD)}, False, []),
    },
)
def test_jobs_that_move_are_told_of_once_and_kept_of_each_table(
    wanted: Mapping[str, StreamState | None],
    said: list[str],
    caplog: pytest.LogCaptureFixture,
    *,
    overlaps: bool,
) -> None:
    bookmarks = bookmarks_of(wanted, label="emea: ")
    shifted = page(MIDDLE)
    shifted.overlaps = overlaps
    bookmarks.due_of(shifted)
    bookmarks.due_of(page(NEW))
    by_table = {name: kept for name, kept in wanted.items() if kept is not None}
    meanwhile = bookmarks.meanwhile()
    assert {name: kept.shifts for name, kept in meanwhile.items()} == {
        name: overlaps or kept.shifts for name, kept in by_table.items()
    }
    assert {kept.bookmark for kept in meanwhile.values()} == {OLD}
    after = bookmarks.after()
    assert after == {
        name: StreamState(
            NEW,
            shifts=overlaps or kept.shifts,
            previous_bookmark=OLD if kept.shifts else None,
        )
        for name, kept in by_table.items()
    }
    assert caplog.messages == said
