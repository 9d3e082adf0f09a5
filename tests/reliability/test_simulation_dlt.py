"""The promises through dlt: whatever becomes of a package or a machine, the tables are the world.

`HISTORIES` and `SEED` say how many histories are made up, and from which seed on.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import dlt
import duckdb
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed
from typing_extensions import override

from tap_llamaclassify.dlt_source import llamaclassify
from tap_llamaclassify.errors import TapError
from tests.reliability.test_simulation_python import sent
from tests.reliability.test_simulation_v2 import HistoriesOfV2
from tests.support.dlt_pipelines import DATASET, DLTS_OWN, stay_in
from tests.support.histories import SEED, Plan, simulate
from tests.support.simulated import KEYS, ClientClock, Row
from tests.support.tally import Tally
from tests.support.windows import small_windows

pytestmark = pytest.mark.filterwarnings(DLTS_OWN)

MANY = int(os.environ.get("HISTORIES", "15"))


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_windows(monkeypatch)
    # What is given up after 30 days is a limit, tested elsewhere.
    monkeypatch.setattr("tap_llamaclassify.replication.unfinished.DAYS", 3650)
    stay_in(tmp_path, monkeypatch)


class HistoriesOfDlt(HistoriesOfV2):
    """One history of v2 jobs that dlt loads into DuckDB, unless something comes between.

    Where a plan lets the tap or the loader be killed, a package is not loaded: somebody throws it
    away, the machine is lost with it, or it waits for the next run.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())

    @property
    def file(self) -> Path:
        """Where the tables are."""
        return self.folder / "warehouse.duckdb"

    @override
    def written(self, plan: Plan, config: Mapping[str, Any]) -> tuple[str, TapError | None]:
        error = None
        clock = ClientClock(self.life, self.wrong_by)
        pipeline = dlt.pipeline(
            "llamaclassify",
            pipelines_dir=str(self.folder / "pipelines"),
            destination=dlt.destinations.duckdb(str(self.file)),
            dataset_name=DATASET,
        )
        with mock.patch("tap_llamaclassify.http.client.Clock", return_value=clock):
            try:
                self.load(pipeline, plan, config)
            except PipelineStepFailed as failure:
                error = cause_of(failure)
        self.note_what_is_loaded(pipeline)
        return "", error

    def load(self, pipeline: dlt.Pipeline, plan: Plan, config: Mapping[str, Any]) -> None:
        """Load what there is, as far as the plan lets it come."""
        dice = Random(plan.received + plan.loaded)  # noqa: S311 - histories repeat
        is_last = plan == Plan(frozenset(self.streams))
        source = llamaclassify(
            api_url=self.sandbox.url,
            api_key=self.sandbox.key,
            max_jobs=None if plan.full or is_last else dice.choice([None, 4]),
            **config,
        ).with_resources(*plan.selected)
        if plan.full:
            for resource in source.selected_resources.values():
                resource.apply_hints(write_disposition="replace")
        if plan.received == plan.loaded == 1:
            pipeline.run(source)
            return
        pipeline.sync_destination()
        pipeline.extract(source)
        if plan.received == 1:
            pipeline.normalize()
        self.tried["packages that were not loaded"] += 1
        match dice.choice(["thrown away", "lost", "left"]):
            case "thrown away":
                pipeline.abort_packages()
            case "lost":
                shutil.rmtree(self.folder / "pipelines")

    def note_what_is_loaded(self, pipeline: dlt.Pipeline) -> None:
        """Take the rows from the file, and the bookmarks of all that is not left for later."""
        if not self.file.exists() or not (self.folder / "pipelines").exists():
            return
        self.loader.tables = {table: self.rows_of(table) for table in KEYS}
        if not pipeline.has_pending_data:
            state = pipeline.state.get("sources", {}).get("llamaclassify", {}).get("resources", {})
            bookmarks = {name: each["bookmark"] for name, each in state.items() if each}
            self.loader.state = {"bookmarks": bookmarks}

    def rows_of(self, table: str) -> dict[tuple[Any, ...], Row]:
        """Read a table back as the tap writes its rows."""
        with duckdb.connect(str(self.file), read_only=True) as warehouse:
            sql = "SELECT count(*) FROM duckdb_tables() WHERE table_name = ? AND schema_name = ?"
            if warehouse.execute(sql, [table, DATASET]).fetchall() == [(0,)]:
                return {}
            found = warehouse.sql(f"FROM {DATASET}.{table}")
            rows = [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
        written = [
            sent(table, {name: in_utc(value) for name, value in row.items()}) for row in rows
        ]
        by_key = {tuple(row[key] for key in KEYS[table]): row for row in written}
        assert len(by_key) == len(rows), "a row is there twice"
        return by_key

    @override
    def teardown(self) -> None:
        try:
            # It may be that this one loads what was left, and reads nothing.
            self.run(Plan(frozenset(self.streams)))
            super().teardown()
        finally:
            shutil.rmtree(self.folder)


def in_utc(value: Any) -> Any:
    """Tell instants as UTC tells them."""
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def cause_of(failure: BaseException) -> TapError:
    """Return what dlt failed of, which must be an error of ours."""
    cause: BaseException | None = failure
    while cause and not isinstance(cause, TapError):
        cause = cause.__cause__
    if not isinstance(cause, TapError):
        raise failure
    return cause


@pytest.mark.heavy
def test_tables_hold_all_v2_jobs_after_many_histories(tally: Tally) -> None:
    simulate(HistoriesOfDlt, tally, seed=SEED, histories=MANY)
