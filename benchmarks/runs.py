"""The commands that are measured, run in turn, and the ratios between them."""

import hashlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import Cost, cost_of
from benchmarks.server import Served
from tap_llamaclassify.singer.tap import TapLlamaClassify

PAGE_SIZE = 500
SMALL, LARGE, HUGE = 50_000, 250_000, 1_000_000
STREAMS = ("classify_jobs", "classify_job_rules", "classify_job_parsing_configs")

Command = Callable[[Served], list[str]]
Pair = tuple[Cost, Cost]
"""What the same command took over few jobs, and over many."""


def command_line() -> list[str]:
    """Start the tap as its script does."""
    return [sys.executable, "-c", "from tap_llamaclassify.__main__ import main; main()"]


def tap(served: Served, *, catalog: Mapping[str, Any] | None = None, **more: Any) -> list[str]:
    """Sync the three streams of v1 jobs from a server."""
    settings = {"api_url": served.url, "api_key": served.key, "page_size": PAGE_SIZE} | more
    options = ["--catalog", file_with(catalog or catalog_without(()))]
    return [*command_line(), "--config", file_with(settings), *options]


def file_with(content: Mapping[str, Any]) -> str:
    """Put an object into a file that is named after its content; returns the path."""
    text = json.dumps(content)
    folder = Path(tempfile.gettempdir(), "tap-llamaclassify-bench")
    folder.mkdir(exist_ok=True)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    path.write_text(text, encoding="utf-8")
    return str(path)


def catalog_without(columns: Collection[str], streams: Collection[str] = STREAMS) -> dict[str, Any]:
    """Make a catalog of the three streams, or of others, without these columns."""
    catalog = TapLlamaClassify(validate_config=False).catalog_dict
    catalog["streams"] = [each for each in catalog["streams"] if each["tap_stream_id"] in streams]
    for entry in catalog["streams"]:
        for metadata in entry["metadata"]:
            metadata["metadata"]["selected"] = metadata["breadcrumb"][-1:] not in [
                [column] for column in columns
            ]
    return catalog


def idle(served: Served) -> list[str]:
    """Sync when all that is listed was there the last time."""
    return [*tap(served, lookback_seconds=0), "--state", state_at(served.newest)]


def plain(served: Served) -> list[str]:
    """Do the same by hand."""
    arguments = [served.url, served.key, str(PAGE_SIZE)]
    return [sys.executable, "-m", "benchmarks.plain_loop", *arguments]


def fetch(served: Served) -> list[str]:
    """Read all pages and do no more with them than it takes to find the next one."""
    return [*plain(served), "--fetch-only"]


def state_at(newest: str) -> str:
    """Write a state in which all streams have come as far as that; returns its path."""
    entry = {"replication_key": "updated_at", "replication_key_value": newest}
    return file_with({"bookmarks": dict.fromkeys(STREAMS, entry)})


def in_turn(commands: Mapping[str, Command], small: Served, large: Served) -> dict[str, Pair]:
    """Run each command over few and over many jobs, one after the other."""
    return {
        name: (cost_of(command(small)), cost_of(command(large)))
        for name, command in commands.items()
    }


def of_plain(costs: list[dict[str, Pair]], name: str, measure: Callable[[Cost], float]) -> float:
    """Compare a command's cost per job with the plain loop's, round by round."""
    return median(slope(r[name], measure) / slope(r["plain loop"], measure) for r in costs)


def slope(pair: Pair, measure: Callable[[Cost], float]) -> float:
    """Take away what does not depend on the number of jobs."""
    few, many = pair
    return measure(many) - measure(few)


def wall(cost: Cost) -> float:
    """Seconds from start to end."""
    return cost.wall


def cpu(cost: Cost) -> float:
    """Seconds of processor time."""
    return cost.cpu


MEASURES = (("wall", wall), ("CPU", cpu))


def median(values: Iterable[float]) -> float:
    """Take the middle one."""
    return statistics.median(values)
