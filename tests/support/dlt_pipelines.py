"""dlt pipelines into DuckDB that leave nothing outside of a test's folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.extract import DltSource

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.dlt_source import llamaclassify
from tests.support.api_rows import ALL_KEYS, Row, Tables, expected, expected_v2, keyed_by, utc
from tests.support.builders import ALL_STREAMS, DEFAULT_STREAMS
from tests.support.runs import config_of

DATASET = "llamacloud"
DLTS_OWN = "ignore:The 'warn' method is deprecated:DeprecationWarning"
"""So dlt says that it loads what an earlier run has left, and nothing else."""
JOBS, V2_JOBS = "classify_jobs", "classify_v2_jobs"


def stay_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let dlt keep all that is its own in a folder, and tell nobody of it."""
    monkeypatch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
    monkeypatch.setenv("DLT_CONFIG_FOLDER", ".dlt")
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.chdir(folder)


@dataclass
class Warehouse:
    """A DuckDB file, the pipeline that fills it, and the API that it reads."""

    sandbox: Sandbox
    folder: Path

    @property
    def file(self) -> Path:
        """Where the tables are."""
        return self.folder / "warehouse.duckdb"

    def pipeline(self, **more: Any) -> dlt.Pipeline:
        """Make the pipeline as a process does that knows of no run before."""
        made: dlt.Pipeline = dlt.pipeline(
            "llamaclassify",
            destination=dlt.destinations.duckdb(str(self.file)),
            dataset_name=DATASET,
            **more,
        )
        return made

    def source(self, *tables: str, **config: Any) -> DltSource:
        """Make the source, with some tables selected; by default those that are anyway."""
        source = llamaclassify(**(config_of(self.sandbox) | config))
        return source.with_resources(*tables) if tables else source

    def run(self, *tables: str, **config: Any) -> dlt.Pipeline:
        """Run the pipeline to its good end."""
        pipeline = self.pipeline()
        pipeline.run(self.source(*tables, **config))
        return pipeline

    def run_all(self, **config: Any) -> dlt.Pipeline:
        """Run it with every table."""
        return self.run(*ALL_STREAMS, fetch_results=True, fetch_usage=True, **config)

    def lose_working_folder(self) -> None:
        """Go on as on a new machine."""
        shutil.rmtree(self.folder / "dlt")

    def tables(self, keys: Mapping[str, Sequence[str]] = ALL_KEYS) -> Tables:
        """Read back what is in the file, each row by its key, which none has twice."""
        with duckdb.connect(str(self.file), read_only=True) as warehouse:
            return {name: keyed_by(key, _rows(warehouse, name)) for name, key in keys.items()}

    def is_world(self, *tables: str) -> bool:
        """Return whether some tables, by default those selected anyway, are what the API shows."""
        names = tables or DEFAULT_STREAMS
        world, project = self.sandbox.world, self.sandbox.project_id
        shown = expected(world.jobs(project))
        shown |= expected_v2(world.v2_jobs(project), with_usage=False)
        return self.tables({n: ALL_KEYS[n] for n in names}) == {n: shown[n] for n in names}

    def ids(self, table: str = V2_JOBS) -> set[str]:
        """Return the ids of a table's rows."""
        return {id_ for (id_,) in self.tables({table: ("id",)})[table]}

    def there(self) -> set[str]:
        """Return the names of the tables that there are, less dlt's own."""
        sql = "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'llamacloud'"
        with duckdb.connect(str(self.file), read_only=True) as warehouse:
            names = {name for (name,) in warehouse.execute(sql).fetchall()}
        return {name for name in names if not name.startswith("_dlt")}


def sent(pipeline: dlt.Pipeline) -> dict[str, int]:
    """Return how many rows of each table the last run has sent."""
    trace = pipeline.last_trace
    assert trace
    assert trace.last_normalize_info
    counts: dict[str, int] = trace.last_normalize_info.row_counts
    return {name: rows for name, rows in counts.items() if not name.startswith("_dlt")}


def _rows(warehouse: duckdb.DuckDBPyConnection, table: str) -> list[Row]:
    found = warehouse.sql(f"FROM {DATASET}.{table}")
    rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
    texts = ["additional_fields", *["target_pages"] * (table == "classify_job_parsing_configs")]
    texts += ["properties", "usage_tags"] * (table == "classify_usage")
    for row in rows:
        row.update({name: json.loads(row[name] or "null") for name in texts})
        row.update({n: v and utc(v.isoformat()) for n, v in row.items() if n.endswith("_at")})
    return rows
