"""Unfinished jobs stand in a state once, and are found by each stream that knows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify.replication.shared_state import shared, spelled_out
from tests.support.builders import STREAMS, V2_STREAMS, catalog_with, sync
from tests.support.items import v2_job

JOBS, RULES, CONFIGS = V2_STREAMS
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
    for number in range(3):
        created = stamp(sandbox.world.now())
        sandbox.world.put_v2(
            v2_job(f"slow-{number}", created_at=created, updated_at=created, status="RUNNING")
            | {"project_id": sandbox.project_id}
        )
    sandbox.world.advance(20 * 86_400)
    created = stamp(sandbox.world.now())
    sandbox.world.put_v2(
        v2_job("new", created_at=created, updated_at=created) | {"project_id": sandbox.project_id}
    )
    return sandbox


def run(sandbox: Sandbox, state: Any = None, streams: Any = V2_STREAMS) -> Any:
    wishes = {name: {"selected": name in streams} for name in (*STREAMS, *V2_STREAMS)}
    return sync(sandbox, state=state, catalog=catalog_with(sandbox, **wishes))


def finish(sandbox: Sandbox) -> None:
    for number in range(3):
        sandbox.world.touch_v2(f"slow-{number}", status="COMPLETED")


def test_state_holds_unfinished_jobs_once(slow: Sandbox) -> None:
    state = run(slow).state
    assert json.dumps(state).count("slow-1") == 1
    finish(slow)
    output = run(slow, state)
    for stream, key in ((JOBS, "id"), (RULES, "job_id"), (CONFIGS, "job_id")):
        assert {row[key] for row in output.records(stream)} >= {"slow-0", "slow-1", "slow-2"}


@pytest.mark.parametrize("alone", V2_STREAMS)
def test_stream_that_was_left_out_for_a_run_misses_no_job_that_ended_meanwhile(
    alone: str, slow: Sandbox
) -> None:
    state = run(slow).state
    finish(slow)
    state = run(slow, state, streams=[alone]).state
    output = run(slow, state)
    for stream, key in ((JOBS, "id"), (RULES, "job_id"), (CONFIGS, "job_id")):
        if stream != alone:
            assert {row[key] for row in output.records(stream)} >= {"slow-0", "slow-1", "slow-2"}


@pytest.mark.parametrize("gone", V2_STREAMS)
def test_stream_whose_jobs_stood_in_an_entry_that_was_removed_finds_them_all_the_same(
    gone: str, slow: Sandbox
) -> None:
    state = run(slow).state
    finish(slow)
    del state["bookmarks"][gone]
    streams = [stream for stream in V2_STREAMS if stream != gone]
    output = run(slow, state, streams=streams)
    for stream in streams:
        key = "id" if stream == JOBS else "job_id"
        assert {row[key] for row in output.records(stream)} >= {"slow-0", "slow-1", "slow-2"}
