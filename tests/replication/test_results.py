"""What v1 jobs came to: which are asked for, in which order, and where a broken run goes on."""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.errors import ApiError, SetAsideError
from tap_llamaclassify.http.client import Client, Reply
from tap_llamaclassify.http.pacing import Clock, RateLimiter
from tap_llamaclassify.http.rate_limit import Departure
from tests.support.batch_files import FORMATS, batch_config, files_of, lines_of
from tests.support.builders import (
    DEFAULT_STREAMS,
    LISTS,
    STREAMS,
    Message,
    Output,
    captured,
    job,
    new_tap,
    sync,
)
from tests.support.commands import Command, Ended
from tests.support.items import result
from tests.support.moments import PATIENCE, at
from tests.support.processes import started, whole_lines
from tests.support.runs import (
    Hold,
    Row,
    assert_version_activated_last,
    config_of,
    failure,
    put,
    put_v2,
    reached,
    select,
    success,
    warning,
    watched,
)
from tests.support.simulated import Life, clock_of

RESULTS = "classify_job_results"
V1 = "/api/v1/classifier/jobs"


def put_many(sandbox: Sandbox, count: int, **fields: Any) -> None:
    """Add jobs, one a second, listed in another order than that."""
    sandbox.settings.order = "shuffled"
    put(sandbox, *(job(f"j{n:04}", updated_at=at(n), **fields) for n in range(count)))


def named(*numbers: int) -> list[str]:
    """Name jobs that `put_many` adds."""
    return [f"j{n:04}" for n in numbers]


def fetch(sandbox: Sandbox, *, state: Any = None, streams: Any = (RESULTS,), **more: Any) -> Output:
    """Sync results in this process, with no lookback."""
    settings = {"fetch_results": True, "lookback_seconds": 0} | more
    return sync(sandbox, state=state, catalog=select(sandbox, *streams), **settings)


def asked(sandbox: Sandbox) -> list[str]:
    """Return the ids of the jobs whose results were asked for, in the order of arrival."""
    paths = [request.path for request in sandbox.requests]
    found = [re.fullmatch(f"{V1}/(.*)/results", path) for path in paths]
    return [match[1] for match in found if match]


def listings(sandbox: Sandbox) -> int:
    """Count the pages of jobs that were asked for."""
    return len(sandbox.requests) - len(asked(sandbox))


def expected(sandbox: Sandbox, ids: Iterable[str]) -> list[Row]:
    """Work out the rows of some jobs from what the world holds, by job."""
    own = ("id", "file_id", "created_at", "updated_at")
    return [
        {name: each[name] for name in own}
        | {name: (each["result"] or {}).get(name) for name in ("type", "confidence", "reasoning")}
        | {"job_id": id_, "project_id": sandbox.project_id, "additional_fields": None}
        | {"job_updated_at": sandbox.world.job(id_)["updated_at"]}
        for id_ in ids
        for each in sandbox.world.results(id_)
    ]


def assert_complete(output: Output, sandbox: Sandbox, *numbers: int) -> None:
    """Make sure that the results of these jobs are there, in order, and no others."""
    assert output.records(RESULTS) == expected(sandbox, named(*numbers))


def bookmark(state: Row) -> str | None:
    """Return how far the results have come."""
    value: str | None = entry_of(state).get("replication_key_value")
    return value


def entry_of(state: Row) -> Row:
    """Return what a state keeps of the results."""
    entry: Row = state.get("bookmarks", {}).get(RESULTS, {})
    return entry


def at_results(sandbox: Sandbox, do: Callable[[int, str], object]) -> Any:
    """Do something in the server's thread before it makes the results of each job."""
    asked_for: list[str] = []

    def before(job_id: str, **_: Any) -> None:
        asked_for.append(job_id)
        do(len(asked_for), job_id)

    return watched(sandbox.world, "results", before)


Run = Callable[..., Ended]


