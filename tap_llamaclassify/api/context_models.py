"""What the API's objects look like that stand around jobs: projects, timings, usage, files."""

from __future__ import annotations

from typing import Required

from typing_extensions import TypedDict

from tap_llamaclassify.api.models import OPEN, Id, Int64, Json, Number, V2ParsingConfiguration


class Project(TypedDict, total=False):
    """A project of an organization."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Id]
    name: str | None
    organization_id: str | None
    is_default: bool | None
    created_at: str | None
    updated_at: str | None


class Organization(TypedDict, total=False):
    """An organization that a key can see."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Id]
    name: str | None
    created_at: str | None
    updated_at: str | None


class StateTransitions(TypedDict, total=False):
    """When a job came to each status."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    pending_at: str | None
    throttled_at: str | None
    running_at: str | None
    completed_at: str | None
    failed_at: str | None
    cancelled_at: str | None


class JobDataPoint(TypedDict, total=False):
    """A classify job of either API, as LlamaCloud's dashboard sees it."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Id]
    project_id: str | None
    status: str | None
    custom_tag: str | None
    error_message: str | None
    state_transitions: StateTransitions | None
    created_at: str | None
    updated_at: str | None


class UsageMetric(TypedDict, total=False):
    """What a job, a file or the like was counted and billed for on one day."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Id]
    organization_id: str | None
    project_id: str | None
    user_id: str | None
    day: str | None
    event_type: str | None
    event_aggregation_key: str | None
    event_aggregation_type: str | None
    value: Int64 | None
    credits: Number | None
    usage_tags: list[str] | None
    properties: Json | None


class ConfigurationParameters(TypedDict, total=False):
    """What a saved classify configuration asks for; `rules` is not looked into."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    mode: str | None
    parsing_configuration: V2ParsingConfiguration | None


class SavedConfiguration(TypedDict, total=False):
    """A version of a saved configuration."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Id]
    name: str | None
    version: str | None
    product_type: str | None
    parameters: ConfigurationParameters | None
    created_at: str | None
    updated_at: str | None


class File(TypedDict, total=False):
    """An uploaded file."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Id]
    name: str | None
    external_file_id: str | None
    file_type: str | None
    project_id: str | None
    purpose: str | None
    last_modified_at: str | None
    expires_at: str | None
