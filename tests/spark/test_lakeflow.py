"""The Lakeflow connector keeps to its contract: reads end, offsets advance and stop."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import yaml

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify import read_table
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.spark.lakeflow import LakeflowConnector
from tap_llamaclassify.spark.request import OPTIONS
from tap_llamaclassify.tables.schemas import schema_of
from tests.support.builders import ALL_STREAMS
from tests.support.commands import ROOT
from tests.support.runs import config_of, put_v2

JOBS = "classify_v2_jobs"
FOLDER = ROOT / "src/databricks/labs/community_connector/sources/llamaclassify"
SNAPSHOTS = {
    "classify_projects",
    "classify_organizations",
    "classify_configurations",
    "classify_files",
}
FRAMEWORKS = {"tableName": JOBS, "databricks.connection": "mine", "sourceName": "llamaclassify"}


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """Run an API with some of everything."""
    with Sandbox(World(History(jobs=40, v2_jobs=500, days=100))) as running:
        yield running


def connector(sandbox: Sandbox) -> LakeflowConnector:
    options = config_of(sandbox, page_size=20, fetch_results=True, fetch_usage=True)
    texts = {name: v if isinstance(v, str) else json.dumps(v) for name, v in options.items()}
    return LakeflowConnector(texts | FRAMEWORKS)


def read(
    made: LakeflowConnector, table: str, offset: Any = None, most: int = 100, **options: str
) -> tuple[list[dict[str, Any]], Any, int]:
    """Read a table as the framework does: until an offset is the one that was handed in."""
    records: list[dict[str, Any]] = []
    for times in range(1, most):
        found, end = made.read_table(table, offset, options)
        records += found
        if end is None or end == offset:
            return records, end, times
        offset = json.loads(json.dumps(end))
    raise AssertionError("it did not end")


@pytest.mark.parametrize("table", ALL_STREAMS)
def test_reading_any_table_ends_and_brings_its_rows(table: str, world: Sandbox) -> None:
    made = connector(world)
    records, end, _ = read(made, table, maxPagesPerTrigger="10")
    assert (end is None) == (table in SNAPSHOTS)
    keys = made.read_table_metadata(table, {})["primary_keys"]
    config = config_of(world, fetch_results=True, fetch_usage=True)
    wanted = [tuple(row[key] for key in keys) for row in read_table(table, config).to_pylist()]
    assert sorted(tuple(record[key] for key in keys) for record in records) == sorted(wanted)
    assert all([*record] == [*schema_of(table)["properties"]] for record in records)
    json.dumps(records)


NEVER_MADE_UP = {
    "classify_configurations": {"max_pages", "target_pages"},
    "classify_job_timings": {"throttled_at"},
}
"""Columns that nothing in the sandbox fills."""


def test_every_column_is_filled_by_at_least_one_record() -> None:
    with Sandbox(World(History(jobs=40, v2_jobs=500, days=100, unknown_fields=0.2))) as world:
        made = connector(world)
        for table in made.list_tables():
            records, _, _ = read(made, table)
            columns = schema_of(table)["properties"]
            empty = {name for name in columns if all(each[name] is None for each in records)}
            # It has what has no other column, and may be empty.
            assert empty - {"additional_fields"} == NEVER_MADE_UP.get(table, set()), table


def test_offsets_advance_and_stop_although_the_world_goes_on(world: Sandbox) -> None:
    made = connector(world)

    def let_a_job_come(number: int) -> None:
        now = world.world.now().isoformat()
        put_v2(world, f"meanwhile {number}", created_at=now, updated_at=now)
        world.world.advance(10)

    world.before_page = let_a_job_come
    records, end, times = read(made, JOBS, maxPagesPerTrigger="5")
    assert times > 3
    again, same, once = read(made, JOBS, end)
    world.before_page = None
    assert (again, same, once) == ([], end, 1)
    # The next pipeline has an instance of its own, and takes up from there.
    more, later, _ = read(connector(world), JOBS, end)
    assert later != end
    ids = {record["id"] for record in (*records, *more)}
    assert ids >= {job["id"] for job in world.world.v2_jobs(world.project_id)}


def test_reading_from_where_it_was_begun_brings_the_same_once_more(world: Sandbox) -> None:
    made = connector(world)
    first, end = made.read_table(JOBS, None, {})
    again, same = made.read_table(JOBS, None, {})
    assert same == end
    assert len([*again]) == len([*first]) > 0


def test_increments_are_read_by_partitions_too(world: Sandbox) -> None:
    made = connector(world)
    assert made.is_partitioned(JOBS)
    assert not made.is_partitioned("classify_projects")
    start: dict[str, Any] = {}
    ids: list[str] = []
    while (end := made.latest_offset(JOBS, {"maxPagesPerTrigger": "10"}, start)) != start:
        partitions = made.get_partitions(JOBS, {}, start, end)
        # Tasks have the connector pickled.
        task = pickle.loads(pickle.dumps(made))  # noqa: S301 - our own
        for each in json.loads(json.dumps(partitions)):
            ids += [record["id"] for record in task.read_partition(JOBS, each, {})]
        start = json.loads(json.dumps(end))
    assert made.get_partitions(JOBS, {}, start, start) == []
    wanted = sorted(job["id"] for job in world.world.v2_jobs(world.project_id))
    assert sorted(ids) == wanted
    whole = made.get_partitions(JOBS, {})
    assert len(whole) > 1
    assert world.key not in json.dumps(whole)
    assert (
        sorted(record["id"] for each in whole for record in made.read_partition(JOBS, each, {}))
        == wanted
    )


def test_partition_that_is_tried_again_waits_for_what_it_may_have_sent(
    world: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = connector(world)
    options = {"requests_per_minute": "300", "fetch_usage": "false"}
    (_, partition, *_) = json.loads(json.dumps(made.get_partitions(JOBS, options)))
    spent: list[int] = []
    with mock.patch.object(Client, "spend", lambda _, requests: spent.append(requests)):
        for attempt in (0, 1):
            context = mock.Mock(**{"get.return_value.attemptNumber.return_value": attempt})
            monkeypatch.setitem(sys.modules, "pyspark", mock.Mock(TaskContext=context))
            assert [*made.read_partition(JOBS, partition, options)]
    share = partition["requests_per_minute"]
    assert spent == [partition["spent"], share]
    assert partition["spent"] < share


def test_metadata_says_how_each_table_is_ingested(world: Sandbox) -> None:
    made = connector(world)
    assert sorted(made.list_tables()) == sorted(ALL_STREAMS)
    assert {
        table
        for table in made.list_tables()
        if made.read_table_metadata(table, {})["ingestion_type"] == "snapshot"
    } == SNAPSHOTS
    assert made.read_table_metadata("classify_v2_job_rules", {}) == {
        "primary_keys": ["job_id", "rule_index"],
        "cursor_field": "updated_at",
        "ingestion_type": "cdc",
    }
    with pytest.raises(SettingsError, match="there is no table jobs"):
        made.read_table_metadata("jobs", {})


def test_spec_names_every_setting_once_and_the_key_as_the_only_secret() -> None:
    spec = yaml.safe_load((FOLDER / "connector_spec.yaml").read_text(encoding="utf-8"))
    parameters = {each["name"]: each for each in spec["connection"]["parameters"]}
    allowed = spec["external_options_allowlist"].split(",")
    lower = [name.lower() for name in (*parameters, *allowed)]
    assert len(lower) == len({*lower})
    # What a table is called and the environment's variables are no affair of a connection's.
    assert {*lower} == OPTIONS - {"table", "api_key_env", "adopt_state"}
    secret = {name for name, each in parameters.items() if each.get("secret")}
    assert secret == {"api_key", "connections"}
    for name, each in parameters.items():
        assert each["type"] == "string"
        assert (
            each["description"].split() == (Settings.model_fields[name].description or "").split()
        )
