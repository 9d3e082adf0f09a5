"""Draws whatever a JSON Schema of the OpenAPI allows, the odd of it above all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hypothesis import strategies as st

from tests.conformance.contract import Contract, Schema

Strategy = st.SearchStrategy[Any]

MORE_ITEMS = 3
"""How many items a list may have beyond those that it must."""

ODD_TEXTS = (
    *("", " ", "null", "0", "true", "\x00", "\r\n\t", '"\\/', "{}", "2026-11-23T12:00:00Z"),
    *("日本 🦙", "e\u0301", "\u202eabc", "\ufeff", "\ufffd", "\U0010ffff", "İ", "a" * 300),
)
ODD_INTEGERS = (0, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 10**30)
ODD_NUMBERS = (0, 1, 0.0, -0.0, 1.0, 5e-324, 1e-7, 0.1 + 0.2, 1e15, 1.7976931348623157e308)
ODD_TIMESTAMPS = (
    *("2026-11-23T12:00:00Z", "2026-11-23t12:00:00z", "2026-11-23T12:00:00-00:00"),
    *("0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999999-23:59", "0000-01-01T00:00:00Z"),
    *("1990-12-31T23:59:60Z", "2024-02-29T23:59:59.9999999+14:00"),
)
UNKNOWN_NAMES = (
    *("usage", "document_input_value", "id", "rules", "type", "metadata", "job_updated_at"),
    *("", "a.b", "Mode", "日本", "additional_fields"),
)
"""Names of fields that no schema, or only another, has."""

TEXT = st.text(max_size=8) | st.sampled_from(ODD_TEXTS) | st.text(min_size=60, max_size=90)
INTEGER = st.integers(-9, 999) | st.integers() | st.sampled_from(ODD_INTEGERS)
NUMBER = st.floats(allow_nan=False, allow_infinity=False) | INTEGER | st.sampled_from(ODD_NUMBERS)
FIELDS = st.sampled_from(["credits", "parse_credits", "type", "lang", "more", ""])
"""Names of fields inside of unknown objects."""
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)

UNKNOWN = JSON | st.dictionaries(FIELDS, NUMBER | TEXT, min_size=1, max_size=2)


def _zone(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"


def _timestamp(moment: datetime, fraction: str, zone: str) -> str:
    return f"{moment.isoformat(timespec='seconds')}{fraction and '.' + fraction}{zone}"


TIMESTAMP = st.sampled_from(ODD_TIMESTAMPS) | st.builds(
    _timestamp,
    st.datetimes(),
    st.text("0123456789", max_size=9),
    st.just("Z") | st.integers(-1439, 1439).map(_zone),
)
FORMATS: dict[str, Strategy] = {
    "date-time": TIMESTAMP,
    "uuid": st.uuids().map(str) | st.uuids().map(lambda each: str(each).upper()),
    "uri": st.sampled_from(["https://files.example.com/a?X-Amz-Signature=0", "urn:a:b"]),
}


class Drawing:
    """Makes strategies of the schemas of a contract, each part of it once."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._made: dict[str, Strategy] = {}

    def of(self, schema: Schema) -> Strategy:
        """Draw what a schema allows.

        Raises:
            NotImplementedError: It says what no schema of the OpenAPI has said so far.
        """
        match schema:
            case {"$ref": reference}:
                if reference not in self._made:
                    self._made[reference] = self.of(self._contract.resolved(schema))
                drawn = self._made[reference]
            case {"anyOf": among} | {"oneOf": among}:
                drawn = st.one_of([self.of(each) for each in among])
            case {"const": value}:
                drawn = st.just(value)
            case {"enum": values}:
                drawn = st.sampled_from(values)
            case {"type": "object"}:
                drawn = self._object(schema)
            case {"type": "array"}:
                drawn = self._list(schema)
            case _:
                drawn = _scalar(schema)
        return drawn

    def _list(self, schema: Schema) -> Strategy:
        fewest: int = schema.get("minItems", 0)
        most = min(schema.get("maxItems", fewest + MORE_ITEMS), fewest + MORE_ITEMS)
        return st.lists(self.of(schema.get("items", {})), min_size=fewest, max_size=most)

    def _object(self, schema: Schema) -> Strategy:
        fields = {name: self.of(each) for name, each in schema.get("properties", {}).items()}
        required = {name: fields[name] for name in schema.get("required", ())}
        optional = {name: each for name, each in fields.items() if name not in required}
        known = st.fixed_dictionaries(required, optional=optional)
        others = schema.get("additionalProperties", True)
        if others is False:
            return known
        name = (TEXT | st.sampled_from(UNKNOWN_NAMES)).filter(lambda text: text not in fields)
        value = UNKNOWN if others is True else self.of(others)
        unknown: Strategy = st.just({}) | st.dictionaries(name, value, max_size=2)
        return st.builds(lambda extra, own: extra | own, unknown, known)


def _scalar(schema: Schema) -> Strategy:
    match schema.get("type"):
        case "string":
            drawn = _text(schema)
        case "integer":
            whole = _integer(schema)
            # 5.0 is an integer to JSON Schema.
            drawn = whole | whole.filter(lambda number: abs(number) < 2**53).map(float)
        case "number":
            drawn = _number(schema)
        case "boolean":
            drawn = st.booleans()
        case "null":
            drawn = st.none()
        case None:
            drawn = JSON
        case other:
            raise NotImplementedError(f"a schema of type {other!r}")
    return drawn


def _text(schema: Schema) -> Strategy:
    if "format" in schema:
        return FORMATS[schema["format"]]
    if schema.get("pattern") == "^https?:":
        return st.sampled_from(["https:", "http://localhost/hook?a=b"])
    if "pattern" in schema:
        return st.from_regex(schema["pattern"])
    fewest, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    return TEXT.map(lambda text: text.ljust(fewest, "·")).filter(lambda text: len(text) <= most)


def _integer(schema: Schema) -> Strategy:
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        lowest = schema["exclusiveMinimum"] + 1
    if lowest is None and highest is None:
        return INTEGER
    first, last = (None if bound is None else int(bound) for bound in (lowest, highest))
    return st.integers(first, last) | _among(ODD_INTEGERS, first, last)


def _number(schema: Schema) -> Strategy:
    is_above = "exclusiveMinimum" in schema
    lowest, highest = schema.get("exclusiveMinimum", schema.get("minimum")), schema.get("maximum")
    if lowest is None and highest is None:
        return NUMBER
    floats = st.floats(lowest, highest, exclude_min=is_above, allow_nan=False, allow_infinity=False)
    odd = _among(ODD_NUMBERS, lowest, highest)
    return floats | odd.filter(lambda number: not is_above or number > lowest)


def _among(odd: Sequence[float], lowest: float | None, highest: float | None) -> Strategy:
    """Draw the odd numbers that two bounds leave, if they leave any."""
    left = [
        each
        for each in odd
        if (lowest is None or lowest <= each) and (highest is None or each <= highest)
    ]
    return st.sampled_from(left) if left else st.nothing()
