"""A sync of v2 ends within three listings, whatever the API makes of the bounds of a window."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, get_args

import pytest

from builders import V2_STREAMS, Output, catalog_with, sync
from items import v2_job
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Bounds, Order
from llamacloud_sandbox.world.clock import stamp

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


def run(sandbox: Sandbox, state: Any = None, **config: Any) -> Output:
    names = {entry["tap_stream_id"] for entry in catalog_with(sandbox)["streams"]}
    wishes = {name: {"selected": name == V2_STREAMS[0]} for name in names}
    sandbox.clear_requests()
    return sync(sandbox, state=state, catalog=catalog_with(sandbox, **wishes), **config)


def ids(output: Output) -> set[str]:
    return {row["id"] for row in output.records(V2_STREAMS[0])}


SETTINGS = [(order, total) for order in get_args(Order) for total in (True, False)]


def most(jobs: int, page_size: int) -> int:
    """Return three times the requests of one listing; besides, what is unfinished is looked at."""
    return max(3 * math.ceil(jobs / page_size), 7)


@pytest.mark.parametrize("bounds", get_args(Bounds))
@pytest.mark.parametrize("world", WORLDS)
def test_sync_of_a_world_at_rest_is_complete_within_three_listings(
    world: str, bounds: Bounds, sandbox: Sandbox
) -> None:
    page_size, ages = WORLDS[world]
    put(sandbox, {f"{number}": age for number, age in enumerate(ages)})
    states = {}
    for setting in SETTINGS:
        sandbox.settings.bounds = bounds
        sandbox.settings.order, sandbox.settings.total_size = setting
        output = run(sandbox, page_size=page_size)
        assert len(sandbox.requests) <= most(len(ages), page_size), setting
        missing = {f"{number}" for number in range(len(ages))} - ids(output)
        assert not missing or bounds == "to the day", setting
        states[setting] = output.state, missing
    sandbox.world.advance(A_DAY)
    put(sandbox, {"new": AN_HOUR})
    for setting, (state, missing) in states.items():
        sandbox.settings.order, sandbox.settings.total_size = setting
        output = run(sandbox, state, page_size=page_size)
        assert len(sandbox.requests) <= most(len(ages) + 1, page_size), setting
        assert ids(output) >= missing, setting
        assert "new" in ids(output) or bounds == "to the day", setting