@pytest.fixture
def run(sandbox: Sandbox, quick_command: Command) -> Run:
    """Sync jobs and results, or other streams, by the command line; one request at a time."""

    def sync(*streams: str, given: Any = (), **more: Any) -> Ended:
        config = config_of(sandbox, lookback_seconds=0, fetch_results=True, parallel_requests=1)
        catalog = select(sandbox, *(streams or (*STREAMS, RESULTS)))
        return quick_command("--config", config | more, "--catalog", catalog, *given)

    return sync


# What is asked for.


def test_rows_are_what_the_api_says_of_each_finished_job_s_files(sandbox: Sandbox) -> None:
    statuses = ("SUCCESS", "ERROR", "PARTIAL_SUCCESS", "CANCELLED", "BRAND_NEW")
    put(sandbox, *(job(s, status=s, updated_at=at(n)) for n, s in enumerate(statuses)))
    rows = fetch(sandbox).records(RESULTS)
    assert rows == expected(sandbox, statuses)
    assert len(rows) > len(statuses)
    assert {row["type"] for row in rows} >= {"invoice", None}


def test_results_are_not_selected_unless_asked_for(sandbox: Sandbox, command: Command) -> None:
    put(sandbox, job("a"))
    output = success(command("--config", config_of(sandbox, fetch_results=True)))
    assert asked(sandbox) == []
    assert {m["stream"] for m in output.of_type("SCHEMA")} == {*DEFAULT_STREAMS}


def test_selected_results_are_left_out_with_a_warning_unless_the_setting_allows_them(
    sandbox: Sandbox, run: Run
) -> None:
    put(sandbox, job("a"))
    ended = run(fetch_results=False)
    assert f"{RESULTS} is selected and left out: it takes a request a job" in warning(ended)
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


def test_one_listing_serves_jobs_and_results(sandbox: Sandbox) -> None:
    put_many(sandbox, 7)
    output = fetch(sandbox, streams=(*STREAMS, RESULTS), page_size=3)
    assert (listings(sandbox), len(asked(sandbox))) == (3, 7)
    assert len(output.ids()) == 7
    assert_complete(output, sandbox, *range(7))
    assert output.bookmarks() == dict.fromkeys((*STREAMS, RESULTS), at(6))


def test_job_that_is_listed_twice_is_asked_for_once(sandbox: Sandbox) -> None:
    put(sandbox, job("a", updated_at=at(0)), job("b", updated_at=at(2)))
    sandbox.world.put_raw(job("a", project_id=sandbox.project_id, updated_at=at(1)))
    output = fetch(sandbox, page_size=1)
    assert listings(sandbox) == 3
    assert sorted(asked(sandbox)) == ["a", "b"]
    assert len(output.records(RESULTS)) == len(expected(sandbox, "ab"))


def test_finished_job_is_asked_for_though_a_page_shows_it_as_it_was_before(
    sandbox: Sandbox,
) -> None:
    sandbox.settings.order = "updated"
    put(sandbox, job("a", updated_at=at(9)))
    late = {"project_id": sandbox.project_id, "updated_at": at(1), "status": "PENDING"}
    sandbox.world.put_raw(job("a", **late))
    fetch(sandbox)
    assert asked(sandbox) == ["a"]


def test_next_run_asks_for_what_was_updated_since_or_has_no_update(sandbox: Sandbox) -> None:
    put_many(sandbox, 5)
    put(sandbox, job("null", updated_at=None))
    put(sandbox, job("running", status="PENDING", updated_at=at(3)))
    state = fetch(sandbox).state
    sandbox.clear_requests()
    sandbox.world.touch("running", status="SUCCESS")
    sandbox.world.touch("j0001", status="ERROR")
    output = fetch(sandbox, state=state)
    assert sorted(asked(sandbox)) == ["j0001", "j0004", "null", "running"]
    assert {row["job_id"] for row in output.records(RESULTS)} == {*asked(sandbox)}


