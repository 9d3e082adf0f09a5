"""The dbt project over tables as other loaders leave them: views of Parquet files, other names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.support.transform import marts_of, well_built

pytestmark = pytest.mark.heavy

JOBS = """
    SELECT 'a' AS ID, 'p' AS PROJECT_ID, 'SUCCESS' AS STATUS, 1 AS RULE_COUNT,
        TIMESTAMPTZ '2026-11-20 12:00:00+02' AS CREATED_AT,
        '2026-11-20T11:00:00.000000Z' AS UPDATED_AT,
        '{"note": ["x", null]}' AS ADDITIONAL_FIELDS
"""
CONFIGS = """
    SELECT 'a' AS job_id, 'p' AS project_id, 'de' AS lang, [1, 3] AS target_pages,
        'null' AS additional_fields
"""

STAGED = """
    SELECT jobs.additional_fields, configs.target_pages, configs.additional_fields
    FROM llamaclassify.stg_classify_jobs AS jobs
    JOIN llamaclassify.stg_classify_job_parsing_configs AS configs USING (job_id)
"""


def test_views_of_parquet_files_in_another_schema_are_read_with_lists_and_names_in_capitals(
    tmp_path: Path,
) -> None:
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as warehouse:
        warehouse.execute("CREATE SCHEMA elsewhere")
        for table, query in (
            ("classify_jobs", JOBS),
            ("classify_job_parsing_configs", CONFIGS),
        ):
            file = tmp_path / f"{table}.parquet"
            warehouse.execute(f"COPY ({query}) TO '{file}'")
            warehouse.execute(f"CREATE VIEW elsewhere.{table} AS FROM '{file}'")
    begun = datetime.now(UTC).replace(tzinfo=None)
    well_built(
        tmp_path,
        *("--vars", "loaded_into: elsewhere"),
        as_of=begun,
        LLAMACLASSIFY_AS_OF="",
        TZ="Pacific/Auckland",
    )

    marts = marts_of(tmp_path)
    row = marts["fct_classify_jobs"]["v1", "a"]
    assert (row["created_at"], row["updated_at"], row["duration_seconds"], row["language"]) == (
        datetime(2026, 11, 20, 10),  # noqa: DTZ001 - as databases have it
        datetime(2026, 11, 20, 11),  # noqa: DTZ001 - as above
        3600,
        "de",
    )
    # Without an instant given, now is now, in UTC.
    freshness = marts["classify_freshness"]["v1",]
    assert timedelta(0) <= freshness["as_of"] - begun < timedelta(minutes=5)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb"), read_only=True) as warehouse:
        assert warehouse.execute(STAGED).fetchall() == [
            ('{"note": ["x", null]}', "[1, 3]", None),
        ]
