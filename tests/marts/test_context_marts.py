"""Marts with timings, usage, configurations and files, with some of them, and without any."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from math import fsum
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.support.api_rows import Tables, api_shows
from tests.support.awkward_jobs import awkward_api
from tests.support.context_tables import DUCKDB, KEYS, made_up, put
from tests.support.expected_marts import expected_marts
from tests.support.transform import NO_TESTS, Mart, marts_of, rounded, sync, well_built

pytestmark = [pytest.mark.pipeline, pytest.mark.heavy]

TIMINGS, USAGE, CONFIGURATIONS, FILES = KEYS


@dataclass(frozen=True)
class Loaded:
    """A warehouse of jobs, what is in it, and when that was."""

    folder: Path
    tables: Tables
    as_of: datetime

    def built_with(self, folder: Path, context: Tables, *arguments: str) -> dict[str, Mart]:
        """Build the marts of these jobs, and of no context but the given."""
        file = folder / "warehouse.duckdb"
        shutil.copy(self.folder / "warehouse.duckdb", file)
        with duckdb.connect(str(file)) as warehouse:
            for table in KEYS:
                warehouse.execute(f"DROP TABLE IF EXISTS llamacloud.{table}")
            put(warehouse.execute, context, DUCKDB, "?")
        well_built(folder, *arguments, as_of=self.as_of)
        return rounded(marts_of(folder))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    folder = tmp_path_factory.mktemp("loaded")
    with awkward_api() as sandbox:
        sync(sandbox, folder)
        as_of = sandbox.world.now().replace(tzinfo=None)
        jobs = {name: rows for name, rows in api_shows(sandbox).items() if name not in KEYS}
        yield Loaded(folder, jobs, as_of)


@pytest.fixture(scope="module")
def made(loaded: Loaded) -> Tables:
    return made_up(loaded.tables)


@pytest.fixture(scope="module")
def whole(
    loaded: Loaded, made: Tables, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Mart]:
    return loaded.built_with(tmp_path_factory.mktemp("whole"), made)


@pytest.mark.parametrize(
    "names",
    [
        pytest.param((*KEYS,), id="all"),
        pytest.param((), id="none"),
        pytest.param((TIMINGS, FILES), id="timings and files"),
        pytest.param((USAGE, CONFIGURATIONS), id="usage and configurations"),
    ],
)
def test_marts_are_what_python_computes_whichever_of_the_tables_are_loaded(
    names: tuple[str, ...], loaded: Loaded, made: Tables, whole: dict[str, Mart], tmp_path: Path
) -> None:
    context = {name: made[name] for name in names}
    found = loaded.built_with(tmp_path, context, *NO_TESTS) if names != (*KEYS,) else whole
    expected = rounded(expected_marts(loaded.tables | context, loaded.as_of))
    for mart, rows in expected.items():
        assert found[mart].keys() == rows.keys(), mart
        assert found[mart] == rows, mart
    jobs = [*found["fct_classify_jobs"].values()]
    known = {name for job in jobs for name in job if job[name] is not None}
    filled = {
        TIMINGS: {"queue_seconds", "run_seconds"},
        USAGE: {"pages"},
        CONFIGURATIONS: {"configuration_name"},
        FILES: {"file_name"},
    }
    for table, columns in filled.items():
        assert known & columns == (columns if table in names else set())
    assert {job["times_from"] for job in jobs} == {"job", *["timings"] * (TIMINGS in names)}
    sources = {job["credits_from"] for job in jobs}
    assert sources == {None, "job", *["usage"] * (USAGE in names)}


def test_costs_add_up_to_those_of_the_jobs(whole: dict[str, Mart]) -> None:
    costs, jobs = whole["agg_classify_cost"], whole["fct_classify_jobs"]
    for column in ("credits", "pages"):
        assert total(costs, column) == pytest.approx(total(jobs, column), abs=1e-6)
    assert {job["api_version"] for job in jobs.values() if job["pages"]} == {"v1", "v2"}
    known = {(job["api_version"], job["job_id"]) for job in jobs.values()}
    documents = [
        row
        for row in whole["fct_classify_outcomes"].values()
        if (row["api_version"], row["job_id"]) in known
    ]
    assert total(costs, "documents") == len(documents)


def total(mart: Mart, column: str) -> float:
    values: list[Any] = [row[column] for row in mart.values() if row[column] is not None]
    return fsum(values)
