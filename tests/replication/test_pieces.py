"""A piece that cannot be read is an error, and none leaves out what a later one will not have."""

from __future__ import annotations

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify.errors import ApiError
from tests.replication.test_increments import BY_NAME, Reader
from tests.replication.test_v2_bounds import AN_HOUR
from tests.support.items import data_point

TIMINGS = BY_NAME["classify_job_timings"]


def put(sandbox: Sandbox, **fields: str) -> None:
    """Let there be a data point of today, or change it."""
    now = stamp(sandbox.world.now())
    usual = {"project_id": sandbox.project_id, "created_at": now, "updated_at": now}
    sandbox.world.put_data_point(data_point("a", **usual | fields))


def test_beta_that_goes_between_the_look_and_the_reading_is_an_error(sandbox: Sandbox) -> None:
    put(sandbox)
    reader = Reader(sandbox, TIMINGS)
    assert reader.new() == {"a"}
    pieces = reader.look()
    # The next increment begins where this one ends.
    sandbox.settings.gone = {"/api/v1/job-data-points": 404}
    with pytest.raises(ApiError, match="answered 404"):
        reader.read(pieces)


def test_timing_of_a_long_job_comes_whatever_reconcile_days_is(sandbox: Sandbox) -> None:
    created = stamp(sandbox.world.now())
    put(sandbox, status="RUNNING")
    reader = Reader(sandbox, TIMINGS, reconcile_days=0)
    assert reader.new() == {"a"}
    sandbox.world.advance(AN_HOUR)
    reader.new()
    put(sandbox, status="COMPLETED", created_at=created)
    sandbox.world.advance(60)
    assert reader.new() == {"a"}
