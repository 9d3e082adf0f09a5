"""What `make demo-dlt` shows is what its DuckDB file holds, and what the made-up API was asked."""

from __future__ import annotations

import os
import re
import sys
import textwrap
from pathlib import Path

import duckdb
import pytest

from demo import dlt_demo
from demo.__main__ import DAY
from demo.__main__ import ROOT as DEMO_ROOT
from demo.dlt_demo import FOLDER, HISTORY, LOG, PROGRAM, WAREHOUSE
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World
from tests.support.builders import DEFAULT_STREAMS
from tests.support.commands import ended

MOVED = re.compile(r"^  ((?:GET /|classify_)\S+) +([\d,]+) +([\d,]+)(?: +([\d,]+))?$", re.MULTILINE)
USERS_OWN = {
    "LLAMA_CLOUD_BASE_URL": "https://api.example.com",
    "SOURCES__LLAMACLASSIFY__MAX_JOBS": "1",
    "DESTINATION__DUCKDB__CREDENTIALS": "/nowhere/of/the/users.duckdb",
    "DATASET_NAME": "of_the_user",
    "DLT_LOCAL_DIR": "/nowhere",
}


def test_demo_begins_afresh_and_shows_what_each_run_moved_and_what_landed(tmp_path: Path) -> None:
    folder = DEMO_ROOT / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (DEMO_ROOT / WAREHOUSE).write_bytes(b"of the last time, and no DuckDB")
    users_own = USERS_OWN | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    made = ended([sys.executable, "-m", "demo.dlt_demo"], env=os.environ | users_own)
    assert (made.code, made.stderr) == (0, "")
    assert [*tmp_path.iterdir()] == []
    assert max(map(len, made.stdout.splitlines())) <= 80
    assert textwrap.indent(PROGRAM, "  ") in made.stdout
    assert (folder / "sync.py").read_text(encoding="utf-8") == PROGRAM.lstrip()
    assert made.stdout.endswith(f"\nTables (llamacloud): {WAREHOUSE}\n")

    moved = {
        name: [int(cell.replace(",", "")) for cell in cells if cell]
        for name, *cells in MOVED.findall(made.stdout)
    }
    requests = [[*moved.pop(f"GET /api/{path}")] for path in ("v2/classify", "v1/classifier/jobs")]
    with duckdb.connect(str(DEMO_ROOT / WAREHOUSE), read_only=True) as warehouse:
        landed = {name: len(warehouse.table(f"llamacloud.{name}")) for name in DEFAULT_STREAMS}
        assert {name: rows for name, (_, _, rows) in moved.items()} == landed
        assert_jobs_and_requests_are_those_of_the_sandbox(warehouse, moved, requests)
        assert_tops_are_shown(warehouse, made.stdout)
    for first, second, rows in moved.values():
        assert 0 < second < first / 10
        assert first < rows <= first + second


def assert_jobs_and_requests_are_those_of_the_sandbox(
    warehouse: duckdb.DuckDBPyConnection, moved: dict[str, list[int]], requests: list[list[int]]
) -> None:
    """Live through the demo's day once more; hold to it what each run moved and asked."""
    with Sandbox(World(HISTORY)) as sandbox:
        world, project = sandbox.world, sandbox.project_id
        first = len(world.v2_jobs(project)), len(world.jobs(project))
        world.advance(DAY)
        jobs = {"v2_jobs": world.v2_entries(project), "jobs": world.entries(project)}
    for (name, its), before in zip(jobs.items(), first, strict=True):
        found = warehouse.table(f"llamacloud.classify_{name}").project("id").fetchall()
        assert {id_ for (id_,) in found} == its.keys()
        assert moved[f"classify_{name}"][0] == before
    of_v2, of_v1 = requests
    pages, pages_of_v1, pages_then = (-(-n // 100) for n in (*first, len(jobs["jobs"])))
    # A window that is cut is read anew in part.
    assert pages <= of_v2[0] < 2 * pages
    assert 0 < of_v2[1] < pages / 2
    assert of_v1 == [pages_of_v1, pages_then]


def assert_tops_are_shown(warehouse: duckdb.DuckDBPyConnection, shown: str) -> None:
    """Look for the first line that each query's answer must have."""
    for column, name in (("status", "v2_jobs"), ("type", "v2_job_rules")):
        rows = warehouse.table(f"llamacloud.classify_{name}")
        top, count = rows.aggregate(f"{column}, count(*) AS n").order("n DESC").fetchall()[0]
        assert re.search(rf"^  {top} +{count:,}\b", shown, re.MULTILINE)


def test_demo_says_in_one_line_that_its_program_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dlt_demo, "ROOT", tmp_path)
    monkeypatch.setattr(dlt_demo, "PROGRAM", "raise SystemExit('why')")
    assert dlt_demo.main() == 1
    assert capsys.readouterr().err == f"demo: the program ended with 1; its log is {LOG}\n"
    assert LOG.read_text(encoding="utf-8") == "why\n"