def test_lookback_and_start_date_decide_as_they_do_for_jobs(sandbox: Sandbox) -> None:
    put_many(sandbox, 10)
    fetch(sandbox, start_date=at(6))
    assert sorted(asked(sandbox)) == named(6, 7, 8, 9)
    state = fetch(sandbox).state
    sandbox.clear_requests()
    fetch(sandbox, state=state, lookback_seconds=2)
    assert sorted(asked(sandbox)) == named(7, 8, 9)


def test_full_table_fetches_everything_and_says_which_version_is_whole(sandbox: Sandbox) -> None:
    put_many(sandbox, 5)
    state = fetch(sandbox).state
    catalog = select(sandbox, RESULTS, replication_method="FULL_TABLE")
    settings = {"fetch_results": True, "emit_activate_version_messages": True}
    output = sync(sandbox, state=state, catalog=catalog, **settings)
    assert_complete(output, sandbox, *range(5))
    assert_version_activated_last(output)


def test_trial_run_asks_for_hardly_anything_and_ends_well(sandbox: Sandbox, run: Run) -> None:
    put_many(sandbox, 50)
    ended = run(given=["--test"], page_size=5)
    assert len(success(ended).records(RESULTS)) == 1
    # --test selects every stream.
    listing, results, *others = [request.path for request in sandbox.requests]
    assert (listing, results) == (V1, f"{V1}/{asked(sandbox)[0]}/results")
    assert others == ["/api/v1/beta/files", "/api/v2/classify", *LISTS]
    assert "replication_key_value" not in ended.stdout


@pytest.mark.parametrize(
    "identity",
    ["a/b", "a?b=c", "a#b", "a%2Fb", "a b", "ä🦙", "..a", "a&b", "a\\b", "a:b@c", "results", "%"],
)
def test_results_of_a_job_whose_id_is_no_word_are_found(sandbox: Sandbox, identity: str) -> None:
    put(sandbox, job(identity))
    paths: list[str] = []
    with watched(Client, "exchange", lambda _, __, path, *___, **____: paths.append(path)):
        rows = fetch(sandbox).records(RESULTS)
    # One part of the path, whatever it is made of.
    assert [path.count("/") for path in paths] == [4, 6]
    assert asked(sandbox) == [identity]
    assert rows == expected(sandbox, [identity])


def test_scope_goes_along_with_every_request(sandbox: Sandbox) -> None:
    put(sandbox, job("a"))
    scope = {"project_id": sandbox.project_id, "organization_id": sandbox.world.organization_id}
    fetch(sandbox, **scope)
    assert asked(sandbox) == ["a"]
    assert sandbox.requests[-1].query == scope


# What does not come as it should.


