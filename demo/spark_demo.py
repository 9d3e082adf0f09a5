"""`make demo-spark`: a made-up LlamaCloud, queried by Spark and streamed into Parquet files."""

import os
import shutil
import sys
import textwrap
from pathlib import Path

from pyspark.sql import SparkSession

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.spark import register

ROOT = Path(__file__).parents[1]
FOLDER = Path("output", "demo", "spark")
HISTORY = History(v2_jobs=3000, jobs=0)
DAY = 86_400
READ = """
register(spark)
spark.read.format("llamaclassify").option("table", "classify_v2_jobs").load() \\
    .createOrReplaceTempView("jobs")
"""
QUERY = """
SELECT mode, result_type, count(*) AS jobs, round(avg(result_confidence), 3) AS confidence
FROM jobs WHERE status = 'COMPLETED'
GROUP BY ALL ORDER BY jobs DESC LIMIT 8
"""
STREAM = """
spark.readStream.format("llamaclassify").option("table", "classify_v2_jobs").load() \\
    .writeStream.format("parquet").option("path", "jobs") \\
    .option("checkpointLocation", "checkpoint").trigger(availableNow=True).start()
"""


def main() -> int:
    """Run the demo; the exit code is 0."""
    os.chdir(ROOT)
    shutil.rmtree(FOLDER, ignore_errors=True)
    with Sandbox(World(HISTORY)) as api:
        # Spark hands its environment on to the processes that read.
        os.environ |= {"LLAMA_CLOUD_API_KEY": api.key, "LLAMA_CLOUD_BASE_URL": api.url}
        os.environ |= {"PYSPARK_PYTHON": sys.executable, "NO_PROXY": "127.0.0.1"}
        spark = _session()
        try:
            _show(spark, api)
        finally:
            spark.stop()
    return 0


def _session() -> SparkSession:
    builder = SparkSession.builder.master("local[4]").appName("demo")
    options = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "ERROR",
    }
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _show(spark: SparkSession, api: Sandbox) -> None:
    _say(textwrap.indent(READ, "  "))
    register(spark)
    jobs = spark.read.format("llamaclassify").option("table", "classify_v2_jobs").load()
    jobs.createOrReplaceTempView("jobs")
    _say(textwrap.indent(QUERY, "  "))
    spark.sql(QUERY).show(truncate=False)
    _say(textwrap.indent(STREAM, "  "))
    for number in (1, 2):
        query = (
            spark.readStream.format("llamaclassify")
            .option("table", "classify_v2_jobs")
            .load()
            .writeStream.format("parquet")
            .option("path", str(FOLDER / "jobs"))
            .option("checkpointLocation", str(FOLDER / "checkpoint"))
            .trigger(availableNow=True)
            .start()
        )
        query.awaitTermination()
        rows = spark.read.parquet(str(FOLDER / "jobs"))
        _say(
            f"Run {number}: {rows.count():,} rows of {rows.select('id').distinct().count():,} jobs"
        )
        api.world.advance(DAY)
    _say(f"Parquet files: {FOLDER / 'jobs'}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
