"""The parts of `make bench` that are about Parquet: its cost, its memory, and loading it.

What Arrow files cost is among the notes.
"""

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import yaml

from benchmarks.figures import Figure
from benchmarks.measure import ROOT, Cost, cost_of
from benchmarks.peers.environments import python_of
from benchmarks.runs import (
    HUGE,
    LARGE,
    MEASURES,
    PAGE_SIZE,
    SMALL,
    STREAMS,
    Command,
    file_with,
    in_turn,
    median,
    of_plain,
    plain,
    slope,
    tap,
)
from benchmarks.server import Served, serving

LOADER = "target-duckdb"
LOADED = 20_000
SECONDS = f"s of wall to load {LOADED:,} jobs"


def throughput(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """Cost per job of three streams into Parquet files on this machine's disk."""
    with (
        files() as folder,
        serving(SMALL, PAGE_SIZE) as small,
        serving(LARGE, PAGE_SIZE) as large,
    ):
        commands: dict[str, Command] = {
            "plain loop": plain,
            "Parquet": partial(into_files, folder=folder),
            "Arrow": partial(into_files, folder=folder, form="arrow"),
        }
        costs = [in_turn(commands, small, large) for _ in range(rounds)]
    jobs = large.jobs - small.jobs
    for form in ("Parquet", "Arrow"):
        for which, measure in MEASURES:
            notes[f"us of {which} a job: tap, {form}"] = (
                median(slope(r[form], measure) for r in costs) / jobs * 1e6
            )
    notes["s of wall for 250,000 jobs: tap, Parquet"] = median(r["Parquet"][1].wall for r in costs)
    return [
        Figure(
            f"cost per job, three streams to Parquet, {which}",
            of_plain(costs, "Parquet", measure),
            2.5,
            "x plain loop",
        )
        for which, measure in MEASURES
    ]


def memory(_: int, notes: dict[str, float]) -> list[Figure]:
    """Peak memory of the tap that writes Parquet."""
    peaks = []
    for jobs in (SMALL, HUGE):
        with files() as folder, serving(jobs, PAGE_SIZE) as served:
            cost = cost_of(into_files(served, folder=folder))
            size = sum(path.stat().st_size for path in folder.iterdir())
        notes[f"s of wall for {served.jobs:,} jobs: tap, Parquet"] = cost.wall
        notes[f"MiB of Parquet for {served.jobs:,} jobs"] = size / 2**20
        peaks.append(cost.peak)
    return [
        Figure("peak memory to Parquet at 50,000 jobs", peaks[0], 200, "MiB"),
        Figure("peak memory to Parquet at 1,000,000 jobs", peaks[1], 200, "MiB"),
    ]


def load(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """DuckDB that reads the files, beside target-duckdb that is sent the same rows as lines.

    Both begin with no table, end with the same keys, and are the same DuckDB.
    """
    python = python_of(LOADER, shlex.split(plugin()["pip_url"]))
    with files() as folder, tempfile.TemporaryDirectory() as scratch:
        lines = Path(scratch, "lines.jsonl")
        with serving(LOADED, PAGE_SIZE) as served:
            cost_of(into_files(served, folder=folder))
            with lines.open("wb") as file:
                subprocess.run(tap(served), check=True, stdout=file, stderr=subprocess.DEVNULL)
        pairs = [in_turn_loaded(python, folder, lines, scratch=scratch) for _ in range(rounds)]
    notes[f"{SECONDS}: DuckDB, Parquet"] = median(ours.wall for ours, _ in pairs)
    notes[f"{SECONDS}: {LOADER}, RECORD"] = median(theirs.wall for _, theirs in pairs)
    for which, measure in MEASURES:
        notes[f"loading {LOADED:,} jobs with {LOADER}, x DuckDB from Parquet, {which}"] = median(
            measure(theirs) / measure(ours) for ours, theirs in pairs
        )
    return []


@contextmanager
def files() -> Iterator[Path]:
    """Make a folder for files that are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "files")


def into_files(served: Served, *, folder: Path, form: str = "parquet") -> list[str]:
    """Sync three streams into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    batches = {
        "encoding": {"format": form},
        "storage": {"root": str(folder)},
    }
    return tap(served, batch_config=batches)


def in_turn_loaded(python: Path, folder: Path, lines: Path, *, scratch: str) -> tuple[Cost, Cost]:
    """Load the files, then the lines, and make sure that both are the same rows.

    Raises:
        RuntimeError: They are not.
    """
    ours, theirs = Path(scratch, "of_files.duckdb"), Path(scratch, "of_lines.duckdb")
    for warehouse in (ours, theirs):
        warehouse.unlink(missing_ok=True)
    of_files = cost_of([str(python), "-m", "benchmarks.load_files", str(folder), str(ours)])
    settings = plugin()["config"] | {"filepath": str(theirs)}
    loader = [str(python.with_name(LOADER)), "--config", file_with(settings)]
    of_lines = cost_of(
        ["/bin/sh", "-c", 'lines=$1; shift; exec "$@" <"$lines"', "sh", str(lines), *loader]
    )
    if rows_in(ours) != rows_in(theirs):
        raise RuntimeError(f"{LOADER} has loaded {rows_in(theirs)} rows, DuckDB {rows_in(ours)}")
    return of_files, of_lines


def rows_in(warehouse: Path) -> list[int]:
    """Count the rows of each table."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return [len(connection.table(f"llamacloud.{name}")) for name in STREAMS]


def plugin() -> dict[str, Any]:
    """Return what meltano.yml says of the loader."""
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    loaders: Sequence[dict[str, Any]] = project["plugins"]["loaders"]
    return next(each for each in loaders if each["name"] == LOADER)
