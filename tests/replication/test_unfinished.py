"""Unfinished jobs are remembered, asked for again, and given up only with a warning."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import quote

import pytest

from tap_llamaclassify.replication.unfinished import LONGEST_QUERY, MOST, Unfinished, is_finished

CLOCK = "2026-11-30T12:00:00.000000Z"
YESTERDAY = "2026-11-29T12:00:00.000000Z"
EDGE = "2026-10-31T12:00:00.000000Z"
LONG_AGO = "2026-10-31T11:59:59.999999Z"


def seen(id_: str, status: Any = "PENDING", created_at: Any = YESTERDAY) -> dict[str, Any]:
    return {"id": id_, "status": status, "created_at": created_at}


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELLED"])
def test_job_with_an_ending_is_finished(status: str) -> None:
    assert is_finished(seen("job", status))


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "PAUSED", "completed", "", None])
def test_job_with_any_other_status_is_not(status: Any) -> None:
    assert not is_finished(seen("job", status))
    assert not is_finished({"id": "job"})


def test_unfinished_jobs_are_left_and_finished_ones_forgotten() -> None:
    unfinished = Unfinished([{"old": YESTERDAY, "ended": YESTERDAY}])
    unfinished.note([seen("new", "SOMETHING"), seen("ended", "FAILED"), seen("x", "COMPLETED")], "")
    assert unfinished.left(CLOCK) == {"old": YESTERDAY, "new": YESTERDAY}


def test_what_any_table_remembers_is_asked_for() -> None:
    unfinished = Unfinished([{"a": YESTERDAY}, {"b": YESTERDAY}, {}])
    assert [*unfinished.not_met()] == [["a", "b"]]


def test_job_that_was_met_is_not_asked_for_but_one_that_is_expected_is() -> None:
    unfinished = Unfinished([{"known": YESTERDAY}])
    unfinished.expect([seen("coming"), seen("done", "COMPLETED"), seen("met")], CLOCK)
    unfinished.note([seen("met"), seen("known"), seen("new")], CLOCK)
    assert [*unfinished.not_met()] == [["coming"]]
    assert unfinished.left(CLOCK).keys() == {"known", "coming", "met", "new"}


def test_jobs_that_are_expected_are_not_met_beside_those_that_are_known() -> None:
    unfinished = Unfinished([{"known": YESTERDAY}])
    unfinished.expect([seen("coming", created_at=None)], CLOCK)
    assert [*unfinished.not_met()] == [["coming", "known"]]
    assert unfinished.left(CLOCK) == {"known": YESTERDAY, "coming": CLOCK}


def test_no_job_is_too_old_at_the_beginning_of_time() -> None:
    assert Unfinished([{"old": LONG_AGO}]).left("0001-01-01T00:00:00.000000Z") == {"old": LONG_AGO}


def test_job_without_created_at_counts_from_when_it_was_first_seen() -> None:
    unfinished = Unfinished([{"known": EDGE}])
    unfinished.note([seen("known", created_at=None), seen("new", created_at=None)], CLOCK)
    assert unfinished.left(CLOCK) == {"known": EDGE, "new": CLOCK}


def test_hundred_are_asked_for_at_once() -> None:
    jobs = {f"clj-{n:04}": YESTERDAY for n in range(250)}
    asked = [*Unfinished([jobs]).not_met()]
    assert [len(ids) for ids in asked] == [100, 100, 50]
    assert [id_ for ids in asked for id_ in ids] == sorted(jobs)


def test_long_ids_are_asked_for_in_short_requests() -> None:
    jobs = {f"{n}-{'ä' * 250}": YESTERDAY for n in range(10)}
    asked = [*Unfinished([jobs]).not_met()]
    assert sorted(id_ for ids in asked for id_ in ids) == sorted(jobs)
    assert [len(quote("".join(ids))) <= LONGEST_QUERY for ids in asked] == [True] * 4


def test_id_too_long_for_an_address_is_counted_and_not_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    longest, too_long = "x" * LONGEST_QUERY, "ä" * (LONGEST_QUERY // 6 + 1)
    unfinished = Unfinished([{longest: YESTERDAY, too_long: YESTERDAY}])
    assert [*unfinished.not_met()] == [[longest]]
    assert unfinished.left(CLOCK).keys() == {longest}
    unfinished.warn(CLOCK)
    assert caplog.messages[0].startswith("1 jobs are unfinished and not asked for again")


def test_request_takes_ids_up_to_its_longest_and_each_further_one_as_many() -> None:
    ids = [name * (LONGEST_QUERY // 3) for name in "abcdef"]
    assert [*Unfinished([dict.fromkeys([*ids, "g"], YESTERDAY)]).not_met()] == [
        ids[:3],
        ids[3:],
        ["g"],
    ]


def test_id_is_as_long_as_it_becomes_in_an_address() -> None:
    slashes = "/" * (LONGEST_QUERY // 3)
    assert [*Unfinished([{slashes: YESTERDAY, f"{slashes}/": YESTERDAY}]).not_met()] == [[slashes]]


def test_job_is_asked_for_once_more_though_it_was_met_and_may_have_finished() -> None:
    unfinished = Unfinished([])
    jobs = [seen("dated", "COMPLETED"), seen("undated", "COMPLETED", created_at=None)]
    unfinished.note(jobs, CLOCK)
    assert [*unfinished.not_met()] == []
    for job in jobs:
        unfinished.ask_again(job, CLOCK)
    assert [*unfinished.not_met()] == [["dated", "undated"]]
    assert unfinished.left(CLOCK) == {"dated": YESTERDAY, "undated": CLOCK}
    unfinished.met_again()
    assert [*unfinished.not_met()] == []
    assert unfinished.left(CLOCK) == {}


def test_newest_thousand_are_left(caplog: pytest.LogCaptureFixture) -> None:
    unfinished = Unfinished([])
    jobs = [seen(f"{n}", created_at=f"2026-11-29T12:00:00.{n:06}Z") for n in range(MOST + 5)]
    unfinished.note(jobs, CLOCK)
    assert unfinished.left(CLOCK).keys() == {f"{n}" for n in range(5, MOST + 5)}
    unfinished.warn(CLOCK)
    assert caplog.messages[0].startswith("5 jobs are unfinished and not asked for again")


def test_jobs_older_than_thirty_days_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    unfinished = Unfinished([{"edge": EDGE, "old": LONG_AGO}], "north: ")
    assert unfinished.left(CLOCK) == {"edge": EDGE}
    unfinished.warn(CLOCK)
    assert caplog.messages == [
        (
            "north: 1 jobs are unfinished and not asked for again, for they are older than 30 "
            "days or more than 1000, or have too long ids: how they end is seen by a full refresh "
            "only"
        )
    ]


def test_nothing_is_said_when_all_are_asked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    Unfinished([{"edge": EDGE}]).warn(CLOCK)
    assert caplog.messages == []
