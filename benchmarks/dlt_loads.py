"""The part of `make bench` that is about dlt: a v2 history into DuckDB, beside target-duckdb.

All of them begin with no table and end with a row for each key, which is looked at each time; and
all are the same DuckDB.
"""

import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.figures import Figure
from benchmarks.load_dlt import DATASET, WAREHOUSE
from benchmarks.long_history import LongHistory, working_week
from benchmarks.measure import Cost, cost_of
from benchmarks.parquet import LOADER, plugin
from benchmarks.peers.environments import python_of
from benchmarks.runs import command_line, cpu, file_with, median, wall
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings

DUCKDB = f"duckdb=={duckdb.__version__}"
JOBS, MANY = 50_000, 500_000
PAGE_SIZE = 100
SOURCE, REST_API = "dlt source", "dlt's rest_api"
TAP = f"tap | {LOADER}"
MOST_MEMORY = 400
TABLES = ("classify_v2_jobs", "classify_v2_job_rules", "classify_v2_job_parsing_configs")
CONFIGS = "configuration__parsing_configuration__lang"
REST_API_TABLES = (
    "classify_v2_jobs",
    "classify_v2_jobs__configuration__rules",
    f"classify_v2_jobs WHERE {CONFIGS} IS NOT NULL",
)
"""Where dlt's own source has the same rows: a configuration becomes columns of its job."""


@dataclass(frozen=True)
class Way:
    """A way to load a history.

    Attributes:
        command: Makes the command from the server and from an empty folder.
        tables: What stands after FROM where jobs, rules and parsing configurations are counted.
    """

    command: Callable[[Sandbox, str], list[str]]
    tables: tuple[str, ...] = TABLES


def side_by_side(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """Compare the ways to load a history, then load one that is ten times as long in parts."""
    with serving(JOBS) as sandbox:
        costs = [in_turn(sandbox) for _ in range(rounds)]
        notes[f"rows of {JOBS:,} v2 jobs in DuckDB"] = sum(rows_of(sandbox))
    for name in WAYS:
        its = [each[name] for each in costs]
        what = f"loading {JOBS:,} v2 jobs into DuckDB: {name}"
        notes[f"s of wall, {what}"] = median(map(wall, its))
        notes[f"s of CPU, {what}"] = median(map(cpu, its))
        notes[f"MiB at most, {what}"] = max(cost.peak for cost in its)
    for which, measure in (("wall", wall), ("CPU", cpu)):
        name = f"loading {JOBS:,} v2 jobs with dlt's rest_api, x {SOURCE}, {which}"
        notes[name] = median(measure(each[REST_API]) / measure(each[SOURCE]) for each in costs)
    return [
        Figure(
            f"{JOBS:,} v2 jobs into DuckDB with the {SOURCE}, wall",
            median(wall(each[SOURCE]) / wall(each[TAP]) for each in costs),
            0.25,
            f"x {LOADER}",
        ),
        Figure(
            f"peak memory of the {SOURCE} at {JOBS:,} v2 jobs",
            max(each[SOURCE].peak for each in costs),
            MOST_MEMORY,
            "MiB",
        ),
        in_parts(notes),
    ]


def in_parts(notes: dict[str, float]) -> Figure:
    """Measure the memory that many jobs take, loaded in parts."""
    with serving(MANY) as sandbox:
        cost = loaded(Way(lambda *of: [*source(*of), "--in-parts"]), sandbox)
    notes[f"s of wall, loading {MANY:,} v2 jobs into DuckDB in parts: {SOURCE}"] = cost.wall
    name = f"peak memory of the {SOURCE} at {MANY:,} v2 jobs, in parts"
    return Figure(name, cost.peak, MOST_MEMORY, "MiB")


@contextmanager
def serving(jobs: int) -> Iterator[Sandbox]:
    """Serve a long history without delay; nobody else needs this process."""
    with LongHistory(working_week(jobs), Settings()) as sandbox:
        yield sandbox


def in_turn(sandbox: Sandbox) -> dict[str, Cost]:
    """Load a history each way."""
    return {name: loaded(way, sandbox) for name, way in WAYS.items()}


def loaded(way: Way, sandbox: Sandbox) -> Cost:
    """Load a history, and make sure that it is there.

    Raises:
        RuntimeError: It is not.
    """
    with tempfile.TemporaryDirectory() as folder:
        cost = cost_of(way.command(sandbox, folder))
        found = rows_in(Path(folder, WAREHOUSE), way.tables)
    if found != (wanted := rows_of(sandbox)):
        raise RuntimeError(f"{found} rows are loaded of {wanted}")
    return cost


def rows_in(warehouse: Path, tables: tuple[str, ...]) -> list[int]:
    """Count the rows of each table."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return [len(connection.sql(f"FROM {DATASET}.{table}")) for table in tables]


def rows_of(sandbox: Sandbox) -> list[int]:
    """Count the rows that the tables are to have."""
    configurations = [job["configuration"] for job in sandbox.world.v2_jobs()]
    rules = sum(len(each["rules"]) for each in configurations)
    parsing = sum(each["parsing_configuration"] is not None for each in configurations)
    return [len(configurations), rules, parsing]


def source(sandbox: Sandbox, folder: str) -> list[str]:
    """Load with this package's source, in an environment that has what its extra brings."""
    return [str(own_python()), "-m", "benchmarks.load_dlt", sandbox.url, sandbox.key, folder]


def own_python() -> Path:
    """Tell the interpreter of an environment of this package with dlt, and of no more."""
    return python_of("dlt", ["-c", "constraints.txt", "-e", ".[dlt]", DUCKDB])


def singer(sandbox: Sandbox, folder: str) -> list[str]:
    """Load with the tap and target-duckdb, as meltano.yml sets it up."""
    python = python_of(LOADER, shlex.split(plugin()["pip_url"]))
    tap = {"api_url": sandbox.url, "api_key": sandbox.key}
    target: Mapping[str, Any] = {
        **plugin()["config"],
        "filepath": f"{folder}/{WAREHOUSE}",
        "default_target_schema": DATASET,
    }
    commands = (
        [*command_line(), "--config", file_with(tap)],
        [str(python.with_name(LOADER)), "--config", file_with(target)],
    )
    return ["/bin/sh", "-c", " | ".join(map(shlex.join, commands))]


def rest_api(sandbox: Sandbox, folder: str) -> list[str]:
    """Load with dlt's own source for such an API."""
    script = [str(own_python()), "-m", "benchmarks.peers.dlt_rest_api"]
    return [*script, sandbox.url, sandbox.key, str(PAGE_SIZE), folder, f"{folder}/{WAREHOUSE}"]


WAYS: Mapping[str, Way] = {
    SOURCE: Way(source),
    TAP: Way(singer),
    REST_API: Way(rest_api, REST_API_TABLES),
}
