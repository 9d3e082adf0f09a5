"""What v1 jobs came to: which are asked for, in which order, and where a broken run goes on."""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.http.client import Client, Reply
from tap_llamaclassify.http.pacing import Clock, RateLimiter
from tests.support.batch_files import batch_config, files_of, lines_of
from tests.support.builders import (
    DEFAULT_STREAMS,
    STREAMS,
    Message,
    Output,
    captured,
    catalog_with,
    job,
    new_tap,
    sync,
)
from tests.support.commands import Command
from tests.support.items import result, v2_job
from tests.support.moments import PATIENCE, at
from tests.support.processes import started, whole_lines
from tests.support.simulated import Life, clock_of

RESULTS = "classify_job_results"

Row = dict[str, Any]


def put(sandbox: Sandbox, *jobs: Row) -> None:
    """Add jobs to the first project."""
    for each in jobs:
        sandbox.world.put(each | {"project_id": sandbox.project_id})


def put_many(sandbox: Sandbox, count: int, **fields: Any) -> None:
    """Add jobs, one a second, listed in another order than that."""
    sandbox.settings.order = "shuffled"
    put(sandbox, *(job(f"j{n:04}", updated_at=at(n), **fields) for n in range(count)))


def select(sandbox: Sandbox, *streams: str, **wish: Any) -> dict[str, Any]:
    """Make a catalog of some streams; the wish is for all of them."""
    entries = {name: wish | {"selected": name in streams} for name in (*STREAMS, RESULTS)}
    return catalog_with(sandbox, **entries)


def fetch(sandbox: Sandbox, *, state: Any = None, streams: Any = (RESULTS,), **more: Any) -> Output:
    """Sync results in this process, with no lookback."""
    settings = {"fetch_results": True, "lookback_seconds": 0} | more
    return sync(sandbox, state=state, catalog=select(sandbox, *streams), **settings)


def asked(sandbox: Sandbox) -> list[str]:
    """Return the ids of the jobs whose results were asked for, in the order of arrival."""
    paths = [request.path for request in sandbox.requests]
    found = [re.fullmatch(r"/api/v1/classifier/jobs/(.*)/results", path) for path in paths]
    return [match[1] for match in found if match]


def listings(sandbox: Sandbox) -> int:
    """Count the pages of jobs that were asked for."""
    return len(sandbox.requests) - len(asked(sandbox))


def expected(sandbox: Sandbox, *ids: str, project_id: str | None = None) -> list[Row]:
    """Work out the rows of some jobs from what the world holds, by job."""
    return [
        {
            "id": each["id"],
            "job_id": id_,
            "project_id": project_id or sandbox.project_id,
            "file_id": each["file_id"],
            "type": (each["result"] or {}).get("type"),
            "confidence": (each["result"] or {}).get("confidence"),
            "reasoning": (each["result"] or {}).get("reasoning"),
            "created_at": each["created_at"],
            "updated_at": each["updated_at"],
            "job_updated_at": sandbox.world.job(id_)["updated_at"],
            "additional_fields": None,
        }
        for id_ in ids
        for each in sandbox.world.results(id_)
    ]


def bookmark(state: Mapping[str, Any]) -> str | None:
    """Return how far the results have come."""
    entry = state.get("bookmarks", {}).get(RESULTS, {})
    value: str | None = entry.get("replication_key_value")
    return value


@contextmanager
def at_results(sandbox: Sandbox, do: Callable[[int, str], object]) -> Iterator[None]:
    """Do something in the server's thread before it makes the results of each job."""
    of_world, count = sandbox.world.results, 0

    def results(job_id: str, **scope: Any) -> list[Any]:
        nonlocal count
        count += 1
        do(count, job_id)
        return of_world(job_id, **scope)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox.world, "results", results)
        yield


@pytest.fixture
def config(sandbox: Sandbox) -> dict[str, Any]:
    """Settings for the sandbox that allow for results, with neither retries nor lookback."""
    return {
        "api_url": sandbox.url,
        "api_key": sandbox.key,
        "retry_seconds": 0,
        "lookback_seconds": 0,
        "fetch_results": True,
    }


# What is asked for.


def test_rows_are_what_the_api_says_of_each_finished_job_s_files(sandbox: Sandbox) -> None:
    statuses = ("SUCCESS", "ERROR", "PARTIAL_SUCCESS", "CANCELLED", "BRAND_NEW")
    put(sandbox, *(job(s, status=s, updated_at=at(n)) for n, s in enumerate(statuses)))
    rows = fetch(sandbox).records(RESULTS)
    assert rows == expected(sandbox, *statuses)
    assert len(rows) > len(statuses)
    assert {row["type"] for row in rows} >= {"invoice", None}


