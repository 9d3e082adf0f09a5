"""The sandbox with its pages rendered beforehand, in a process of its own.

`python -m benchmarks.server JOBS PAGE_SIZE [--latency-ms N] [--mixed]` prints a JSON object with
its address, key, number of jobs and pages, and serves until its standard input is closed.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from subprocess import PIPE, Popen

from sandbox.history import History
from sandbox.server import Sandbox
from sandbox.settings import Settings
from sandbox.world import World

UNKNOWN_FIELDS = 0.01
SHARE_OF_ALL_JOBS = 0.8
"""How many of the world's jobs belong to the project that is listed, about."""

FORMS = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S+00:00")


@dataclass(frozen=True)
class Served:
    """A server that runs.

    Attributes:
        newest: The newest `updated_at` of all jobs.
    """

    url: str
    key: str
    jobs: int
    pages: int
    newest: str


@contextmanager
def serving(jobs: int, page_size: int, *options: str) -> Iterator[Served]:
    """Run a server in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.server", str(jobs), str(page_size), *options]
    with Popen(command, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdin
        assert process.stdout
        yield Served(**json.loads(process.stdout.readline()))
        process.stdin.close()


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
        served = Served(sandbox.url, sandbox.key, len(jobs), pages, newest)
        sys.stdout.write(json.dumps(vars(served)) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


def _mix(sandbox: Sandbox) -> None:
    """Write the jobs' updates in other forms in turn, the usual one among them."""
    forms = itertools.cycle((None, *FORMS))
    for job, form in zip(sandbox.world.jobs(sandbox.project_id), forms, strict=False):
        if form:
            moment = datetime.fromisoformat(job["updated_at"])
            sandbox.world.put(job | {"updated_at": moment.strftime(form)})


if __name__ == "__main__":
    main()
