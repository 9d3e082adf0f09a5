"""Loads a sandbox into DuckDB, builds the marts with dbt, and reads them back."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from llamacloud_sandbox.server import Sandbox
from tests.support.api_rows import Row
from tests.support.commands import COMMAND, ROOT, Ended, ended, ran, words_of
from tests.support.loaders import EVERYTHING, loader, plugin, select_all
from tests.support.runs import config_of

SCHEMA = "llamaclassify"
KEYS = {
    "fct_classify_jobs": ("api_version", "job_id"),
    "fct_classify_job_status_changes": ("api_version", "job_id", "version"),
    "fct_classify_outcomes": ("api_version", "outcome_id"),
    "agg_classify_daily": ("day", "project_id", "status"),
    "agg_classify_cost": ("month", "project_id", "configuration_id", "rule_type"),
    "agg_rule_types": ("rule_type",),
    "agg_classify_failures": ("api_version", "project_id", "error_message"),
    "jobs_needing_attention": ("api_version", "job_id", "reason"),
    "classify_freshness": ("api_version",),
}
USERS_OWN = ("DBT_", "LLAMACLASSIFY_", "PG")
NO_TESTS = ("--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")

Mart = dict[tuple[Any, ...], Row]


def built(folder: Path, *arguments: str, as_of: datetime, **environment: str) -> Ended:
    """Run `dbt build`; without anything else in `environment`, over the folder's DuckDB file."""
    dbt = Path(sys.executable).with_name("dbt")
    environ = {name: v for name, v in os.environ.items() if not name.startswith(USERS_OWN)}
    ours = {
        "DBT_FILEPATH": str(folder / "warehouse.duckdb"),
        "DBT_TARGET_PATH": str(folder / "dbt"),
        "DBT_LOG_PATH": str(folder / "dbt"),
        "DBT_PROJECT_DIR": str(ROOT / "transform"),
        "DBT_PROFILES_DIR": str(ROOT / "transform"),
        "LLAMACLASSIFY_AS_OF": f"{as_of:%Y-%m-%d %H:%M:%S}",
    }
    command = [dbt, "--no-use-colors", "build", *arguments]
    return ended(command, env=environ | ours | environment)


def well_built(folder: Path, *arguments: str, as_of: datetime, **environment: str) -> str:
    """Run `dbt build` to its good end; return what it printed."""
    done = built(folder, *arguments, as_of=as_of, **environment)
    assert done.code == 0, done.stdout
    return done.stdout


def outcomes(folder: Path) -> dict[str, str]:
    """Return the status of each node of the last build, by its name."""
    results = json.loads((folder / "dbt" / "run_results.json").read_bytes())["results"]
    return {result["unique_id"].split(".", 2)[2]: result["status"] for result in results}


def sync(sandbox: Sandbox, folder: Path) -> str:
    """Sync all streams into the folder's DuckDB file, from where the last sync stopped.

    Returns:
        What the tap wrote, for another loader.
    """
    state = folder / "state.json"
    given = ["--state", state] if state.exists() else []
    config = ["--config", config_of(sandbox, **EVERYTHING), "--catalog", select_all(sandbox)]
    tapped = ran([COMMAND, *words_of([*config, *given], folder)])
    target = plugin("target-duckdb")["config"] | {"filepath": str(folder / "warehouse.duckdb")}
    states = ran([loader("target-duckdb"), *words_of(["--config", target], folder)], tapped)
    state.write_text(states.splitlines()[-1], encoding="utf-8")
    return tapped


def marts_of(folder: Path) -> dict[str, Mart]:
    """Read all marts from the folder's DuckDB file."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as warehouse:
        return {name: _mart(warehouse, name) for name in KEYS}


def _mart(warehouse: duckdb.DuckDBPyConnection, name: str) -> Mart:
    found = warehouse.table(f"{SCHEMA}.{name}")
    return keyed(name, [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()])


def keyed(name: str, rows: list[Row]) -> Mart:
    """Give each row its key, of which no two are alike."""
    mart = {tuple(row[column] for column in KEYS[name]): row for row in rows}
    assert len(mart) == len(rows)
    return mart


def rounded(marts: Mapping[str, Mart]) -> dict[str, Mart]:
    """Make numbers comparable that databases add up in another order."""
    return {
        name: {key: {n: _rounded(value) for n, value in row.items()} for key, row in mart.items()}
        for name, mart in marts.items()
    }


def _rounded(value: Any) -> Any:
    return round(float(value), 9) if isinstance(value, float | Decimal) else value