def test_results_are_not_selected_unless_asked_for(sandbox: Sandbox, command: Command) -> None:
    put(sandbox, job("a"))
    config = {"api_url": sandbox.url, "api_key": sandbox.key, "fetch_results": True}
    ended = command("--config", config)
    assert ended.code == 0
    assert asked(sandbox) == []
    assert {m["stream"] for m in ended.output.of_type("SCHEMA")} == {*DEFAULT_STREAMS}


def test_selected_results_are_left_out_with_a_warning_unless_the_setting_allows_them(
    sandbox: Sandbox, config: Row, quick_command: Command
) -> None:
    put(sandbox, job("a"))
    catalog = select(sandbox, *STREAMS, RESULTS)
    ended = quick_command("--config", config | {"fetch_results": False}, "--catalog", catalog)
    assert ended.code == 0
    (line,) = [line for line in ended.lines("WARNING") if RESULTS in line]
    assert f"{RESULTS} is selected and left out: it takes a request a job" in line
    assert (listings(sandbox), asked(sandbox)) == (1, [])
    assert RESULTS not in {m["stream"] for m in ended.output.of_type("SCHEMA")}
    assert RESULTS not in ended.output.state["bookmarks"]


def test_pending_jobs_are_not_asked_for(sandbox: Sandbox) -> None:
    sandbox.settings.pending_results = "404"
    put(sandbox, job("done"), job("running", status="PENDING"), job("no status", status=None))
    rows = fetch(sandbox).records(RESULTS)
    assert sorted(asked(sandbox)) == ["done", "no status"]
    assert {row["job_id"] for row in rows} == {"done", "no status"}


def test_jobs_are_asked_for_in_the_order_of_their_updates_and_those_without_come_last(
    sandbox: Sandbox,
) -> None:
    sandbox.settings.order = "shuffled"
    put(sandbox, job("null", updated_at=None), job("soon", updated_at="soon"))
    put(sandbox, job("third", updated_at="2026-11-03T00:00:00+05:00"))
    put(sandbox, job("second", updated_at="2026-11-02T18:59:59.999Z"))
    put(sandbox, job("first", updated_at="2026-11-02"), job("fourth", updated_at=at(1e6)))
    output = fetch(sandbox, parallel_requests=1, page_size=2)
    assert asked(sandbox)[:4] == ["first", "second", "third", "fourth"]
    assert sorted(asked(sandbox)[4:]) == ["null", "soon"]
    jobs = list(dict.fromkeys(row["job_id"] for row in output.records(RESULTS)))
    assert jobs[:4] == ["first", "second", "third", "fourth"]
    assert bookmark(output.state) == at(1e6)


def test_jobs_without_an_update_are_asked_for_in_every_run(sandbox: Sandbox) -> None:
    put(sandbox, job("null", updated_at=None), job("old", updated_at=at(0)))
    put(sandbox, job("new", updated_at=at(1)))
    state = fetch(sandbox).state
    sandbox.clear_requests()
    fetch(sandbox, state=state)
    assert sorted(asked(sandbox)) == ["new", "null"]


def test_one_listing_serves_jobs_and_results(sandbox: Sandbox) -> None:
    put_many(sandbox, 7)
    output = fetch(sandbox, streams=(*STREAMS, RESULTS), page_size=3)
    assert (listings(sandbox), len(asked(sandbox))) == (3, 7)
    assert len(output.ids()) == 7
    assert output.records(RESULTS) == expected(sandbox, *(f"j{n:04}" for n in range(7)))
    assert output.bookmarks() == dict.fromkeys((*STREAMS, RESULTS), at(6))


def test_job_that_is_listed_twice_is_asked_for_once(sandbox: Sandbox) -> None:
    put(sandbox, job("a", updated_at=at(0)), job("b", updated_at=at(2)))
    sandbox.world.put_raw(job("a", project_id=sandbox.project_id, updated_at=at(1)))
    output = fetch(sandbox, page_size=1)
    assert listings(sandbox) == 3
    assert sorted(asked(sandbox)) == ["a", "b"]
    assert len(output.records(RESULTS)) == len(expected(sandbox, "a", "b"))


def test_finished_job_is_asked_for_though_a_page_shows_it_as_it_was_before(
    sandbox: Sandbox,
) -> None:
    sandbox.settings.order = "updated"
    put(sandbox, job("a", updated_at=at(9)))
    late = job("a", project_id=sandbox.project_id, updated_at=at(1), status="PENDING")
    sandbox.world.put_raw(late)
    fetch(sandbox)
    assert asked(sandbox) == ["a"]


def test_next_run_asks_for_what_was_updated_since(sandbox: Sandbox) -> None:
    put_many(sandbox, 5)
    put(sandbox, job("running", status="PENDING", updated_at=at(3)))
    state = fetch(sandbox).state
    sandbox.clear_requests()
    sandbox.world.touch("running", status="SUCCESS")
    sandbox.world.touch("j0001", status="ERROR")
    output = fetch(sandbox, state=state)
    assert sorted(asked(sandbox)) == ["j0001", "j0004", "running"]
    assert {row["job_id"] for row in output.records(RESULTS)} == {*asked(sandbox)}


