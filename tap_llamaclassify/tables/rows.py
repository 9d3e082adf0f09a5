"""From the items of the v1 API to the rows of each stream: pure functions, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from tap_llamaclassify.api.models import (
    JOB,
    Classification,
    Job,
    Json,
    ParsingConfiguration,
    Result,
    Rule,
)
from tap_llamaclassify.tables.additional_fields import additional_fields, left_of

Row: TypeAlias = dict[str, Any]
"""A row of a stream; every column is there, null where there is nothing."""

JOB_FIELDS = frozenset(Job.__annotations__)
RULE_FIELDS = frozenset(Rule.__annotations__)
PARSING_CONFIGURATION_FIELDS = frozenset(ParsingConfiguration.__annotations__)
RESULT_FIELDS = frozenset(Result.__annotations__)
CLASSIFICATION_FIELDS = frozenset(Classification.__annotations__)


def due(items: Sequence[Json], since: str | None) -> Sequence[Json]:
    """Leave out the items that were last updated before an instant; None leaves out none."""
    if since is None:
        return items
    return [item for item in items if (update := item.get("updated_at")) is None or update >= since]


def job_rows(jobs: Iterable[Json]) -> list[Row]:
    """One row a job."""
    return [
        {
            "id": job["id"],
            "project_id": job.get("project_id"),
            "user_id": job.get("user_id"),
            "status": job.get("status"),
            "mode": job.get("mode"),
            "error_message": job.get("error_message"),
            "job_record_id": job.get("job_record_id"),
            "rule_count": len(job.get("rules") or ()),
            "created_at": job.get("created_at"),
            "effective_at": job.get("effective_at"),
            "updated_at": job.get("updated_at"),
            "additional_fields": (
                None if JOB_FIELDS.issuperset(job) else additional_fields(job, JOB_FIELDS)
            ),
        }
        for job in jobs
    ]


def rule_rows(jobs: Iterable[Json]) -> list[Row]:
    """One row a rule; none for a rule that is no object, whose position stays unused."""
    return [
        {
            "job_id": job["id"],
            "rule_index": index,
            "project_id": job.get("project_id"),
            "type": rule.get("type"),
            "description": rule.get("description"),
            "updated_at": job.get("updated_at"),
            "additional_fields": (
                None if RULE_FIELDS.issuperset(rule) else additional_fields(rule, RULE_FIELDS)
            ),
        }
        for job in jobs
        for index, rule in enumerate(job.get("rules") or ())
        if rule is not None
    ]


def parsing_config_rows(jobs: Iterable[Json]) -> list[Row]:
    """One row a job that has a parsing configuration."""
    return [
        {
            "job_id": job["id"],
            "project_id": job.get("project_id"),
            "lang": config.get("lang"),
            "max_pages": config.get("max_pages"),
            "target_pages": config.get("target_pages"),
            "updated_at": job.get("updated_at"),
            "additional_fields": (
                None
                if PARSING_CONFIGURATION_FIELDS.issuperset(config)
                else additional_fields(config, PARSING_CONFIGURATION_FIELDS)
            ),
        }
        for job in jobs
        if (config := job.get("parsing_configuration")) is not None
    ]


def result_rows(results: Iterable[Json]) -> list[Row]:
    """One row a result; each has the job whose results were asked for under JOB."""
    return [_result_row(result, result[JOB], result.get("result") or {}) for result in results]


def _result_row(result: Json, job: Json, found: Json) -> Row:
    more: dict[str, Any] = left_of("result", found, CLASSIFICATION_FIELDS)
    if result.get("classify_job_id") not in {None, job["id"]}:
        more["classify_job_id"] = result["classify_job_id"]
    return {
        "id": result["id"],
        "job_id": job["id"],
        "project_id": job.get("project_id"),
        "file_id": result.get("file_id"),
        "type": found.get("type"),
        "confidence": found.get("confidence"),
        "reasoning": found.get("reasoning"),
        "created_at": result.get("created_at"),
        "updated_at": result.get("updated_at"),
        "job_updated_at": job.get("updated_at"),
        "additional_fields": additional_fields(result, RESULT_FIELDS, more) or None,
    }
