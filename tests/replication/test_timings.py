"""When jobs ran: a week of data points, again from the bookmark on, and what may be missing."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tests.support.api_rows import timing_row
from tests.support.builders import Output, job, seconds_after, sync
from tests.support.items import data_point, v2_job
from tests.support.runs import at_page, select

TIMINGS = "classify_job_timings"
PATH = "/api/v1/job-data-points"
DAY = 86_400


@pytest.fixture
def sandbox(sandbox: Sandbox) -> Sandbox:
    """Run an API that shows all data points that it is asked for, however old."""
    sandbox.settings.data_points_reach = "bounds"
    return sandbox


def fetch(sandbox: Sandbox, **more: Any) -> Output:
    """Sync timings in this process."""
    sandbox.clear_requests()
    return sync(sandbox, catalog=select(sandbox, TIMINGS), **more)


def as_it_is(text: str | None) -> str | None:
    """Read a timestamp as a RECORD message holds it."""
    return text


def ids(output: Output) -> list[str]:
    """Return the ids of the jobs whose timings were written, in their order."""
    return [row["job_id"] for row in output.records(TIMINGS)]


def put(sandbox: Sandbox, identity: str, *, days: float = 0, **fields: Any) -> None:
    """Put a v2 job that was created, and last updated, so many days ago."""
    at = seconds_after(stamp(sandbox.world.now()), -days * DAY)
    given = {"project_id": sandbox.project_id, "created_at": at, "updated_at": at} | fields
    sandbox.world.put_v2(v2_job(identity, **given))


def asked_from(sandbox: Sandbox) -> list[str]:
    """Return the creation that each request has asked from."""
    return [request.query["created_at_on_or_after"] for request in sandbox.requests]


def test_rows_are_the_data_points_of_both_apis_with_one_request(sandbox: Sandbox) -> None:
    put(sandbox, "v2", days=2)
    put(sandbox, "running", days=1, status="RUNNING", result=None)
    sandbox.world.put(job("v1", project_id=sandbox.project_id, status="ERROR", error_message="x"))
    shown = sandbox.world.data_points(sandbox.project_id)
    rows = fetch(sandbox).records(TIMINGS)
    by_id = {row["job_id"]: row for row in rows}
    assert by_id == {point["id"]: timing_row(point, as_it_is) for point in shown}
    assert by_id["running"]["running_at"]
    assert not by_id["running"]["completed_at"]
    (request,) = sandbox.requests
    assert request.path == PATH
    assert request.query == {
        "job_type": "classify",
        "hours": "168",
        "page_size": "100",
        "created_at_on_or_after": "2000-01-01T00:00:00.000000Z",
    }


def test_later_run_asks_from_the_bookmark_less_reconcile_days_and_writes_what_changed(
    sandbox: Sandbox,
) -> None:
    put(sandbox, "old", days=20)
    put(sandbox, "recent", days=2)
    put(sandbox, "new", days=1)
    first = fetch(sandbox, reconcile_days=3)
    bookmark = first.bookmarks()[TIMINGS]
    assert bookmark
    put(sandbox, "newest")
    sandbox.world.touch_v2("recent", error_message="again")
    again = fetch(sandbox, reconcile_days=3, state=first.state)
    assert sorted(ids(again)) == ["new", "newest", "recent"]
    assert asked_from(sandbox) == [seconds_after(bookmark, -3 * DAY)]


def test_start_date_leaves_out_what_was_last_updated_before_it(sandbox: Sandbox) -> None:
    put(sandbox, "old", days=20)
    put(sandbox, "new", days=1)
    start_date = seconds_after(stamp(sandbox.world.now()), -2 * DAY)
    assert ids(fetch(sandbox, start_date=start_date)) == ["new"]
    assert asked_from(sandbox) == [seconds_after(start_date, -30 * DAY)]


def test_job_that_was_unfinished_is_listed_again_until_it_has_finished(sandbox: Sandbox) -> None:
    put(sandbox, "slow", days=5, status="RUNNING", result=None)
    put(sandbox, "new", days=1)
    state = fetch(sandbox, reconcile_days=0).state
    state = fetch(sandbox, reconcile_days=0, state=state).state
    assert asked_from(sandbox) == [state["bookmarks"][TIMINGS]["unfinished_jobs"]["slow"]]
    sandbox.world.touch_v2("slow", status="COMPLETED")
    finished = fetch(sandbox, reconcile_days=0, state=state)
    row = next(row for row in finished.records(TIMINGS) if row["job_id"] == "slow")
    assert row["completed_at"] == stamp(sandbox.world.now())
    assert "unfinished_jobs" not in finished.state["bookmarks"][TIMINGS]


def test_job_that_moves_to_a_page_that_was_read_comes_with_the_next_run(sandbox: Sandbox) -> None:
    sandbox.settings.order = "updated"
    put(sandbox, "slow", days=6, status="PENDING", result=None)
    for number in range(5):
        put(sandbox, f"new {number}", days=1)
    at_page(sandbox, 2, lambda: sandbox.world.touch_v2("slow", status="COMPLETED"))
    first = fetch(sandbox, page_size=2, reconcile_days=0)
    at_page(sandbox, 99, lambda: None)
    again = fetch(sandbox, page_size=2, reconcile_days=0, state=first.state)
    assert [row["status"] for row in again.records(TIMINGS) if row["job_id"] == "slow"] == [
        "completed"
    ]


def test_unfinished_jobs_are_looked_at_once_where_a_listing_has_several_pages(
    sandbox: Sandbox,
) -> None:
    for number in range(5):
        put(sandbox, f"{number}", days=1)
    assert sorted(ids(fetch(sandbox, page_size=2))) == ["0", "1", "2", "3", "4"]
    looked = [request.values("status") for request in sandbox.requests]
    assert looked == [[], ["pending", "throttled", "running"], [], [], []]


def test_job_that_finishes_before_unfinished_ones_are_looked_at_is_not_passed_over(
    sandbox: Sandbox,
) -> None:
    sandbox.settings.order = "updated"
    put(sandbox, "old", days=13, status="RUNNING", result=None)
    put(sandbox, "new", days=1)
    done: list[str] = []

    def finishes(_: int) -> None:
        if len(done) == 1:
            sandbox.world.touch_v2("old", status="COMPLETED")
        done.append("page")

    sandbox.before_page = finishes
    settings = {"page_size": 1, "reconcile_days": 0, "lookback_seconds": 0}
    first = fetch(sandbox, **settings)
    again = fetch(sandbox, state=first.state, **settings)
    rows = [*first.records(TIMINGS), *again.records(TIMINGS)]
    assert [row["status"] for row in rows if row["job_id"] == "old"][-1] == "completed"


@pytest.mark.parametrize(
    ("reach", "days", "times"),
    [("hours", 9, 1), ("hours", 6, 0), ("bounds", 9, 0)],
    ids=["too long", "not too long", "as far as it is asked"],
)
def test_hole_that_the_api_does_not_show_is_told_once(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, reach: Any, days: int, times: int
) -> None:
    sandbox.settings.data_points_reach = reach
    put(sandbox, "first")
    state = fetch(sandbox).state
    sandbox.world.advance(DAY / 2)
    put(sandbox, "perhaps missed")
    sandbox.world.advance(days * DAY)
    caplog.clear()
    again = fetch(sandbox, state=state)
    assert ("perhaps missed" not in ids(again)) == bool(times)
    assert caplog.text.count("the API shows the last 168 hours only") == times
    caplog.clear()
    fetch(sandbox, state=again.state)
    assert "hours only" not in caplog.text


def test_hole_is_told_also_where_start_date_was_moved_back(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.settings.data_points_reach = "hours"
    put(sandbox, "first")
    state = fetch(sandbox, start_date="2026-10-20").state
    sandbox.world.advance(9 * DAY)
    caplog.clear()
    fetch(sandbox, state=state, start_date="2026-10-01")
    assert caplog.text.count("the API shows the last 168 hours only") == 1


def test_nothing_is_said_where_nothing_happened_between_runs_that_came_in_time(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.settings.data_points_reach = "hours"
    put(sandbox, "first")
    state = fetch(sandbox).state
    for _ in range(3):
        sandbox.world.advance(5 * DAY)
        state = fetch(sandbox, state=state).state
    assert "hours only" not in caplog.text


def test_bookmark_later_than_the_servers_clock_is_not_trusted(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put(sandbox, "old", days=20)
    entry = {"replication_key": "updated_at", "replication_key_value": "2030-01-01T00:00:00Z"}
    output = fetch(sandbox, state={"bookmarks": {TIMINGS: entry}})
    assert ids(output) == ["old"]
    assert "cannot be right" in caplog.text


def test_transitions_that_cannot_be_read_are_kept_beside_those_that_can(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    moved = {"pending_at": "soon", "running_at": "2026-11-20T08:00:00+01:00", "queued_at": 1}
    sandbox.world.put_data_point(
        {"id": "odd", "project_id": sandbox.project_id, "state_transitions": moved}
    )
    (row,) = fetch(sandbox).records(TIMINGS)
    assert (row["pending_at"], row["running_at"]) == (None, "2026-11-20T07:00:00.000000Z")
    left = {"pending_at": "soon", "queued_at": 1}
    assert row["additional_fields"] == {"state_transitions": left}
    assert "state_transitions.pending_at 1" in caplog.text
    assert f"'{TIMINGS}.state_transitions.queued_at'" in caplog.text


def test_job_of_a_status_that_is_new_is_finished_when_it_has_an_end(sandbox: Sandbox) -> None:
    ended = {"completed_at": "2026-11-20T08:00:00Z"}
    for name, transitions in (("over", ended), ("open", {})):
        sandbox.world.put_data_point(
            data_point(name, status="archived", state_transitions=transitions)
            | {"project_id": sandbox.project_id}
        )
    kept = fetch(sandbox).state["bookmarks"][TIMINGS]
    assert [*kept["unfinished_jobs"]] == ["open"]


def test_no_version_is_activated_for_the_api_shows_the_last_days_only(sandbox: Sandbox) -> None:
    put(sandbox, "a")
    catalog = select(sandbox, TIMINGS, replication_method="FULL_TABLE")
    output = sync(sandbox, catalog=catalog, emit_activate_version_messages=True)
    assert ids(output) == ["a"]
    assert output.of_type("ACTIVATE_VERSION") == []
