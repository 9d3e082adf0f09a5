"""The part of `make bench` that is about windows of a long v2 history, read side by side.

`python -m benchmarks.windows URL KEY INSTANT ...` fetches the jobs between each two instants, all
windows at once, and does nothing with them: so long it takes by itself.
"""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import requests

from benchmarks.figures import Figure
from benchmarks.long_history import LongHistory, add_new, working_week
from benchmarks.measure import Cost, cost_of
from benchmarks.runs import catalog_without, command_line, cpu, file_with, median, wall
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from tap_llamaclassify.api.endpoints import V2_JOBS

JOBS = 40_000
PAGE_SIZE = 100
LATENCY_MS = 50.0
STREAM = "classify_v2_jobs"
SOME, MANY = 4, 8
AT_ONCE = (1, SOME, MANY)
NEW = 20
"""Jobs that an incremental run finds."""
SHORT = 5
"""Pairs of incremental runs for each round of whole ones, for they are short, and much alike."""


@dataclass(frozen=True)
class Run:
    """What one run took, and how many requests it sent."""

    cost: Cost
    requests: int


Round = Mapping[int, Run]
"""A run for each number of windows at once, one after the other."""


def side_by_side(rounds: int, notes: dict[str, float]) -> list[Figure]:
    """What reading windows side by side saves, and what it costs."""
    with serving() as sandbox:
        pages = -(-len(sandbox.world.v2_jobs()) // PAGE_SIZE)
        whole = [runs(sandbox) for _ in range(rounds)]
        notes[f"s to fetch {pages} v2 pages by {MANY} threads and do nothing else"] = cost_of(
            fetching(sandbox)
        ).wall
        sandbox.settings.total_size = False
        untold = [runs(sandbox)]
        sandbox.settings.total_size = True
        short = news(sandbox, rounds * SHORT)
    start = median(each[1].cost.cpu for each in short)
    _note(notes, pages, whole, untold[0])
    notes[f"CPU per job, {_windows(MANY)} over one"] = _cpu_of(whole, MANY, start)
    notes["s of wall, an incremental run of one page: 1 window"] = median(
        each[1].cost.wall for each in short
    )
    return _figures(pages, whole, untold, short)


def _note(notes: dict[str, float], pages: int, whole: Sequence[Round], untold: Round) -> None:
    for at_once in AT_ONCE:
        name = f"s of wall, {pages} pages of {LATENCY_MS:.0f} ms: {_windows(at_once)}"
        notes[name] = median(each[at_once].cost.wall for each in whole)
        notes[f"{name}, no total_size"] = untold[at_once].cost.wall
        notes[f"us of CPU a job, start included: {_windows(at_once)}"] = (
            median(each[at_once].cost.cpu for each in whole) / JOBS * 1e6
        )


def _figures(
    pages: int, whole: Sequence[Round], untold: Sequence[Round], short: Sequence[Round]
) -> list[Figure]:
    start = median(each[1].cost.cpu for each in short)
    return [
        *(
            Figure(
                f"{pages} v2 pages of {LATENCY_MS:.0f} ms, {_windows(at_once)}, wall",
                of_one(whole, at_once, wall),
                bound,
                "x with 1",
            )
            for at_once, bound in ((SOME, 0.35), (MANY, 0.2))
        ),
        Figure("requests for v2 pages in windows", most_requests(whole) / pages, 1.15, "x pages"),
        Figure(
            "requests for v2 pages in windows, total_size null",
            most_requests(untold) / pages,
            1.3,
            "x pages",
        ),
        Figure(
            f"cost per v2 job, {_windows(SOME)}, CPU", _cpu_of(whole, SOME, start), 1.05, "x with 1"
        ),
        Figure(
            f"incremental v2 run of one page, {_windows(SOME)}, requests",
            max(each[SOME].requests / each[1].requests for each in short),
            1.0,
            "x with 1",
        ),
        Figure(
            f"incremental v2 run of one page, {_windows(SOME)}, wall",
            of_one(short, SOME, wall),
            1.05,
            "x with 1",
        ),
    ]


def of_one(rounds: Sequence[Round], at_once: int, measure: Callable[[Cost], float]) -> float:
    """Compare so many windows at once with one after the other, round by round."""
    return median(measure(each[at_once].cost) / measure(each[1].cost) for each in rounds)


def most_requests(rounds: Sequence[Round]) -> int:
    """Return how many requests the run sent that sent most."""
    return max(run.requests for each in rounds for run in each.values())


def _cpu_of(rounds: Sequence[Round], at_once: int, start: float) -> float:
    """Compare the CPU that does depend on the number of jobs."""
    return of_one(rounds, at_once, lambda cost: cpu(cost) - start)


def _windows(at_once: int) -> str:
    return f"{at_once} window{'s' * (at_once > 1)}"


@contextmanager
def serving() -> Iterator[Sandbox]:
    """Serve a long history; nobody else needs this process."""
    settings = Settings(latency_ms=LATENCY_MS)
    with LongHistory(working_week(JOBS), settings) as sandbox:
        yield sandbox


def runs(sandbox: Sandbox) -> dict[int, Run]:
    """Read all of it with each number of windows at once."""
    return {at_once: run(sandbox, many(sandbox, at_once)) for at_once in AT_ONCE}


def news(sandbox: Sandbox, times: int) -> list[Round]:
    """Read what is new since a whole run, a page, so many times."""
    state = file_with(state_after(many(sandbox, MANY)))
    add_new(sandbox.world, NEW)

    def short(at_once: int) -> list[str]:
        # What is listed again, against finished jobs that change all the same, is many pages.
        return [*many(sandbox, at_once, reconcile_days=0), "--state", state]

    return [{n: run(sandbox, short(n)) for n in (1, SOME)} for _ in range(times)]


def run(sandbox: Sandbox, command: list[str]) -> Run:
    """Run a command, and count what it asks for."""
    sandbox.clear_requests()
    cost = cost_of(command)
    return Run(cost, len(sandbox.requests))


def many(sandbox: Sandbox, at_once: int, **more: Any) -> list[str]:
    """Sync the v2 jobs with so many windows at once."""
    settings = {
        "api_url": sandbox.url,
        "api_key": sandbox.key,
        "page_size": PAGE_SIZE,
        "parallel_windows": at_once,
    }
    catalog = file_with(catalog_without((), [STREAM]))
    return [*command_line(), "--catalog", catalog, "--config", file_with(settings | more)]


def state_after(command: list[str]) -> dict[str, Any]:
    """Run a command; return the last state that it wrote."""
    lines = subprocess.run(command, check=True, capture_output=True).stdout.splitlines()
    states = (line for line in reversed(lines) if b'"STATE"' in line)
    state: dict[str, Any] = json.loads(next(states))["value"]
    return state


def fetching(sandbox: Sandbox) -> list[str]:
    """Fetch the pages and do no more, from windows of as many jobs each, all at once."""
    created = sorted(job["created_at"] for job in sandbox.world.v2_jobs())
    instants = [created[(len(created) - 1) * number // MANY] for number in range(MANY + 1)]
    return [sys.executable, "-m", "benchmarks.windows", sandbox.url, sandbox.key, *instants]


def main(url: str, key: str, *instants: str) -> None:
    """Fetch all windows at once."""
    windows = list(itertools.pairwise(instants))
    with ThreadPoolExecutor(len(windows)) as pool:
        list(pool.map(lambda window: fetch(url, key, *window), windows))


def fetch(url: str, key: str, begin: str, end: str) -> None:
    """Fetch the pages of a window, one after the other."""
    bounds = {"created_at_on_or_after": begin, "created_at_on_or_before": end}
    params = {"page_size": str(PAGE_SIZE), **bounds}
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {key}"
        while True:
            reply = session.get(url + V2_JOBS.path, params=params, timeout=60)
            page = msgspec.json.decode(reply.content)
            if not page["next_page_token"]:
                return
            params["page_token"] = page["next_page_token"]


if __name__ == "__main__":
    main(*sys.argv[1:])
