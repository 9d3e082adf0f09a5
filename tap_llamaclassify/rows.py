"""From jobs to the rows of each stream: pure functions, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import msgspec

from tap_llamaclassify.errors import ReplyError
from tap_llamaclassify.models import MISFITS, Job, Json, ParsingConfiguration, Rule
from tap_llamaclassify.nesting import is_too_deep

Row: TypeAlias = dict[str, Any]
"""A row of a stream; every column is there, null where there is nothing."""

JOB_FIELDS = frozenset(Job.__annotations__)
RULE_FIELDS = frozenset(Rule.__annotations__)
PARSING_CONFIGURATION_FIELDS = frozenset(ParsingConfiguration.__annotations__)


def due(jobs: Sequence[Json], since: str | None) -> Sequence[Json]:
    """Leave out the jobs that were last updated before an instant; None leaves out none."""
    if since is None:
        return jobs
    return [job for job in jobs if (update := job.get("updated_at")) is None or update >= since]


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
                None if JOB_FIELDS.issuperset(job) else _additional_fields(job, JOB_FIELDS)
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
                None if RULE_FIELDS.issuperset(rule) else _additional_fields(rule, RULE_FIELDS)
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
                else _additional_fields(config, PARSING_CONFIGURATION_FIELDS)
            ),
        }
        for job in jobs
        if (config := job.get("parsing_configuration")) is not None
    ]


def _additional_fields(owner: Json, known: frozenset[str]) -> Row:
    unknown = {name: owner[name] for name in owner.keys() - known - {MISFITS}}
    fields = sorted((unknown | owner.get(MISFITS, {})).items())
    return {
        name: _as_text(value) if isinstance(value, dict | list) and is_too_deep(value) else value
        for name, value in fields
    }


def _as_text(value: Any) -> str:
    """Write a value as JSON, so that it is kept, whatever depth a loader can take."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        raise ReplyError("answered JSON that is nested too deeply to be a page of jobs") from None
