"""Items of every kind that the API lists, as it shows them, and the door that each comes in by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tap_llamaclassify.api.endpoints import (
    CONFIGURATIONS,
    FILES,
    ORGANIZATIONS,
    PROJECTS,
    TIMINGS,
    USAGE_METRICS,
    V1_JOBS,
    V1_RESULTS,
    V2_JOBS,
)
from tap_llamaclassify.api.models import JOB, Json, Page
from tests.support.builders import job

CREATED_AT = "2026-11-01T07:59:00.000000Z"
UPDATED_AT = "2026-11-01T08:00:00.000000Z"
OWNER = {"id": "job", "project_id": "project", "updated_at": "2026-11-01T08:30:00.000000Z"}


def v2_job(identity: str, **fields: Any) -> Json:
    """Make a finished v2 job, with one rule and a parsing configuration."""
    return {
        "id": identity,
        "project_id": "project",
        "user_id": "user",
        "status": "COMPLETED",
        "configuration": configuration(),
        "configuration_id": "cfg",
        "document_input_type": "file_id",
        "file_input": "dfl-1",
        "parse_job_id": "pjb-1",
        "transaction_id": None,
        "error_message": None,
        "result": {"type": "invoice", "confidence": 0.75, "reasoning": "it has an amount"},
        "usage": {"credits": 1.5, "parse_credits": 1},
        "created_at": CREATED_AT,
        "updated_at": UPDATED_AT,
    } | fields


def configuration(**fields: Any) -> Json:
    """Make the configuration of a v2 job."""
    return {
        "rules": [{"type": "invoice", "description": "has an invoice number and an amount"}],
        "mode": "FAST",
        "parsing_configuration": {"lang": "en", "max_pages": 5, "target_pages": "1,3,5-7"},
    } | fields


def result(identity: str, **fields: Any) -> Json:
    """Make a result of the job OWNER."""
    return {
        "id": identity,
        "classify_job_id": "job",
        "file_id": "file",
        "result": {"type": "invoice", "confidence": 0.75, "reasoning": "it has an amount"},
        "created_at": CREATED_AT,
        "updated_at": UPDATED_AT,
    } | fields


def of_owner(results: Sequence[Json], owner: Json = OWNER) -> list[Json]:
    """Put the job whose results they are beside results."""
    return [item | {JOB: owner} for item in results]


def project(identity: str, **fields: Any) -> Json:
    """Make a project."""
    return {
        "id": identity,
        "name": "Invoices",
        "organization_id": "organization",
        "is_default": True,
        "created_at": CREATED_AT,
        "updated_at": UPDATED_AT,
    } | fields


def organization(identity: str, **fields: Any) -> Json:
    """Make an organization."""
    return {
        "id": identity,
        "name": "Example",
        "metadata": {},
        "created_at": CREATED_AT,
        "updated_at": UPDATED_AT,
    } | fields


def data_point(identity: str, **fields: Any) -> Json:
    """Make a data point of a job."""
    return {
        "id": identity,
        "project_id": "project",
        "status": "completed",
        "custom_tag": "default",
        "error_message": None,
        "state_transitions": {"pending_at": CREATED_AT, "completed_at": UPDATED_AT},
        "created_at": CREATED_AT,
        "updated_at": UPDATED_AT,
    } | fields


def usage_metric(identity: str, **fields: Any) -> Json:
    """Make a usage metric."""
    return {
        "id": identity,
        "organization_id": "organization",
        "project_id": "project",
        "user_id": "user",
        "day": "2026-11-01",
        "event_type": "pages_classified",
        "event_aggregation_key": "job",
        "event_aggregation_type": "pdf",
        "value": 3,
        "credits": 1.5,
        "usage_tags": ["team:ap"],
        "properties": {"mode": "FAST"},
    } | fields


def saved_configuration(identity: str, **fields: Any) -> Json:
    """Make a version of a saved configuration."""
    return {
        "id": identity,
        "name": "Invoices",
        "version": CREATED_AT,
        "product_type": "classify_v2",
        "parameters": configuration(product_type="classify_v2"),
        "created_at": CREATED_AT,
        "updated_at": UPDATED_AT,
    } | fields


def file(identity: str, **fields: Any) -> Json:
    """Make a file."""
    return {
        "id": identity,
        "name": "invoice.pdf",
        "external_file_id": None,
        "file_type": "pdf",
        "project_id": "project",
        "purpose": "classify",
        "last_modified_at": UPDATED_AT,
        "expires_at": None,
    } | fields


@dataclass(frozen=True)
class Kind:
    """A kind of items.

    Attributes:
        whole, item, place: What errors call a reply of them, one of them, and where it stands.
        texts: The fields that hold text, timestamps aside.
    """

    read: Callable[[bytes], Page]
    make: Callable[..., Json]
    whole: str
    item: str
    place: str
    texts: Sequence[str]
    timestamps: Sequence[str] = ("created_at", "updated_at")


KINDS = {
    "v1 jobs": Kind(
        V1_JOBS.parse,
        job,
        "a page of jobs",
        "a job",
        "of the page",
        ("project_id", "user_id", "status", "mode", "error_message", "job_record_id"),
        ("created_at", "effective_at", "updated_at"),
    ),
    "v2 jobs": Kind(
        V2_JOBS.parse,
        v2_job,
        "a page of jobs",
        "a job",
        "of the page",
        (
            "project_id",
            "user_id",
            "status",
            "configuration_id",
            "document_input_type",
            "file_input",
            "parse_job_id",
            "transaction_id",
            "error_message",
        ),
    ),
    "results": Kind(
        V1_RESULTS.parse,
        result,
        "a job's results",
        "a result",
        "of the results",
        ("classify_job_id", "file_id"),
    ),
    "projects": Kind(
        PROJECTS.parse,
        project,
        "a list of projects",
        "a project",
        "of the list",
        ("name", "organization_id"),
    ),
    "organizations": Kind(
        ORGANIZATIONS.parse,
        organization,
        "a page of organizations",
        "an organization",
        "of the page",
        ("name",),
    ),
    "data points": Kind(
        TIMINGS.parse,
        data_point,
        "a page of data points of jobs",
        "a data point",
        "of the page",
        ("project_id", "status", "custom_tag", "error_message"),
    ),
    "usage metrics": Kind(
        USAGE_METRICS.parse,
        usage_metric,
        "a page of usage metrics",
        "a usage metric",
        "of the page",
        ("project_id", "user_id", "event_type", "event_aggregation_key"),
        (),
    ),
    "configurations": Kind(
        CONFIGURATIONS.parse,
        saved_configuration,
        "a page of configurations",
        "a configuration",
        "of the page",
        ("name", "version", "product_type"),
    ),
    "files": Kind(
        FILES.parse,
        file,
        "a page of files",
        "a file",
        "of the page",
        ("name", "external_file_id", "file_type", "project_id", "purpose"),
        ("last_modified_at", "expires_at"),
    ),
}