def test_lookback_and_start_date_decide_as_they_do_for_jobs(sandbox: Sandbox) -> None:
    put_many(sandbox, 10)
    fetch(sandbox, start_date=at(6))
    assert sorted(asked(sandbox)) == ["j0006", "j0007", "j0008", "j0009"]
    state = fetch(sandbox).state
    sandbox.clear_requests()
    fetch(sandbox, state=state, lookback_seconds=2)
    assert sorted(asked(sandbox)) == ["j0007", "j0008", "j0009"]


def test_results_that_are_selected_later_are_fetched_from_the_beginning(sandbox: Sandbox) -> None:
    put_many(sandbox, 5)
    state = sync(sandbox, lookback_seconds=0).state
    output = fetch(sandbox, state=state, streams=(*STREAMS, RESULTS))
    assert output.ids() == ["j0004"]
    assert len(asked(sandbox)) == 5


def test_full_table_fetches_everything_and_says_which_version_is_whole(sandbox: Sandbox) -> None:
    put_many(sandbox, 5)
    state = fetch(sandbox).state
    catalog = select(sandbox, RESULTS, replication_method="FULL_TABLE")
    settings = {"fetch_results": True, "emit_activate_version_messages": True}
    output = sync(sandbox, state=state, catalog=catalog, **settings)
    assert output.records(RESULTS) == expected(sandbox, *(f"j{n:04}" for n in range(5)))
    (version,) = output.of_type("ACTIVATE_VERSION")
    rows = output.of_type("RECORD")
    assert {row["version"] for row in rows} == {version["version"]}
    assert output.messages.index(version) > output.messages.index(rows[-1])


def test_trial_run_asks_for_hardly_anything_and_ends_well(
    sandbox: Sandbox, config: Row, quick_command: Command
) -> None:
    put_many(sandbox, 50)
    catalog = select(sandbox, *STREAMS, RESULTS)
    ended = quick_command("--config", config | {"page_size": 5}, "--catalog", catalog, "--test")
    assert (ended.code, ended.errors) == (0, [])
    # --test selects every stream.
    job_path = "/api/v1/classifier/jobs"
    paths = [request.path for request in sandbox.requests]
    assert paths[0] == job_path
    assert paths[1] == f"{job_path}/{asked(sandbox)[0]}/results"
    assert paths[2:] == ["/api/v2/classify", "/api/v1/projects", "/api/v2/organizations"]
    assert len(ended.output.records(RESULTS)) == 1
    assert "replication_key_value" not in ended.stdout


@pytest.mark.parametrize(
    "identity",
    ["a/b", "a?b=c", "a#b", "a%2Fb", "a b", "ä🦙", "..a", "a&b", "a\\b", "a:b@c", "results", "%"],
)
def test_results_of_a_job_whose_id_is_no_word_are_found(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, identity: str
) -> None:
    put(sandbox, job(identity))
    paths, send = [], Client.exchange

    def exchange(client: Client, path: str, *arguments: Any, **options: Any) -> Reply:
        paths.append(path)
        return send(client, path, *arguments, **options)

    monkeypatch.setattr(Client, "exchange", exchange)
    rows = fetch(sandbox).records(RESULTS)
    # One part of the path, whatever it is made of.
    assert [path.count("/") for path in paths] == [4, 6]
    assert asked(sandbox) == [identity]
    assert rows == expected(sandbox, identity)


def test_scope_goes_along_with_every_request(sandbox: Sandbox) -> None:
    put(sandbox, job("a"))
    scope = {"project_id": sandbox.project_id, "organization_id": sandbox.world.organization_id}
    fetch(sandbox, **scope)
    assert asked(sandbox) == ["a"]
    assert sandbox.requests[-1].query == scope


# What does not come as it should.


