"""From what the API tells beside jobs to rows: projects, timings, usage and what jobs refer to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tap_llamaclassify.api.context_models import (
    ConfigurationParameters,
    File,
    JobDataPoint,
    Organization,
    Project,
    SavedConfiguration,
    StateTransitions,
    UsageMetric,
)
from tap_llamaclassify.api.models import Json, V2ParsingConfiguration
from tap_llamaclassify.tables.additional_fields import additional_fields, kept_whole, left_of
from tap_llamaclassify.tables.rows import Row

PROJECT_FIELDS = frozenset(Project.__annotations__)
ORGANIZATION_FIELDS = frozenset(Organization.__annotations__)
DATA_POINT_FIELDS = frozenset(JobDataPoint.__annotations__)
TRANSITION_FIELDS = frozenset(StateTransitions.__annotations__)
USAGE_METRIC_FIELDS = frozenset(UsageMetric.__annotations__)
SAVED_CONFIGURATION_FIELDS = frozenset(SavedConfiguration.__annotations__)
PARAMETER_FIELDS = frozenset(ConfigurationParameters.__annotations__)
PARSING_FIELDS = frozenset(V2ParsingConfiguration.__annotations__)
FILE_FIELDS = frozenset(File.__annotations__)


def project_rows(projects: Iterable[Json]) -> list[Row]:
    """One row a project."""
    return [
        {
            "id": project["id"],
            "name": project.get("name"),
            "organization_id": project.get("organization_id"),
            "is_default": project.get("is_default"),
            "created_at": project.get("created_at"),
            "updated_at": project.get("updated_at"),
            "additional_fields": additional_fields(project, PROJECT_FIELDS) or None,
        }
        for project in projects
    ]


def organization_rows(organizations: Iterable[Json]) -> list[Row]:
    """One row an organization."""
    return [
        {
            "id": organization["id"],
            "name": organization.get("name"),
            "created_at": organization.get("created_at"),
            "updated_at": organization.get("updated_at"),
            "additional_fields": additional_fields(organization, ORGANIZATION_FIELDS) or None,
        }
        for organization in organizations
    ]


def timing_rows(data_points: Iterable[Json]) -> list[Row]:
    """One row a job."""
    return [_timing_row(point, point.get("state_transitions") or {}) for point in data_points]


def _timing_row(point: Json, transitions: Json) -> Row:
    left = left_of("state_transitions", transitions, TRANSITION_FIELDS)
    return {
        "job_id": point["id"],
        "project_id": point.get("project_id"),
        "status": point.get("status"),
        "custom_tag": point.get("custom_tag"),
        "error_message": point.get("error_message"),
        "pending_at": transitions.get("pending_at"),
        "throttled_at": transitions.get("throttled_at"),
        "running_at": transitions.get("running_at"),
        "completed_at": transitions.get("completed_at"),
        "failed_at": transitions.get("failed_at"),
        "cancelled_at": transitions.get("cancelled_at"),
        "created_at": point.get("created_at"),
        "updated_at": point.get("updated_at"),
        "additional_fields": additional_fields(point, DATA_POINT_FIELDS, left) or None,
    }


def usage_rows(metrics: Iterable[Json]) -> list[Row]:
    """One row a usage metric."""
    return [
        {
            "id": metric["id"],
            "organization_id": metric.get("organization_id"),
            "project_id": metric.get("project_id"),
            "user_id": metric.get("user_id"),
            "day": metric.get("day"),
            "event_type": metric.get("event_type"),
            "event_aggregation_key": metric.get("event_aggregation_key"),
            "event_aggregation_type": metric.get("event_aggregation_type"),
            "value": metric.get("value"),
            "credits": metric.get("credits"),
            "usage_tags": metric.get("usage_tags"),
            "properties": kept_whole(metric.get("properties")),
            "additional_fields": additional_fields(metric, USAGE_METRIC_FIELDS) or None,
        }
        for metric in metrics
    ]


def configuration_rows(configurations: Iterable[Json]) -> list[Row]:
    """One row a version of a saved configuration; none for one of another product."""
    return [
        _configuration_row(configuration, configuration.get("parameters") or {})
        for configuration in configurations
        if (configuration.get("product_type") or "classify").startswith("classify")
    ]


def _configuration_row(configuration: Json, parameters: Json) -> Row:
    parsing = parameters.get("parsing_configuration") or {}
    rules = parameters.get("rules")
    return {
        "id": configuration["id"],
        "name": configuration.get("name"),
        "version": configuration.get("version"),
        "product_type": configuration.get("product_type"),
        "mode": parameters.get("mode"),
        "rule_count": len(rules) if isinstance(rules, list) else 0,
        "lang": parsing.get("lang"),
        "max_pages": parsing.get("max_pages"),
        "target_pages": parsing.get("target_pages"),
        "created_at": configuration.get("created_at"),
        "updated_at": configuration.get("updated_at"),
        "additional_fields": additional_fields(
            configuration, SAVED_CONFIGURATION_FIELDS, _left_of(parameters, configuration)
        )
        or None,
    }


def _left_of(parameters: Json, configuration: Json) -> dict[str, Any]:
    """Return what is left of parameters: rules, and what is left of the parsing configuration."""
    said_twice = parameters.get("product_type") == configuration.get("product_type")
    known = PARAMETER_FIELDS | {"product_type"} if said_twice else PARAMETER_FIELDS
    left = left_of("parameters", parameters, known).get("parameters", {})
    parsing = parameters.get("parsing_configuration") or {}
    left |= left_of("parsing_configuration", parsing, PARSING_FIELDS)
    return {"parameters": dict(sorted(left.items()))} if left else {}


def file_rows(files: Iterable[Json]) -> list[Row]:
    """One row a file."""
    return [
        {
            "id": file["id"],
            "name": file.get("name"),
            "external_file_id": file.get("external_file_id"),
            "file_type": file.get("file_type"),
            "project_id": file.get("project_id"),
            "purpose": file.get("purpose"),
            "last_modified_at": file.get("last_modified_at"),
            "expires_at": file.get("expires_at"),
            "additional_fields": additional_fields(file, FILE_FIELDS) or None,
        }
        for file in files
    ]
