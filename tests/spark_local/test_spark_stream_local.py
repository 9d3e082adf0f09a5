"""Streams through a real Spark: all tables, AvailableNow that ends, kills of the driver."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pyspark
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming import StreamingQuery

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify import read_table
from tap_llamaclassify.tables.tables import TABLES
from tests.conftest import refuse_key
from tests.spark_local.conftest import PYSPARKS_OWN, SETTINGS, options_of, workers
from tests.support.builders import ALL_STREAMS
from tests.support.runs import config_of
from tests.support.tally import Tally
from tests.support.trials import SEED, trials

pytestmark = pytest.mark.filterwarnings(PYSPARKS_OWN)

JOBS = "classify_v2_jobs"
ALL = {"fetch_results": True, "fetch_usage": True}
KEYS = {table.name: table.keys for table in TABLES}
AN_HOUR = 3600.0
PATIENCE = 300
AT_ONCE = 2
ADMITS = tuple(map(int, pyspark.__version__.split(".")[:2])) >= (4, 2)


@pytest.fixture
def world() -> Iterator[Sandbox]:
    """Run an API with some of everything."""
    with Sandbox(World(History(jobs=40, v2_jobs=900, days=200))) as running:
        yield running


class Sink:
    """A table in memory that batches are upserted into."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.rows: dict[tuple[Any, ...], str] = {}
        self.sizes: list[int] = []

    def take(self, frame: DataFrame, _: int) -> None:
        """Upsert a batch."""
        rows = frame.toArrow().to_pylist()
        self.sizes.append(len(rows))
        self.rows |= {tuple(row[key] for key in KEYS[self.table]): str(row) for row in rows}

    def start(self, spark: SparkSession, folder: Path, options: dict[str, str]) -> StreamingQuery:
        """Start a query that ends with what there is now."""
        return (
            spark.readStream.format("llamaclassify")
            .options(**options, table=self.table)
            .load()
            .writeStream.option("checkpointLocation", str(folder / self.table))
            .foreachBatch(self.take)
            .trigger(availableNow=True)
            .start()
        )


def finished(query: StreamingQuery) -> None:
    """Wait for the good end of a query."""
    assert query.awaitTermination(PATIENCE), "it did not end"
    assert query.exception() is None


def test_stream_of_every_table_ends_with_the_taps_rows_and_goes_on(
    spark: SparkSession, world: Sandbox, tmp_path: Path, events: Path
) -> None:
    tables = [Sink(table) for table in sorted(ALL_STREAMS, key=lambda name: "_jobs" not in name)]
    options = options_of(world, page_size=20, fetch_results="true", fetch_usage="true")
    for sinks in (tables, tables[:4]):
        # A few at once: each has processes of its own.
        for some in range(0, len(sinks), AT_ONCE):
            few = sinks[some : some + AT_ONCE]
            for query in [sink.start(spark, tmp_path, options) for sink in few]:
                finished(query)
        for sink in sinks:
            wanted = read_table(sink.table, config_of(world, **ALL)).to_pylist()
            assert {*map(str, wanted)} <= {*sink.rows.values()}, sink.table
        world.world.advance(AN_HOUR * 20)
    kept = "".join(
        path.read_text(encoding="utf-8", errors="replace")
        for folder in (tmp_path, events)
        for path in folder.rglob("*")
        if path.is_file()
    )
    assert '"until"' in kept
    refuse_key(kept, "what Spark keeps")


if ADMITS:

    def test_increments_have_so_many_pages_and_a_restart_takes_up_in_their_middle(
        spark: SparkSession,
        world: Sandbox,
        tmp_path: Path,
    ) -> None:
        sink = Sink(JOBS)
        options = options_of(world, page_size=20, maxPagesPerTrigger=12)
        query = sink.start(spark, tmp_path, options)
        finished(query)
        assert len(sink.sizes) >= 3
        assert sum(sink.sizes) == len(sink.rows) == len(world.world.v2_jobs(world.project_id))
        assert all("llx-" not in str(progress) for progress in query.recentProgress)
        # As if the driver had been killed before the last of them was committed.
        number = len(sink.sizes) - 1
        for name in (str(number), f".{number}.crc"):
            (tmp_path / JOBS / "commits" / name).unlink()
        before, sink.sizes = sink.sizes, []
        world.world.advance(AN_HOUR)
        finished(sink.start(spark, tmp_path, options))
        assert sink.sizes[0] == before[-1]


