"""Offsets say what an increment reads, so that a restart, a kill or another try doubles nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify import read_table
from tap_llamaclassify.errors import StateError
from tap_llamaclassify.spark.batches import columns_of
from tap_llamaclassify.spark.stream import Stream
from tests.support.builders import ALL_STREAMS, SimulatedClock
from tests.support.runs import config_of, put_v2
from tests.support.spark_runs import KilledError, Query, Row, request_of, rows_in

JOBS = "classify_v2_jobs"
AN_HOUR = 3600.0
KEYS = {"classify_job_rules": ("job_id", "rule_index"), "classify_job_timings": ("job_id",)}
KEYS |= {"classify_v2_job_rules": ("job_id", "rule_index")}
KEYS |= dict.fromkeys(
    ["classify_job_parsing_configs", "classify_v2_job_parsing_configs"], ("job_id",)
)


@pytest.fixture
def world() -> Iterator[Sandbox]:
    """Run an API with some jobs."""
    with Sandbox(World(History(jobs=40, v2_jobs=900, days=200))) as running:
        yield running


class Table:
    """A table that rows are upserted into."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[tuple[Any, ...], Row] = {}

    def take(self, row: Row) -> None:
        """Upsert a row."""
        self.rows[tuple(row[key] for key in KEYS.get(self.name, ("id",)))] = row

    def holds(self, sandbox: Sandbox, **config: Any) -> bool:
        """Return whether it has each row as the tap reads it."""
        settings = config_of(sandbox, **config)
        columns = columns_of(request_of(self.name, settings))
        own = {str(row) for row in columns.batch([*self.rows.values()]).to_pylist()}
        return own >= {str(row) for row in read_table(self.name, settings).to_pylist()}


@pytest.fixture
def small() -> Iterator[Sandbox]:
    """Run an API with few jobs."""
    with Sandbox(World(History(jobs=40, v2_jobs=250, days=200))) as running:
        yield running


@pytest.mark.parametrize("table", ALL_STREAMS)
def test_stream_of_every_table_ends_with_the_rows_that_the_tap_has(
    table: str, small: Sandbox
) -> None:
    world = small
    config = {"page_size": 10, "fetch_results": True, "fetch_usage": True}
    there = Table(table)
    query = Query(table, there.take)
    for _ in range(3):
        query.run(config_of(world, **config), pages=10)
        assert there.holds(world, **config)
        world.world.advance(AN_HOUR * 30)
    query.run(config_of(world, **config))
    assert there.holds(world, **config)


def test_increment_has_so_many_pages_at_most(world: Sandbox) -> None:
    request = request_of(JOBS, config_of(world, page_size=20))
    stream = Stream(request)
    stream.freeze()
    start, sizes, seen = stream.beginning, [], Counter[str]()
    while (end := stream.latest(start, pages=12)) != start:
        rows = rows_in(request, stream.tasks(start, end))
        sizes.append(len(rows))
        seen.update(row["id"] for row in rows)
        start = end
    assert max(sizes) <= 12 * 20
    assert len(sizes) > 3
    assert seen == Counter(job["id"] for job in world.world.v2_jobs(world.project_id))


def test_driver_that_is_killed_at_any_row_loses_nothing(world: Sandbox) -> None:
    there = Table(JOBS)
    query = Query(JOBS, there.take)
    dice = Random(20261127)  # noqa: S311 - it is to repeat
    killed = 0
    for number in range(20):
        try:
            query.run(
                config_of(world, page_size=20), pages=20, rows_left=dice.randrange(400), dice=dice
            )
        except KilledError:
            killed += 1
        world.world.advance(AN_HOUR)
        put_v2(
            world,
            f"new {number}",
            created_at=world.world.now().isoformat(),
            updated_at=world.world.now().isoformat(),
            status="RUNNING",
        )
        world.world.touch_v2(f"new {number // 2}", status="COMPLETED")
    assert killed > 3
    world.world.advance(AN_HOUR)
    query.run(config_of(world, page_size=20))
    assert there.rows.keys() == {(job["id"],) for job in world.world.v2_jobs(world.project_id)}
    statuses = {job["id"]: job["status"] for job in world.world.v2_jobs(world.project_id)}
    assert {row["id"]: row["status"] for row in there.rows.values()} == statuses


