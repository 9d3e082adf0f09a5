"""A sync of v2 ends within three listings, whatever the API makes of the bounds of a window."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Bounds, Order, Tokens
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.readers import ConnectionReader
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tests.support.builders import V2_STREAMS, connection
from tests.support.items import v2_job

JOBS = V2_STREAMS[0]
A_DAY = 86_400.0
AN_HOUR = 3600.0
Ages = list[float]
"""Seconds before now at which jobs were created."""


def evenly(jobs: int, seconds: float) -> Ages:
    return [seconds * number / jobs for number in range(jobs)]


def _burst_by_burst() -> Ages:
    return [day * A_DAY * 3 + number / 100 for day in range(12) for number in range(25)]


def _ever_denser() -> Ages:
    return [A_DAY * 400 * 0.93**number for number in range(200)]


WORLDS: dict[str, tuple[int, Ages]] = {
    "two pages": (3, evenly(6, 10 * A_DAY)),
    "three pages in a minute": (3, evenly(9, 60)),
    "nine pages": (3, evenly(27, 30 * A_DAY)),
    "400 jobs in ten hours": (3, evenly(400, 10 * AN_HOUR)),
    "130 jobs in an hour": (3, evenly(130, AN_HOUR)),
    "two days": (10, evenly(2000, 2 * A_DAY)),
    "90 days": (10, evenly(1200, 90 * A_DAY)),
    "a second": (3, evenly(300, 1)),
    "bursts": (3, _burst_by_burst()),
    "ever denser": (3, _ever_denser()),
    "ever sparser": (3, [A_DAY * 400 - age for age in _ever_denser()]),
}


def put(sandbox: Sandbox, ages: Mapping[str, float]) -> None:
    now = sandbox.world.now()
    for name, age in ages.items():
        created = stamp(now - timedelta(seconds=age))
        job = v2_job(name, created_at=created, updated_at=created, status="COMPLETED")
        sandbox.world.put_v2(job | {"project_id": sandbox.project_id})


def read(
    sandbox: Sandbox, kept: StreamState | None = None, **config: Any
) -> tuple[set[str], StreamState]:
    """Read the jobs that are due; return their ids, and what a state would keep."""
    sandbox.clear_requests()
    ids: set[str] = set()
    kept = kept or StreamState()
    client = Client(connection(sandbox, retry_seconds=0, **config))
    for step in ConnectionReader(client, Settings(), {JOBS: kept}).steps():
        assert isinstance(step, Step), step
        ids.update(job["id"] for job in step.items.get(JOBS, ()))
        kept = step.kept.get(JOBS, kept)
    return ids, kept


SETTINGS = [(order, total) for order in get_args(Order) for total in (True, False)]


def most(jobs: int, page_size: int, bounds: Bounds) -> int:
    """Return three times the requests of one listing; besides, what is unfinished is looked at.

    Where an end that is not counted as it should be has left jobs out, all is read once more.
    """
    times = 4 if bounds == "to the day" else 3
    return max(times * math.ceil(jobs / page_size), 7)


QUICK = ("two pages", "nine pages")


@pytest.mark.parametrize("bounds", get_args(Bounds))
@pytest.mark.parametrize(
    "world", [pytest.param(w, marks=[pytest.mark.heavy] * (w not in QUICK)) for w in WORLDS]
)
def test_sync_of_a_world_at_rest_is_complete_within_three_listings(
    world: str, bounds: Bounds, sandbox: Sandbox
) -> None:
    page_size, ages = WORLDS[world]
    put(sandbox, {f"{number}": age for number, age in enumerate(ages)})
    sandbox.settings.bounds = bounds
    before = {}
    for setting in SETTINGS:
        sandbox.settings.order, sandbox.settings.total_size = setting
        ids, kept = read(sandbox, page_size=page_size)
        assert len(sandbox.requests) <= most(len(ages), page_size, bounds), setting
        missing = {f"{number}" for number in range(len(ages))} - ids
        assert not missing or bounds == "to the day", setting
        before[setting] = kept, missing
    sandbox.world.advance(A_DAY)
    put(sandbox, {"new": AN_HOUR})
    for setting, (kept, missing) in before.items():
        sandbox.settings.order, sandbox.settings.total_size = setting
        ids, _ = read(sandbox, kept, page_size=page_size)
        assert len(sandbox.requests) <= most(len(ages) + 1, page_size, bounds), setting
        assert ids >= missing, setting
        assert "new" in ids or bounds == "to the day", setting


@pytest.mark.parametrize("page_size", [1, 3])
@pytest.mark.parametrize("tokens", get_args(Tokens))
@pytest.mark.parametrize("order", get_args(Order))
def test_sync_of_a_world_that_makes_a_job_at_each_request_ends(
    order: Order, tokens: Tokens, page_size: int, sandbox: Sandbox
) -> None:
    sandbox.settings.order, sandbox.settings.tokens = order, tokens
    put(sandbox, {f"{number}": age for number, age in enumerate(evenly(120, A_DAY))})

    def make_a_job(_: int) -> None:
        assert len(sandbox.requests) < 4 * 120
        sandbox.world.advance(2)
        put(sandbox, {f"new {len(sandbox.requests)}": 0})

    sandbox.before_page = make_a_job
    ids, _ = read(sandbox, page_size=page_size)
    sandbox.before_page = None
    assert ids >= {f"{number}" for number in range(120)} or tokens == "position"
