"""A Spark of four threads on this machine, for all tests of this folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.spark import register
from tests.support.debian import program

PYSPARKS_OWN = "ignore::pytest.PytestUnraisableExceptionWarning"
"""Spark 4.1 leaves sockets open when a frame becomes Arrow."""
SETTINGS = {
    "spark.ui.showConsoleProgress": "false",
    # So that Java starts sooner, and compiles less.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "2",
    "spark.python.authenticate.socketTimeout": "60s",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
"""What every Spark of these tests is told."""
PUSH = "spark.sql.python.filterPushdown.enabled"


@pytest.fixture(scope="session")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Spark logs its events."""
    return tmp_path_factory.mktemp("events")


@pytest.fixture(scope="session")
def usual() -> Iterator[Sandbox]:
    """Run the API that the environment names when Spark begins."""
    with Sandbox(World(History(jobs=20, v2_jobs=200))) as running:
        yield running


@pytest.fixture(scope="session")
def spark(
    events: Path, usual: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SparkSession]:
    """Start Spark, in which a task is tried as often as by default, and register the source."""
    program("java", "openjdk-17-jre-headless")
    os.environ |= {"LLAMA_CLOUD_API_KEY": usual.key, "LLAMA_CLOUD_BASE_URL": usual.url}
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["NO_PROXY"] = "*"
    options = SETTINGS | {
        "spark.sql.warehouse.dir": tmp_path_factory.mktemp("warehouse").as_uri(),
        "spark.ui.port": "0",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
    }
    # Of workers that are killed, some are idle: Spark may give a task that is tried again to one.
    builder = SparkSession.builder.master("local[4,4]").appName("tests")
    for name, value in options.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    register(session)
    register(session)
    yield session
    session.stop()


@pytest.fixture
def load(spark: SparkSession) -> Callable[..., DataFrame]:
    """Read a table of a sandbox, with further options."""

    def read(sandbox: Sandbox, table: str, **options: Any) -> DataFrame:
        return (
            spark.read.format("llamaclassify")
            .options(**options_of(sandbox, **options), table=table)
            .load()
        )

    return read


def options_of(sandbox: Sandbox, **options: Any) -> dict[str, str]:
    """Make options for a sandbox, without retries."""
    usual = {"api_url": sandbox.url, "api_key": sandbox.key, "retry_seconds": "0"}
    return usual | {name: str(value) for name, value in options.items()}


def workers(spark: SparkSession) -> list[int]:
    """Return the ids of the processes in which Spark runs Python of tasks."""
    java = spark.sparkContext._gateway.proc.pid  # noqa: SLF001 - its process is nowhere else
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, _, rest = stat.read_text().partition(" (")
        except OSError:
            continue
        parents[int(pid)] = int(rest.rpartition(") ")[2].split()[1])
    daemons = [pid for pid, parent in parents.items() if parent == java and _is_of_tasks(pid)]
    return [pid for pid, parent in parents.items() if parent in daemons]


def _is_of_tasks(pid: int) -> bool:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b"pyspark.worker" in words
