"""`make bench-spark`: eight connections in Spark, in windows and in one partition, and the bound.

Each page takes 50 ms. The bound is on the median of the rounds.
"""

import argparse
import os
import statistics
import sys
import time
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.json_text import encoder
from tap_llamaclassify.spark import register

CONNECTIONS, PAGES, PAGE_SIZE, LATENCY_MS = 8, 60, 20, 50
BOUND = 0.35


def main() -> int:
    """Measure, and print what came of it. The exit code is 1 when the bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    history = History(
        jobs=0, v2_jobs=CONNECTIONS * PAGES * PAGE_SIZE, days=200, projects=CONNECTIONS
    )
    os.environ |= {"PYSPARK_PYTHON": sys.executable, "NO_PROXY": "127.0.0.1"}
    with Sandbox(World(history), Settings(latency_ms=LATENCY_MS)) as api:
        spark = _session()
        frame = _read(spark, api)
        # Java and Python have to start first.
        jobs = frame.count()
        pairs = [(_wall(frame), _wall(frame.coalesce(1))) for _ in range(rounds)]
        parts = frame.rdd.getNumPartitions()
        spark.stop()
    ratio = statistics.median(windows / one for windows, one in pairs)
    for windows, one in pairs:
        sys.stdout.write(f"{windows:6.2f} s in {parts} partitions, {one:6.2f} s in one\n")
    sys.stdout.write(
        f"{jobs:,} jobs of {CONNECTIONS} connections, {LATENCY_MS} ms a page: {ratio:.2f} x one "
        f"partition, at most {BOUND}\n"
    )
    return int(ratio > BOUND)


def _session() -> SparkSession:
    builder = SparkSession.builder.master("local[4]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.bindAddress", "127.0.0.1")
    spark = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    register(spark)
    return spark


def _read(spark: SparkSession, api: Sandbox) -> DataFrame:
    connections: list[dict[str, Any]] = [
        {"name": f"c{number}", "api_key": key} for number, key in enumerate(api.keys.values())
    ]
    return (
        spark.read.format("llamaclassify")
        .option("table", "classify_v2_jobs")
        .option("api_url", api.url)
        .option("connections", encoder.encode(connections).decode())
        .option("page_size", PAGE_SIZE)
        .option("parallel_connections", CONNECTIONS)
        .load()
    )


def _wall(frame: DataFrame) -> float:
    began_at = time.perf_counter()
    frame.write.format("noop").mode("overwrite").save()
    return time.perf_counter() - began_at


if __name__ == "__main__":
    sys.exit(main())
