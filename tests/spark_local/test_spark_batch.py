"""A batch through a real Spark: the tap's rows, pushed filters, errors, and no key anywhere."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from urllib.request import urlopen

import pyspark
import pytest
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify import read_table
from tap_llamaclassify.spark.lakeflow import LakeflowConnector
from tests.conftest import refuse_key
from tests.spark_local.conftest import PUSH, PYSPARKS_OWN, options_of, workers
from tests.support.builders import ALL_STREAMS
from tests.support.commands import ROOT
from tests.support.runs import config_of
from tests.support.tally import Tally
from tests.support.trials import SEED, trials

pytestmark = pytest.mark.filterwarnings(PYSPARKS_OWN)

JOBS = "classify_v2_jobs"
ALL = {"fetch_results": True, "fetch_usage": True}
Load = Callable[..., DataFrame]


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """Run an API with some of everything, awkward values among it."""
    history = History(jobs=40, v2_jobs=900, days=200, unknown_fields=0.2)
    with Sandbox(World(history)) as running:
        yield running


def rows_of(frame: DataFrame) -> list[str]:
    """Return the rows of a frame as Arrow has them, sorted."""
    return sorted(map(str, frame.toArrow().to_pylist()))


def test_every_table_equals_the_taps_rows_cell_by_cell(load: Load, world: Sandbox) -> None:
    for table in ALL_STREAMS:
        frame = load(world, table, page_size=20, **dict.fromkeys(ALL, "true"))
        wanted = read_table(table, config_of(world, **ALL))
        assert rows_of(frame) == sorted(map(str, wanted.to_pylist())), table
        assert frame.columns == wanted.column_names
        assert {field.name for field in frame.schema if not field.nullable} == {
            field.name for field in wanted.schema if not field.nullable
        }
        assert all(field.metadata["comment"] for field in frame.schema)
        schema = LakeflowConnector(options_of(world, **ALL | dict.fromkeys(ALL, "true")))
        assert schema.get_table_schema(table, {}) == frame.schema
    assert load(world, JOBS, page_size=20).rdd.getNumPartitions() >= 3


def test_documented_program_counts_the_jobs(spark: SparkSession, capsys: Any) -> None:
    assert spark.version == pyspark.__version__
    text = (ROOT / "docs/spark.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- spark -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found
    exec(found[1], {})  # noqa: S102 - our own
    shown = capsys.readouterr().out
    assert "status|mode|count|" in shown
    assert "|COMPLETED" in shown


def test_columns_are_pruned_before_they_reach_spark(load: Load, world: Sandbox) -> None:
    frame = load(world, JOBS, columns="status,id")
    assert frame.columns == ["status", "id"]
    wanted = read_table(JOBS, config_of(world)).select(["status", "id"])
    assert rows_of(frame) == sorted(map(str, wanted.to_pylist()))


CONDITIONS = {
    "status = 'FAILED'": "EqualTo(status,FAILED)",
    "status IN ('FAILED', 'CANCELLED')": "In(status, [CANCELLED,FAILED])",
    "created_at >= timestamp'2026-08-01' AND created_at < timestamp'2026-09-01'": "LessThan(cr",
    "updated_at > timestamp'2026-11-01'": "GreaterThan(updated_at",
    "project_id = 'another'": "EqualTo(project_id",
    "status LIKE 'F%' AND rule_count > 1": "",
    "status IS NULL OR NOT status = 'COMPLETED'": "",
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_rows_are_the_same_whether_filters_are_pushed_down_or_not(
    condition: str, spark: SparkSession, load: Load, world: Sandbox, capsys: Any
) -> None:
    frame = load(world, JOBS, page_size=20).where(condition)
    spark.conf.set(PUSH, "false")
    rows = rows_of(frame)
    spark.conf.set(PUSH, "true")
    pushed = load(world, JOBS, page_size=20).where(condition)
    assert rows_of(pushed) == rows
    pushed.explain("formatted")
    plan = capsys.readouterr().out
    spark.conf.set(PUSH, "false")
    # Since Spark 4.2 a plan says what was taken.
    assert CONDITIONS[condition] in plan or "PushedFilters: [" not in plan


def test_pushed_filters_ask_the_api_for_less(
    spark: SparkSession, load: Load, world: Sandbox
) -> None:
    spark.conf.set(PUSH, "true")
    world.clear_requests()
    load(world, JOBS, page_size=5).where("created_at > timestamp'2026-11-20'").toArrow()
    few = len(world.requests)
    assert any("created_at_on_or_after" in request.query for request in world.requests)
    world.clear_requests()
    load(world, JOBS, page_size=5).where("status = 'FAILED'").toArrow()
    assert all("FAILED" in request.query.values() for request in world.requests[:1])
    spark.conf.set(PUSH, "false")
    world.clear_requests()
    load(world, JOBS, page_size=5).where("created_at > timestamp'2026-11-20'").toArrow()
    assert few * 3 < len(world.requests)


@pytest.mark.parametrize("table", [JOBS, "classify_jobs"])
def test_wrong_key_fails_the_job_with_one_line_of_ours(
    table: str, load: Load, world: Sandbox
) -> None:
    with pytest.raises(PySparkException) as caught:
        load(world, table, api_key="llx-wrong").toArrow()
    text = str(caught.value)
    (line,) = {each for each in text.splitlines() if "answered 401 Unauthorized" in each}
    assert line.startswith("tap_llamaclassify.errors.ApiError: ")
    assert "check api_key: it is wrong or revoked" in line
    assert "llx-" not in text
    # Nothing of how it was asked.
    assert "requests" not in text
    assert "http/client.py" not in text


def test_option_that_is_wrong_is_named(spark: SparkSession, load: Load, world: Sandbox) -> None:
    with pytest.raises(PySparkException, match="SettingsError: there is no table jobs"):
        load(world, "jobs")
    with pytest.raises(PySparkException, match="page_size must be a whole number"):
        load(world, JOBS, page_size="many")
    with pytest.raises(PySparkException, match=r"option\.table is not a setting"):
        spark.sql(f"CREATE TABLE jobs USING llamaclassify OPTIONS (table '{JOBS}')")


def test_worker_that_is_killed_is_made_up_for_and_doubles_nothing(
    spark: SparkSession, load: Load, world: Sandbox, tally: Tally
) -> None:
    dice = Random(SEED)  # noqa: S311 - it is to repeat
    for _ in range(trials(1)):
        killed: list[int] = []
        page = dice.randint(25, 60)

        def kill(_: int, killed: list[int] = killed, page: int = page) -> None:
            if len(world.requests) > page and not killed:
                killed.extend(workers(spark))
                for worker in killed:
                    os.kill(worker, signal.SIGKILL)

        frame = load(world, JOBS, page_size=10)
        world.clear_requests()
        world.before_page = kill
        ids = [row["id"] for row in frame.toArrow().to_pylist()]
        world.before_page = None
        assert killed
        assert sorted(ids) == sorted(job["id"] for job in world.world.v2_jobs(world.project_id))
        tally("SIGKILLs of Spark's Python workers, in batches", 1)


def test_key_is_in_no_plan_page_event_or_error(
    spark: SparkSession, load: Load, world: Sandbox, events: Path, capsys: Any
) -> None:
    spark.conf.set(PUSH, "true")
    frame = load(world, JOBS).where("status = 'FAILED'")
    frame.createOrReplaceTempView("failed")
    frame.toArrow()
    for mode in ("extended", "formatted", "codegen", "cost"):
        frame.explain(mode)
    spark.sql("DESCRIBE EXTENDED failed").show(truncate=False)
    options = ", ".join(
        f"{name} '{value}'" for name, value in options_of(world, table=JOBS).items()
    )
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW all USING llamaclassify OPTIONS ({options})")
    assert spark.table("all").count() == len(world.world.v2_jobs(world.project_id))
    spark.table("all").explain("extended")
    spark.conf.set(PUSH, "false")
    texts = [capsys.readouterr().out, str(frame.schema), repr(frame)]
    base = spark.sparkContext.uiWebUrl or ""
    app = f"/api/v1/applications/{spark.sparkContext.applicationId}"
    pages = ("/environment/", "/SQL/", "/jobs/", "/stages/", "/executors/")
    for page in (*pages, f"{app}/environment", f"{app}/sql?details=true&planDescription=true"):
        with urlopen(base + page) as reply:  # noqa: S310 - Spark's own page
            texts.append(reply.read().decode())
    texts += [path.read_text(encoding="utf-8") for path in events.rglob("*") if path.is_file()]
    assert len("".join(texts)) > 10_000
    for text in texts:
        refuse_key(text, "what Spark shows")
