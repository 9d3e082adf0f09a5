"""What `make demo-parquet` shows is what its files hold."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import duckdb

from demo.__main__ import ROOT as DEMO_ROOT
from demo.parquet import FOLDER, HISTORY
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World
from tests.support.builders import DEFAULT_STREAMS
from tests.support.commands import ended

FILE = re.compile(r"^  (\S+)-\d{8}T\d{6}\.\d{6}Z-\d{6}\.parquet +([\d,]+) +([\d,]+)$", re.MULTILINE)


def test_demo_begins_afresh_and_shows_each_file_and_what_is_in_them() -> None:
    folder = DEMO_ROOT / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classify_jobs-old.parquet").write_bytes(b"of the last time, and no Parquet")
    made = ended([sys.executable, "-m", "demo.parquet"])
    assert (made.code, made.stderr) == (0, "")
    shown: Counter[str] = Counter()
    for stream, rows, _ in FILE.findall(made.stdout):
        shown[stream] += int(rows.replace(",", ""))
    with duckdb.connect() as connection:
        assert shown == {name: len(rows_of(connection, folder, name)) for name in DEFAULT_STREAMS}
        with Sandbox(World(HISTORY)) as sandbox:
            world, project = sandbox.world, sandbox.project_id
            jobs = {"v2_jobs": world.v2_entries(project), "jobs": world.entries(project)}
        for name, its in jobs.items():
            found = rows_of(connection, folder, f"classify_{name}").project("id").fetchall()
            assert {id_ for (id_,) in found} == its.keys()
        assert_tops_are_shown(connection, folder, made.stdout)
    sizes = sorted(int(size.replace(",", "")) for _, _, size in FILE.findall(made.stdout))
    assert sizes == sorted(path.stat().st_size for path in folder.iterdir())


def rows_of(
    connection: duckdb.DuckDBPyConnection, folder: Path, stream: str
) -> duckdb.DuckDBPyRelation:
    return connection.read_parquet(f"{folder}/{stream}-*.parquet")


def assert_tops_are_shown(connection: duckdb.DuckDBPyConnection, folder: Path, shown: str) -> None:
    """Look for the first line that each query's answer must have."""
    for column, key, stream in (
        ("status", "id", "v2_jobs"),
        ("type", "(job_id, rule_index)", "v2_job_rules"),
    ):
        rows = rows_of(connection, folder, f"classify_{stream}")
        counted = rows.aggregate(f"{column}, count(DISTINCT {key}) AS n").order("n DESC")
        name, count = counted.fetchall()[0]
        assert re.search(rf"^  {name} +{count:,}\b", shown, re.MULTILINE)
