"""A real process, really killed at any step of extracting, normalizing and loading."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from random import Random
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.builders import job
from tests.support.dlt_pipelines import Warehouse
from tests.support.runs import put, put_v2
from tests.support.tally import Tally

pytestmark = pytest.mark.heavy

KILLS = 20
PROGRAM = """
import os, signal, sys
import dlt
from dlt.common.runtime.collector import DictCollector
from tap_llamaclassify.dlt_source import llamaclassify, load

class Killer(DictCollector):
    left, seen = int(sys.argv[1]), 0
    def update(self, *words, **more):
        super().update(*words, **more)
        Killer.seen += 1
        if Killer.seen == self.left:
            os.kill(os.getpid(), signal.SIGKILL)

pipeline = dlt.pipeline(
    "llamaclassify", destination=dlt.destinations.duckdb("warehouse.duckdb"),
    dataset_name="llamacloud", progress=Killer(),
)
load(pipeline, llamaclassify(max_jobs=250, page_size=20))
print(Killer.seen)
"""


@pytest.fixture
def sandbox() -> Any:
    """Run an API that has some jobs."""
    with Sandbox(World(History(jobs=100, v2_jobs=1_500, days=30))) as running:
        yield running


def run(warehouse: Warehouse, steps: int) -> subprocess.CompletedProcess[str]:
    """Run the program; it kills itself after so many steps, unless they are 0."""
    sandbox = warehouse.sandbox
    address = {"LLAMA_CLOUD_API_KEY": sandbox.key, "LLAMA_CLOUD_BASE_URL": sandbox.url}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(steps)],
        cwd=warehouse.folder,
        env=os.environ | address,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )


def live_on(sandbox: Sandbox, number: int) -> None:
    """Let an hour go by, in which jobs come and change."""
    sandbox.world.advance(3600)
    now = stamp(sandbox.world.now())
    for name in ("a", "b"):
        put(sandbox, job(f"new-{number}{name}", created_at=now, updated_at=now))
        put_v2(sandbox, f"new-{number}{name}", created_at=now, updated_at=now)
    sandbox.world.touch(f"new-{number // 2}a", status="CANCELLED")


def test_nothing_is_lost_by_a_process_that_is_killed_at_any_step(
    sandbox: Sandbox, warehouse: Warehouse, tally: Tally
) -> None:
    whole = run(warehouse, 0)
    assert whole.returncode == 0, whole.stderr
    steps = int(whole.stdout)
    warehouse.file.unlink()
    warehouse.lose_working_folder()
    dice = Random(20261127)  # noqa: S311 - it is to repeat
    killed = 0
    for number in range(KILLS):
        live_on(sandbox, number)
        killed += run(warehouse, dice.randrange(1, steps)).returncode == -signal.SIGKILL
        if number % 5 == 4:
            # A run that comes to its end, and some that begin from there.
            ended = run(warehouse, 0)
            assert ended.returncode == 0, ended.stderr
            assert warehouse.is_world()
            steps = int(ended.stdout)
        if number % 9 == 8:
            warehouse.lose_working_folder()
    tally("processes of dlt that were killed", killed)
    assert killed >= KILLS * 0.8
    # It may be that this loads what was left, and reads nothing.
    for _ in range(2):
        last = run(warehouse, 0)
        assert last.returncode == 0, last.stderr
    assert warehouse.is_world()
