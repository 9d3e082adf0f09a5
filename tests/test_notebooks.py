"""Job history without Singer: the same rows in one listing, for notebooks and data frames."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import Any

import duckdb
import pyarrow as pa
import pytest

import test_shapes
from builders import STREAMS, job, new_tap, sync
from conftest import ROOT
from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.errors import ApiError, SettingsError
from tap_llamaclassify.notebooks import record_batches
from test_batches import ARROW, as_loaded, is_json, put_jobs

api = test_shapes.api


def settings(sandbox: Sandbox, **more: Any) -> dict[str, Any]:
    return {"api_url": sandbox.url, "api_key": sandbox.key, "retry_seconds": 0} | more


def by_table(sandbox: Sandbox, **more: Any) -> dict[str, list[pa.RecordBatch]]:
    found: dict[str, list[pa.RecordBatch]] = defaultdict(list)
    for table, batch in record_batches(settings(sandbox, **more)):
        found[table].append(batch)
    return found


def ids(sandbox: Sandbox, **more: Any) -> list[str]:
    batches = by_table(sandbox, **more)["classify_jobs"]
    return [identity for batch in batches for identity in batch.column("id").to_pylist()]


def test_rows_are_those_of_record_mode_in_one_listing(api: Sandbox) -> None:
    api.settings.order = "oldest"
    records = sync(api, page_size=25)
    api.clear_requests()
    found = by_table(api, page_size=25)
    assert len(api.requests) == 3
    assert found.keys() == {*STREAMS}
    for stream in STREAMS:
        columns = new_tap(api).streams[stream].schema["properties"]
        table = pa.Table.from_batches(found[stream])
        assert [(f.name, f.type, f.nullable) for f in table.schema] == ARROW[stream]
        expected = [as_loaded(row, columns) for row in records.records(stream)]
        assert cells(table, columns) == expected


def cells(table: pa.Table, columns: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Read a table cell by cell, as DuckDB finds it in this process."""
    timestamps = [f.name for f in table.schema if pa.types.is_timestamp(f.type)]
    replaced = ", ".join(f'epoch_us("{name}") AS "{name}"' for name in timestamps)
    with duckdb.connect() as warehouse:
        warehouse.register("history", table)
        query = f"SELECT * REPLACE ({replaced}) FROM history"  # noqa: S608 - our own columns
        found = warehouse.execute(query)
        rows = found.fetchall()
    texts = [place for place, column in enumerate(columns.values()) if is_json(column)]
    decode = json.loads
    return [
        tuple(
            decode(cell) if place in texts and cell is not None else cell
            for place, cell in enumerate(row)
        )
        for row in rows
    ]


def test_every_batch_of_a_table_has_its_one_schema(sandbox: Sandbox) -> None:
    put_jobs(sandbox, 2, parsing_configuration={}, user_id=None)
    sandbox.world.put(job("whole", project_id=sandbox.project_id))
    for batches in by_table(sandbox, page_size=1).values():
        assert len(batches) == 3
        schemas = [batch.schema for batch in batches]
        assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)
        assert all(field.metadata[b"description"] for field in schemas[0])


@pytest.mark.parametrize("tables", [None, ["classify_job_rules"], STREAMS])
def test_one_listing_gives_the_tables_that_are_wanted(sandbox: Sandbox, tables: Any) -> None:
    put_jobs(sandbox, 5)
    found = [name for name, _ in record_batches(settings(sandbox, page_size=2), tables=tables)]
    assert {*found} == {*(tables or STREAMS)}
    assert len(sandbox.requests) == 3


def test_empty_listing_gives_no_batch(sandbox: Sandbox) -> None:
    assert by_table(sandbox) == {}


def test_start_date_leaves_out_what_was_updated_before_it(sandbox: Sandbox) -> None:
    put_jobs(sandbox, 2, updated_at="2026-10-01T00:00:00Z")
    sandbox.world.put(job("on time", project_id=sandbox.project_id))
    sandbox.world.put(job("no time", project_id=sandbox.project_id, updated_at=None))
    assert sorted(ids(sandbox, start_date="2026-11-01")) == ["no time", "on time"]
    assert len(ids(sandbox)) == 4


def test_request_that_is_refused_for_now_is_tried_again(sandbox: Sandbox) -> None:
    put_jobs(sandbox, 2)
    sandbox.answer_next(429, headers={"Retry-After": "0"})
    assert ids(sandbox, retry_seconds=60) == ["j0000", "j0001"]
    assert len(sandbox.requests) == 2


def test_listing_that_fails_says_so_to_whoever_asks_for_the_next_batch(sandbox: Sandbox) -> None:
    sandbox.answer_next(503)
    batches = record_batches(settings(sandbox))
    with pytest.raises(ApiError, match=r"^page 1: .*503"):
        next(batches)


def test_key_and_address_come_from_the_environment(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_jobs(sandbox, 1)
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", sandbox.key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", sandbox.url)
    assert [table for table, _ in record_batches()] == [*STREAMS]


@pytest.mark.parametrize(
    ("change", "tables", "text"),
    [
        ({"page_size": 0}, None, "page_size must be at least 1"),
        ({"pagesize": 5}, None, "pagesize is not a setting of this tap; did you mean page_size"),
        ({"api_key": None}, None, "api_key"),
        ({}, ["classify_job", "classify_jobs"], "there is no table classify_job; there are "),
        ({}, "classify_jobs", "tables"),
    ],
)
def test_settings_that_are_wrong_fail_at_the_call_before_any_request(
    sandbox: Sandbox, change: dict[str, Any], tables: Any, text: str
) -> None:
    with pytest.raises(SettingsError, match=text):
        record_batches(settings(sandbox) | change, tables=tables)
    assert sandbox.requests == []


def test_example_of_the_readme_runs(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_jobs(sandbox, 3)
    sandbox.world.put(job("failed", project_id=sandbox.project_id, status="ERROR"))
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", sandbox.key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", sandbox.url)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.split("<!-- notebook -->")[1].split("<!-- /notebook -->")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102 - the README's own
    printed = capsys.readouterr().out
    assert "SUCCESS" in printed
    assert "ERROR" in printed
    assert len(sandbox.requests) == 1