def test_jobs_whose_results_are_gone_are_counted_if_there_are_any_and_are_no_error(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put_many(sandbox, 130)
    fetch(sandbox)
    assert "gone" not in caplog.text
    for each in named(*range(0, 130, 3)):
        sandbox.world.expire(each)
    output = fetch(sandbox)
    assert_complete(output, sandbox, *(n for n in range(130) if n % 3))
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert said == ["The results of 44 jobs are gone: the API keeps them for a time only"]
    assert bookmark(output.state) == at(129)


def refuses(sandbox: Sandbox, status: int, *ids: str) -> Any:
    """Let the results of some jobs be answered with a status, each time."""

    def answer(_: int, id_: str) -> None:
        if id_ in ids:
            raise HTTPException(status, "secret text")

    return at_results(sandbox, answer)


@pytest.mark.parametrize(
    ("status", "why"),
    [(401, "check api_key"), (402, "out of credits"), (403, "no access there")],
)
def test_refusal_of_the_key_stops_the_run_which_keeps_what_it_has_reached(
    sandbox: Sandbox, run: Run, status: int, why: str
) -> None:
    put_many(sandbox, 120)
    with refuses(sandbox, status, "j0110"):
        ended = run()
    error = failure(ended)
    assert f"GET {V1}/j0110/results at 127.0.0.1" in error
    assert f"answered {status}" in error
    assert why in error
    assert "secret text" not in error
    assert ended.output.bookmarks() == dict.fromkeys(STREAMS, at(119)) | {RESULTS: at(99)}
    assert_complete(ended.output, sandbox, *range(100))

    sandbox.clear_requests()
    again = success(run(given=["--state", ended.output.state]))
    assert asked(sandbox) == named(*range(99, 120))
    assert_complete(again, sandbox, *range(99, 120))
    assert bookmark(again.state) == at(119)


def test_files_that_were_begun_are_finished_when_a_run_breaks_off(
    sandbox: Sandbox, run: Run, tmp_path: Path
) -> None:
    put_many(sandbox, 120)
    storage = {"root": tmp_path.as_uri()}
    batches = {"encoding": {"format": "jsonl", "compression": "gzip"}, "storage": storage}
    with refuses(sandbox, 401, "j0110"):
        ended = run(batch_config=batches)
    failure(ended)
    assert ended.output.bookmarks() == dict.fromkeys(STREAMS, at(119)) | {RESULTS: at(99)}
    written = {message["stream"] for message in ended.output.of_type("BATCH")}
    assert written >= {STREAMS[0], RESULTS}


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (400, "does not understand the request"),
        (422, "the API refuses a parameter"),
        (500, "the API is busy or down"),
    ],
)
def test_job_whose_results_cannot_be_had_is_set_aside_and_asked_for_again(
    sandbox: Sandbox, run: Run, status: int, why: str
) -> None:
    put_many(sandbox, 120)
    with refuses(sandbox, status, "j0007"):
        ended = run(*STREAMS, RESULTS, "classify_projects")
        again = run(given=["--state", ended.output.state])
    error = failure(ended)
    assert "the results of 1 job cannot be had (j0007)" in error
    assert f"GET {V1}/j0007/results at 127.0.0.1" in error
    assert why in error
    assert "secret text" not in error
    assert_complete(ended.output, sandbox, *(n for n in range(120) if n != 7))
    assert ended.output.records("classify_projects"), "what is read after results comes"
    assert reached(ended.output.state) == dict.fromkeys((*STREAMS, RESULTS), at(119))
    failure(again)
    for each in (ended, again):
        assert entry_of(each.output.state)["set_aside"] == ["j0007"]

    sandbox.clear_requests()
    at_last = success(run(given=["--state", again.output.state]))
    assert asked(sandbox) == ["j0007", "j0119"]
    assert_complete(at_last, sandbox, 7, 119)
    assert "set_aside" not in entry_of(at_last.state)


def test_job_that_was_set_aside_and_is_gone_is_forgotten(sandbox: Sandbox) -> None:
    put_many(sandbox, 3)
    state = fetch(sandbox).state
    entry_of(state)["set_aside"] = ["gone", "j0000"]
    output = fetch(sandbox, state=state)
    assert sorted(asked(sandbox)[3:]) == ["j0000", "j0002"]
    assert "set_aside" not in entry_of(output.state)


def broken_off(sandbox: Sandbox, match: str, state: Any = None) -> Row:
    """Sync results, one by one, until the run fails; return what its state keeps of them."""
    settings = {"fetch_results": True, "parallel_requests": 1, "lookback_seconds": 0}
    tap = new_tap(sandbox, state=state, catalog=select(sandbox, RESULTS), **settings)
    with pytest.raises(ApiError, match=match):
        captured(tap)
    return entry_of(dict(tap.state))


def test_jobs_set_aside_stay_known_when_a_run_breaks_off_before_they_are_asked_for(
    sandbox: Sandbox,
) -> None:
    put_many(sandbox, 150)
    state = fetch(sandbox).state
    entry_of(state).update(replication_key_value=at(0), set_aside=["j0140"])
    with refuses(sandbox, 403, "j0130"):
        assert broken_off(sandbox, "j0130/results", state)["set_aside"] == ["j0140"]


def test_more_than_a_hundred_jobs_are_not_set_aside(sandbox: Sandbox) -> None:
    put_many(sandbox, 230)
    with refuses(sandbox, 422, *named(*range(1, 230, 2))):
        kept = broken_off(sandbox, "j0201/results")
    assert kept["replication_key_value"] == at(199)
    assert len(kept["set_aside"]) == 100


