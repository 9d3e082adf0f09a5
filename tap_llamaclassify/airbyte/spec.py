"""The settings as Airbyte's form shows them: titles, groups, their order, and what is secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tap_llamaclassify.config.settings_schema import config_jsonschema

DOCUMENTATION = "https://docs.cloud.llamaindex.ai"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Access": (
        *("api_key", "api_url", "project_id", "organization_id", "connections"),
        *("allow_insecure_http", "adopt_state"),
    ),
    "What is read": (
        *("start_date", "fetch_results", "fetch_usage", "usage_event_types", "require_all"),
        *("lookback_seconds", "reconcile_days"),
    ),
    "Pace": (
        *("page_size", "requests_per_minute", "parallel_connections", "parallel_windows"),
        *("parallel_requests", "request_timeout_seconds", "retry_seconds", "user_agent"),
    ),
}
"""The settings by the groups of the form, in their order."""
SHOWN = {"api_key", "api_url", "start_date"}
"""What the form shows unless it is unfolded."""


def spec() -> dict[str, Any]:
    """Describe the settings."""
    described = config_jsonschema()["properties"]
    names = [(group, name) for group, its in GROUPS.items() for name in its]
    return {
        "documentationUrl": DOCUMENTATION,
        "supportsIncremental": True,
        "supported_destination_sync_modes": ["overwrite", "append", "append_dedup"],
        "connectionSpecification": {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "LlamaCloud classify jobs",
            "type": "object",
            "required": [],
            "additionalProperties": True,
            "properties": {
                name: {
                    **_property(name, described[name]),
                    "order": order,
                    "group": _id_of(group),
                    **({"always_show": True} if name in SHOWN else {}),
                }
                for order, (group, name) in enumerate(names)
            },
            "groups": [{"id": _id_of(group), "title": group} for group in GROUPS],
        },
    }


def _property(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    kinds = described["type"]
    kind = kinds if isinstance(kinds, str) else next(each for each in kinds if each != "null")
    shown = {
        "title": name.replace("_", " ").capitalize().replace("Api", "API").replace(" url", " URL"),
        "description": described["description"],
        "type": kind,
    }
    for same in ("default", "format"):
        if same in described:
            shown[same] = described[same]
    items = described.get("items")
    if items and "properties" in items:
        inner = {each: _property(each, it) for each, it in items["properties"].items()}
        shown["items"] = {"type": "object", "required": items["required"], "properties": inner}
    elif items:
        shown["items"] = items
    elif described.get("secret"):
        shown["airbyte_secret"] = True
    return shown


def _id_of(group: str) -> str:
    return group.lower().replace(" ", "_")
