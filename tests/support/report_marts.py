"""Marts made by hand in a DuckDB file, as the report finds them; it knows no dbt and no tap."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

AS_OF = datetime(2026, 11, 24, 12)  # noqa: DTZ001 - the marts' timestamps are without zone
COLUMNS = {
    "fct_classify_jobs": "api_version text, job_id text, project_id text, project_name text,"
    " user_id text, status text, api_status text, mode text, language text, rule_count bigint,"
    " configuration_id text, error_message text, created_at timestamp, updated_at timestamp,"
    " is_finished boolean, finished_at timestamp, age_seconds double, duration_seconds double,"
    " queue_seconds double, run_seconds double, configuration_name text, pages bigint,"
    " credits double",
    "fct_classify_outcomes": "api_version text, outcome_id text, job_id text, project_id text,"
    " project_name text, document text, document_type text, outcome text, confidence double,"
    " credits double, parse_credits double, classified_at timestamp",
    "agg_rule_types": "rule_type text, jobs_offering bigint, documents bigint,"
    " mean_confidence double, first_used_at timestamp, last_used_at timestamp",
    "jobs_needing_attention": "reason text, api_version text, job_id text, project_id text,"
    " project_name text, status text, since timestamp, age_seconds double, limit_seconds double,"
    " error_message text, jobs_with_same_error bigint, document_type text, confidence double",
}
DAILY = """
    CREATE TABLE {schema}.agg_classify_daily AS
    SELECT CAST(created_at AS date) AS day, project_id, project_name, status, count(*) AS jobs
    FROM {schema}.fct_classify_jobs GROUP BY ALL
"""
COST = """
    CREATE TABLE {schema}.agg_classify_cost AS
    SELECT configuration_id, max(configuration_name) AS configuration_name,
        outcomes.document_type AS rule_type, count(outcomes.job_id) AS documents,
        count(CASE WHEN jobs.credits IS NOT NULL THEN outcomes.job_id END) AS billed_documents,
        sum(pages) AS pages, sum(jobs.credits) AS credits,
        avg(CASE WHEN outcomes.job_id IS NOT NULL THEN jobs.credits END) AS credits_per_document
    FROM {schema}.fct_classify_jobs AS jobs
    LEFT JOIN {schema}.fct_classify_outcomes AS outcomes USING (api_version, job_id)
    GROUP BY jobs.project_id, configuration_id, outcomes.document_type
"""
FAILURES = """
    CREATE TABLE {schema}.agg_classify_failures AS
    SELECT api_version, project_id, max(project_name) AS project_name, error_message,
        count(*) AS jobs, max(updated_at) AS last_failed_at, min(updated_at) AS first_failed_at,
        count(*) FILTER (updated_at >= TIMESTAMP '{as_of}' - INTERVAL 7 DAY) AS jobs_in_7_days,
        arg_max(job_id, updated_at) AS last_job_id
    FROM {schema}.fct_classify_jobs
    WHERE status = 'failed' AND updated_at >= TIMESTAMP '{as_of}' - INTERVAL 30 DAY GROUP BY ALL
"""
FRESHNESS = """
    CREATE TABLE {schema}.classify_freshness AS
    SELECT v AS api_version, count(job_id) AS jobs, max(created_at) AS newest_created_at,
        max(updated_at) AS newest_updated_at, CAST('{as_of}' AS timestamp) AS as_of,
        30 AS attention_days, 0.5 AS low_confidence, 48 AS stale_after_hours
    FROM (VALUES ('v1'), ('v2')) AS versions (v)
    LEFT JOIN {schema}.fct_classify_jobs ON api_version = v GROUP BY v