def test_results_call_that_is_gone_fails_the_run_and_its_bookmark_stays(
    sandbox: Sandbox, run: Run
) -> None:
    put_many(sandbox, 130)
    put_v2(sandbox, "v2")
    streams = (*STREAMS, RESULTS, "classify_v2_jobs")
    with refuses(sandbox, 404, *named(*range(130))):
        ended = run(*streams)
    none = f"GET {V1}/{{id}}/results: none of 100 jobs has results"
    assert none in failure(ended)
    assert ended.output.bookmarks().get(RESULTS) is None
    assert ended.output.bookmarks()["classify_jobs"] == at(129)
    assert len(ended.output.records("classify_v2_jobs")) == 1
    again = success(run(*streams, given=["--state", ended.output.state]))
    assert bookmark(again.state) == at(129)


def test_results_may_expire_where_the_newest_are_there_or_all_were_known_before(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put_many(sandbox, 130)
    for each in named(*range(129)):
        sandbox.world.expire(each)
    output = fetch(sandbox)
    assert_complete(output, sandbox, 129)
    assert bookmark(output.state) == at(129)
    assert "The results of 129 jobs are gone" in caplog.text
    sandbox.world.expire("j0129")
    assert bookmark(fetch(sandbox, state=output.state, lookback_seconds=60).state) == at(129)


def test_nothing_is_asked_for_after_a_refusal_beyond_what_is_under_way(
    sandbox: Sandbox, run: Run
) -> None:
    put_many(sandbox, 50)
    with at_results(sandbox, lambda count, _: sandbox.answer_next(403) if count == 10 else None):
        failure(run(RESULTS, parallel_requests=4))
    # The one that was refused, and three beside it; each may have been begun for another's turn.
    assert len(asked(sandbox)) <= 10 + 1 + 2 * 3


@pytest.mark.parametrize(
    "fault", ["503", "cut-length", "gzip-truncated", "reset-inside", "closed-before"]
)
def test_request_for_results_is_tried_again_as_any_other_until_its_reply_is_whole(
    sandbox: Sandbox, fault: str
) -> None:
    put_many(sandbox, 8)
    with (
        at_results(sandbox, lambda count, _: sandbox.fail_next(fault) if count % 2 else None),
        clock_of(Life(sandbox)),
    ):
        output = fetch(sandbox, retry_seconds=600)
    assert_complete(output, sandbox, *range(8))
    assert len(asked(sandbox)) > 8


@pytest.mark.parametrize(("failing", "minutes"), [(1, 10), (3, 12)])
def test_results_of_later_jobs_are_tried_for_a_minute_only_once_those_of_one_were_in_vain(
    sandbox: Sandbox, failing: int, minutes: int
) -> None:
    put_many(sandbox, failing)
    began = sandbox.world.now()
    with (
        refuses(sandbox, 503, *named(*range(failing))),
        clock_of(Life(sandbox)),
        pytest.raises(SetAsideError, match=r"^the results of"),
    ):
        fetch(sandbox, retry_seconds=600, parallel_requests=1)
    took = sandbox.world.now() - began
    assert timedelta(0) <= took - timedelta(minutes=minutes) < timedelta(seconds=30)


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
    unfit = {"confidence": "high", "page": 3}
    assert first["additional_fields"] == {"file_id": 5, "model": "m", "result": unfit}
    assert (first["type"], first["confidence"], first["file_id"]) == ("invoice", None, None)
    assert second["additional_fields"] == {"classify_job_id": "other", "created_at": "soon"}
    assert (second["job_id"], second["created_at"]) == ("a", None)
    assert third["additional_fields"] == {"result": "text"}
    assert third["file_id"] == "\ufffd"
    assert "4 values did not fit" in caplog.text
    assert "1 lone surrogates in the API's text became U+FFFD" in caplog.messages
    new = "New field in the API, kept in additional_fields:"
    for field in ("model", "result.page"):
        assert f"{new} '{RESULTS}.{field}'" in caplog.text


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
    sandbox: Sandbox, run: Run, body: Any, what: str
) -> None:
    put(sandbox, job("a job", updated_at=at(1)))
    sandbox.answer_next(200, page_of(sandbox))
    sandbox.answer_next(200, body)
    ended = run(RESULTS)
    error = failure(ended)
    assert what in error
    assert f"GET {V1}/a%20job/results at " in error
    assert entry_of(ended.output.state)["set_aside"] == ["a job"]


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

    def exchange(client: Client, left: Departure, path: str, *rest: Any, **options: Any) -> Reply:
        nonlocal most
        if not path.endswith("/results"):
            return send(client, left, path, *rest, **options)
        now.append(path)
        most = max(most, len(now))
        together.wait(PATIENCE)
        reply = send(client, left, path, *rest, **options)
        now.remove(path)
        return reply

    monkeypatch.setattr(Client, "exchange", exchange)
    output = fetch(sandbox, parallel_requests=given)
    assert most == at_once
    assert_complete(output, sandbox, *range(12))


