"""The dbt project over what target-duckdb has loaded: marts are what Python computes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import duckdb
import pytest
import yaml

from llamacloud_sandbox.server import Sandbox
from tests.support.api_rows import Tables, api_shows
from tests.support.awkward_jobs import RULES, awkward_api
from tests.support.commands import ROOT
from tests.support.context_tables import KEYS as CONTEXT
from tests.support.expected_marts import STATUSES, expected_marts
from tests.support.transform import (
    KEYS,
    NO_TESTS,
    Mart,
    built,
    marts_of,
    outcomes,
    rounded,
    sync,
    well_built,
)

pytestmark = pytest.mark.pipeline

DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one build made, and what it was to be made of."""

    marts: dict[str, Mart]
    tables: Tables
    as_of: datetime
    outcomes: dict[str, str]


@dataclass(frozen=True)
class Story:
    """Two syncs, a build after each, into one file."""

    first: Seen
    second: Seen
    folder: Path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("transform")
    with awkward_api() as sandbox:
        world = sandbox.world
        first = seen(sandbox, folder, *NO_TESTS)
        world.advance(2 * DAY)
        world.touch("about to lose a rule", status="SUCCESS", rules=RULES[:1])
        world.touch_v2("runs", status="COMPLETED")
        world.delete("fails 0")
        yield Story(first, seen(sandbox, folder), folder)


def seen(sandbox: Sandbox, folder: Path, *arguments: str) -> Seen:
    """Sync and build once."""
    sync(sandbox, folder)
    as_of = sandbox.world.now().replace(tzinfo=None)
    well_built(folder, *arguments, as_of=as_of)
    return Seen(
        marts=marts_of(folder),
        tables=api_shows(sandbox),
        as_of=as_of,
        outcomes=outcomes(folder),
    )


@pytest.mark.parametrize("mart", sorted(KEYS.keys() - {"fct_classify_job_status_changes"}))
def test_mart_is_what_python_computes_from_the_api_and_keeps_what_the_api_has_deleted(
    story: Story, mart: str
) -> None:
    first, second = story.first, story.second
    deleted = {
        table: {
            key: row
            for key, row in rows.items()
            if table in CONTEXT or "fails 0" in (row.get("id"), row.get("job_id"))
        }
        for table, rows in first.tables.items()
    }
    assert deleted["classify_jobs"]
    assert all(second.tables[table] for table in CONTEXT)
    kept = {table: deleted[table] | rows for table, rows in second.tables.items()}
    for stats, tables in ((first, first.tables), (second, kept)):
        expected = rounded(expected_marts(tables, stats.as_of))[mart]
        found = rounded(stats.marts)[mart]
        assert found.keys() == expected.keys()
        assert found == expected


def test_every_version_that_a_build_saw_is_kept(story: Story) -> None:
    first, second = story.first, story.second
    versions = {
        (api, id_): [row for key, row in sorted(second.marts[CHANGES].items()) if key[1] == id_]
        for api, id_, _ in second.marts[CHANGES]
    }
    assert {key[:2] for key in first.marts[CHANGES]} <= versions.keys()
    begun, ended = versions["v2", "runs"]
    assert (begun["status"], ended["status"]) == ("running", "succeeded")
    assert (begun["previous_status"], ended["previous_status"]) == (None, "running")
    assert (begun["api_status"], ended["previous_api_status"]) == ("RUNNING", "RUNNING")
    assert (begun["version"], ended["version"]) == (1, 2)
    assert (begun["seen_at"], ended["seen_at"]) == (first.as_of, second.as_of)
    assert (begun["replaced_at"], ended["replaced_at"]) == (second.as_of, None)
    assert (begun["is_current"], ended["is_current"]) == (False, True)
    assert (
        ended["seconds_in_previous"] == (ended["updated_at"] - begun["updated_at"]).total_seconds()
    )
    jobs = second.marts["fct_classify_jobs"]
    for key, rows in versions.items():
        changed = jobs[key]["updated_at"] != rows[0]["updated_at"]
        assert len(rows) == 1 + changed
        assert [row["is_current"] for row in rows] == [False] * changed + [True]
        assert rows[-1]["status"] == jobs[key]["status"]


CHANGES = "fct_classify_job_status_changes"


def test_dbts_own_tests_pass_and_warn_of_what_is_new(story: Story) -> None:
    statuses = {name: status for name, status in story.second.outcomes.items() if status != "pass"}
    assert {*statuses.values()} == {"success", "warn"}
    warned = {name for name, status in statuses.items() if status == "warn"}
    assert {re.sub(r"_status__.*", "", name) for name in warned} == {
        "accepted_values_fct_classify_jobs",
        "accepted_values_stg_classify_jobs",
        "accepted_values_fct_classify_job_status_changes",
    }
    assert (
        sum("v1_statuses" in name or "v2_statuses" in name for name in story.second.outcomes) == 2
    )