"""
Row = dict[str, Any]


@dataclass
class Made:
    """Rows by the mart's name; what a row leaves out is null."""

    rows: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def job(self, *, days_ago: float = 1, status: str = "succeeded", **more: Any) -> Made:
        """Add a job; one that ended took a minute."""
        created = AS_OF - timedelta(days=days_ago)
        ended = status not in {"pending", "running"}
        row: Row = {
            "api_version": "v1",
            "job_id": f"job-{len(self.rows['fct_classify_jobs'])}",
            "project_id": "project-1",
            "project_name": "Invoices",
            "status": status,
            "mode": "FAST",
            "created_at": created,
            "updated_at": created + timedelta(minutes=1),
            "age_seconds": days_ago * 86_400,
            "duration_seconds": 60.0 if ended else None,
        }
        return self.add("fct_classify_jobs", **row | more)

    def add(self, mart: str, **row: Any) -> Made:
        """Add a row to a mart."""
        self.rows[mart].append(row)
        return self

    def rule_type(self, name: str, jobs_offering: int, documents: int, **more: Any) -> Made:
        """Add a kind of documents that jobs have offered."""
        counts = {"jobs_offering": jobs_offering, "documents": documents}
        return self.add("agg_rule_types", rule_type=name, **counts, **more)

    def outcome(self, document_type: str | None, confidence: float, **more: Any) -> Made:
        """Add what a document was found to be, which one of the kinds was unless said otherwise."""
        row: Row = {"outcome": "matched", "document_type": document_type, "confidence": confidence}
        return self.add("fct_classify_outcomes", **row | more)

    def attention(self, reason: str, job_id: str, **more: Any) -> Made:
        """Add a reason to look at a job, one that has failed unless said otherwise."""
        row: Row = {
            "api_version": "v1",
            "project_id": "project-1",
            "project_name": "Invoices",
            "status": "failed",
            "since": AS_OF,
        }
        return self.add("jobs_needing_attention", reason=reason, job_id=job_id, **row | more)

    def write(self, file: Path, schema: str = "llamaclassify") -> Path:
        """Make the file anew, with the marts in a schema of it."""
        with duckdb.connect(str(file)) as connection:
            connection.begin()
            connection.execute(f"CREATE SCHEMA {schema}")
            for mart, columns in COLUMNS.items():
                connection.execute(f"CREATE TABLE {schema}.{mart} ({columns})")
                for row in self.rows[mart]:
                    marks = ", ".join("?" * len(row))
                    connection.execute(
                        f"INSERT INTO {schema}.{mart} ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 - the names are this file's
                        [*row.values()],
                    )
            for derived in (DAILY, COST):
                connection.execute(derived.format(schema=schema))
            for made in (FAILURES, FRESHNESS):
                connection.execute(made.format(schema=schema, as_of=AS_OF))
            connection.commit()
        return file


PROJECTS = ("Invoices", "請求書と領収書の分類", "Büro Zürich 📷", "accounts_payable", None)
CONFIGURATIONS = (
    ("cfg-1", "Accounts payable invoices"),
    ("cfg-2", "請求書の仕分け"),
    ("cfg-3", None),
    ("cfg-4", "Büro Zürich: Posteingang"),
    *[(None, None)] * 2,
)
ERRORS = (
    "Could not parse file: PDF is encrypted",
    "ファイルを解析できませんでした: 請求書_2026年.pdf",
    "Unsupported file type: .heic 📷",
    None,
)


