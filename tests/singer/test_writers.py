"""What each RECORD carries, which version of a table is whole, and how many rows were written."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from llamacloud_sandbox.server import Sandbox
from tests.support.batch_files import put_jobs
from tests.support.builders import STREAMS, captured, catalog_with, new_tap, sync

JOBS, RULES, CONFIGS = STREAMS


@pytest.mark.usefixtures("elsewhere")
def test_records_and_the_message_after_them_carry_the_version_of_a_full_table(
    sandbox: Sandbox,
) -> None:
    put_jobs(sandbox, 3)
    tap = new_tap(
        sandbox,
        catalog=catalog_with(sandbox, **{JOBS: {"replication_method": "FULL_TABLE"}}),
        emit_activate_version_messages=True,
        page_size=2,
    )
    before = datetime.now(UTC)
    output = captured(tap)
    after = datetime.now(UTC)
    version = tap.initialized_at // 1000
    records = output.of_type("RECORD")
    assert {(each["stream"], each.get("version")) for each in records} == {
        (JOBS, version),
        (RULES, None),
        (CONFIGS, None),
    }
    assert output.of_type("ACTIVATE_VERSION") == [
        {"type": "ACTIVATE_VERSION", "stream": JOBS, "version": version}
    ]
    assert output.messages[-1]["type"] == "STATE"
    moments = [datetime.fromisoformat(each["time_extracted"]) for each in records]
    assert all(before <= moment <= after for moment in moments)


@pytest.mark.parametrize("wish", [{}, {"replication_method": "FULL_TABLE"}])
def test_no_version_is_told_where_none_is_asked_for(sandbox: Sandbox, wish: dict[str, str]) -> None:
    put_jobs(sandbox, 2)
    output = sync(
        sandbox,
        catalog=catalog_with(sandbox, **{JOBS: wish}),
        emit_activate_version_messages=not wish,
    )
    assert output.of_type("ACTIVATE_VERSION") == []
    assert {each.get("version") for each in output.of_type("RECORD")} == {None}


def test_dry_run_writes_as_many_rows_of_each_stream_whatever_the_pages(sandbox: Sandbox) -> None:
    put_jobs(sandbox, 9)
    tap = new_tap(sandbox, catalog=catalog_with(sandbox), page_size=2)
    for stream in tap.streams.values():
        stream.ABORT_AT_RECORD_COUNT = 3
    output = captured(tap)
    assert [len(output.records(name)) for name in STREAMS] == [3, 3, 3]


def test_summary_counts_the_rows_of_each_stream_by_its_name_in_the_output(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    put_jobs(sandbox, 5, parsing_configuration=None)
    maps = {"copies": {"__source__": JOBS, "__filter__": "id > 'j0001'"}}
    sync(sandbox, page_size=2, stream_maps=maps)
    assert f"{JOBS} 5, copies 3, {RULES} 5, {CONFIGS} 0" in caplog.text
