"""A real process, really killed at any step of extracting, normalizing and loading."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.builders import job
from tests.support.dlt_pipelines import Warehouse
from tests.support.forks import Forks, forking
from tests.support.runs import put, put_v2
from tests.support.tally import Tally
from tests.support.trials import SEED, trials

pytestmark = pytest.mark.heavy

PATIENCE = 300
PROGRAM = """
import dlt, duckdb, pyarrow, signal
from dlt.common.runtime.collector import DictCollector
from dlt.destinations.impl.duckdb import factory, duck
from tap_llamaclassify.dlt_source import llamaclassify, load
pyarrow.array([1])

class Killer(DictCollector):
    left, seen = 0, 0
    def update(self, *words, **more):
        super().update(*words, **more)
        Killer.seen += 1
        if Killer.seen == self.left:
            os.kill(os.getpid(), signal.SIGKILL)

def main(words):
    Killer.left = int(words[0])
    pipeline = dlt.pipeline(
        "llamaclassify", destination=dlt.destinations.duckdb("warehouse.duckdb"),
        dataset_name="llamacloud", progress=Killer(),
    )
    load(pipeline, llamaclassify(max_jobs=250, page_size=20))
    print(Killer.seen)
"""


@pytest.fixture
def forks(warehouse: Warehouse) -> Iterator[Forks]:
    """A process that has imported dlt, and runs the program in forks."""
    with forking(PROGRAM, warehouse.folder) as running:
        yield running


@pytest.fixture
def sandbox() -> Any:
    """Run an API that has some jobs."""
    with Sandbox(World(History(jobs=100, v2_jobs=1_500, days=30))) as running:
        yield running


def run(forks: Forks, warehouse: Warehouse, steps: int = 0) -> int:
    """Run the program; it kills itself after so many steps, unless they are 0.

    Returns:
        How many steps there were; none when it was killed.
    """
    sandbox, out, log = warehouse.sandbox, warehouse.folder / "out", warehouse.folder / "log"
    address = {"LLAMA_CLOUD_API_KEY": sandbox.key, "LLAMA_CLOUD_BASE_URL": sandbox.url}
    code = forks.start([str(steps)], stdout=out, stderr=log, environment=address).wait(PATIENCE)
    if code == -signal.SIGKILL and steps:
        return 0
    assert code == 0, log.read_text()
    return int(out.read_text().split()[-1])


def live_on(sandbox: Sandbox, number: int) -> None:
    """Let an hour go by, in which jobs come and change."""
    sandbox.world.advance(3600)
    now = stamp(sandbox.world.now())
    for name in ("a", "b"):
        put(sandbox, job(f"new-{number}{name}", created_at=now, updated_at=now))
        put_v2(sandbox, f"new-{number}{name}", created_at=now, updated_at=now)
    sandbox.world.touch(f"new-{number // 2}a", status="CANCELLED")


def test_nothing_is_lost_by_a_process_that_is_killed_at_any_step(
    sandbox: Sandbox, warehouse: Warehouse, forks: Forks, tally: Tally
) -> None:
    kills = trials(20)
    steps = run(forks, warehouse)
    warehouse.file.unlink()
    warehouse.lose_working_folder()
    dice = Random(SEED)  # noqa: S311 - it is to repeat
    killed = number = 0
    while killed < kills:
        live_on(sandbox, number)
        killed += not run(forks, warehouse, dice.randrange(1, steps))
        if number % 5 == 4:
            # A run that comes to its end, and some that begin from there.
            steps = run(forks, warehouse)
            assert warehouse.is_world()
        if number % 9 == 8:
            warehouse.lose_working_folder()
        number += 1
    tally("SIGKILLs of dlt into DuckDB", killed)
    # It may be that this loads what was left, and reads nothing.
    for _ in range(2):
        run(forks, warehouse)
    assert warehouse.is_world()
