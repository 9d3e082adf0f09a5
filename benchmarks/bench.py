"""`make bench`: the tap beside a plain loop over the same pages, and the bounds that it keeps.

Every ratio is taken between runs that stand next to each other in time, and the figure is the
median of all such pairs, so that a machine that is busy now and then does not decide it. The
server renders its pages beforehand, or finds windows of v2 jobs by a search; what fetching them
alone takes is shown among the notes, so that it can be seen not to be the bottleneck.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import connections, dlt_loads, parquet, windows
from benchmarks.figures import Figure, table, write_json
from benchmarks.measure import cost_of
from benchmarks.runs import (
    HUGE,
    LARGE,
    MEASURES,
    PAGE_SIZE,
    SMALL,
    Command,
    catalog_without,
    command_line,
    cpu,
    fetch,
    idle,
    in_turn,
    median,
    of_plain,
    plain,
    slope,
    tap,
    wall,
)
from benchmarks.server import serving

RESULT = Path("output", "bench.json")
LATENCY_MS = "50"
MAPS = {
    "classify_jobs": {"user_id": "md5(user_id)", "error_message": None},
    "classify_job_rules": {"__alias__": "rules"},
}


def main() -> int:
    """Measure, print the table and write the JSON. The exit code is 1 when a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="pairs of each kind")
    parser.add_argument("--only", choices=PARTS, action="append", help="leave out the others")
    options = parser.parse_args()
    figures: list[Figure] = []
    notes: dict[str, float] = {}
    for name in options.only or PARTS:
        sys.stderr.write(f"{name} ...\n")
        figures += PARTS[name](options.rounds, notes)
    sys.stdout.write(table(figures, notes))
    write_json(RESULT, figures, notes)
    return int(any(figure.verdict != "ok" for figure in figures))


def throughput(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """Cost per job beyond start-up, the whole run, and a run in which nothing passes the filter."""
    with serving(SMALL, PAGE_SIZE) as small, serving(LARGE, PAGE_SIZE) as large:
        commands: dict[str, Command] = {"plain loop": plain, "tap": tap, "tap, nothing new": idle}
        costs = [in_turn(commands, small, large) for _ in range(rounds)]
        notes["s to fetch 250,000 jobs and do nothing else"] = cost_of(fetch(large)).wall
    jobs = large.jobs - small.jobs
    for name in commands:
        notes[f"us of wall a job: {name}"] = median(
            slope(r[name], wall) / jobs * 1e6 for r in costs
        )
        notes[f"us of CPU a job: {name}"] = median(slope(r[name], cpu) / jobs * 1e6 for r in costs)
        notes[f"s of wall for 50,000 jobs: {name}"] = median(r[name][0].wall for r in costs)
        notes[f"s of wall for 250,000 jobs: {name}"] = median(r[name][1].wall for r in costs)
    return [
        Figure(f"{what}, {which}", of_plain(costs, name, measure), bound, "x plain loop")
        for what, name, bound in (
            ("cost per job, three streams", "tap", 1.5),
            ("cost per job when nothing passes the filter", "tap, nothing new", 1.0),
        )
        for which, measure in MEASURES
    ] + [
        Figure(
            "whole run of 50,000 jobs, start included, wall",
            median(r["tap"][0].wall / r["plain loop"][0].wall for r in costs),
            3.0,
            "x plain loop",
        )
    ]


def mixed_forms(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """Cost per job when updates are written in several ISO forms; the plain loop copies them."""
    commands: dict[str, Command] = {"plain loop": plain, "tap": tap}
    with (
        serving(SMALL, PAGE_SIZE, "--mixed") as small,
        serving(LARGE, PAGE_SIZE, "--mixed") as large,
    ):
        costs = [in_turn(commands, small, large) for _ in range(rounds)]
    for which, measure in MEASURES:
        name = f"cost per job, updates in mixed forms, x plain loop, {which}"
        notes[name] = of_plain(costs, "tap", measure)
    return []


def shapes(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """Cost per job with selection, stream maps or flattening in force, beside the tap without."""
    ways: dict[str, dict[str, Any]] = {
        "stream maps": {"stream_maps": MAPS},
        "flattening": {"flattening_enabled": True, "flattening_max_depth": 1},
        "deselected columns": {"catalog": catalog_without(["user_id", "description", "lang"])},
    }
    commands = {"plain": tap} | {name: partial(tap, **more) for name, more in ways.items()}
    with serving(SMALL // 5, PAGE_SIZE) as small, serving(SMALL, PAGE_SIZE) as large:
        costs = [in_turn(commands, small, large) for _ in range(rounds)]
    notes["s of wall for 50,000 jobs: tap, beside those shapes"] = median(
        r["plain"][1].wall for r in costs
    )
    return [
        Figure(
            f"cost per job with {name}, wall",
            median(slope(r[name], wall) / slope(r["plain"], wall) for r in costs),
            3.0,
            "x without",
        )
        for name in ways
    ]


def latency(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """100 pages that take 50 ms each, beside a plain loop that fetches one page ahead, too."""
    with serving(SMALL, PAGE_SIZE, "--latency-ms", LATENCY_MS) as slow:
        pairs = [(cost_of([*plain(slow), "--ahead"]), cost_of(tap(slow))) for _ in range(rounds)]
        notes[f"s of wall, {slow.pages} pages of 50 ms: plain loop, ahead"] = median(
            ours.wall for ours, _ in pairs
        )
    extra = median(theirs.wall - ours.wall for ours, theirs in pairs)
    return [Figure("100 pages of 50 ms: wall over the plain loop's", extra, 1.0, "s")]


def start_up(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """`--version` beside importing singer-sdk alone."""
    sdk = [sys.executable, "-c", "import singer_sdk"]
    version = [*command_line(), "--version"]
    pairs = [(cost_of(sdk), cost_of(version)) for _ in range(rounds)]
    notes["s of wall: import singer_sdk"] = median(ours.wall for ours, _ in pairs)
    value = median(theirs.wall / ours.wall for ours, theirs in pairs)
    return [Figure("--version, wall", value, 1.2, "x import")]


def memory(_: int, notes: dict[str, float]) -> list[Figure]:
    """Peak memory, and how it grows from 50,000 jobs to a million."""
    peaks = []
    for jobs in (SMALL, HUGE):
        with serving(jobs, PAGE_SIZE) as served:
            cost = cost_of(tap(served))
        peaks.append(cost.peak)
        notes[f"s of wall for {served.jobs:,} jobs, {served.pages:,} pages"] = cost.wall
    return [
        Figure("peak memory at 50,000 jobs", peaks[0], 90, "MiB"),
        Figure("peak memory at 1,000,000 jobs", peaks[1], 90, "MiB"),
        Figure("peak memory at 1,000,000 jobs", peaks[1] / peaks[0], 1.1, "x at 50,000"),
    ]


PARTS: Mapping[str, Callable[[int, dict[str, float]], list[Figure]]] = {
    "throughput": throughput,
    "shapes": shapes,
    "mixed-forms": mixed_forms,
    "latency": latency,
    "start-up": start_up,
    "memory": memory,
    "connections": connections.wall_and_memory,
    "windows": windows.side_by_side,
    "dlt": dlt_loads.side_by_side,
    "parquet": parquet.throughput,
    "parquet-memory": parquet.memory,
    "parquet-load": parquet.load,
}


if __name__ == "__main__":
    sys.exit(main())
