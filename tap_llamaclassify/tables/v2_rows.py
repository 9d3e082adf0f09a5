"""From v2 jobs to the rows of each stream: pure functions, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable

from tap_llamaclassify.api.models import Configuration, Json, Usage, V2Job
from tap_llamaclassify.tables.additional_fields import additional_fields, left_of
from tap_llamaclassify.tables.rows import (
    CLASSIFICATION_FIELDS,
    Row,
    parsing_config_rows,
    rule_rows,
)

CONFIGURATION_FIELDS = frozenset(Configuration.__annotations__)
USAGE_FIELDS = frozenset(Usage.__annotations__)
V2_JOB_FIELDS = frozenset(V2Job.__annotations__)
# What is left of it at the door says something else than file_input.
_V2_JOB_COLUMNS = V2_JOB_FIELDS - {"document_input_value"}


def v2_job_rows(jobs: Iterable[Json]) -> list[Row]:
    """One row a job."""
    return [
        _job_row(
            job, job.get("configuration") or {}, job.get("result") or {}, job.get("usage") or {}
        )
        for job in jobs
    ]


def _job_row(job: Json, configuration: Json, result: Json, usage: Json) -> Row:
    left = {
        **left_of("configuration", configuration, CONFIGURATION_FIELDS),
        **left_of("result", result, CLASSIFICATION_FIELDS),
        **left_of("usage", usage, USAGE_FIELDS),
    }
    return {
        "id": job["id"],
        "project_id": job.get("project_id"),
        "user_id": job.get("user_id"),
        "status": job.get("status"),
        "mode": configuration.get("mode"),
        "configuration_id": job.get("configuration_id"),
        "document_input_type": job.get("document_input_type"),
        "file_input": job.get("file_input"),
        "parse_job_id": job.get("parse_job_id"),
        "transaction_id": job.get("transaction_id"),
        "error_message": job.get("error_message"),
        "result_type": result.get("type"),
        "result_confidence": result.get("confidence"),
        "result_reasoning": result.get("reasoning"),
        "usage_credits": usage.get("credits"),
        "usage_parse_credits": usage.get("parse_credits"),
        "rule_count": len(configuration.get("rules") or ()),
        "created_at": job.get("created_at"),
        "updated_at": job.get("updated_at"),
        "additional_fields": additional_fields(job, _V2_JOB_COLUMNS, left) or None,
    }


def v2_rule_rows(jobs: Iterable[Json]) -> list[Row]:
    """One row a rule; none for a rule that is no object, whose position stays unused."""
    return rule_rows([_laid_out_as_v1(job) for job in jobs])


def v2_parsing_config_rows(jobs: Iterable[Json]) -> list[Row]:
    """One row a job that has a parsing configuration."""
    return parsing_config_rows([_laid_out_as_v1(job) for job in jobs])


def _laid_out_as_v1(job: Json) -> Json:
    """Put what a job was asked to do beside what tells whose it is, where v1 has it."""
    configuration = job.get("configuration") or {}
    return {
        "id": job["id"],
        "project_id": job.get("project_id"),
        "updated_at": job.get("updated_at"),
        "rules": configuration.get("rules"),
        "parsing_configuration": configuration.get("parsing_configuration"),
    }