def test_job_whose_results_are_gone_is_counted_and_is_no_error(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put_many(sandbox, 130)
    gone = [f"j{n:04}" for n in range(0, 130, 3)]
    for each in gone:
        sandbox.world.expire(each)
    output = fetch(sandbox)
    there = [id_ for n in range(130) if (id_ := f"j{n:04}") not in gone]
    assert output.records(RESULTS) == expected(sandbox, *there)
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert said == ["The results of 44 jobs are gone: the API keeps them for a time only"]
    assert bookmark(output.state) == at(129)


def test_nothing_is_said_of_results_that_are_gone_when_none_are(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put_many(sandbox, 3)
    fetch(sandbox)
    assert "gone" not in caplog.text


def fails_at(sandbox: Sandbox, number: int, status: int, **reply: Any) -> Any:
    """Let the request after so many for results be answered with a status."""

    def answer(count: int, _: str) -> None:
        if count == number:
            sandbox.answer_next(status, {"detail": "secret text"}, **reply)

    return at_results(sandbox, answer)


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (401, "check api_key"),
        (402, "out of credits"),
        (403, "no access there"),
    ],
)
def test_refusal_of_the_key_stops_the_run_which_keeps_what_it_has_reached(
    sandbox: Sandbox, config: Row, quick_command: Command, status: int, why: str
) -> None:
    put_many(sandbox, 120)
    arguments = ("--config", config | {"parallel_requests": 1})
    catalog = select(sandbox, *STREAMS, RESULTS)
    with fails_at(sandbox, 110, status):
        ended = quick_command(*arguments, "--catalog", catalog)
    assert ended.code == 1
    (error,) = ended.errors
    assert "GET /api/v1/classifier/jobs/j0110/results at 127.0.0.1" in error
    assert f"answered {status}" in error
    assert why in error
    assert "secret text" not in error
    assert ended.output.bookmarks() == dict.fromkeys(STREAMS, at(119)) | {RESULTS: at(99)}
    first = [f"j{n:04}" for n in range(100)]
    assert ended.output.records(RESULTS) == expected(sandbox, *first)

    sandbox.clear_requests()
    again = quick_command(*arguments, "--catalog", catalog, "--state", ended.output.state)
    assert again.code == 0
    rest = [f"j{n:04}" for n in range(99, 120)]
    assert asked(sandbox) == rest
    assert again.output.records(RESULTS) == expected(sandbox, *rest)
    assert bookmark(again.output.state) == at(119)


def refuses(sandbox: Sandbox, status: int, *ids: str) -> Any:
    """Let the results of some jobs be answered with a status, each time."""

    def answer(_: int, id_: str) -> None:
        if id_ in ids:
            raise HTTPException(status, "secret text")

    return at_results(sandbox, answer)


ONE_BY_ONE: Row = {"parallel_requests": 1, "lookback_seconds": 0}


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (400, "does not understand the request"),
        (422, "the API refuses a parameter"),
        (500, "the API is busy or down"),
    ],
)
def test_job_whose_results_cannot_be_had_is_set_aside_and_asked_for_again(
    sandbox: Sandbox, config: Row, quick_command: Command, status: int, why: str
) -> None:
    put_many(sandbox, 120)
    catalog = select(sandbox, *STREAMS, RESULTS)
    command = ("--config", config | ONE_BY_ONE, "--catalog", catalog)
    with refuses(sandbox, status, "j0007"):
        ended = quick_command(*command)
    assert ended.code == 1
    (error,) = ended.errors
    assert "the results of 1 job cannot be had (j0007)" in error
    assert "GET /api/v1/classifier/jobs/j0007/results at 127.0.0.1" in error
    assert why in error
    assert "secret text" not in error
    others = [f"j{n:04}" for n in range(120) if n != 7]
    assert ended.output.records(RESULTS) == expected(sandbox, *others)
    assert ended.output.bookmarks() == dict.fromkeys((*STREAMS, RESULTS), at(119))
    assert ended.output.state["bookmarks"][RESULTS]["set_aside"] == ["j0007"]

    with refuses(sandbox, status, "j0007"):
        again = quick_command(*command, "--state", ended.output.state)
    assert again.code == 1
    assert again.output.state["bookmarks"][RESULTS]["set_aside"] == ["j0007"]

    sandbox.clear_requests()
    at_last = quick_command(*command, "--state", again.output.state)
    assert at_last.code == 0
    assert asked(sandbox) == ["j0007", "j0119"]
    assert at_last.output.records(RESULTS) == expected(sandbox, "j0007", "j0119")
    assert "set_aside" not in at_last.output.state["bookmarks"][RESULTS]


def test_job_that_was_set_aside_and_is_gone_is_forgotten(sandbox: Sandbox) -> None:
    put_many(sandbox, 3)
    state = fetch(sandbox).state
    state["bookmarks"][RESULTS]["set_aside"] = ["gone", "j0000"]
    output = fetch(sandbox, state=state)
    assert asked(sandbox)[3:] == ["j0000", "j0002"]
    assert "set_aside" not in output.state["bookmarks"][RESULTS]


def test_jobs_set_aside_stay_known_when_a_run_breaks_off_before_they_are_asked_for(
    sandbox: Sandbox,
) -> None:
    put_many(sandbox, 150)
    state = fetch(sandbox).state
    state["bookmarks"][RESULTS] |= {"replication_key_value": at(0), "set_aside": ["j0140"]}
    catalog = select(sandbox, RESULTS)
    tap = new_tap(sandbox, state=state, catalog=catalog, fetch_results=True, **ONE_BY_ONE)
    with refuses(sandbox, 403, "j0130"), pytest.raises(ApiError):
        captured(tap)
    assert tap.state["bookmarks"][RESULTS]["set_aside"] == ["j0140"]


