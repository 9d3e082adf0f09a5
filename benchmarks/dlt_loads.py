"""The part of `make bench` that is about dlt: histories into DuckDB, beside target-duckdb.

All of them begin with no table and end with a row for each key, which is looked at each time; and
all are the same DuckDB. The bound is that of v1 jobs, whose pages are rendered beforehand; of v2
jobs a request brings 100 at most, and what answers them takes as long as what loads them.
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
from benchmarks.server import Served
from benchmarks.server import serving as plain_server
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings

DUCKDB = f"duckdb=={duckdb.__version__}"
JOBS, MANY = 50_000, 500_000
PAGE_SIZE, V1_PAGE_SIZE = 100, 500
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
        command: Makes the command from the server, an empty folder and the size of a page.
        tables: What stands after FROM where jobs, rules and parsing configurations are counted.
    """

    command: Callable[[Sandbox | Served, str, int], list[str]]
    tables: tuple[str, ...] = TABLES


def side_by_side(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """Compare the ways to load histories, then load one that is ten times as long in parts."""
    v1 = of_v1(rounds, notes)
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
    name = f"loading {JOBS:,} v2 jobs with the {SOURCE}, x {LOADER}, wall"
    notes[name] = median(wall(each[SOURCE]) / wall(each[TAP]) for each in costs)
    return [
        v1,
        Figure(
            f"peak memory of the {SOURCE} at {JOBS:,} v2 jobs",
            max(each[SOURCE].peak for each in costs),
            MOST_MEMORY,
            "MiB",
        ),
        in_parts(notes),
    ]


def of_v1(rounds: int, notes: dict[str, float]) -> Figure:
    """Compare the two ways of this package to load v1 jobs."""
    with plain_server(JOBS, V1_PAGE_SIZE) as served:
        costs = [
            {name: cost_in_folder(WAYS[name], served, V1_PAGE_SIZE) for name in (SOURCE, TAP)}
            for _ in range(rounds)
        ]
    for name in (SOURCE, TAP):
        what = f"loading {served.jobs:,} v1 jobs into DuckDB: {name}"
        notes[f"s of wall, {what}"] = median(wall(each[name]) for each in costs)
    return Figure(
        f"{served.jobs:,} v1 jobs into DuckDB with the {SOURCE}, wall",
        median(wall(each[SOURCE]) / wall(each[TAP]) for each in costs),
        0.25,
        f"x {LOADER}",
    )


def cost_in_folder(way: Way, served: Served, page_size: int) -> Cost:
    """Load a history of v1 jobs, and make sure that they are there.

    Raises:
        RuntimeError: They are not.
    """
    with tempfile.TemporaryDirectory() as folder:
        cost = cost_of(way.command(served, folder, page_size))
        (found,) = rows_in(Path(folder, WAREHOUSE), ("classify_jobs",))
    if found != served.jobs:
        raise RuntimeError(f"{found} jobs are loaded of {served.jobs}")
    return cost


def in_parts(notes: dict[str, float]) -> Figure:
    """Measure the memory that many jobs take, loaded in parts."""
    with serving(MANY) as sandbox:
        cost = loaded(Way(lambda *of: [*source(*of), "--in-parts"]), sandbox)
    notes[f"s of wall, loading {MANY:,} v2 jobs into DuckDB in parts: {SOURCE}"] = cost.wall
    name = f"peak memory of the {SOURCE} at {MANY:,} v2 jobs, in parts, load.workers = 1"
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
        cost = cost_of(way.command(sandbox, folder, PAGE_SIZE))
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


def source(server: Sandbox | Served, folder: str, page_size: int) -> list[str]:
    """Load with this package's source, in an environment that has what its extra brings."""
    script = [str(own_python()), "-m", "benchmarks.load_dlt"]
    return [*script, server.url, server.key, folder, str(page_size)]


def own_python() -> Path:
    """Tell the interpreter of an environment of this package with dlt, and of no more."""
    return python_of("dlt", ["-c", "constraints.txt", "-e", ".[dlt]", DUCKDB])


def singer(server: Sandbox | Served, folder: str, page_size: int) -> list[str]:
    """Load with the tap and target-duckdb, as meltano.yml sets it up."""
    python = python_of(LOADER, shlex.split(plugin()["pip_url"]))
    tap = {"api_url": server.url, "api_key": server.key, "page_size": page_size}
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


def rest_api(server: Sandbox | Served, folder: str, page_size: int) -> list[str]:
    """Load with dlt's own source for such an API."""
    script = [str(own_python()), "-m", "benchmarks.peers.dlt_rest_api"]
    return [*script, server.url, server.key, str(page_size), folder, f"{folder}/{WAREHOUSE}"]


WAYS: Mapping[str, Way] = {
    SOURCE: Way(source),
    TAP: Way(singer),
    REST_API: Way(rest_api, REST_API_TABLES),
}
