"""Carried over into a project of one's own: `transform/` as a dbt package, the wheel's report."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from tests.support.commands import ROOT, Ended, built_wheel, ran
from tests.support.transform import NO_TESTS, built

pytestmark = pytest.mark.heavy

MELTANO = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
AS_OF = datetime(2026, 11, 24)  # noqa: DTZ001 - as databases have it
LOADED = """
    CREATE SCHEMA raw;
    CREATE TABLE raw.classify_v2_jobs AS
        SELECT 'j' || n AS id, 'p' AS project_id, if(n = 0, 'RUNNING', 'FAILED') AS status,
            TIMESTAMP '2026-11-01' AS created_at, TIMESTAMP '2026-11-01' AS updated_at
        FROM range(3) AS jobs (n);
"""
DATABASE = {"type": "duckdb", "path": "{{ env_var('DBT_FILEPATH') }}", "schema": "analytics"}
PROJECT = {
    "dbt_project.yml": {
        "name": "ours",
        "profile": "ours",
        "vars": {"llamaclassify": {"loaded_into": "raw", "attention_days": 20}},
        "models": {"llamaclassify": {"+schema": "classify"}},
    },
    "packages.yml": {"packages": [{"local": str(ROOT / "transform")}]},
    "profiles.yml": {"ours": {"target": "dev", "outputs": {"dev": DATABASE}}},
}
FILES = {
    "models/failing.sql": "select count(*) as jobs from {{ ref('fct_classify_jobs') }}",
    "models/alone.sql": "select 1 as one",
    # As the package's macros are called, which must not become these.
    "macros/theirs.sql": "{% macro as_of() %}no{% endmacro %}{% macro loaded(x) %}no{% endmacro %}",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a dbt project that has the marts from a package, and a DuckDB file with jobs."""
    folder = tmp_path_factory.mktemp("ours")
    for name, content in PROJECT.items():
        (folder / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    with duckdb.connect(str(folder / "warehouse.duckdb")) as warehouse:
        warehouse.execute(LOADED)
    run([Path(sys.executable).with_name("dbt"), "deps", "--project-dir", folder], folder)
    return folder


def run(command: list[Any], folder: Path, **environment: str) -> str:
    """Run a command in a folder to its good end; return what it printed."""
    users_own = ("DBT_", "MELTANO_", "TARGET_DUCKDB_", "LLAMACLASSIFY_")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(users_own)}
    environment = kept | {"UV_SYSTEM_CERTS": "1"} | environment
    return ran(command, cwd=folder, env=environment)


def build(folder: Path, *arguments: str) -> Ended:
    places = {"DBT_PROJECT_DIR": str(folder), "DBT_PROFILES_DIR": str(folder)}
    return built(folder, *arguments, as_of=AS_OF, **places)


def found(folder: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as warehouse:
        return warehouse.execute(query).fetchall()


def test_package_builds_and_tests_the_marts_with_the_projects_own_variables(project: Path) -> None:
    done = build(project)
    assert done.code == 0, done.stdout
    marts = "FROM analytics_classify."
    assert found(project, f"SELECT count(*) {marts}fct_classify_jobs") == [(3,)]
    assert found(project, "FROM analytics.failing") == [(3,)]
    assert found(project, f"SELECT DISTINCT attention_days, as_of {marts}classify_freshness") == [
        (20, AS_OF)
    ]
    assert found(project, f"SELECT count(*) {marts}agg_classify_failures") == [(0,)]


def test_package_stops_a_build_without_tables_but_none_of_other_models(project: Path) -> None:
    nowhere = ("--vars", "{loaded_into: nowhere}", *NO_TESTS)
    done = build(project, *nowhere)
    assert done.code == 2
    assert done.stdout.count("None of the tap's tables is in schema 'nowhere'") == 1
    assert "dbt's profile" in done.stdout
    assert found(project, "FROM analytics.failing") == [(3,)]
    done = build(project, *nowhere, "--select", "alone")
    assert done.code == 0, done.stdout


def test_utility_of_meltano_makes_the_report_from_the_wheel(project: Path) -> None:
    file = built_wheel(project)
    (utility,) = MELTANO["plugins"]["utilities"]
    ours = utility | {"pip_url": utility["pip_url"].replace("-e .[report]", f"{file}[report]")}
    ours["config"] |= dict.fromkeys(("project_dir", "profiles_dir"), "$MELTANO_PROJECT_ROOT")
    ours["config"] |= {"job_url": "https://cloud.example/{project_id}/{job_id}"}
    (project / "meltano.yml").write_text(
        yaml.safe_dump({"default_environment": "dev", "environments": [{"name": "dev"}]})
        + yaml.safe_dump({"plugins": {"utilities": [ours]}}),
        encoding="utf-8",
    )
    meltano = [Path(sys.executable).with_name("meltano"), "run", "dbt:build", "dbt:report"]
    schema = {"DBT_FILEPATH": str(project / "warehouse.duckdb"), "DBT_SCHEMA": "analytics_classify"}
    run(meltano, project, LLAMACLASSIFY_AS_OF="2026-11-24", **schema)
    page = (project / "output" / "report.html").read_text(encoding="utf-8")
    assert "from warehouse.duckdb, schema analytics_classify." in page
    assert "v2: 3 jobs" in page
    assert 'href="https://cloud.example/p/j0"' in page