def test_rows_stand_in_the_order_of_updates_though_replies_come_in_another(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_many(sandbox, 4)
    answered = threading.Semaphore(0)
    send = Client.exchange

    def exchange(client: Client, left: Departure, path: str, *rest: Any, **options: Any) -> Reply:
        if path.endswith("j0000/results"):
            for _ in range(3):
                assert answered.acquire(timeout=PATIENCE)
        reply = send(client, left, path, *rest, **options)
        if path.endswith("/results"):
            answered.release()
        return reply

    monkeypatch.setattr(Client, "exchange", exchange)
    output = fetch(sandbox)
    assert asked(sandbox)[-1] == "j0000"
    assert_complete(output, sandbox, *range(4))


def test_pace_holds_for_requests_that_are_under_way_together(sandbox: Sandbox) -> None:
    put_many(sandbox, 45)
    left: list[datetime] = []
    with (
        watched(RateLimiter, "note", lambda _: left.append(sandbox.world.now())),
        clock_of(Life(sandbox)),
    ):
        output = fetch(sandbox, requests_per_minute=10, page_size=100)
    assert_complete(output, sandbox, *range(45))
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
    assert_complete(output, sandbox, *range(12))
    refused = [request for request in sandbox.requests if request.status == 429]
    assert len(refused) == len(re.findall(r"Waiting \S+ s \(answered 429", caplog.text))
    assert len(refused) >= 2 if at_once > 1 else len(refused) == 2


def test_requests_under_way_are_cancelled_when_another_one_fails_the_connection(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put_many(sandbox, 2)
    waits = threading.Event()

    def exchanged(_: Client, __: Departure, path: str, *___: Any, **____: Any) -> None:
        if path.endswith("j0000/results"):
            assert waits.wait(PATIENCE)
            sandbox.answer_next(401)
        if path.endswith("j0001/results"):
            sandbox.answer_next(503, headers={"Retry-After": "300"})

    with (
        watched(Client, "exchange", exchanged),
        watched(Clock, "wait", lambda *_: waits.set()),
        pytest.raises(ApiError, match=r"j0000/results at .* answered 401"),
    ):
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
            last = bookmark(message["value"]) or ""
            for id_, count in whole.items():
                assert of_job[id_] in ({count} if updates[id_] <= last else {0, count})


def test_state_moves_after_every_hundred_jobs_and_never_ahead_of_a_job_s_rows(
    sandbox: Sandbox,
) -> None:
    put_many(sandbox, 330)
    output = fetch(sandbox, streams=(*STREAMS, RESULTS), page_size=200)
    claims(output.messages, sandbox)
    moves = [bookmark(message["value"]) for message in output.of_type("STATE")]
    steps = [at(99), at(199), at(299), at(329)]
    assert list(dict.fromkeys(filter(None, moves))) == steps
    rows = [len(sandbox.world.results(id_)) for id_ in named(*range(330))]
    before = list(accumulate(rows, initial=0))
    written = 0
    at_state: dict[str | None, int] = {}
    for message in output.messages:
        written += message["type"] == "RECORD" and message["stream"] == RESULTS
        if message["type"] == "STATE" and bookmark(message["value"]):
            at_state.setdefault(bookmark(message["value"]), written)
    assert at_state == dict(zip(steps, [before[n] for n in (100, 200, 300, 330)], strict=True))


def test_first_run_whose_output_is_cut_goes_on_where_its_last_state_was(sandbox: Sandbox) -> None:
    put_many(sandbox, 220)
    whole = fetch(sandbox)
    rows = {row["id"]: row for row in whole.records(RESULTS)}
    for part in (0.1, 0.7, 0.97):
        cut = Output(whole.messages[: round(part * len(whole.messages))])
        state = cut.state if cut.of_type("STATE") else {}
        last = bookmark(state)
        sandbox.clear_requests()
        rest = fetch(sandbox, state=state)
        due = [n for n in range(220) if last is None or at(n) >= last]
        assert sorted(asked(sandbox)) == named(*due)
        assert listings(sandbox) == 3
        loaded = [*cut.records(RESULTS), *rest.records(RESULTS)]
        assert {row["id"]: row for row in loaded} == rows
    assert last == at(199)


def test_command_that_is_killed_goes_on_where_it_was(
    sandbox: Sandbox, run: Run, tmp_path: Path
) -> None:
    put_many(sandbox, 220)
    arguments = ("--config", config_of(sandbox, lookback_seconds=0, fetch_results=True))
    with (
        Hold() as hold,
        at_results(sandbox, lambda count, _: hold() if count == 210 else None),
        started(tmp_path, *arguments, "--catalog", select(sandbox, *STREAMS, RESULTS)) as process,
    ):
        hold.wait()
        process.kill()
        assert process.wait(PATIENCE) == -signal.SIGKILL
    killed = whole_lines(tmp_path)
    claims(killed.messages, sandbox)
    assert killed.bookmarks() == dict.fromkeys(STREAMS, at(219)) | {RESULTS: at(199)}

    sandbox.clear_requests()
    output = success(run(given=["--state", killed.state]))
    assert len(asked(sandbox)) == 21
    assert listings(sandbox) == 3
    loaded = [*killed.records(RESULTS), *output.records(RESULTS)]
    everything = expected(sandbox, named(*range(220)))
    assert {row["id"]: row for row in loaded} == {row["id"]: row for row in everything}
    assert output.ids() == ["j0219"]


def test_signal_while_results_are_waited_for_ends_the_run_at_once_without_state(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    put_many(sandbox, 20)
    arguments = ("--config", config_of(sandbox, fetch_results=True))
    with (
        Hold() as hold,
        at_results(sandbox, hold),
        started(tmp_path, *arguments, "--catalog", select(sandbox, RESULTS)) as process,
    ):
        hold.wait()
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert whole_lines(tmp_path).of_type("STATE") == []
    assert (tmp_path / "stderr").read_bytes().count(b"ERROR: stopped by SIGTERM") == 1
    assert_complete(fetch(sandbox), sandbox, *range(20))


# Files.


@pytest.mark.parametrize("form", FORMATS)
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
        elif message["type"] == "STATE" and (last := bookmark(message["value"])):
            due = expected(sandbox, named(*(n for n in range(300) if at(n) <= last)))
            assert held[: len(due)] == due
    assert held == expected(sandbox, named(*range(300)))


# Whoever does without Singer's state.


def test_records_of_the_stream_are_all_that_the_world_holds(sandbox: Sandbox) -> None:
    put_many(sandbox, 4)
    tap = new_tap(sandbox, fetch_results=True, catalog=select(sandbox, RESULTS))
    rows = list(tap.streams[RESULTS].get_records(None))
    assert rows == expected(sandbox, named(*range(4)))
