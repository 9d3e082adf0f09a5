"""Schemas, catalogs, selection, stream maps and full tables."""

from __future__ import annotations

from typing import Any

import pytest
from singer_sdk.exceptions import MappingError

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.errors import CatalogError, SettingsError
from tap_llamaclassify.singer.tap import TapLlamaClassify
from tap_llamaclassify.tables import rows
from tap_llamaclassify.tables.schemas import schema_of
from tests.support.builders import STREAMS, captured, catalog_with, job, new_tap, sync
from tests.support.commands import Command
from tests.support.runs import assert_version_activated_last, config_of, put, select, success

KEYS = {
    "classify_jobs": ["id"],
    "classify_job_rules": ["job_id", "rule_index"],
    "classify_job_parsing_configs": ["job_id"],
}


@pytest.fixture
def two_jobs(sandbox: Sandbox) -> Sandbox:
    sandbox.settings.order = "oldest"
    put(sandbox, job("a"), job("b"))
    return sandbox


# Schemas


@pytest.mark.parametrize("stream", STREAMS)
def test_schema_describes_and_types_every_column_and_constrains_nothing(stream: str) -> None:
    schema = schema_of(stream)
    assert schema.keys() == {"type", "description", "properties"}
    for name, column in schema["properties"].items():
        assert column["description"].endswith("."), name
        assert column.keys() <= {"type", "format", "items", "description"}, name
        expected_null = name not in KEYS[stream]
        assert ("null" in column["type"]) is expected_null, name


# Catalogs


def test_keys_and_replication_key_cannot_be_deselected(two_jobs: Sandbox) -> None:
    catalog = catalog_with(two_jobs, classify_jobs={"deselect": ["id", "updated_at"]})
    record = sync(two_jobs, catalog=catalog).records("classify_jobs")[0]
    assert {"id", "updated_at"} <= record.keys()


def test_catalog_without_keys_keeps_those_of_the_stream(two_jobs: Sandbox) -> None:
    catalog = catalog_with(two_jobs)
    for entry in catalog["streams"]:
        del entry["key_properties"]
        entry.pop("replication_key", None)
        for metadata in entry["metadata"]:
            metadata["metadata"].pop("table-key-properties", None)
    output = sync(two_jobs, catalog=catalog)
    keys = {m["stream"]: m["key_properties"] for m in output.of_type("SCHEMA")}
    assert keys == KEYS
    assert len(output.bookmarks()) == 3


def test_catalog_of_an_older_version_gives_the_columns_that_it_knows(two_jobs: Sandbox) -> None:
    catalog = catalog_with(two_jobs)
    entry = next(e for e in catalog["streams"] if e["tap_stream_id"] == "classify_jobs")
    del entry["schema"]["properties"]["rule_count"]
    entry["metadata"] = [m for m in entry["metadata"] if m["breadcrumb"][-1:] != ["rule_count"]]
    output = sync(two_jobs, catalog=catalog)
    assert all("rule_count" not in record for record in output.records("classify_jobs"))
    schemas = {message["stream"]: message["schema"] for message in output.of_type("SCHEMA")}
    assert "rule_count" not in schemas["classify_jobs"]["properties"]
    assert len(output.ids()) == 2


def test_catalog_of_an_older_version_is_told_by_what_it_does_not_have(
    two_jobs: Sandbox, quick_command: Command
) -> None:
    def said(catalog: dict[str, Any]) -> list[str]:
        ended = quick_command("--config", config_of(two_jobs), "--catalog", catalog)
        assert len(success(ended).ids()) == 2
        parts = [
            line.partition("The catalog does not have ")
            for level in ("WARNING", "INFO")
            for line in ended.lines(level)
        ]
        return [text for _, told, text in parts if told]

    catalog = select(two_jobs, "classify_jobs", "classify_job_rules")
    assert said(catalog) == []
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] != "classify_job_rules":
            # Of streams that are not selected, nobody misses a column.
            entry["schema"]["properties"].pop("rule_count", None)
    unknown = ("classify_usage", "classify_v2_jobs")
    catalog["streams"] = [e for e in catalog["streams"] if e["tap_stream_id"] not in unknown]
    columns, streams = said(catalog)
    assert columns == (
        "classify_jobs.rule_count: left out of the rows; make it anew with --discover"
    )
    assert streams.startswith("classify_usage, classify_v2_jobs: not synced; ")


def test_catalog_with_one_stream_selects_that_one(two_jobs: Sandbox) -> None:
    catalog = catalog_with(two_jobs)
    catalog["streams"] = [e for e in catalog["streams"] if e["tap_stream_id"] == "classify_jobs"]
    output = sync(two_jobs, catalog=catalog)
    assert {m.get("stream") for m in output.messages} == {"classify_jobs", None}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"schema": {}}, "lacks"),
        ({"schema": {"properties": {"id": {"type": "string"}}}}, "lacks"),
        ({"stream": "other"}, "stream name; use"),
        ({"key_properties": ["project_id"]}, "key_properties; use"),
        ({"key_properties": "id"}, "key_properties; use"),
        ({"key_properties": ["nope"]}, "key_properties; use"),
        ({"key_properties": 5}, "key_properties; use"),
        ({"replication_method": "LOG_BASED"}, "replication method; use INCREMENTAL or FULL_TABLE"),
        ({"replication_key": "created_at"}, "replication key; use updated_at"),
    ],
)
def test_catalog_that_asks_for_the_impossible_is_refused(
    two_jobs: Sandbox, change: dict[str, Any], text: str
) -> None:
    catalog = catalog_with(two_jobs)
    entry = next(e for e in catalog["streams"] if e["tap_stream_id"] == "classify_jobs")
    entry |= change
    with pytest.raises(CatalogError, match=text):
        sync(two_jobs, catalog=catalog)


