"""The sandbox with its pages rendered beforehand, in a process of its own.

`python -m benchmarks.server JOBS PAGE_SIZE [--latency-ms N] [--mixed]` prints a JSON object with
its address, key, number of jobs and pages, and serves until its standard input is closed. Every
line that it is sent there is answered with how many requests came since the line before.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from subprocess import PIPE, Popen

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World

UNKNOWN_FIELDS = 0.01
SHARE_OF_ALL_JOBS = 0.8
"""How many of the world's jobs belong to the project that is listed, about."""

FORMS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S+00:00")


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        newest: The newest `updated_at` of all jobs.
        requests: Tells how many requests came since it was called last.
    """

    url: str
    key: str
    jobs: int
    pages: int
    newest: str
    requests: Callable[[], int]


@contextmanager
def serving(jobs: int, page_size: int, *options: str) -> Iterator[Served]:
    """Run a server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.server", str(jobs), str(page_size), *options]
    with Popen(command, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdin
        assert process.stdout
        facts = json.loads(process.stdout.readline())
        yield Served(**facts, requests=partial(_requests, process))
        process.stdin.close()


def _requests(process: Popen[bytes]) -> int:
    assert process.stdin
    assert process.stdout
    process.stdin.write(b"\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs", type=int)
    parser.add_argument("page_size", type=int)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--mixed", action="store_true")
    options = parser.parse_args()
    history = History(jobs=round(options.jobs / SHARE_OF_ALL_JOBS), unknown_fields=UNKNOWN_FIELDS)
    world = World(history)
    with Sandbox(world, Settings(latency_ms=options.latency_ms)) as sandbox:
        jobs = sandbox.world.jobs(sandbox.project_id)
        newest = max(job["updated_at"] for job in jobs)
        if options.mixed:
            _mix(sandbox)
        pages = sandbox.prerender(options.page_size)
        facts = {"url": sandbox.url, "key": sandbox.key, "jobs": len(jobs)}
        _say(json.dumps(facts | {"pages": pages, "newest": newest}))
        for _ in sys.stdin:
            _say(str(len(sandbox.requests)))
            sandbox.clear_requests()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _mix(sandbox: Sandbox) -> None:
    """Write the jobs' updates in other forms in turn, the usual one among them."""
    forms = itertools.cycle((None, *FORMS))
    for job, form in zip(sandbox.world.jobs(sandbox.project_id), forms, strict=False):
        if form:
            moment = datetime.fromisoformat(job["updated_at"])
            sandbox.world.put(job | {"updated_at": moment.strftime(form)})


if __name__ == "__main__":
    main()
