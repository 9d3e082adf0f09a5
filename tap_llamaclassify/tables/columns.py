"""What kind of column a JSON Schema's property is, where columns have types."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from enum import Enum
from typing import Any


class Kind(Enum):
    """What a column holds; JSON is text that holds what has no better type."""

    TIMESTAMP = "timestamps"
    DAY = "days"
    TEXT = "text"
    INTEGER = "whole numbers"
    NUMBER = "numbers"
    BOOLEAN = "true or false"
    INTEGERS = "lists of whole numbers"
    JSON = "JSON"


_SCALARS = {
    frozenset({"string"}): Kind.TEXT,
    frozenset({"integer"}): Kind.INTEGER,
    frozenset({"number"}): Kind.NUMBER,
    frozenset({"integer", "number"}): Kind.NUMBER,
    frozenset({"boolean"}): Kind.BOOLEAN,
}


def kind_of(schema: Mapping[str, Any]) -> Kind:
    """Return the kind of column that fits a property's JSON Schema."""
    types = _types(schema)
    if types == {"string"} and schema.get("format") == "date-time":
        return Kind.TIMESTAMP
    if types == {"string"} and schema.get("format") == "date":
        return Kind.DAY
    if types == {"array"} and _types(schema.get("items") or {}) == {"integer"}:
        return Kind.INTEGERS
    return _SCALARS.get(types, Kind.JSON)


def _types(schema: Mapping[str, Any]) -> frozenset[str]:
    types = schema.get("type", ())
    return frozenset([types] if isinstance(types, str) else types) - {"null"}


def with_json_as_text(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a stream whose files hold JSON as text, so that no loader encodes it once more."""
    described = copy.deepcopy(dict(schema))
    for name, column in described["properties"].items():
        if kind_of(column) is Kind.JSON:
            text: dict[str, Any] = {"type": ["string", "null"]}
            if "description" in column:
                text["description"] = f"{column['description']} As JSON text."
            described["properties"][name] = text
    return described