def test_more_than_a_hundred_jobs_are_not_set_aside(sandbox: Sandbox) -> None:
    put_many(sandbox, 230)
    catalog = select(sandbox, RESULTS)
    tap = new_tap(sandbox, catalog=catalog, fetch_results=True, **ONE_BY_ONE)
    refused = [f"j{n:04}" for n in range(1, 230, 2)]
    with refuses(sandbox, 422, *refused), pytest.raises(ApiError, match="j0201/results"):
        captured(tap)
    kept = tap.state["bookmarks"][RESULTS]
    assert kept["replication_key_value"] == at(199)
    assert len(kept["set_aside"]) == 100


def test_results_call_that_is_gone_fails_the_run_and_its_bookmark_stays(
    sandbox: Sandbox, config: Row, quick_command: Command
) -> None:
    put_many(sandbox, 130)
    sandbox.world.put_v2(v2_job("v2", project_id=sandbox.project_id))
    names = (*STREAMS, RESULTS, "classify_v2_jobs")
    catalog = catalog_with(sandbox, **{name: {"selected": True} for name in names})
    arguments = ("--config", config | ONE_BY_ONE, "--catalog", catalog)
    with refuses(sandbox, 404, *(f"j{n:04}" for n in range(130))):
        ended = quick_command(*arguments)
    assert ended.code == 1
    (error,) = ended.errors
    assert "GET /api/v1/classifier/jobs/{id}/results: none of 100 jobs has results" in error
    assert ended.output.bookmarks().get(RESULTS) is None
    assert ended.output.bookmarks()["classify_jobs"] == at(129)
    assert len(ended.output.records("classify_v2_jobs")) == 1
    again = quick_command(*arguments, "--state", ended.output.state)
    assert again.code == 0
    assert bookmark(again.output.state) == at(129)


def test_results_that_have_expired_are_passed_over_where_the_newest_are_there(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put_many(sandbox, 130)
    for number in range(129):
        sandbox.world.expire(f"j{number:04}")
    output = fetch(sandbox)
    assert output.records(RESULTS) == expected(sandbox, "j0129")
    assert bookmark(output.state) == at(129)
    assert "The results of 129 jobs are gone" in caplog.text


def test_results_known_before_may_expire_without_failing_a_run(sandbox: Sandbox) -> None:
    put_many(sandbox, 3)
    state = fetch(sandbox).state
    for number in range(3):
        sandbox.world.expire(f"j{number:04}")
    assert bookmark(fetch(sandbox, state=state, lookback_seconds=60).state) == at(2)


def test_what_is_read_after_results_comes_although_some_were_set_aside(
    sandbox: Sandbox, config: Row, quick_command: Command
) -> None:
    put_many(sandbox, 2)
    wishes = {"classify_projects": {"selected": True}, RESULTS: {"selected": True}}
    with refuses(sandbox, 500, "j0001"):
        catalog = catalog_with(sandbox, **wishes)
        ended = quick_command("--config", config | ONE_BY_ONE, "--catalog", catalog)
    assert ended.code == 1
    assert ended.output.records("classify_projects")


def test_nothing_is_asked_for_after_a_refusal_beyond_what_is_under_way(
    sandbox: Sandbox, config: Row, quick_command: Command
) -> None:
    put_many(sandbox, 50)
    with fails_at(sandbox, 10, 403):
        ended = quick_command("--config", config, "--catalog", select(sandbox, RESULTS))
    assert ended.code == 1
    # The one that was refused, and three beside it; each may have been begun for another's turn.
    assert len(asked(sandbox)) <= 10 + 1 + 2 * 3


def test_request_for_results_is_tried_again_as_any_other(sandbox: Sandbox) -> None:
    put_many(sandbox, 8)

    def spoil(count: int, _: str) -> None:
        if count % 2:
            sandbox.answer_next(503)

    with at_results(sandbox, spoil), clock_of(Life(sandbox)):
        output = fetch(sandbox, retry_seconds=600)
    assert output.records(RESULTS) == expected(sandbox, *(f"j{n:04}" for n in range(8)))
    assert len(asked(sandbox)) > 8


@pytest.mark.parametrize("fault", ["cut-length", "gzip-truncated", "reset-inside", "closed-before"])
def test_rows_of_a_job_whose_reply_is_broken_come_once_it_is_whole(
    sandbox: Sandbox, fault: str
) -> None:
    put_many(sandbox, 5)

    def spoil(count: int, _: str) -> None:
        if count == 2:
            sandbox.fail_next(fault)

    with at_results(sandbox, spoil), clock_of(Life(sandbox)):
        output = fetch(sandbox, retry_seconds=600)
    assert output.records(RESULTS) == expected(sandbox, *(f"j{n:04}" for n in range(5)))


def page_of(sandbox: Sandbox) -> Row:
    """Make the only page of a listing."""
    return {"items": sandbox.world.jobs(sandbox.project_id), "next_page_token": None}


def test_values_that_do_not_fit_and_new_fields_are_kept_and_counted(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    put(sandbox, job("a", updated_at=at(1)))
    odd = {"type": "invoice", "confidence": "high", "reasoning": None, "page": 3}
    found = [
        result("1", classify_job_id="a", file_id=5, result=odd, model="m"),
        result("2", classify_job_id="other", result=None, created_at="soon"),
        result("3", classify_job_id=None, result="text", file_id="surrogate"),
    ]
    sandbox.answer_next(200, page_of(sandbox))
    body = json.dumps({"items": found}).replace("surrogate", "\\ud800")
    sandbox.answer_next(200, body.encode())
    first, second, third = fetch(sandbox).records(RESULTS)
    assert first["additional_fields"] == {
        "file_id": 5,
        "model": "m",
        "result": {"confidence": "high", "page": 3},
    }
    assert (first["type"], first["confidence"], first["file_id"]) == ("invoice", None, None)
    assert second["additional_fields"] == {"classify_job_id": "other", "created_at": "soon"}
    assert (second["job_id"], second["created_at"]) == ("a", None)
    assert third["additional_fields"] == {"result": "text"}
    assert third["file_id"] == "\ufffd"
    assert "4 values did not fit" in caplog.text
    assert "1 lone surrogates" in caplog.text
    for field in ("model", "result.page"):
        assert (
            f"New field in the API, kept in additional_fields: '{RESULTS}.{field}'" in caplog.text
        )


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"items": [{"result": None}]}, "answered a result that has no usable id, at position 0"),
        ({"items": {}}, "answered JSON of another shape than a job's results"),
        (b"<html>", "answered HTML instead of JSON"),
    ],
    ids=["no id", "another shape", "HTML"],
)
def test_job_whose_results_cannot_be_read_is_set_aside_and_named(
    sandbox: Sandbox, config: Row, quick_command: Command, body: Any, what: str
) -> None:
    put(sandbox, job("a job", updated_at=at(1)))
    sandbox.answer_next(200, page_of(sandbox))
    sandbox.answer_next(200, body)
    ended = quick_command("--config", config, "--catalog", select(sandbox, RESULTS))
    assert ended.code == 1
    (error,) = ended.errors
    assert what in error
    assert "GET /api/v1/classifier/jobs/a%20job/results at " in error
    assert ended.output.state["bookmarks"][RESULTS]["set_aside"] == ["a job"]


