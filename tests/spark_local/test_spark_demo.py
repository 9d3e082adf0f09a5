"""What `make demo-spark` shows is what its files hold."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from demo.spark_demo import FOLDER, HISTORY
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World

ROOT = Path(__file__).parents[2]
RUN = re.compile(r"^Run (\d): ([\d,]+) rows of ([\d,]+) jobs$", re.MULTILINE)
TOP = re.compile(r"^\|(\w+) *\|(\w+) *\|(\d+) *\|([\d.]+) *\|$", re.MULTILINE)


def test_demo_begins_afresh_and_shows_a_query_and_what_two_runs_of_a_stream_have_brought() -> None:
    left = ROOT / FOLDER / "jobs" / "old.parquet"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"of the last time, and no Parquet")
    made = subprocess.run(
        [sys.executable, "-m", "demo.spark_demo"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    with Sandbox(World(HISTORY)) as sandbox:
        shown = sandbox.world.v2_jobs(sandbox.project_id)
    runs = [tuple(int(n.replace(",", "")) for n in run) for run in RUN.findall(made.stdout)]
    assert runs[0] == (1, len(shown), len(shown))
    ids = pq.read_table(left.parent, columns=["id"])["id"].to_pylist()
    assert runs[1] == (2, len(ids), len({*ids}))
    assert {job["id"] for job in shown} < {*ids}
    assert TOP.findall(made.stdout)