def test_every_model_and_column_is_described(story: Story) -> None:
    described = {}
    for file in (ROOT / "transform").glob("*/**/*.yml"):
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
        for model in chain(*(told.get(kind, ()) for kind in ("models", "snapshots"))):
            assert model["description"]
            assert all(column["description"] for column in model["columns"])
            described[model["name"]] = {column["name"] for column in model["columns"]}
    query = """
        SELECT table_name, list(column_name) FROM information_schema.columns
        WHERE table_schema = 'llamaclassify' GROUP BY ALL
    """
    with duckdb.connect(str(story.folder / "warehouse.duckdb"), read_only=True) as warehouse:
        there = {name: {*columns} for name, columns in warehouse.execute(query).fetchall()}
    assert there == described


PROJECTS = "SELECT 'p' AS id, 'Invoices' AS name"
JOBS = """
    SELECT unnest(['kept', 'gone']) AS ID, 'p' AS PROJECT_ID, 'SUCCESS' AS STATUS,
        TIMESTAMPTZ '2020-11-20 12:00:00+02' AS CREATED_AT,
        '2020-11-20T11:00:00.000000Z' AS UPDATED_AT,
        '{"note": ["x", null]}' AS ADDITIONAL_FIELDS,
        unnest([NULL, TIMESTAMP '2020-11-21']) AS _SDC_DELETED_AT
"""
CONFIGS = """
    SELECT 'kept' AS job_id, 'p' AS project_id, 'de' AS lang, [1, 3] AS target_pages,
        'null' AS additional_fields
"""
STAGED = """
    SELECT jobs.additional_fields, configs.target_pages, configs.additional_fields
    FROM llamaclassify.stg_classify_jobs AS jobs
    JOIN llamaclassify.stg_classify_job_parsing_configs AS configs USING (job_id)
"""


def load_elsewhere(folder: Path, **tables: str) -> None:
    """Leave tables as views of Parquet files, in another schema."""
    with duckdb.connect(str(folder / "warehouse.duckdb")) as warehouse:
        warehouse.execute("CREATE SCHEMA IF NOT EXISTS elsewhere")
        for table, query in tables.items():
            file = folder / f"{table}.parquet"
            warehouse.execute(f"COPY ({query}) TO '{file}'")
            warehouse.execute(f"CREATE VIEW elsewhere.{table} AS FROM '{file}'")


@pytest.mark.heavy
def test_marts_are_empty_without_jobs_and_then_those_of_what_little_another_loader_has_left(
    tmp_path: Path,
) -> None:
    begun = datetime.now(UTC).replace(tzinfo=None)
    there = ("--vars", "loaded_into: elsewhere")
    load_elsewhere(tmp_path, classify_projects=PROJECTS)
    well_built(tmp_path, *NO_TESTS, *there, as_of=begun)
    marts = marts_of(tmp_path)
    assert {name: len(marts[name]) for name in KEYS if marts[name]} == {"classify_freshness": 2}
    assert {row["jobs"] for row in marts["classify_freshness"].values()} == {0}

    load_elsewhere(tmp_path, classify_jobs=JOBS, classify_job_parsing_configs=CONFIGS)
    no_instant = {"LLAMACLASSIFY_AS_OF": "", "TZ": "Pacific/Auckland"}
    no_unit_tests = ("--exclude-resource-type", "unit_test")
    said = well_built(tmp_path, *no_unit_tests, *there, as_of=begun, **no_instant)
    assert re.search(r"WARN 1 fresh_fct_classify_jobs_updated_at", said)
    marts = marts_of(tmp_path)
    ((key, row),) = marts["fct_classify_jobs"].items()
    assert key == ("v1", "kept")
    assert (row["mode"], row["language"], row["rule_count"]) == (None, "de", None)
    assert row["created_at"] == datetime(2020, 11, 20, 10)  # noqa: DTZ001 - as databases have it
    assert row["duration_seconds"] == 3600
    # Without an instant given, now is now, in UTC.
    freshness = marts["classify_freshness"]["v1",]
    assert timedelta(0) <= freshness["as_of"] - begun < timedelta(minutes=10)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as warehouse:
        assert warehouse.execute(STAGED).fetchall() == [('{"note": ["x", null]}', "[1, 3]", None)]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("variables", "change", "schema"),
    [
        pytest.param(("--vars", "loaded_into: elsewhere"), "", "elsewhere", id="another-schema"),
        pytest.param((), "DROP SCHEMA llamacloud CASCADE", "llamacloud", id="another-file"),
    ],
)
def test_build_that_finds_no_table_of_the_taps_fails_and_leaves_the_marts_as_they_were(
    story: Story, variables: tuple[str, ...], change: str, schema: str, tmp_path: Path
) -> None:
    file = tmp_path / "warehouse.duckdb"
    shutil.copy(story.folder / "warehouse.duckdb", file)
    with duckdb.connect(str(file)) as warehouse:
        warehouse.execute(change or "SELECT 1")
    done = built(tmp_path, *variables, as_of=story.second.as_of)
    assert done.code == 2
    (said,) = re.findall(r"None of the tap's tables .*", done.stdout)
    assert all(word in said for word in (f"'{schema}'", str(file), "loaded_into", "DBT_FILEPATH"))
    assert marts_of(tmp_path) == story.second.marts


def test_statuses_of_the_made_up_api_are_all_known(story: Story) -> None:
    found = {row["api_status"] for row in story.first.marts["fct_classify_jobs"].values()}
    assert found <= {*STATUSES, "EXPIRED"}
    assert len(found) > 5
