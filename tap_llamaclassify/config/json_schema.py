"""The settings as singer-sdk knows them: their JSON Schema, the environment's texts, the check."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import ValidationError as JSONSchemaError
from singer_sdk.helpers._batch import BatchConfig
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from tap_llamaclassify.config.batch_config import PARQUET, read_batch_config
from tap_llamaclassify.config.connections import Connection, resolve_connections
from tap_llamaclassify.config.settings import Settings, parse_settings, parse_texts
from tap_llamaclassify.errors import SettingsError

_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


@dataclass(frozen=True)
class Configuration:
    """What a tap's configuration says.

    Attributes:
        connections: Where to ask and as whom; none where the configuration is not known.
        batches: How rows go to files; None for RECORD messages.
    """

    settings: Settings = field(default_factory=Settings)
    connections: Sequence[Connection] = ()
    batches: BatchConfig | None = None

    @property
    def is_parquet(self) -> bool:
        """Whether rows go to Parquet files."""
        return self.batches is not None and self.batches.encoding.format == PARQUET


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


def parse_configuration(
    config: Mapping[str, Any], schema: Mapping[str, Any], environ: Mapping[str, str]
) -> Configuration:
    """Parse a whole configuration: the tap's own settings, and those that singer-sdk adds.

    Raises:
        SettingsError: Names every setting that is unknown or wrong, and why; never a value.
    """
    sdk_names = schema["properties"].keys() - Settings.model_fields.keys()
    own = {name: value for name, value in config.items() if name not in sdk_names}
    settings = parse_settings(own)
    others = {name: value for name, value in config.items() if name in sdk_names}
    if reasons := sorted(_reasons(others, schema)):
        raise SettingsError("; ".join(reasons))
    batches = read_batch_config(others.get("batch_config"))
    if others.get("flattening_enabled") and others.get("flattening_max_depth") is None:
        raise SettingsError("flattening_max_depth is missing: flattening_enabled needs it")
    return Configuration(settings, resolve_connections(settings, environ), batches)


def _reasons(others: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    validator = DEFAULT_JSONSCHEMA_VALIDATOR(dict(schema))
    for name, value in others.items():
        try:
            yield from [_reason(error) for error in validator.iter_errors({name: value})]
        except AttributeError:
            # In singer-sdk 0.54 the schema of stream_maps.__else__ is itself not a schema.
            yield f"{name} is not valid"


def _reason(error: JSONSchemaError) -> str:
    name = ".".join(map(str, error.absolute_path))
    if error.validator != "type":
        return f"{name} is not valid"
    types: Any = error.validator_value
    return f"{name} must be {types if isinstance(types, str) else ' or '.join(types)}"


def read_environment(
    schema: Mapping[str, Any], prefix: str, environ: Mapping[str, str]
) -> dict[str, Any]:
    """Read settings from variables such as `TAP_LLAMACLASSIFY_PAGE_SIZE`.

    Raises:
        SettingsError: A text cannot be read as its setting's type; names the settings.
    """
    texts = {
        name: environ[variable]
        for name in schema["properties"]
        if (variable := prefix + name.upper()) in environ
    }
    simple = {
        name: text
        for name, text in texts.items()
        if name in Settings.model_fields and "items" not in schema["properties"][name]
    }
    return parse_texts(simple) | {
        name: _typed(name, text, schema["properties"][name])
        for name, text in texts.items()
        if name not in simple
    }


def _typed(name: str, text: str, schema: Mapping[str, Any]) -> Any:
    types = schema.get("type", "object")
    if "string" in types:
        return text
    if "boolean" in types and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise SettingsError(f"{name} is no JSON") from None
