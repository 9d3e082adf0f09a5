"""The part of `make bench` that is about many connections: what reading side by side saves.

`python -m benchmarks.connections URL KEY PAGE_SIZE TIMES` holds a page so many times, for what it
takes to be measured: its reply, and what is read of it.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from benchmarks.figures import Figure
from benchmarks.measure import Cost, cost_of
from benchmarks.runs import catalog_without, command_line, file_with, median
from benchmarks.server import UNKNOWN_FIELDS
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.api.endpoints import V1_JOBS

CONNECTIONS = 8
PAGES = 40
PAGE_SIZE = 100
LATENCY_MS = 50.0
LARGE_PAGES = 4
LARGE_PAGE_SIZE = 5_000
MOST_PAGES_HELD = 2
"""Pages that memory may grow by for each connection."""


def wall_and_memory(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """Wall of eight connections at once beside one after the other, and the memory it takes."""
    return [*side_by_side(rounds, notes), *memory(rounds, notes)]


def side_by_side(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """Wall of eight connections at once, beside one after the other."""
    with serving(PAGES, PAGE_SIZE, latency_ms=LATENCY_MS) as sandbox:
        pairs = [
            (cost_of(many(sandbox, at_once=1)), cost_of(many(sandbox, at_once=CONNECTIONS)))
            for _ in range(rounds)
        ]
    what = f"{CONNECTIONS} connections of {PAGES} pages of {LATENCY_MS:.0f} ms"
    notes[f"s of wall, {what}: one after the other"] = median(each.wall for each, _ in pairs)
    notes[f"s of wall, {what}: at once"] = median(each.wall for _, each in pairs)
    return [
        Figure(
            f"{what} at once, wall",
            median(theirs.wall / ours.wall for ours, theirs in pairs),
            0.3,
            "x one after the other",
        )
    ]


def memory(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """Peak memory of eight connections at once over that of one, in pages for each further one."""
    with serving(LARGE_PAGES, LARGE_PAGE_SIZE) as sandbox:
        page = page_in_memory(sandbox)
        pairs = [peaks(sandbox) for _ in range(rounds)]
    of_pages = f"pages of {LARGE_PAGE_SIZE:,} jobs"
    notes[f"MiB that each of {of_pages} takes: reply and what is read of it"] = page
    notes[f"MiB at most, {of_pages}: one connection"] = median(one.peak for one, _ in pairs)
    notes[f"MiB at most, {of_pages}: {CONNECTIONS} at once"] = median(
        all_.peak for _, all_ in pairs
    )
    held = median((all_.peak - one.peak) / (CONNECTIONS - 1) / page for one, all_ in pairs)
    return [Figure("memory for each further connection", held, MOST_PAGES_HELD, "pages")]


def peaks(sandbox: Sandbox) -> tuple[Cost, Cost]:
    """Read one connection, then all of them at once."""
    return (
        cost_of(many(sandbox, count=1, at_once=1, page_size=LARGE_PAGE_SIZE)),
        cost_of(many(sandbox, at_once=CONNECTIONS, page_size=LARGE_PAGE_SIZE)),
    )


@contextmanager
def serving(pages: int, page_size: int, *, latency_ms: float = 0) -> Iterator[Sandbox]:
    """Serve so many pages of each project, rendered beforehand; nobody else needs this process."""
    # Projects have about the same number of jobs, and the last page need not be full.
    jobs = round((pages - 0.5) * page_size * CONNECTIONS)
    world = World(History(jobs=jobs, projects=CONNECTIONS, unknown_fields=UNKNOWN_FIELDS))
    settings = Settings(latency_ms=latency_ms, page_size_limit=page_size)
    with Sandbox(world, settings) as sandbox:
        for key in sandbox.keys.values():
            sandbox.prerender(page_size, key=key)
        yield sandbox


def many(
    sandbox: Sandbox, *, at_once: int, count: int = CONNECTIONS, page_size: int = PAGE_SIZE
) -> list[str]:
    """Sync so many connections."""
    keys = list(sandbox.keys.values())[:count]
    settings: Mapping[str, Any] = {
        "api_url": sandbox.url,
        "connections": [
            {"name": f"project-{number}", "api_key": key} for number, key in enumerate(keys)
        ],
        "parallel_connections": at_once,
        "page_size": page_size,
    }
    catalog = file_with(catalog_without(()))
    return [*command_line(), "--catalog", catalog, "--config", file_with(settings)]


def page_in_memory(sandbox: Sandbox) -> float:
    """Measure what a page takes, in MiB: what ten more of them take."""
    command = [sys.executable, "-m", "benchmarks.connections", sandbox.url, sandbox.key]
    few, more = (cost_of([*command, str(LARGE_PAGE_SIZE), str(times)]).peak for times in (2, 12))
    return (more - few) / 10


def main(url: str, key: str, page_size: str, times: str) -> None:
    """Read the first page so many times, and hold all of it."""
    held = []
    for _ in range(int(times)):
        reply = requests.get(
            url + V1_JOBS.path,
            headers={"Authorization": f"Bearer {key}"},
            params={"page_size": page_size},
            timeout=60,
        )
        held.append((reply.content, V1_JOBS.parse(reply.content)))


if __name__ == "__main__":
    main(*sys.argv[1:])
