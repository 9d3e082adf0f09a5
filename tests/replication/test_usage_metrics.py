"""What was counted and billed: pages, not a request a job; days since the bookmark less three."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tests.support.builders import Output, seconds_after, sync
from tests.support.commands import Command
from tests.support.items import usage_metric
from tests.support.runs import bookmark_at, config_of, failure, select, success, warning

USAGE, PROJECTS = "classify_usage", "classify_projects"
PATH = "/api/v1/beta/usage-metrics"
DEFAULT = ["pages_classified", "image_classified", "pages_parsed"]


def metric(sandbox: Sandbox, identity: str, day: str | None, **fields: Any) -> dict[str, Any]:
    """Make a usage metric."""
    owner = {
        "organization_id": sandbox.world.organization_id,
        "project_id": sandbox.project_id,
    }
    return usage_metric(identity, day=day, **owner, **fields)


def put(sandbox: Sandbox, **days: str) -> None:
    """Put metrics of some days."""
    for identity, day in days.items():
        sandbox.world.put_usage_metric(metric(sandbox, identity, day))


def fetch(sandbox: Sandbox, *others: str, **more: Any) -> Output:
    """Sync usage, and perhaps other streams, in this process."""
    sandbox.clear_requests()
    return sync(sandbox, catalog=select(sandbox, USAGE, *others), **more)


def ids(output: Output) -> list[str]:
    """Return the ids of the metrics that were written, sorted."""
    return sorted(row["id"] for row in output.records(USAGE))


def own(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    """Make the setting of the organization, and others."""
    return {"organization_id": sandbox.world.organization_id, **more}


def test_rows_are_the_metrics_of_the_organization_that_is_set(sandbox: Sandbox) -> None:
    shown = metric(sandbox, "a", "2026-11-20")
    sandbox.world.put_usage_metric(shown)
    output = fetch(sandbox, **own(sandbox, project_id=sandbox.project_id))
    assert output.records(USAGE) == [shown | {"additional_fields": None}]
    (request,) = sandbox.requests
    assert request.path == PATH
    assert request.values("event_types") == DEFAULT
    assert {name: request.query[name] for name in request.query if name != "event_types"} == {
        "organization_id": sandbox.world.organization_id,
        "project_id": sandbox.project_id,
        "page_size": "100",
    }


def test_organizations_are_those_that_projects_name_which_are_listed_once(sandbox: Sandbox) -> None:
    put(sandbox, a="2026-11-20")
    assert ids(fetch(sandbox)) == ["a"]
    assert [request.path for request in sandbox.requests] == ["/api/v1/projects", PATH]
    output = fetch(sandbox, PROJECTS)
    assert ids(output) == ["a"]
    assert len(output.records(PROJECTS)) == 3
    assert [request.path for request in sandbox.requests] == ["/api/v1/projects", PATH]


def test_organization_that_the_key_may_not_ask_for_is_told_and_the_others_are_read(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, a="2026-11-20")
    sandbox.world.put_project({"id": "other", "organization_id": str(UUID(int=0))})
    given = ["--config", config_of(sandbox, emit_activate_version_messages=True)]
    catalog = select(sandbox, USAGE)
    ended = quick_command(*given, "--catalog", catalog)
    said = warning(ended)
    assert "answered 403" in said
    assert "for 1 of 2 organizations" in said
    assert f"Rows of {USAGE} are left out" in said
    assert ids(ended.output) == ["a"]
    covers = ended.output.state["bookmarks"][USAGE]["covers"]
    assert covers == sorted(f"{sandbox.world.organization_id} {name}" for name in DEFAULT)
    assert "for 1 of 2" in failure(
        quick_command("--config", config_of(sandbox, require_all=True), "--catalog", catalog)
    )
    # What is left out is not taken to be no more.
    whole = select(sandbox, USAGE, replication_method="FULL_TABLE")
    again = quick_command(*given, "--catalog", whole)
    assert again.output.of_type("ACTIVATE_VERSION") == []


def test_organization_that_is_refused_for_a_time_is_read_from_its_beginning_then(
    sandbox: Sandbox,
) -> None:
    put(sandbox, a="2026-11-20")
    sandbox.world.put_project({"id": "other", "organization_id": str(UUID(int=0))})
    entry = bookmark_at("2026-11-19", "day") | {"covers": [f"0-other {name}" for name in DEFAULT]}
    state = fetch(sandbox, state={"bookmarks": {USAGE: entry}}).state
    assert not any("other" in name for name in state["bookmarks"][USAGE]["covers"])
    sandbox.answer_next(200, [{"id": "p", "organization_id": "0-other"}])
    late = metric(sandbox, "late", "2026-11-10") | {"organization_id": "0-other"}
    sandbox.answer_next(200, {"items": [late]})
    assert ids(fetch(sandbox, state=state)) == ["late"]
    assert "day_on_or_after" not in sandbox.requests[-1].query


def test_event_type_that_was_not_set_for_a_time_is_read_from_its_beginning_then(
    sandbox: Sandbox,
) -> None:
    put(sandbox, a="2026-11-20")
    state = fetch(sandbox, **own(sandbox)).state
    state = fetch(sandbox, state=state, usage_event_types=["pages_split"], **own(sandbox)).state
    put(sandbox, late="2026-11-10")
    assert ids(fetch(sandbox, state=state, **own(sandbox))) == ["a", "late"]


def test_days_from_the_bookmark_less_three_are_read_again(sandbox: Sandbox) -> None:
    put(sandbox, older="2026-11-16", old="2026-11-17", new="2026-11-20")
    first = fetch(sandbox)
    assert first.bookmarks() == {USAGE: "2026-11-20"}
    put(sandbox, late="2026-11-17", newest="2026-11-21")
    again = fetch(sandbox, state=first.state)
    assert sandbox.requests[-1].query["day_on_or_after"] == "2026-11-17"
    assert ids(again) == ["late", "new", "newest", "old"]
    assert again.bookmarks() == {USAGE: "2026-11-21"}


def test_what_lies_before_is_left_out_though_the_api_shows_it(sandbox: Sandbox) -> None:
    put(sandbox, new="2026-11-20")
    state = fetch(sandbox, **own(sandbox)).state
    items = [metric(sandbox, day, day) for day in ("2026-11-16", "2026-11-17")]
    items.append(metric(sandbox, "undated", None))
    sandbox.answer_next(200, {"items": items})
    assert ids(fetch(sandbox, state=state, **own(sandbox))) == ["2026-11-17", "undated"]


def test_start_date_leaves_out_the_days_before_it(sandbox: Sandbox) -> None:
    put(sandbox, old="2026-11-17", new="2026-11-18")
    first = fetch(sandbox, start_date="2026-11-18T12:00:00Z")
    assert ids(first) == ["new"]
    assert sandbox.requests[-1].query["day_on_or_after"] == "2026-11-18"
    again = fetch(sandbox, start_date="2026-11-18", state=first.state)
    assert ids(again) == ["new"]
    assert len([each for each in sandbox.requests if each.path == PATH]) == 1


def test_event_type_that_is_set_later_gets_its_whole_history(sandbox: Sandbox) -> None:
    put(sandbox, old="2026-09-01", new="2026-11-20")
    sandbox.world.put_usage_metric(metric(sandbox, "split", "2026-09-01", event_type="pages_split"))
    first = fetch(sandbox)
    assert ids(first) == ["new", "old"]
    types = [*DEFAULT, "pages_split"]
    again = fetch(sandbox, state=first.state, usage_event_types=types)
    assert ids(again) == ["new", "split"]
    assert [each.values("event_types") for each in sandbox.requests if each.path == PATH] == [
        DEFAULT,
        ["pages_split"],
    ]
    third = fetch(sandbox, state=again.state, usage_event_types=types)
    assert ids(third) == ["new"]


def test_organization_that_comes_later_gets_its_whole_history(sandbox: Sandbox) -> None:
    put(sandbox, old="2026-09-01", new="2026-11-20")
    entry = bookmark_at("2026-11-20", "day") | {"covers": [f"other {name}" for name in DEFAULT]}
    output = fetch(sandbox, state={"bookmarks": {USAGE: entry}})
    assert ids(output) == ["new", "old"]


def test_credits_of_many_jobs_cost_pages_and_not_a_request_a_job(sandbox: Sandbox) -> None:
    for number in range(1000):
        sandbox.world.put_usage_metric(metric(sandbox, f"{number}", "2026-11-20"))
    assert len(fetch(sandbox, page_size=250, **own(sandbox)).records(USAGE)) == 1000
    assert len(sandbox.requests) == 4


def test_metrics_that_move_from_page_to_page_are_all_read_again(sandbox: Sandbox) -> None:
    put(sandbox, old="2026-09-01", new="2026-11-20")
    once, twice = metric(sandbox, "a", "2026-11-19"), metric(sandbox, "b", "2026-11-20")
    sandbox.answer_next(200, {"items": [once, twice], "next_page_token": "t"})
    sandbox.answer_next(200, {"items": [twice]})
    state = fetch(sandbox, **own(sandbox)).state
    assert state["bookmarks"][USAGE]["previous_replication_key_value"] is None
    assert ids(fetch(sandbox, state=state, **own(sandbox))) == ["new", "old"]


def test_bookmark_later_than_the_servers_clock_is_not_trusted(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put(sandbox, old="2026-09-01", new="2026-11-20")
    state = fetch(sandbox).state
    state["bookmarks"][USAGE]["replication_key_value"] = "2030-01-01"
    again = fetch(sandbox, state=state)
    assert "cannot be right: it is read from its beginning" in caplog.text
    assert ids(again) == ["new", "old"]
    assert again.bookmarks() == {USAGE: "2026-11-20"}


def test_bookmark_goes_no_further_than_the_servers_day(sandbox: Sandbox) -> None:
    today = stamp(sandbox.world.now())[:10]
    put(sandbox, ahead=seconds_after(stamp(sandbox.world.now()), 5 * 86_400)[:10], now=today)
    assert (fetch(sandbox).bookmarks()[USAGE] or "") <= today


def test_values_that_do_not_fit_are_kept_and_counted(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    odd = {"day": "soon", "value": 1.5, "credits": "2", "usage_tags": ["a", 1], "properties": [1]}
    sandbox.answer_next(200, {"items": [metric(sandbox, "a", None) | odd]})
    (row,) = fetch(sandbox, **own(sandbox)).records(USAGE)
    assert row["additional_fields"] == odd
    assert {row[name] for name in odd} == {None}
    assert "5 values did not fit" in caplog.text


def test_projects_that_name_no_organization_fail_the_stream_and_say_what_to_set(
    sandbox: Sandbox, quick_command: Command
) -> None:
    sandbox.answer_next(200, [{"id": "a"}])
    ended = quick_command("--config", config_of(sandbox), "--catalog", select(sandbox, USAGE))
    error = failure(ended)
    assert "no project names its organization; set organization_id" in error


def test_usage_is_left_out_and_the_way_out_is_told_where_the_projects_are_not_there(
    sandbox: Sandbox, quick_command: Command
) -> None:
    sandbox.settings.gone = {"/api/v1/projects": 404}
    catalog = select(sandbox, USAGE, PROJECTS)
    ended = quick_command("--config", config_of(sandbox), "--catalog", catalog)
    assert "answered 404" in failure(ended)
    (said,) = ended.lines("WARNING")
    assert f"or set organization_id. Rows of {USAGE} are left out" in said
    assert len(sandbox.requests) == 1


def test_organizations_of_all_pages_of_projects_are_read(sandbox: Sandbox) -> None:
    first = {"items": [{"id": "a", "organization_id": "one"}], "next_page_token": "t"}
    sandbox.answer_next(200, first)
    sandbox.answer_next(200, {"items": [{"id": "b", "organization_id": "two"}]})
    for name in ("one", "two"):
        sandbox.answer_next(200, {"items": [metric(sandbox, f"of {name}", "2026-11-20")]})
    assert ids(fetch(sandbox, PROJECTS)) == ["of one", "of two"]
    assert len(sandbox.requests) == 4


def test_trial_run_asks_for_one_page(sandbox: Sandbox, quick_command: Command) -> None:
    put(sandbox, **{f"m{n}": "2026-11-20" for n in range(5)})
    sandbox.world.put_project({"id": "other", "organization_id": "z-other"})
    given = ["--config", config_of(sandbox, page_size=2), "--catalog", select(sandbox, USAGE)]
    assert len(success(quick_command(*given, "--test")).records(USAGE)) == 1
    assert [request.path for request in sandbox.requests].count(PATH) == 1
