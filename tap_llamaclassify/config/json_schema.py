"""The settings as singer-sdk knows them: the environment's texts, the check."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jsonschema import ValidationError as JSONSchemaError
from singer_sdk.helpers._batch import BatchConfig
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from tap_llamaclassify.config.batch_config import TYPED, read_batch_config
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
    def is_typed(self) -> bool:
        """Whether rows go to files that have a schema of their own."""
        return self.batches is not None and self.batches.encoding.format in TYPED


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
    if error.validator in {"required", "dependentRequired"}:
        # Its text is of the schema alone: nothing that was given is in it.
        return f"{name} is not valid: {error.message}"
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