def test_offset_is_json_without_a_key_and_knows_each_connection_by_its_name(
    world: Sandbox,
) -> None:
    connections = [{"name": "a", "api_key": world.key}, {"name": "b", "api_key": world.key}]
    config = {"api_url": world.url, "connections": connections, "page_size": 20}
    query = Query(JOBS, lambda _: None)
    query.run(config, pages=10)
    ends = [json.loads(each) for each in query.planned]
    assert world.key not in "".join(query.planned)
    assert [*ends[-1]] == ["table", "connections"]
    assert ends[-1]["connections"].keys() == {"a", "b"}
    assert len(ends) > 3


def test_connection_that_comes_later_is_read_from_its_beginning_and_one_that_goes_is_kept(
    world: Sandbox,
) -> None:
    there = Table(JOBS)
    query = Query(JOBS, there.take)
    one, other = ({"name": name, "api_key": world.key} for name in ("one", "other"))
    query.run({"api_url": world.url, "connections": [one]})
    there.rows.clear()
    query.run({"api_url": world.url, "connections": [other]})
    assert there.holds(world)
    kept = json.loads(query.planned[-1])["connections"]
    assert kept.keys() == {"one", "other"}


def test_connection_that_goes_with_a_micro_batch_unread_is_told_of(
    world: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    query = Query(JOBS, lambda _: None)
    one, other = ({"name": name, "api_key": world.key} for name in ("one", "other"))
    with pytest.raises(KilledError):
        query.run({"api_url": world.url, "connections": [one, other]}, rows_left=3)
    query.run({"api_url": world.url, "connections": [one]})
    (line,) = {record.getMessage() for record in caplog.records if record.levelname == "WARNING"}
    assert line.startswith("other: The connection is gone, and the micro-batch")
    caplog.clear()
    query.run({"api_url": world.url, "connections": [one]})
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_offset_of_another_table_is_refused(world: Sandbox) -> None:
    query = Query(JOBS, lambda _: None)
    query.run(config_of(world))
    query.table = "classify_v2_job_rules"
    with pytest.raises(StateError, match="is not one of classify_v2_job_rules"):
        query.run(config_of(world))


def test_stream_looks_no_more_often_than_it_is_told_to(world: Sandbox) -> None:
    clock = SimulatedClock()
    stream = Stream(request_of(JOBS, config_of(world, pollSeconds=60)), clock)
    end = stream.latest(stream.beginning)
    # Many were read: what was just before is read once more.
    clock.sleep(60)
    end = stream.latest(end)
    world.clear_requests()
    for _ in range(59):
        clock.sleep(1)
        assert stream.latest(end) is end
    assert not world.requests
    clock.sleep(1)
    assert stream.latest(end) is end
    assert len(world.requests) > 0


def test_increment_that_is_asked_for_again_is_the_same(world: Sandbox) -> None:
    stream = Stream(request_of(JOBS, config_of(world, page_size=20)))
    stream.freeze()
    end = stream.latest(stream.beginning, pages=12)
    assert end != stream.beginning
    world.world.advance(AN_HOUR)
    assert stream.latest(stream.beginning, pages=12) == end


def test_stream_that_is_to_end_looks_once(world: Sandbox) -> None:
    request = request_of("classify_projects", config_of(world))
    stream = Stream(request)
    stream.freeze()
    end = stream.latest(stream.beginning)
    assert len(rows_in(request, stream.tasks(stream.beginning, end))) == 3
    world.world.advance(AN_HOUR)
    assert stream.latest(end) is end
    # Spark asks for what it has read, too, when it begins again.
    assert stream.tasks(end, end) == []