# How many at once, and at which pace.


@pytest.mark.parametrize(("given", "at_once"), [(None, 4), (1, 1), (3, 3)])
def test_so_many_requests_are_under_way_at_once_and_no_more(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, given: int | None, at_once: int
) -> None:
    put_many(sandbox, 12)
    # None comes through that is not one of as many as may be under way.
    together = threading.Barrier(at_once)
    now, most = [], 0
    send = Client.exchange

    def exchange(client: Client, path: str, *arguments: Any, **options: Any) -> Reply:
        nonlocal most
        if not path.endswith("/results"):
            return send(client, path, *arguments, **options)
        now.append(path)
        most = max(most, len(now))
        together.wait(PATIENCE)
        reply = send(client, path, *arguments, **options)
        now.remove(path)
        return reply

    monkeypatch.setattr(Client, "exchange", exchange)
    output = fetch(sandbox, parallel_requests=given)
    assert most == at_once
    assert output.records(RESULTS) == expected(sandbox, *(f"j{n:04}" for n in range(12)))


def test_rows_stand_in_the_order_of_updates_though_replies_come_in_another(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_many(sandbox, 4)
    answered = threading.Semaphore(0)
    send = Client.exchange

    def exchange(client: Client, path: str, *arguments: Any, **options: Any) -> Reply:
        if path.endswith("j0000/results"):
            for _ in range(3):
                assert answered.acquire(timeout=PATIENCE)
        reply = send(client, path, *arguments, **options)
        if path.endswith("/results"):
            answered.release()
        return reply

    monkeypatch.setattr(Client, "exchange", exchange)
    output = fetch(sandbox)
    assert asked(sandbox)[-1] == "j0000"
    assert output.records(RESULTS) == expected(sandbox, *(f"j{n:04}" for n in range(4)))


def test_pace_holds_for_requests_that_are_under_way_together(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_many(sandbox, 45)
    left: list[datetime] = []
    note = RateLimiter.note

    def noted(pace: RateLimiter) -> None:
        left.append(sandbox.world.now())
        note(pace)

    monkeypatch.setattr(RateLimiter, "note", noted)
    with clock_of(Life(sandbox)):
        output = fetch(sandbox, requests_per_minute=10, page_size=100)
    assert output.records(RESULTS) == expected(sandbox, *(f"j{n:04}" for n in range(45)))
    assert len(left) == 46
    a_minute = timedelta(minutes=1)
    assert all(later - moment >= a_minute for moment, later in zip(left, left[10:], strict=False))
    assert left[-1] - left[0] == 4 * a_minute


@pytest.mark.parametrize("at_once", [1, 4])
def test_retry_after_is_obeyed_by_each_request(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, at_once: int
) -> None:
    caplog.set_level(logging.INFO)
    put_many(sandbox, 12)
    sandbox.settings.requests_per_minute = 5
    sandbox.settings.retry_after = True
    with clock_of(Life(sandbox)):
        output = fetch(sandbox, retry_seconds=600, parallel_requests=at_once)
    assert output.records(RESULTS) == expected(sandbox, *(f"j{n:04}" for n in range(12)))
    refused = [request for request in sandbox.requests if request.status == 429]
    assert len(refused) == len(re.findall(r"Waiting \S+ s \(answered 429", caplog.text))
    assert len(refused) >= 2 if at_once > 1 else len(refused) == 2


def test_requests_under_way_are_cancelled_when_another_one_fails_the_connection(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put_many(sandbox, 2)
    waits = threading.Event()
    send, wait = Client.exchange, Clock.wait

    def exchange(client: Client, path: str, *arguments: Any, **options: Any) -> Reply:
        if path.endswith("j0000/results"):
            assert waits.wait(PATIENCE)
            sandbox.answer_next(401)
        if path.endswith("j0001/results"):
            sandbox.answer_next(503, headers={"Retry-After": "300"})
        return send(client, path, *arguments, **options)

    def noted(clock: Clock, seconds: float, end: threading.Event) -> None:
        waits.set()
        wait(clock, seconds, end)

    monkeypatch.setattr(Client, "exchange", exchange)
    monkeypatch.setattr(Clock, "wait", noted)
    with pytest.raises(ApiError, match=r"j0000/results at .* answered 401"):
        fetch(sandbox, retry_seconds=600)

    for thread in threading.enumerate():
        if thread.name == "ahead":
            thread.join(PATIENCE)
            assert not thread.is_alive()
    assert len(asked(sandbox)) == 2
    assert len([text for text in caplog.messages if text.startswith("Waiting ")]) == 1


# A run that is broken off.


def claims(messages: list[Message], sandbox: Sandbox) -> None:
    """Make sure that no STATE runs ahead of the rows, and none stands amid a job's rows."""
    of_job: Counter[str] = Counter()
    whole = {id_: len(sandbox.world.results(id_)) for id_ in sandbox.world.entries()}
    updates = {id_: sandbox.world.job(id_)["updated_at"] for id_ in whole}
    for message in messages:
        if message["type"] == "RECORD" and message["stream"] == RESULTS:
            of_job[message["record"]["job_id"]] += 1
        elif message["type"] == "STATE":
            reached = bookmark(message["value"]) or ""
            for id_, count in whole.items():
                assert of_job[id_] in ({count} if updates[id_] <= reached else {0, count})


def test_state_moves_after_every_hundred_jobs_and_never_ahead_of_a_job_s_rows(
    sandbox: Sandbox,
) -> None:
    put_many(sandbox, 330)
    output = fetch(sandbox, streams=(*STREAMS, RESULTS), page_size=200)
    claims(output.messages, sandbox)
    reached = [bookmark(message["value"]) for message in output.of_type("STATE")]
    steps = [at(99), at(199), at(299), at(329)]
    assert list(dict.fromkeys(filter(None, reached))) == steps
    rows = [len(sandbox.world.results(f"j{n:04}")) for n in range(330)]
    before = list(accumulate(rows, initial=0))
    written = 0
    at_state: dict[str | None, int] = {}
    for message in output.messages:
        written += message["type"] == "RECORD" and message["stream"] == RESULTS
        if message["type"] == "STATE" and bookmark(message["value"]):
            at_state.setdefault(bookmark(message["value"]), written)
    assert at_state == dict(zip(steps, [before[n] for n in (100, 200, 300, 330)], strict=True))


def test_jobs_keep_their_bookmarks_before_the_first_result_is_fetched(sandbox: Sandbox) -> None:
    put_many(sandbox, 3)
    output = fetch(sandbox, streams=(*STREAMS, RESULTS))
    kinds = [m["type"] if m["type"] == "STATE" else m.get("stream") for m in output.messages]
    first = kinds.index("STATE")
    bookmarks = Output(output.messages[: first + 1]).bookmarks()
    assert {name for name, reached in bookmarks.items() if reached} == {*STREAMS}
    assert RESULTS in kinds[first:]


def test_first_run_whose_output_is_cut_goes_on_where_its_last_state_was(sandbox: Sandbox) -> None:
    put_many(sandbox, 220)
    whole = fetch(sandbox)
    rows = {row["id"]: row for row in whole.records(RESULTS)}
    for part in (0.1, 0.7, 0.97):
        cut = Output(whole.messages[: round(part * len(whole.messages))])
        states = cut.of_type("STATE")
        state = states[-1]["value"] if states else None
        reached = bookmark(state or {})
        sandbox.clear_requests()
        rest = fetch(sandbox, state=state)
        due = [n for n in range(220) if reached is None or at(n) >= reached]
        assert sorted(asked(sandbox)) == [f"j{n:04}" for n in due]
        assert listings(sandbox) == 3
        loaded = [*cut.records(RESULTS), *rest.records(RESULTS)]
        assert {row["id"]: row for row in loaded} == rows
    assert reached == at(199)


def test_command_that_is_killed_goes_on_where_it_was(
    sandbox: Sandbox, config: Row, quick_command: Command, tmp_path: Path
) -> None:
    put_many(sandbox, 220)
    catalog = select(sandbox, *STREAMS, RESULTS)
    reached, release = threading.Event(), threading.Event()

    def hold(count: int, _: str) -> None:
        if count == 210:
            reached.set()
            release.wait(PATIENCE)

    arguments = ("--config", config, "--catalog", catalog)
    try:
        with at_results(sandbox, hold), started(tmp_path, *arguments) as process:
            assert reached.wait(PATIENCE)
            process.kill()
            assert process.wait(PATIENCE) == -signal.SIGKILL
    finally:
        release.set()
    killed = whole_lines(tmp_path)
    claims(killed.messages, sandbox)
    assert killed.bookmarks() == dict.fromkeys(STREAMS, at(219)) | {RESULTS: at(199)}

    sandbox.clear_requests()
    ended = quick_command(*arguments, "--state", killed.state)
    assert ended.code == 0
    assert len(asked(sandbox)) == 21
    assert listings(sandbox) == 3
    loaded = [*killed.records(RESULTS), *ended.output.records(RESULTS)]
    everything = expected(sandbox, *(f"j{n:04}" for n in range(220)))
    assert {row["id"]: row for row in loaded} == {row["id"]: row for row in everything}
    assert ended.output.ids() == ["j0219"]


def test_signal_while_results_are_waited_for_ends_the_run_at_once_without_state(
    sandbox: Sandbox, config: Row, tmp_path: Path
) -> None:
    put_many(sandbox, 20)
    reached, release = threading.Event(), threading.Event()

    def hold(*_: Any) -> None:
        reached.set()
        release.wait(PATIENCE)

    arguments = ("--config", config, "--catalog", select(sandbox, RESULTS))
    try:
        with at_results(sandbox, hold), started(tmp_path, *arguments) as process:
            assert reached.wait(PATIENCE)
            process.terminate()
            assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    finally:
        release.set()
    assert whole_lines(tmp_path).of_type("STATE") == []
    assert (tmp_path / "stderr").read_bytes().count(b"ERROR: stopped by SIGTERM") == 1
    assert len(fetch(sandbox).records(RESULTS)) == sum(
        len(sandbox.world.results(f"j{n:04}")) for n in range(20)
    )


# Files.


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_files_hold_many_steps(sandbox: Sandbox, form: str, tmp_path: Path) -> None:
    put_many(sandbox, 210)
    output = fetch(sandbox, streams=(*STREAMS, RESULTS), batch_config=batch_config(tmp_path, form))
    assert len(files_of(output, RESULTS)) == 1
    assert len(list(tmp_path.iterdir())) == 4
    assert output.records(RESULTS) == []
    assert bookmark(output.state) == at(209)


def test_files_are_finished_for_the_state_once_a_minute_at_most(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    put_many(sandbox, 300)
    began = sandbox.world.now()
    with (
        at_results(sandbox, lambda *_: sandbox.world.advance(1)),
        clock_of(Life(sandbox)),
    ):
        output = fetch(sandbox, batch_config=batch_config(tmp_path, "jsonl"))
    minutes = (sandbox.world.now() - began) / timedelta(minutes=1)
    files = files_of(output, RESULTS)
    assert 3 <= len(files) <= minutes + 1
    held: list[Row] = []
    for message in output.messages:
        if message["type"] == "BATCH":
            held += lines_of([url.removeprefix("file://") for url in message["manifest"]])
        elif message["type"] == "STATE" and (reached := bookmark(message["value"])):
            due = [f"j{n:04}" for n in range(300) if at(n) <= reached]
            assert held[: len(expected(sandbox, *due))] == expected(sandbox, *due)
    assert held == expected(sandbox, *(f"j{n:04}" for n in range(300)))


# Whoever does without Singer's state.


def test_records_of_the_stream_are_all_that_the_world_holds(sandbox: Sandbox) -> None:
    put_many(sandbox, 4)
    tap = new_tap(sandbox, fetch_results=True, catalog=select(sandbox, RESULTS))
    rows = list(tap.streams[RESULTS].get_records(None))
    assert rows == expected(sandbox, *(f"j{n:04}" for n in range(4)))
