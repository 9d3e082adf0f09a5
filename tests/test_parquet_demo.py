"""What `make demo-parquet` shows is what its files hold."""

from __future__ import annotations

import re
import subprocess
import sys

import duckdb

from builders import STREAMS
from conftest import ROOT
from demo.__main__ import ROOT as DEMO_ROOT
from demo.__main__ import UNKNOWN_FIELDS
from demo.parquet import FOLDER, JOBS
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World

FILE = re.compile(r"^  (\S+)-\d{8}T\d{6}\.\d{6}Z-\d{6}\.parquet +([\d,]+) +([\d,]+)$", re.MULTILINE)


def test_demo_begins_afresh_and_shows_each_file_and_what_is_in_them() -> None:
    folder = DEMO_ROOT / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classify_jobs-old.parquet").write_bytes(b"of the last time, and no Parquet")
    ended = subprocess.run(
        [sys.executable, "-m", "demo.parquet"],
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    shown: dict[str, int] = dict.fromkeys(STREAMS, 0)
    for stream, rows, _ in FILE.findall(ended.stdout):
        shown[stream] += int(rows.replace(",", ""))
    assert shown == rows_of_the_sandbox()
    sizes = sorted(int(size.replace(",", "")) for _, _, size in FILE.findall(ended.stdout))
    assert sizes == sorted(path.stat().st_size for path in folder.iterdir())
    for line in most_frequent(folder.as_posix()):
        assert re.search(line, ended.stdout, re.MULTILINE), line


def rows_of_the_sandbox() -> dict[str, int]:
    """Count the rows that the demo's jobs must give."""
    with Sandbox(World(History(jobs=JOBS, unknown_fields=UNKNOWN_FIELDS))) as sandbox:
        jobs = sandbox.world.jobs(sandbox.project_id)
    configured = [job for job in jobs if job["parsing_configuration"] is not None]
    rules = sum(len(job["rules"]) for job in jobs)
    return dict(zip(STREAMS, (len(jobs), rules, len(configured)), strict=True))


def most_frequent(folder: str) -> list[str]:
    """Write the first lines that the queries' answers must have."""
    top = "SELECT {0}, count(*) AS n FROM '{1}/{2}-*.parquet' GROUP BY ALL ORDER BY n DESC LIMIT 1"
    with duckdb.connect() as connection:
        answers = [
            connection.sql(top.format(column, folder, stream)).fetchall()[0]
            for column, stream in (("status", "classify_jobs"), ("type", "classify_job_rules"))
        ]
    return [rf"^  {name} +{count:,}\b" for name, count in answers]
