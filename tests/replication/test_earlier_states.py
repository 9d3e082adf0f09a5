"""A state that version 0.1.0 wrote is gone on from, and nothing is read again because of it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tests.support.airbyte import configured, source, states_of
from tests.support.builders import ALL_STREAMS, Output, job, sync
from tests.support.items import v2_job
from tests.support.runs import config_of, select

STATES = json.loads(
    (Path(__file__).parents[1] / "golden" / "states_of_0_1_0.json").read_text(encoding="utf-8")
)
V2 = "/api/v2/classify"
SLOW = (20, 21, 22)
"""Days ago at which the v2 jobs were made that were unfinished then."""


@pytest.fixture
def sandbox(sandbox: Sandbox) -> Sandbox:
    """The world that the states are of, some of it finished since, and a job more of each kind."""
    world, now = sandbox.world, sandbox.world.now()
    for project_id in sandbox.keys:
        for days in range(1, 31):
            at = stamp(now - timedelta(days=days))
            own = {"project_id": project_id, "created_at": at, "updated_at": at}
            world.put(job(f"{project_id}-v1-{days}", **own))
            status = "RUNNING" if days in SLOW else "COMPLETED"
            world.put_v2(v2_job(f"{project_id}-v2-{days}", status=status) | own)
    world.advance(3600)
    for project_id in sandbox.keys:
        own = dict.fromkeys(("created_at", "updated_at"), stamp(world.now()))
        own["project_id"] = project_id
        world.put(job(f"{project_id}-v1-new", **own))
        world.put_v2(v2_job(f"{project_id}-v2-new") | own)
        for days in SLOW:
            world.touch_v2(f"{project_id}-v2-{days}", status="COMPLETED")
    return sandbox


def run(sandbox: Sandbox, state: Any, **config: Any) -> Output:
    sandbox.clear_requests()
    catalog = select(sandbox, *ALL_STREAMS)
    return sync(sandbox, catalog=catalog, state=state, fetch_results=True, **config)


def changed(project_id: str) -> tuple[set[str], set[str]]:
    """Return the jobs to be emitted: what is new, what has ended, and the last one before."""
    v1 = {f"{project_id}-v1-{name}" for name in ("new", "1")}
    return v1, {f"{project_id}-v2-{name}" for name in ("new", "1", *SLOW)}


def assert_gone_on(output: Output, sandbox: Sandbox, *project_ids: str) -> None:
    """Make sure that what has changed came, and nothing else."""
    v1, v2 = (set().union(*ids) for ids in zip(*map(changed, project_ids), strict=True))
    assert {row["id"] for row in output.records("classify_jobs")} == v1
    assert {row["id"] for row in output.records("classify_v2_jobs")} == v2
    # One page of the last days, and what was unfinished by its ids.
    assert sum(request.path == V2 for request in sandbox.requests) == 2 * len(project_ids)


def test_state_of_one_key_is_gone_on_from(sandbox: Sandbox) -> None:
    output = run(sandbox, STATES["one key"])
    assert_gone_on(output, sandbox, sandbox.project_id)
    v1, _ = changed(sandbox.project_id)
    assert {row["job_id"] for row in output.records("classify_job_results")} == v1


def test_state_of_connections_is_gone_on_from(sandbox: Sandbox) -> None:
    keys = zip(("emea", "apac"), sandbox.keys.values(), strict=False)
    connections = [{"name": name, "api_key": key} for name, key in keys]
    output = run(sandbox, STATES["connections"], api_key=None, connections=connections)
    assert_gone_on(output, sandbox, *[*sandbox.keys][:2])


def test_state_of_a_run_that_was_broken_off_in_its_windows_is_gone_on_from(
    sandbox: Sandbox,
) -> None:
    state = json.loads(json.dumps(STATES["one key"]))
    until = stamp(sandbox.world.now() - timedelta(days=10))
    for name, entry in state["bookmarks"].items():
        if name.startswith("classify_v2"):
            begun = entry.pop("replication_key_value")
            entry |= {"created_at_read_until": until, "reading_began_at": begun}
            del entry["replication_key"]
    output = run(sandbox, state)
    ids = {row["id"].rpartition("-")[2] for row in output.records("classify_v2_jobs")}
    assert ids == {*(f"{days}" for days in (*range(1, 10), *SLOW)), "new"}
    (window, *_) = [request for request in sandbox.requests if request.path == V2]
    assert window.query["created_at_on_or_after"] > stamp(
        sandbox.world.now() - timedelta(days=10, seconds=600)
    )


def test_what_airbyte_kept_of_each_stream_is_gone_on_from(sandbox: Sandbox, tmp_path: Path) -> None:
    state = states_of(STATES["one key"]["bookmarks"])
    config = config_of(sandbox, fetch_results=True)
    catalog = configured(*ALL_STREAMS)
    sandbox.clear_requests()
    said = source(tmp_path, "read", config=config, catalog=catalog, state=state)
    v1, v2 = changed(sandbox.project_id)
    assert {row["id"] for row in said.rows("classify_jobs")} == v1
    assert {row["id"] for row in said.rows("classify_v2_jobs")} == v2
    assert sum(request.path == V2 for request in sandbox.requests) == 2
