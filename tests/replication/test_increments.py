"""An increment is planned before it is read: nothing is lost between two of them, nor for ever."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.config.settings import parse_settings
from tap_llamaclassify.errors import StateError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.increments import Increments, admit
from tap_llamaclassify.replication.pieces import Piece, items_of
from tap_llamaclassify.replication.reached import Reached
from tap_llamaclassify.tables.tables import TABLES, Table
from tests.replication.test_v2_bounds import A_DAY, AN_HOUR, evenly, put
from tests.support.builders import cases, connection, job, seconds_after
from tests.support.runs import put as put_v1

BY_NAME = {table.name: table for table in TABLES}
JOBS = BY_NAME["classify_v2_jobs"]


class Reader:
    """Looks, and reads what the look has planned."""

    def __init__(self, sandbox: Sandbox, table: Table = JOBS, **config: Any) -> None:
        self.sandbox = sandbox
        self.table = table
        self.settings = parse_settings(config)
        self.reached = Reached()
        self.looks()

    def looks(self) -> Increments:
        """Begin as a query does that was stopped."""
        self.increments = Increments(self.client, self.settings, self.table)
        return self.increments

    @property
    def client(self) -> Client:
        """What asks."""
        return Client(connection(self.sandbox, retry_seconds=0, page_size=self.settings.page_size))

    def look(self) -> Sequence[Piece]:
        """Return what is new."""
        before, self.reached = self.reached, self.increments.look(self.reached)
        if self.reached is before:
            return []
        self.reached = admit(self.reached, 1000, 1000)
        # As an offset has it.
        self.reached = Reached.of_json(json.loads(json.dumps(self.reached.as_json)))
        return self.reached.pieces

    def read(self, pieces: Sequence[Piece]) -> list[str]:
        """Return the ids of what pieces bring."""
        return [
            item["id"]
            for piece in pieces
            for items in items_of(self.client, self.settings, self.table, piece)
            for item in items
        ]

    def new(self) -> set[str]:
        """Return the ids of what is new."""
        return {*self.read(self.look())}


def test_look_at_which_nothing_is_new_takes_one_request_and_ends_where_it_began(
    sandbox: Sandbox,
) -> None:
    put(sandbox, {"a": 10, "b": AN_HOUR})
    reader = Reader(sandbox)
    assert reader.new() == {"a", "b"}
    sandbox.world.advance(60)
    sandbox.clear_requests()
    assert reader.look() == []
    assert len(sandbox.requests) == 1


def test_look_while_jobs_are_unfinished_asks_for_them_and_is_no_news_until_one_changes(
    sandbox: Sandbox,
) -> None:
    put(sandbox, {"a": AN_HOUR, "b": AN_HOUR})
    sandbox.world.touch_v2("a", status="PENDING")
    reader = Reader(sandbox)
    reader.new()
    sandbox.world.advance(AN_HOUR)
    sandbox.clear_requests()
    assert reader.look() == []
    assert len(sandbox.requests) == 3
    sandbox.world.touch_v2("a", status="RUNNING")
    assert "a" in reader.new()
    sandbox.world.touch_v2("a", status="COMPLETED")
    assert "a" in reader.new()
    sandbox.world.advance(AN_HOUR)
    assert reader.look() == []


def test_job_that_changes_after_the_look_comes_with_the_next_increment_too(
    sandbox: Sandbox,
) -> None:
    put(sandbox, {"a": AN_HOUR, "b": AN_HOUR})
    sandbox.world.touch_v2("a", status="RUNNING")
    reader = Reader(sandbox)
    pieces = reader.look()
    assert {*reader.read(pieces)} == {"a", "b"}
    sandbox.world.advance(AN_HOUR)
    sandbox.world.touch_v2("a", status="FAILED")
    put(sandbox, {"new": 10})
    # After a restart.
    assert {*reader.read(pieces)} == {"a", "b"}
    assert reader.new() == {"a", "new"}


def test_status_that_nobody_knows_is_asked_for_until_it_is_over(sandbox: Sandbox) -> None:
    put(sandbox, {"a": AN_HOUR})
    sandbox.world.touch_v2("a", status="RUNNING")
    reader = Reader(sandbox)
    reader.new()
    for status in ("PAUSED", "RESUMED", "COMPLETED"):
        sandbox.world.advance(AN_HOUR)
        sandbox.world.touch_v2("a", status=status)
        assert reader.new() == {"a"}
    sandbox.world.advance(AN_HOUR)
    assert reader.look() == []


def test_new_job_of_a_status_that_nobody_knows_is_asked_for_again(sandbox: Sandbox) -> None:
    put(sandbox, {"a": AN_HOUR})
    sandbox.world.touch_v2("a", status="PAUSED")
    reader = Reader(sandbox)
    reader.new()
    sandbox.world.advance(AN_HOUR)
    sandbox.world.touch_v2("a", status="COMPLETED")
    assert reader.new() == {"a"}


def test_unfinished_job_without_updated_at_is_told_from_what_it_becomes(sandbox: Sandbox) -> None:
    put(sandbox, {"a": AN_HOUR})
    sandbox.world.touch_v2("a", status="RUNNING", updated_at=None)
    reader = Reader(sandbox)
    reader.new()
    sandbox.world.advance(AN_HOUR)
    assert reader.look() == []
    sandbox.world.touch_v2("a", status="RUNNING", updated_at=None, error_message="a sign")
    assert reader.new() == {"a"}


def test_job_that_is_shown_late_comes_within_the_lookback(sandbox: Sandbox) -> None:
    put(sandbox, {"a": AN_HOUR})
    reader = Reader(sandbox)
    reader.new()
    sandbox.world.advance(60)
    put(sandbox, {"late": 200})
    assert reader.new() >= {"late"}
    sandbox.world.advance(60)
    assert reader.look() == []


def test_finished_jobs_that_change_are_seen_within_a_day(sandbox: Sandbox) -> None:
    ages = enumerate(evenly(250, 6 * A_DAY))
    put(sandbox, {"old": 8 * A_DAY, **{f"{number}": age + AN_HOUR for number, age in ages}})
    reader = Reader(sandbox, reconcile_days=7)
    reader.new()
    # What is recent was not known from so many.
    assert reader.new() == set()
    sandbox.world.advance(AN_HOUR)
    for id_ in ("7", "249", "old"):
        sandbox.world.touch_v2(id_, error_message="changed")
    assert reader.look() == []
    sandbox.world.advance(A_DAY)
    # One that was too old when it changed is seen by a full refresh only.
    assert reader.new() == {"7", "249"}
    sandbox.world.advance(AN_HOUR)
    assert reader.look() == []


def test_reconcile_days_of_zero_trusts_that_none_does(sandbox: Sandbox) -> None:
    put(sandbox, {"a": AN_HOUR})
    reader = Reader(sandbox, reconcile_days=0)
    reader.new()
    sandbox.world.advance(2 * A_DAY)
    sandbox.world.touch_v2("a", error_message="changed")
    assert reader.look() == []


def test_what_is_made_after_the_stop_is_left_to_another_run(sandbox: Sandbox) -> None:
    put(sandbox, {"a": AN_HOUR})
    reader = Reader(sandbox)
    reader.increments.stop_at_now()
    sandbox.world.advance(AN_HOUR)
    put(sandbox, {"new": 10})
    assert reader.new() == {"a"}
    reader.looks()
    assert reader.new() == {"new"}


def test_without_a_date_in_replies_no_job_is_lost_to_a_clock_that_is_ahead(
    sandbox: Sandbox,
) -> None:
    sandbox.settings.date = False
    put(sandbox, {f"{number}": 10 * A_DAY - number for number in range(5)})
    reader = Reader(sandbox, page_size=2)
    found = reader.new()
    for number in range(5, 15):
        sandbox.world.advance(AN_HOUR)
        put(sandbox, {f"{number}": 10})
        found |= reader.new()
    assert found == {f"{number}" for number in range(15)}


def test_api_that_cannot_choose_by_status_is_read_whole_from_then_on(sandbox: Sandbox) -> None:
    put(sandbox, {f"{number}": A_DAY * number for number in range(9)})
    sandbox.world.touch_v2("3", status="RUNNING")
    sandbox.settings.bounds = "ignored"
    reader = Reader(sandbox, page_size=2)
    assert [piece.is_all for piece in reader.look()] == [True]
    sandbox.settings.bounds = "exact"
    reader.looks()
    sandbox.world.advance(A_DAY)
    sandbox.world.touch_v2("3", status="COMPLETED")
    sandbox.world.touch_v2("8", error_message="changed")
    pieces = reader.look()
    assert [piece.is_all for piece in pieces] == [True]
    assert {*reader.read(pieces)} >= {"3", "8"}


def test_offset_later_than_the_servers_clock_is_not_trusted(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put(sandbox, {"a": AN_HOUR})
    reader = Reader(sandbox)
    reader.reached = Reached(until="2099-01-01T00:00:00.000000Z")
    with caplog.at_level(logging.WARNING):
        assert reader.new() == {"a"}
    assert "is later than the server's clock" in caplog.text


@pytest.mark.parametrize("table", ["classify_jobs", "classify_job_rules"])
def test_v1_brings_what_was_updated_between_two_looks(table: str, sandbox: Sandbox) -> None:
    now = sandbox.world.now().isoformat()
    for name in ("a", "b"):
        put_v1(sandbox, job(name, created_at=now, updated_at=now))
    reader = Reader(sandbox, BY_NAME[table], lookback_seconds=60)
    sandbox.world.advance(100)
    first = reader.look()
    assert {*reader.read(first)} == {"a", "b"}
    sandbox.world.advance(AN_HOUR)
    sandbox.world.touch("a", status="CANCELLED")
    # Read again, the change is left to the next.
    assert {*reader.read(first)} == {"b"}
    assert reader.new() == {"a"}


@cases(
    "table, endpoint",
    {
        "projects by themselves": ("classify_projects", "/api/v1/projects"),
        "results by v1 jobs": ("classify_job_results", "/api/v1/classifier/jobs"),
        "usage by projects": ("classify_usage", "/api/v1/projects"),
        "files by v2 jobs": ("classify_files", "/api/v2/classify"),
    },
)
def test_other_tables_ask_for_the_servers_clock_once(
    table: str, endpoint: str, sandbox: Sandbox
) -> None:
    reader = Reader(sandbox, BY_NAME[table])
    (piece,) = reader.look()
    assert piece.is_all
    assert [request.path for request in sandbox.requests] == [endpoint]
    assert piece.until == seconds_after(reader.reached.until or "", 2)


def test_some_pages_are_admitted_but_one_piece_at_least() -> None:
    left = [Piece(end=f"{number}", pages=pages) for number, pages in enumerate((9, 3, 3, 3))]
    some = admit(Reached(left=left), 7, 10)
    assert [piece.end for piece in some.pieces] == ["0"]
    more = admit(some, 7, 10)
    assert [piece.end for piece in more.pieces] == ["1", "2"]
    assert [piece.end for piece in admit(some, 1000, 1).pieces] == ["1"]
    assert [piece.end for piece in admit(more, 1000, 10).pieces] == ["3"]


@pytest.mark.parametrize(
    "change",
    [{"until": "soon"}, {"until": 5}, {"pieces": [{"where": 1}]}, {"unfinished": []}, {"more": 1}],
    ids=str,
)
def test_offset_that_is_not_understood_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(StateError, match="not understood"):
        Reached.of_json(Reached().as_json | change)
    with pytest.raises(StateError, match="not understood"):
        Reached.of_json({})
