"""All tasks of a connection keep to its rate limit together; a task that is tried again waits."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify import read_table
from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.spark import plans
from tap_llamaclassify.spark.batches import batches_of, columns_of, rows_of
from tap_llamaclassify.spark.conditions import condition_of
from tap_llamaclassify.spark.stream import Stream
from tests.support.builders import ALL_STREAMS
from tests.support.runs import config_of
from tests.support.simulated import ClientClock, Life
from tests.support.spark_runs import batch, request_of, rows_in

JOBS = "classify_v2_jobs"
ALL = {"fetch_results": True, "fetch_usage": True}


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """Run an API whose clock stands still, with two projects."""
    with Sandbox(World(History(jobs=40, v2_jobs=900, days=200, projects=2))) as running:
        yield running


@pytest.mark.parametrize("table", ALL_STREAMS)
def test_tasks_together_bring_the_rows_that_the_tap_has(table: str, world: Sandbox) -> None:
    config = config_of(world, page_size=20, **ALL)
    request = request_of(table, config)
    tasks = plans.batch(request, [])
    assert table != JOBS or len(tasks) >= 3
    # As tasks have it.
    request, tasks = pickle.loads(pickle.dumps((request, tasks)))  # noqa: S301 - our own
    schema = columns_of(request).schema.remove_metadata()
    batches = [each for task in tasks for each in batches_of(request, task, schema)]
    assert all(each.schema.equals(schema, check_metadata=True) for each in batches)
    found = Counter(str(row) for each in batches for row in each.to_pylist())
    assert found == Counter(str(row) for row in read_table(table, config).to_pylist())


def test_connections_are_planned_side_by_side_and_each_task_is_of_one(world: Sandbox) -> None:
    ids = [*world.keys]
    connections = [
        {"name": f"c{number}", "api_key": key, "project_id": id_}
        for number, (id_, key) in enumerate(world.keys.items())
    ]
    config = {"api_url": world.url, "connections": connections, "page_size": 20}
    request = request_of(JOBS, config)
    tasks = plans.batch(request, [])
    assert {task.piece.connection for task in tasks} == {0, 1}
    rows = rows_in(request, tasks)
    assert Counter(row["id"] for row in rows) == Counter(
        job["id"] for id_ in ids for job in world.world.v2_jobs(id_)
    )
    condition = condition_of("project_id", "EqualTo", ids[1])
    assert condition
    assert {task.piece.connection for task in plans.batch(request, [condition])} == {1}


def test_tasks_and_what_is_asked_for_may_be_pickled_and_show_no_key(world: Sandbox) -> None:
    request = request_of(JOBS, config_of(world, page_size=20))
    tasks = plans.batch(request, [])
    assert pickle.loads(pickle.dumps((request, tasks))) == (request, tasks)  # noqa: S301 - our own
    assert world.key not in repr(tasks)
    assert world.key.encode() not in pickle.dumps(tasks)


def test_key_that_travels_unencrypted_is_warned_about(
    world: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    request = request_of(JOBS, config_of(world, page_size=20))
    assert not caplog.messages
    connections = [replace(each, insecure=True) for each in request.connections]
    request = replace(request, connections=connections)
    for begin in (lambda: plans.batch(request, []), lambda: Stream(request)):
        caplog.clear()
        begin()
        assert len([each for each in caplog.messages if "travels unencrypted" in each]) == 1


def test_error_of_a_task_names_the_connection_and_is_one_line(world: Sandbox) -> None:
    connections = [{"name": "mine", "api_key": "llx-wrong"}]
    config = {"api_url": world.url, "connections": connections}
    with pytest.raises(ApiError, match=r"^mine: page 1: GET .* answered 401 .*api_key") as caught:
        batch("classify_jobs", config)
    assert "\n" not in str(caught.value)
    with pytest.raises(ApiError, match=r"^mine: page 1: GET .* answered 401"):
        batch(JOBS, config)


LIMIT = 300


@pytest.fixture
def limited(world: Sandbox) -> Iterator[Life]:
    """Let the API refuse more than so many requests in a minute, and count by the world's clock."""
    life = Life(world)
    clock = ClientClock(life)
    world.settings.requests_per_minute = LIMIT
    world.clear_requests()
    with mock.patch("tap_llamaclassify.http.client.Clock", return_value=clock):
        yield life
    statuses = {request.status for request in world.requests}
    life.pass_time(60)
    world.settings.requests_per_minute = 0
    assert statuses == {200}, "more were sent than the limit allows"


def test_all_tasks_of_a_connection_at_once_keep_to_its_limit(limited: Life) -> None:
    config = config_of(limited.sandbox, page_size=1, requests_per_minute=LIMIT)
    request = request_of(JOBS, config)
    tasks = plans.batch(request, [])
    assert len(tasks) >= 3
    # No time passes but by waiting, so that they are as dense as can be.
    readers = [rows_of(request, task) for task in tasks]
    rows: list[Any] = []
    while readers:
        for reader in [*readers]:
            page = next(reader, None)
            if page is None:
                readers.remove(reader)
            rows += page or ()
    assert len(rows) == len(limited.sandbox.world.v2_jobs(limited.sandbox.project_id))


def test_task_that_is_tried_again_waits_for_what_it_may_have_sent(limited: Life) -> None:
    config = config_of(limited.sandbox, page_size=1, requests_per_minute=LIMIT)
    request = request_of(JOBS, config)
    tasks = plans.batch(request, [])
    for attempt in (0, 1, 2):
        rows_in(request, tasks, attempt)


def test_increments_of_a_stream_keep_to_the_limit(limited: Life) -> None:
    sandbox = limited.sandbox
    config = config_of(sandbox, page_size=1, requests_per_minute=LIMIT)
    request = request_of(JOBS, config)
    stream = Stream(request)
    stream.freeze()
    start, count = stream.beginning, 0
    while (end := stream.latest(start, pages=100)) != start:
        rows_in(request, stream.tasks(start, end))
        start, count = end, count + 1
    assert count >= 3


def test_conditions_are_looked_at_row_by_row(world: Sandbox) -> None:
    request = request_of(JOBS, config_of(world, page_size=20))
    condition = condition_of("status", "In", ("FAILED", "CANCELLED"))
    assert condition
    tasks = plans.batch(request, [condition])
    rows: list[Any] = [
        row for task in tasks for rows in rows_of(request, task, [condition]) for row in rows
    ]
    jobs = world.world.v2_jobs(world.project_id)
    wanted = {job["id"] for job in jobs if job["status"] in {"FAILED", "CANCELLED"}}
    assert {row["id"] for row in rows} == wanted
