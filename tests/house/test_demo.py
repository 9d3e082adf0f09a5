"""What `make demo` shows is what landed, and what the made-up API was asked."""

from __future__ import annotations

import os
import re
import sys

import duckdb
import pytest

from demo.__main__ import JOBS, MOVED, UNKNOWN_FIELDS, V2_JOBS
from demo.landed import OUTCOMES
from demo.pipeline import REPORT, STEPS, WAREHOUSE
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.builders import ALL_STREAMS
from tests.support.commands import ROOT, ended
from tests.support.loaders import plugin

pytestmark = [pytest.mark.heavy, pytest.mark.usefixtures("_meltano_to_itself")]

DAY = 86_400.0
JOBS_TABLES = ("classify_jobs", "classify_v2_jobs")
BUILDS = "SELECT DISTINCT seen_at FROM llamaclassify.fct_classify_job_status_changes"


@pytest.fixture(scope="module")
def shown(_meltano_to_itself: None) -> str:
    """Run the demo as a user might, whose own settings are for the real pipeline."""
    users_own = {"TAP_LLAMACLASSIFY__SELECT": '["classify_jobs.id"]', "NO_PROXY": "*"}
    made = ended([sys.executable, "-m", "demo"], env=os.environ | users_own)
    assert (made.code, made.stderr) == (0, "")
    return made.stdout


def cells(shown: str, title: str) -> dict[str, list[str]]:
    """Read a table of the demo's: its header and lines, by their first words."""
    (text,) = [part for part in shown.split("\n\n") if part.startswith(title)]
    split = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    return {first: others for first, *others in split}


def test_demo_fits_a_terminal_and_a_screen(shown: str) -> None:
    *lines, address = shown.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 60
    assert address == f"Report: file://{ROOT}/{REPORT}"


def test_demo_tells_each_step_and_its_seconds(shown: str) -> None:
    steps = re.findall(r"^  (.+) \.\.\. \d+\.\d s$", shown, re.MULTILINE)
    # The plugins may be installed already.
    assert [step for step in steps if not step.startswith("installing")] == [*STEPS, *STEPS]
    assert len(steps) - 2 * len(STEPS) <= 1


def test_demo_shows_what_each_run_moved_and_asked_of_v2_beside_v1(shown: str) -> None:
    moved = {
        name: [int(cell.replace(",", "")) for cell in line]
        for name, line in cells(shown, "Moved").items()
        if name != "Moved"
    }
    assert [*moved] == [*MOVED]
    with duckdb.connect(str(ROOT / WAREHOUSE), read_only=True) as warehouse:
        rows = {table: warehouse.sql(f"FROM llamacloud.{table}").shape[0] for table in ALL_STREAMS}
    for kind, names in MOVED.items():
        # Where v2 has none of a kind, the first figures are those of v1.
        for name, place in zip(filter(None, names), (2, 5), strict=False):
            assert name not in rows or moved[kind][place] == rows[name]
    assert {name for names in MOVED.values() for name in names if name in rows} == {*ALL_STREAMS}

    pages, pages_then, pages_of_v2 = pages_of_the_sandbox()
    asked = moved["requests: jobs"]
    # A window that is cut is read anew in part.
    assert pages_of_v2 <= asked[0] < 2 * pages_of_v2
    assert 0 < asked[1] < pages_of_v2 / 2
    assert asked[2:] == [pages, pages_then]
    assert moved["requests: projects"] == [1, 1]
    for kind in ("jobs", "job_rules", "job_parsing_configs"):
        first_of_v2, second_of_v2, _, first, second, _ = moved[kind]
        assert 0 < second_of_v2 < first_of_v2 / 10
        assert 0 < second < first / 10


def pages_of_the_sandbox() -> tuple[int, int, int]:
    """Count the pages of v1 jobs that each run must have read, and of v2 jobs the first."""
    history = History(jobs=JOBS, v2_jobs=V2_JOBS, unknown_fields=UNKNOWN_FIELDS)
    with Sandbox(World(history)) as sandbox:
        world, project = sandbox.world, sandbox.project_id
        first = len(world.jobs(project)), len(world.v2_jobs(project))
        world.advance(DAY)
        v1, then, v2 = (-(-n // 100) for n in (first[0], len(world.jobs(project)), first[1]))
        return v1, then, v2


def test_demo_counts_jobs_by_day_and_outcome_of_v2_beside_v1(shown: str) -> None:
    with duckdb.connect(str(ROOT / WAREHOUSE), read_only=True) as warehouse:
        counts = warehouse.sql("""
            SELECT strftime(created_at, '%a %Y-%m-%d'), count(*) FILTER (api = 'v2'),
                count(*) FILTER (api = 'v1')
            FROM (SELECT 'v1' AS api, created_at FROM llamacloud.classify_jobs
                UNION ALL SELECT 'v2', created_at FROM llamacloud.classify_v2_jobs)
            WHERE created_at >= '2026-11-18' GROUP BY ALL
        """).fetchall()
    table = cells(shown, "Jobs by day")
    assert table.pop("Jobs by day, UTC") == [*OUTCOMES]
    assert table.pop("v2") == ["v1", *["v2", "v1"] * 3]
    sums = {
        day: tuple(sum(map(int, line[place::2])) for place in (0, 1)) for day, line in table.items()
    }
    assert sums == {day: (v2, v1) for day, v2, v1 in counts}


def test_demo_shows_the_pip_url_without_which_rows_are_lost(shown: str) -> None:
    assert f"\n{plugin('target-duckdb')['pip_url']}: else it loses" in shown


def test_demo_ends_with_the_marts_and_the_path_of_the_report(shown: str) -> None:
    table = cells(shown, "Marts")
    assert table.pop("Marts") == ["rows"]
    marts = {name: int(rows.replace(",", "")) for name, (rows,) in table.items()}
    with duckdb.connect(str(ROOT / WAREHOUSE), read_only=True) as warehouse:
        rows = {mart: warehouse.sql(f"FROM llamaclassify.{mart}").shape[0] for mart in marts}
        jobs = sum(warehouse.sql(f"FROM llamacloud.{name}").shape[0] for name in JOBS_TABLES)
        seen = warehouse.sql(BUILDS).fetchall()
    assert marts == rows
    assert marts["fct_classify_jobs"] == jobs
    assert len(seen) == 2
    page = (ROOT / REPORT).read_text(encoding="utf-8")
    assert "As of <time>2026-11-24 12:00 UTC</time>" in " ".join(page.split())
    assert "<svg" in page