@pytest.mark.parametrize(
    "catalog",
    [{}, {"streams": [{}]}, {"streams": 5}, {"streams": {}}, {"streams": [5]}, {"streams": None}],
)
def test_catalog_that_is_none_is_refused(sandbox: Sandbox, catalog: dict[str, Any]) -> None:
    with pytest.raises(CatalogError, match=r"^catalog: it (is no Singer catalog|has no list)"):
        new_tap(sandbox, catalog=catalog)


# Full tables


def full_tables(sandbox: Sandbox, *streams: str) -> dict[str, Any]:
    return catalog_with(sandbox, **{name: {"replication_method": "FULL_TABLE"} for name in streams})


def test_full_table_emits_everything_and_leaves_the_bookmark_alone(two_jobs: Sandbox) -> None:
    old = {"replication_key": "updated_at", "replication_key_value": "2026-11-01T09:00:00.000000Z"}
    state = {"bookmarks": {name: dict(old) for name in STREAMS}}
    output = sync(two_jobs, catalog=full_tables(two_jobs, "classify_jobs"), state=state)
    assert output.ids() == ["a", "b"]
    assert output.records("classify_job_rules") == []
    assert output.state == state
    assert output.of_type("ACTIVATE_VERSION") == []


def test_full_refresh_of_incremental_streams_activates_no_version(
    two_jobs: Sandbox, quick_command: Command
) -> None:
    config = config_of(two_jobs, emit_activate_version_messages=True)
    first = success(quick_command("--config", config))
    two_jobs.world.delete("a")
    again = success(quick_command("--config", config))
    assert (first.ids(), again.ids()) == (["a", "b"], ["b"])
    assert {m["type"] for m in [*first.messages, *again.messages]} == {"SCHEMA", "RECORD", "STATE"}


def test_full_table_activates_a_version_without_what_the_start_date_leaves_out(
    two_jobs: Sandbox, quick_command: Command
) -> None:
    put(two_jobs, job("late", updated_at="2026-11-02T00:00:00Z"))
    catalog = select(two_jobs, "classify_jobs", replication_method="FULL_TABLE")
    config = config_of(two_jobs, emit_activate_version_messages=True, start_date="2026-11-02")
    output = success(quick_command("--config", config, "--catalog", catalog))
    assert output.ids() == ["late"]
    assert_version_activated_last(output)


def test_full_table_does_not_activate_a_version_after_a_dry_run(two_jobs: Sandbox) -> None:
    tap = new_tap(
        two_jobs,
        catalog=full_tables(two_jobs, *STREAMS),
        emit_activate_version_messages=True,
    )
    for stream in tap.streams.values():
        stream.ABORT_AT_RECORD_COUNT = 1
    output = captured(tap)
    assert output.of_type("ACTIVATE_VERSION") == []
    assert [len(output.records(name)) for name in STREAMS] == [1, 1, 1]


# Stream maps and flattening


def test_settings_of_singer_sdk_that_are_null_are_as_absent(two_jobs: Sandbox) -> None:
    nulls = dict.fromkeys(["stream_maps", "flattening_enabled", "batch_config", "faker_config"])
    tap = TapLlamaClassify(
        config={"api_url": two_jobs.url, "api_key": two_jobs.key, **nulls},
    )
    assert captured(tap).ids() == ["a", "b"]


def test_stream_maps_work_with_classify_jobs_deselected(two_jobs: Sandbox) -> None:
    output = sync(
        two_jobs,
        catalog=catalog_with(two_jobs, classify_jobs={"selected": False}),
        stream_maps={"classify_job_rules": {"type": "type.upper()"}},
    )
    assert [rule["type"] for rule in output.records("classify_job_rules")] == ["INVOICE"] * 2


def test_stream_map_that_fails_on_a_row_says_so_without_the_row(sandbox: Sandbox) -> None:
    put(sandbox, job("a", error_message="a secret"))
    maps = {"classify_jobs": {"n": "int(error_message)"}}
    with pytest.raises(SettingsError, match="an expression of classify_jobs fails") as caught:
        sync(sandbox, stream_maps=maps)
    assert "secret" not in str(caught.value)


def test_stream_map_with_an_unknown_function_shows_the_expression(sandbox: Sandbox) -> None:
    put(sandbox, job("a"))
    with pytest.raises(MappingError, match=r"nope\(id\)"):
        sync(sandbox, stream_maps={"classify_jobs": {"n": "nope(id)"}})


# Streams by themselves


def test_stream_reads_its_rows_from_a_listing_of_its_own(two_jobs: Sandbox) -> None:
    stream = new_tap(two_jobs).streams["classify_job_rules"]
    assert list(stream.get_records(None)) == rows.rule_rows(two_jobs.world.jobs())
