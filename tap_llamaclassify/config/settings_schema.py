"""The settings as plain JSON Schema, for whatever shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tap_llamaclassify.config.settings import Settings


def config_jsonschema() -> dict[str, Any]:
    """Describe the settings in the plain JSON Schema that `--about` and Meltano can show.

    No setting that the environment may supply has a default, because singer-sdk writes defaults
    into the configuration, where they would win.
    """
    schema = Settings.model_json_schema()
    objects = {f"#/$defs/{name}": described for name, described in schema["$defs"].items()}
    return _object(schema, objects)


def _object(described: Mapping[str, Any], objects: Mapping[str, Any]) -> dict[str, Any]:
    names = described.get("required", ())
    properties = {
        name: _plain(it, objects, is_required=name in names)
        for name, it in described["properties"].items()
    }
    required = {"required": names} if names else {}
    return {
        "type": "object",
        "properties": properties,
        **required,
        "additionalProperties": False,
    }


def _plain(
    described: Mapping[str, Any], objects: Mapping[str, Any], *, is_required: bool
) -> dict[str, Any]:
    value, *_ = described.get("anyOf", [described])
    plain = {
        # A null stands for the default.
        "type": value["type"] if is_required else [value["type"], "null"],
        "description": described["description"],
    }
    if described.get("default") is not None:
        plain["default"] = described["default"]
    if "format" in described:
        plain["format"] = described["format"]
    if "items" in value:
        each = value["items"]
        plain["items"] = (
            _object(objects[each["$ref"]], objects) if "$ref" in each else {"type": each["type"]}
        )
    if value.get("format") == "password" or _holds_secret(plain):
        plain["secret"] = True
    return plain


def _holds_secret(plain: Mapping[str, Any]) -> bool:
    return any("secret" in inner for inner in plain.get("items", {}).get("properties", {}).values())