def several() -> Made:
    """Marts of several projects in many scripts, with all that the page can show."""
    made = Made()
    for number in range(1_500):
        days_ago = (number * 7_919 % 9_973) / 9_973 * 100
        index = number * number % 11 % len(PROJECTS)
        its: Row = {
            "project_id": f"d6ba0a37-9545-4b1c-8f7e-00000000000{index}",
            "project_name": PROJECTS[index],
            "api_version": "v2" if days_ago < 60 - 10 * index else "v1",
            "job_id": f"5f0c7a52-5b1e-4f3b-9d0a-3c8e{number:08d}",
        }
        status = ("failed", "partly_succeeded", "cancelled", *["succeeded"] * 20)[number % 23]
        seconds = 10 + number * number % 300 * (50 if number % 97 == 0 else 1)
        made.job(
            days_ago=days_ago,
            status="pending" if number % 301 == 7 else status,
            duration_seconds=float(seconds),
            error_message=ERRORS[number % 4] if status == "failed" else None,
            language=("de", "en", "ja", None)[number % 4],
            configuration_id=CONFIGURATIONS[number % 6][0],
            configuration_name=CONFIGURATIONS[number % 6][1],
            queue_seconds=number % 50 / 10 * (20 if index == 1 else 1),
            run_seconds=float(seconds) if number % 5 else None,
            pages=number % 13 if number % 4 else None,
            credits=number % 7 / 2 if number % 9 else None,
            **its,
        )
        if its["api_version"] == "v2" and status == "succeeded":
            made.outcome(
                ("invoice", "領収書", None)[number % 3],
                (number * 37 % 100) / 100,
                outcome_id=its["job_id"],
                outcome="unmatched" if number % 3 == 2 else "matched",
                classified_at=AS_OF - timedelta(days=days_ago),
                **its,
            )
        if number % 250 == 7:
            for reason in ("pending_too_long", "low_confidence"):
                more: Row = {"age_seconds": days_ago * 86_400, "limit_seconds": 239.0}
                more |= {
                    "confidence": number / 5_000,
                    "document_type": "領収書",
                    "status": "pending",
                }
                made.attention(reason, **its, **more)
    for number, name in enumerate(("invoice", "領収書", "identity_document", "Büroanträge 📷")):
        confidence = 0.8 - number / 10
        made.rule_type(name, 1_000 - number * 90, 400 - number * 130, mean_confidence=confidence)
    return made


HOSTILE = (
    "<script>document.title='ran'</script>",
    '"><img src=x onerror="document.title=\'ran\'">',
    "</svg><svg onload=\"document.title='ran'\">",
    "javascript:document.title='ran'",
    "\u202eeciovni\u2066 \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "x" * 2_000,
    "two\nlines\tand\x07a bell",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "{{ 7 * 7 }}{% raw %}",
    "]]><!-- -->&amp;&#60;",
)


def ordinary() -> Made:
    """Marts with something in each of the page's parts, of both versions."""
    made = Made()
    for day in range(1, 15):
        for version in ("v1", "v2"):
            for status in ("succeeded", "succeeded", "succeeded", "failed"):
                made.job(days_ago=day - 0.5, status=status, api_version=version, language="de")
    made.job(days_ago=3, status="pending", job_id="waiting")
    made.rule_type("invoice", 1_234, 99)
    for number, job in enumerate(made.rows["fct_classify_jobs"][:20]):
        job |= {"credits": 2.5}
        its = {name: job[name] for name in ("job_id", "api_version")}
        made.outcome("invoice", number / 20, **its)
    waits: Row = {"status": "pending", "age_seconds": 259_200.0, "limit_seconds": 239.0}
    made.attention("pending_too_long", "waiting", **waits)
    for number in range(60):
        unsure: Row = {"confidence": number / 200, "document_type": "invoice"}
        made.attention("low_confidence", f"unsure-{number}", status="succeeded", **unsure)
    error: Row = {"error_message": "out of paper", "jobs_with_same_error": 1}
    return made.attention("repeated_error", "job-3", **error)


def hostile() -> Made:
    """Marts in which every name from outside is one that means harm."""
    made = Made()
    for number, name in enumerate(HOSTILE):
        its: Row = {"project_name": name, "project_id": name, "configuration_name": name}
        its |= {"configuration_id": name, "credits": 1.5, "pages": 2, "queue_seconds": 1.0}
        made.job(mode=name, language=name, job_id=f"costly-{number}", **its)
        made.outcome(name, 0.9, api_version="v1", job_id=f"costly-{number}")
        made.job(status="failed", project_name=name, error_message=name)
        made.rule_type(name, 2, 1).outcome(name, 0.2)
        words = dict.fromkeys(("project_name", "error_message", "document_type"), name)
        for reason in ("pending_too_long", "repeated_error", "low_confidence"):
            more: Row = {"project_id": "p", "age_seconds": 9.0, "confidence": 0.1}
            made.attention(reason, name, **words, **more)
    made.job(days_ago=2, status="pending", job_id=HOSTILE[0], project_name=HOSTILE[1])
    return made
