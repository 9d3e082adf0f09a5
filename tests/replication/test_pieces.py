"""A piece that cannot be read is an error, and none leaves out what a later one will not have."""

from __future__ import annotations

from datetime import timedelta

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify.config.settings import parse_settings
from tap_llamaclassify.errors import ApiError
from tests.replication.test_increments import BY_NAME, Reader
from tests.replication.test_v2_bounds import AN_HOUR
from tests.support.builders import job
from tests.support.items import data_point
from tests.support.runs import put as put_v1
from tests.support.runs import put_v2

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


@pytest.mark.parametrize("table", ["classify_v2_jobs", "classify_jobs"])
def test_start_date_that_is_moved_back_reads_anew_from_there_and_says_so(
    table: str, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = (stamp(sandbox.world.now() - timedelta(days=days)) for days in (100, 2))
    for number, at in enumerate((old, new)):
        put_v1(sandbox, job(f"{number}", created_at=at, updated_at=at))
        put_v2(sandbox, f"{number}", created_at=at, updated_at=at)
    start_date = stamp(sandbox.world.now() - timedelta(days=10))
    reader = Reader(sandbox, BY_NAME[table], start_date=start_date)
    assert reader.new() == {"1"}
    sandbox.world.advance(AN_HOUR)
    reader.settings = parse_settings({})
    reader.looks()
    assert reader.new() == {"0", "1"}
    assert f"was last read with start_date {start_date}, and is read anew now" in caplog.text
    caplog.clear()
    sandbox.world.advance(AN_HOUR)
    assert "1" not in reader.new()
    assert not caplog.text


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
