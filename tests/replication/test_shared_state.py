"""Unfinished jobs stand in a state once, and are found by each stream that knows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify.replication.shared_state import shared, spelled_out
from tests.support.builders import V2_STREAMS, Output, sync
from tests.support.runs import put_v2, select

JOBS = V2_STREAMS[0]
SLOW = ("slow-0", "slow-1", "slow-2")
A = {"a": "2026-11-01T00:00:00.000000Z"}
B = {"b": "2026-11-01T00:00:00.000000Z"}


def state_of(**entries: Any) -> dict[str, Any]:
    return {"bookmarks": entries}


def partitions(**unfinished: Any) -> dict[str, Any]:
    return {
        "partitions": [
            {"context": {"connection": name}, **entry} for name, entry in unfinished.items()
        ]
    }


@pytest.mark.parametrize(
    ("state", "written"),
    [
        pytest.param(
            state_of(x={"unfinished": A}, y={"unfinished": A}, z={}),
            state_of(x={"unfinished": A}, y={"unfinished_of": "x"}, z={}),
            id="the same",
        ),
        pytest.param(
            state_of(x={"unfinished": A}, y={"unfinished": B}, z={"unfinished": B}),
            state_of(x={"unfinished": A}, y={"unfinished": B}, z={"unfinished_of": "y"}),
            id="of two streams",
        ),
        pytest.param(
            state_of(x=partitions(n={"unfinished": A}), y=partitions(s={"unfinished": A})),
            state_of(x=partitions(n={"unfinished": A}), y=partitions(s={"unfinished": A})),
            id="of two connections",
        ),
        pytest.param(
            state_of(x=partitions(n={"unfinished": A}), y=partitions(n={"unfinished": A})),
            state_of(x=partitions(n={"unfinished": A}), y=partitions(n={"unfinished_of": "x"})),
            id="of one connection",
        ),
        pytest.param({}, {}, id="none"),
    ],
)
def test_what_is_the_same_is_written_once_and_read_by_each(
    state: dict[str, Any], written: dict[str, Any]
) -> None:
    before = json.dumps(state)
    assert shared(state) == written
    assert spelled_out(written) == state
    assert json.dumps(state) == before


def test_entry_of_merged_states_has_both() -> None:
    merged = state_of(x={"unfinished": A}, y={"unfinished": B, "unfinished_of": "x"})
    assert spelled_out(merged) == state_of(x={"unfinished": A}, y={"unfinished": A | B})


@pytest.mark.parametrize(
    "state", [{"bookmarks": []}, {"bookmarks": {"x": 1, "y": {"partitions": [1, {}]}}}]
)
def test_what_is_no_state_is_left_to_be_refused(state: dict[str, Any]) -> None:
    assert spelled_out(state) == state


@pytest.fixture
def slow(sandbox: Sandbox) -> Sandbox:
    """Put unfinished jobs into the world, long before the days that are listed again."""
    put_v2(sandbox, *SLOW, **made_now(sandbox), status="RUNNING")
    sandbox.world.advance(20 * 86_400)
    put_v2(sandbox, "new", **made_now(sandbox))
    return sandbox


def made_now(sandbox: Sandbox) -> dict[str, str]:
    """Return the times of a job that is made now."""
    return dict.fromkeys(("created_at", "updated_at"), stamp(sandbox.world.now()))


def assert_found(output: Output, *streams: str) -> None:
    """Make sure that streams have rows of every job that was slow."""
    for stream in streams:
        key = "id" if stream == JOBS else "job_id"
        assert {row[key] for row in output.records(stream)} >= {*SLOW}


def run(sandbox: Sandbox, state: Any = None, streams: Any = V2_STREAMS) -> Output:
    return sync(sandbox, state=state, catalog=select(sandbox, *streams))


def finish(sandbox: Sandbox) -> None:
    for each in SLOW:
        sandbox.world.touch_v2(each, status="COMPLETED")


def test_state_holds_unfinished_jobs_once(slow: Sandbox) -> None:
    state = run(slow).state
    assert json.dumps(state).count("slow-1") == 1
    finish(slow)
    assert_found(run(slow, state), *V2_STREAMS)


@pytest.mark.parametrize("alone", V2_STREAMS)
def test_stream_that_was_left_out_for_a_run_misses_no_job_that_ended_meanwhile(
    alone: str, slow: Sandbox
) -> None:
    state = run(slow).state
    finish(slow)
    state = run(slow, state, streams=[alone]).state
    assert_found(run(slow, state), *(stream for stream in V2_STREAMS if stream != alone))


@pytest.mark.parametrize("gone", V2_STREAMS)
def test_stream_whose_jobs_stood_in_an_entry_that_was_removed_finds_them_all_the_same(
    gone: str, slow: Sandbox
) -> None:
    state = run(slow).state
    finish(slow)
    del state["bookmarks"][gone]
    streams = [stream for stream in V2_STREAMS if stream != gone]
    assert_found(run(slow, state, streams=streams), *streams)