def test_stream_whose_worker_that_is_killed_is_started_anew_loses_nothing(
    spark: SparkSession, world: Sandbox, tmp_path: Path, tally: Tally
) -> None:
    dice, sink = Random(SEED), Sink(JOBS)  # noqa: S311 - it is to repeat
    options = options_of(world, page_size=20)
    most, kills = 30, 0
    while kills < trials(1):
        killed: list[int] = []
        page = dice.randint(3, most)

        def kill(_: int, killed: list[int] = killed, page: int = page) -> None:
            if len(world.requests) > page and not killed:
                killed.extend(workers(spark))
                for worker in killed:
                    os.kill(worker, signal.SIGKILL)

        world.clear_requests()
        world.before_page = kill
        finished(sink.start(spark, tmp_path, options))
        world.before_page = None
        # It may be that no page was asked for by a worker.
        kills += bool(killed)
        most = 6
        tally("SIGKILLs of Spark's Python workers, in streams", bool(killed))
        wanted = read_table(JOBS, config_of(world)).to_pylist()
        assert sorted(sink.rows.values()) == sorted(map(str, wanted))
        world.world.advance(AN_HOUR * 20)


def test_error_stops_a_stream_with_one_line_of_ours(
    spark: SparkSession, world: Sandbox, tmp_path: Path
) -> None:
    query = Sink(JOBS).start(spark, tmp_path, options_of(world, api_key="llx-wrong"))
    with pytest.raises(Exception, match=r"ApiError: .* answered 401 .* check api_key") as caught:
        query.awaitTermination(PATIENCE)
    assert "llx-" not in str(caught.value)


A_FIRST_RUN, A_LATER_RUN = 45, 5
"""About how many requests it takes."""
PROGRAM = """
import json, os, shutil, sys
from pathlib import Path
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from tap_llamaclassify.spark import register

folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
settings = json.loads(sys.argv[3])
builder = SparkSession.builder.master("local[4]")
for name, value in settings.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
register(spark)
table = folder / "jobs"

def upsert(batch, number):
    new = batch.sparkSession.createDataFrame(batch.collect(), batch.schema)
    if table.exists():
        old = batch.sparkSession.read.parquet(str(table))
        new = old.join(new, "id", "left_anti").unionByName(new)
    shutil.rmtree(folder / "next", ignore_errors=True)
    new.coalesce(1).write.parquet(str(folder / "next"))
    # At any moment one name is that of a whole table.
    (folder / "link").unlink(missing_ok=True)
    whole = folder / f"jobs {number} {os.getpid()}"
    os.rename(folder / "next", whole)
    os.symlink(whole, folder / "link")
    os.replace(folder / "link", table)

query = (spark.readStream.format("llamaclassify").options(**options).load().writeStream
         .option("checkpointLocation", str(folder / "checkpoint")).foreachBatch(upsert)
         .trigger(availableNow=True).start())
query.awaitTermination()
spark.stop()
"""


def test_parquet_table_that_a_killed_driver_fills_is_whole_and_has_each_job_once(
    world: Sandbox, tmp_path: Path, tally: Tally
) -> None:
    options = options_of(world, table=JOBS, page_size=20, maxPagesPerTrigger=15)
    dice, said = Random(SEED), tmp_path / "said"  # noqa: S311 - it is to repeat

    def start() -> subprocess.Popen[bytes]:
        words = [
            sys.executable,
            "-c",
            PROGRAM,
            str(tmp_path),
            json.dumps(options),
            json.dumps(SETTINGS),
        ]
        environment = os.environ | {"PYSPARK_PYTHON": sys.executable, "NO_PROXY": "*"}
        with said.open("wb") as file:
            return subprocess.Popen(
                words, cwd=tmp_path, env=environment, stderr=file, start_new_session=True
            )

    def run(pages: int | None) -> int:
        """Run the program; kill it, and its Java, when so many pages were asked for."""
        world.clear_requests()
        with start() as driver:

            def kill(_: int) -> None:
                if pages and len(world.requests) > pages and driver.poll() is None:
                    os.killpg(driver.pid, signal.SIGKILL)

            world.before_page = kill
            code = driver.wait(PATIENCE)
        world.before_page = None
        assert code in {0, -signal.SIGKILL}, said.read_text(encoding="utf-8")[-2000:]
        return code

    killed, most = 0, A_FIRST_RUN
    while killed < trials(1):
        if run(dice.randint(1, most)) == -signal.SIGKILL:
            killed += 1
        else:
            # What is left for the next ones is little.
            most = A_LATER_RUN
        world.world.advance(AN_HOUR * 20)
    tally("SIGKILLs of Spark's driver, with its workers", killed)
    for _ in range(2):
        assert run(None) == 0
        rows = pq.read_table(tmp_path / "jobs").to_pylist()
        wanted = read_table(JOBS, config_of(world)).to_pylist()
        ids = [row["id"] for row in rows]
        assert len(ids) == len({*ids})
        assert versions(rows) == versions(wanted)
        world.world.advance(AN_HOUR * 20)


def versions(rows: list[dict[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return which version of each job there is; Spark writes instants without a zone."""
    return {row["id"]: (row["status"], row["updated_at"].replace(tzinfo=None)) for row in rows}
