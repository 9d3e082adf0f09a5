"""Job history without Singer: the same rows in one listing, for notebooks and data frames."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify import record_batches
from tap_llamaclassify.errors import ApiError, SettingsError
from tests.support.batch_files import ARROW, as_loaded, cells, put_jobs
from tests.support.builders import DEFAULT_STREAMS, STREAMS, V2_STREAMS, job, new_tap, sync
from tests.support.commands import ROOT
from tests.support.runs import config_of, put, put_v2

V1, V2, RESULTS = "/api/v1/classifier/jobs", "/api/v2/classify", "classify_job_results"


def by_table(sandbox: Sandbox, **more: Any) -> dict[str, list[pa.RecordBatch]]:
    found: dict[str, list[pa.RecordBatch]] = defaultdict(list)
    for table, batch in record_batches(config_of(sandbox, **more), tables=STREAMS):
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


def test_every_batch_of_a_table_has_its_one_schema(sandbox: Sandbox) -> None:
    put_jobs(sandbox, 2, parsing_configuration={}, user_id=None)
    put(sandbox, job("whole"))
    for batches in by_table(sandbox, page_size=1).values():
        assert len(batches) == 3
        schemas = [batch.schema for batch in batches]
        assert all(schema.equals(schemas[0], check_metadata=True) for schema in schemas)
        assert all(field.metadata[b"description"] for field in schemas[0])


@pytest.mark.parametrize("tables", [None, ["classify_job_rules"], STREAMS])
def test_one_listing_gives_the_tables_that_are_wanted(sandbox: Sandbox, tables: Any) -> None:
    put_jobs(sandbox, 5)
    found = [name for name, _ in record_batches(config_of(sandbox, page_size=2), tables=tables)]
    assert {*found} == {*(tables or DEFAULT_STREAMS)}
    assert [request.path for request in sandbox.requests] == [V1] * 3 + [V2] * (tables is None)


def test_table_without_rows_has_one_batch_that_is_empty_and_has_its_schema(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    first = dict(record_batches(config_of(sandbox)))
    assert {name: batch.num_rows for name, batch in first.items()} == dict.fromkeys(
        DEFAULT_STREAMS, 0
    )
    assert "No jobs: asked were v2 and v1 at" in caplog.text
    put_jobs(sandbox, 1)
    put_v2(sandbox, "two")
    for name, batch in record_batches(config_of(sandbox)):
        assert batch.num_rows == 1
        assert batch.schema.equals(first[name].schema, check_metadata=True)


@pytest.mark.parametrize("status", [404, 410])
def test_v1_that_is_gone_is_an_error_only_where_its_tables_are_named(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    sandbox.settings.gone = {V1: status}
    put_v2(sandbox, "two")
    rows = {name: batch.num_rows for name, batch in record_batches(config_of(sandbox))}
    assert rows == dict.fromkeys(V2_STREAMS, 1) | dict.fromkeys(STREAMS, 0)
    assert f"{', '.join(STREAMS)} are left out" in caplog.text
    with pytest.raises(ApiError, match=f"answered {status}"):
        list(record_batches(config_of(sandbox), tables=DEFAULT_STREAMS))
    sandbox.settings.gone = {V2: status}
    with pytest.raises(ApiError, match=f"answered {status}"):
        list(record_batches(config_of(sandbox)))


def test_results_are_fetched_with_fetch_results_only(sandbox: Sandbox) -> None:
    put_jobs(sandbox, 1)
    with pytest.raises(SettingsError, match="which fetch_results allows"):
        record_batches(config_of(sandbox), tables=[RESULTS])
    assert not sandbox.requests
    found = dict(record_batches(config_of(sandbox, fetch_results=True), tables=[RESULTS]))
    assert found[RESULTS].num_rows > 0


def test_start_date_leaves_out_what_was_updated_before_it(sandbox: Sandbox) -> None:
    put_jobs(sandbox, 2, updated_at="2026-10-01T00:00:00Z")
    put(sandbox, job("on time"), job("no time", updated_at=None))
    assert sorted(ids(sandbox, start_date="2026-11-01")) == ["no time", "on time"]
    assert len(ids(sandbox)) == 4


def test_request_that_is_refused_for_now_is_tried_again(sandbox: Sandbox) -> None:
    put_jobs(sandbox, 2)
    sandbox.answer_next(429, headers={"Retry-After": "0"})
    assert ids(sandbox, retry_seconds=60) == ["j0000", "j0001"]
    assert len(sandbox.requests) == 2


def test_listing_that_fails_says_so_to_whoever_asks_for_the_next_batch(sandbox: Sandbox) -> None:
    sandbox.answer_next(503)
    batches = record_batches(config_of(sandbox))
    with pytest.raises(ApiError, match=r"^page 1: .*503"):
        next(batches)


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
        record_batches(config_of(sandbox) | change, tables=tables)
    assert sandbox.requests == []


def example_of(name: str) -> str:
    """Return the code between two marks of the docs."""
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    section = text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]
    code: str
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return code


@pytest.mark.parametrize("statuses", [["COMPLETED", "FAILED"], []], ids=["some", "no job"])
def test_example_of_the_docs_runs(
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    statuses: list[str],
) -> None:
    for status in statuses:
        put_v2(sandbox, status, status=status)
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", sandbox.key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", sandbox.url)
    exec(compile(example_of("notebook"), "python.md", "exec"), {})  # noqa: S102 - the docs' own
    printed = capsys.readouterr().out
    assert re.findall(r"│ (\w+) +│ FAST +│ +1 │", printed) == statuses
    assert [request.path for request in sandbox.requests] == [V2]


def test_example_of_what_is_new_fills_a_table_and_goes_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", sandbox.key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", sandbox.url)
    for status in ("PENDING", "COMPLETED"):
        put_v2(sandbox, "one", status=status)
        put_v2(sandbox, f"other {status}")
        exec(compile(example_of("history"), "python.md", "exec"), {})  # noqa: S102 - the docs' own
        sandbox.world.advance(3600)
    with duckdb.connect("history.duckdb") as warehouse:
        rows = warehouse.sql("SELECT id, status FROM classify_v2_jobs ORDER BY ALL").fetchall()
    assert rows == [
        ("one", "COMPLETED"),
        ("other COMPLETED", "COMPLETED"),
        ("other PENDING", "COMPLETED"),
    ]
