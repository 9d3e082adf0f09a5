"""What v2 jobs cost is asked for job by job: once each, some at a time, and never in vain."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any
from unittest import mock
from urllib.parse import unquote

import pytest

from llamacloud_sandbox.api.app import V2_PATH
from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.replication.usage import Usage
from tests.support.builders import V2_STREAMS, Output, SimulatedClock, seconds_after, sync
from tests.support.runs import put_v2, select
from tests.support.windows import small_windows

JOBS = "classify_v2_jobs"
START = "2026-11-20T00:00:00.000000Z"


def put(sandbox: Sandbox, *ids: str, **fields: Any) -> None:
    """Put jobs, one a minute."""
    for number, id_ in enumerate(ids):
        at = seconds_after(START, number * 60)
        times = {"created_at": at, "updated_at": at}
        put_v2(sandbox, id_, **times, **fields)


def run(sandbox: Sandbox, streams: tuple[str, ...] = V2_STREAMS, **config: Any) -> Output:
    """Run a sync that fetches usage; look at the requests of this one only."""
    sandbox.clear_requests()
    settings = {"fetch_usage": True} | config
    return sync(sandbox, catalog=select(sandbox, *streams), **settings)


def asked(sandbox: Sandbox) -> list[str]:
    """Return the ids of the jobs that were asked for one by one."""
    paths = [request.path for request in sandbox.requests]
    return [unquote(path.removeprefix(V2_PATH + "/")) for path in paths if path != V2_PATH]


def credits_of(output: Output) -> dict[str, Any]:
    return {row["id"]: row["usage_credits"] for row in output.records(JOBS)}


def test_finished_jobs_are_asked_for_once_each_and_unfinished_ones_not(sandbox: Sandbox) -> None:
    put(sandbox, "a", "b", "c")
    put_v2(sandbox, "d", status="RUNNING", usage=None)
    output = run(sandbox)
    assert sorted(asked(sandbox)) == ["a", "b", "c"]
    assert credits_of(output) == {"a": 1.5, "b": 1.5, "c": 1.5, "d": None}
    assert {request.values("expand")[0] for request in sandbox.requests[1:]} == {"usage"}


def test_nothing_is_asked_for_without_the_setting_or_without_the_stream(sandbox: Sandbox) -> None:
    put(sandbox, "a")
    assert credits_of(run(sandbox, fetch_usage=False)) == {"a": None}
    assert asked(sandbox) == []
    run(sandbox, V2_STREAMS[1:])
    assert asked(sandbox) == []


def test_jobs_that_the_bookmark_leaves_out_are_not_asked_for(sandbox: Sandbox) -> None:
    put(sandbox, "old", "last")
    state = run(sandbox).state
    put(sandbox, "old", "last", "new")
    output = run(sandbox, state=state, lookback_seconds=0)
    assert credits_of(output) == {"new": 1.5, "last": 1.5}
    assert sorted(asked(sandbox)) == ["last", "new"]


def test_job_on_the_edge_of_windows_is_asked_for_once(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put(sandbox, *map(str, range(40)))
    output = run(sandbox, page_size=4)
    assert len(output.records(JOBS)) > 40
    assert Counter(asked(sandbox)) == Counter(map(str, range(40)))
    assert {*credits_of(output).values()} == {1.5}


def test_job_that_is_listed_twice_on_a_page_is_asked_for_once(sandbox: Sandbox) -> None:
    put(sandbox, "a")
    sandbox.world.put_raw_v2(sandbox.world.v2_job("a"), project_id=sandbox.project_id)
    assert len(run(sandbox).records(JOBS)) == 2
    assert asked(sandbox) == ["a"]


def test_usage_that_the_list_has_is_not_asked_for(sandbox: Sandbox) -> None:
    put(sandbox, "a")
    put(sandbox, "b", usage=None)
    sandbox.settings.usage_in_list = True
    assert credits_of(run(sandbox)) == {"b": None, "a": 1.5}
    assert asked(sandbox) == ["b"]


def test_job_that_is_gone_meanwhile_has_no_usage(sandbox: Sandbox) -> None:
    put(sandbox, "a", "b")
    sandbox.settings.gone = {f"{V2_PATH}/a": 404}
    assert credits_of(run(sandbox)) == {"a": None, "b": 1.5}


def test_id_of_odd_characters_is_asked_for_as_it_is(sandbox: Sandbox) -> None:
    ids = ["a b", "ä/ö", "50%", "q?x=1&y", "../classify", "#1", "語"]
    put(sandbox, *ids)
    assert credits_of(run(sandbox)) == dict.fromkeys(ids, 1.5)
    assert sorted(asked(sandbox)) == sorted(ids)


@pytest.mark.parametrize("at_once", [1, 3])
def test_so_many_are_asked_for_at_once_as_the_setting_says(at_once: int, sandbox: Sandbox) -> None:
    put(sandbox, *map(str, range(12)))
    turn, inside, most = threading.Lock(), [0], [0]
    meeting = threading.Barrier(at_once)
    ask = Usage._ask  # noqa: SLF001 - what runs at once is not seen from outside

    def watched(self: Usage, id_: str) -> Any:
        with turn:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        # All that may come have come, so that more would be seen.
        meeting.wait(timeout=10)
        try:
            return ask(self, id_)
        finally:
            with turn:
                inside[0] -= 1

    with mock.patch.object(Usage, "_ask", watched):
        output = run(sandbox, (JOBS,), parallel_requests=at_once)
    assert most == [at_once]
    assert credits_of(output) == {str(n): 1.5 for n in range(12)}


def test_calls_for_usage_keep_to_the_pace_and_are_retried(sandbox: Sandbox) -> None:
    put(sandbox, *map(str, range(9)))
    clock = SimulatedClock()
    sandbox.fail_next("503")
    with mock.patch("tap_llamaclassify.singer.sync.Clock", return_value=clock):
        output = run(sandbox, (JOBS,), requests_per_minute=5, retry_seconds=600)
    assert len(sandbox.requests) == 11
    assert sum(clock.naps) >= 60
    assert {*credits_of(output).values()} == {1.5}


def test_call_for_usage_that_fails_fails_the_sync_and_names_the_job(sandbox: Sandbox) -> None:
    put(sandbox, "a/job")
    sandbox.settings.gone = {f"{V2_PATH}/": 500}
    with pytest.raises(ApiError, match="GET /api/v2/classify/a%2Fjob at "):
        run(sandbox)
