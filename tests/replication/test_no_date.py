"""Where replies have no `Date`, this machine's clock, right or wrong, makes nothing be lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Order
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.http.pacing import Clock
from tap_llamaclassify.replication.readers import ConnectionReader
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.timestamps import LAST
from tests.support.builders import connection, job
from tests.support.items import v2_job
from tests.support.runs import config_of, put, put_v2
from tests.support.simulated import ClientClock, Life
from tests.support.spark_runs import batch

PAGES = range(1, 30, 4)
SETTINGS = Settings(lookback_seconds=0, reconcile_days=0)


def read(
    sandbox: Sandbox, table: str, kept: StreamState, clock: Clock
) -> tuple[set[str], StreamState]:
    """Read a table's items; return their ids, and what a state would keep."""
    client = Client(connection(sandbox, page_size=2), clock=clock)
    ids: set[str] = set()
    for step in ConnectionReader(client, SETTINGS, {table: kept}).steps():
        assert isinstance(step, Step)
        ids.update(item["id"] for item in step.items.get(table, ()))
        kept = step.kept.get(table, kept)
    return ids, kept


@pytest.mark.parametrize("hours", [-1, 0, 1], ids=["an hour slow", "right", "an hour fast"])
@pytest.mark.parametrize("table", ["classify_jobs", "classify_v2_jobs"])
def test_job_that_changes_while_it_is_listed_comes_with_the_next_run(
    table: str, hours: int, sandbox: Sandbox
) -> None:
    world, start = sandbox.world, sandbox.world.now()
    clock = ClientClock(Life(sandbox), hours * 3600)
    sandbox.settings.date, sandbox.settings.order = False, "oldest"
    is_v1 = table == "classify_jobs"
    put: Any = world.put if is_v1 else world.put_v2
    touch: Any = world.touch if is_v1 else world.touch_v2
    for number in range(12):
        at = stamp(start - timedelta(days=12 - number))
        made = job if is_v1 else v2_job
        put(
            made(f"j{number}", created_at=at, updated_at=at, status="RUNNING")
            | {"project_id": sandbox.project_id}
        )

    def at_page(number: int) -> None:
        world.advance(600)
        # What was listed changes first, and then what is still to be listed.
        if number == 3:
            touch("j1", status="COMPLETED")
        if number == 5:
            touch("j11", status="COMPLETED")

    sandbox.before_page = at_page
    ids, kept = read(sandbox, table, StreamState(), clock)
    sandbox.before_page = None
    assert ids == {f"j{number}" for number in range(12)}
    world.advance(3600)
    again, _ = read(sandbox, table, kept, clock)
    assert "j1" in again


def test_bookmark_moves_on_when_the_world_is_quiet(sandbox: Sandbox) -> None:
    clock = ClientClock(Life(sandbox), 3600)
    sandbox.settings.date = False
    put(sandbox, job("a"))
    _, kept = read(sandbox, "classify_jobs", StreamState(), clock)
    assert kept.bookmark == sandbox.world.job("a")["updated_at"]


@pytest.mark.parametrize("order", ["oldest", "shuffled", "newest"])
def test_v2_jobs_that_are_later_than_a_clock_that_is_days_behind_come_at_once(
    order: Order, sandbox: Sandbox
) -> None:
    clock = ClientClock(Life(sandbox), -3 * 86_400)
    sandbox.settings.date, sandbox.settings.order = False, order
    ids = [f"j{number:02}" for number in range(24)]
    for number, id_ in enumerate(ids):
        at = stamp(sandbox.world.now() - timedelta(hours=4 * (24 - number)))
        put_v2(sandbox, id_, created_at=at, updated_at=at)
    found, kept = read(sandbox, "classify_v2_jobs", StreamState(), clock)
    assert found == {*ids}
    assert not [request for request in sandbox.requests if LAST[:4] in str(request)]
    sandbox.world.advance(600)
    now = stamp(sandbox.world.now())
    put_v2(sandbox, "new", created_at=now, updated_at=now)
    again, _ = read(sandbox, "classify_v2_jobs", kept, clock)
    assert "new" in again
    with mock.patch("tap_llamaclassify.http.client.Clock", return_value=clock):
        rows = batch("classify_v2_jobs", config_of(sandbox, page_size=2))
    assert sorted(row["id"] for row in rows) == [*ids, "new"]


@pytest.mark.parametrize("total_size", [True, False])
def test_batch_by_a_clock_that_is_days_behind_has_what_moves_while_it_is_listed(
    sandbox: Sandbox, *, total_size: bool
) -> None:
    clock = ClientClock(Life(sandbox), -3 * 86_400)
    settings, world = sandbox.settings, sandbox.world
    settings.date, settings.order, settings.total_size = False, "updated", total_size
    ids = [f"j{number:02}" for number in range(24)]
    for number, id_ in enumerate(ids):
        at = stamp(world.now() - timedelta(hours=4 * (24 - number)))
        # What was created first is listed first, so that the first page tells of no later one.
        changed = stamp(world.now() - timedelta(minutes=number))
        put_v2(sandbox, id_, created_at=at, updated_at=changed, status="RUNNING")
    for page in PAGES:

        def at_page(_: int, page: int = page) -> None:
            if len(sandbox.requests) == page:
                # It goes to the top, which was read.
                world.touch_v2(ids[-1])

        sandbox.clear_requests()
        sandbox.before_page = at_page
        with mock.patch("tap_llamaclassify.http.client.Clock", return_value=clock):
            rows = batch("classify_v2_jobs", config_of(sandbox, page_size=2))
        assert sorted(row["id"] for row in rows) == ids
        sandbox.before_page = None
        world.put_v2({**world.v2_job(ids[-1]), "updated_at": changed})
