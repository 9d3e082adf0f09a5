"""What a request asks as a server reads it, and whether the OpenAPI allows that."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

from tests.conformance.contract import Contract, Schema
from tests.support.accounting import fixed

Verdict: TypeAlias = bool | None
"""Whether a value is allowed; None for one that servers read, though its schema may not mean it."""

_INTEGER = re.compile(r"-?\d+", re.ASCII).fullmatch
_LOOSE_INTEGER = re.compile(r"\s*[+-]?\d[\d_]*(\.0*)?\s*").fullmatch
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE).fullmatch
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
).fullmatch
_LOOSE_BOOLEANS = {"true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n"}


@dataclass(frozen=True)
class Asked:
    """A request: the values of its path, and those of its query, some of them repeated."""

    path: Mapping[str, str]
    query: Mapping[str, Sequence[str]]

    @classmethod
    def by(cls, url: str, template: str) -> Asked:
        """Read a URL by the path's template."""
        parts = urlsplit(url)
        pattern = re.sub(r"\{([^}]*)\}", r"(?P<\1>[^/]*)", template)
        found = re.fullmatch(pattern, parts.path)
        path = {name: unquote(text) for name, text in found.groupdict().items()} if found else {}
        return cls(path, parse_qs(parts.query, keep_blank_values=True))

    def last(self, name: str) -> str | None:
        """Return a parameter of the query; of one that is repeated, the last."""
        return self.query[name][-1] if name in self.query else None


def verdicts(contract: Contract, path: str, asked: Asked) -> dict[str, Verdict]:
    """Judge the parameters of a request that are there, or ought to be, by name."""
    found: dict[str, Verdict] = {}
    for name, parameter in contract.parameters(path).items():
        if name in asked.query:
            found[name] = verdict(parameter["schema"], asked.query[name])
        elif parameter.get("required"):
            found[name] = False
    for name, parameter in contract.parameters(path, "path").items():
        found[name] = verdict(parameter["schema"], [asked.path.get(name, "")])
    return found


def verdict(schema: Schema, texts: Sequence[str]) -> Verdict:
    """Judge the values that one parameter has, by its schema."""
    found = [_one_verdict(each, texts) for each in schema.get("anyOf", [schema])]
    return True if True in found else None if None in found else False


def _one_verdict(schema: Schema, texts: Sequence[str]) -> Verdict:
    if schema.get("type") == "array":
        each = {verdict(schema["items"], [text]) for text in texts}
        return False if False in each else None if None in each else True
    text = texts[-1]
    found: Verdict
    match schema:
        case {"enum": values}:
            found = text in values
        case {"type": "string", "format": form}:
            found = _FORMATS[form](text)
        case {"type": "string"}:
            found = True
        case {"type": "integer"}:
            found = _integer(text, schema)
        case {"type": "number"}:
            found = _number(text)
        case {"type": "boolean"}:
            found = _boolean(text)
        case {"type": "null"}:
            # A query cannot say it.
            found = False
        case _:
            raise NotImplementedError(f"a parameter of {schema}")
    return found


def _boolean(text: str) -> Verdict:
    if text in {"true", "false"}:
        return True
    return None if text.lower() in _LOOSE_BOOLEANS else False


def _integer(text: str, schema: Schema) -> Verdict:
    if not _INTEGER(text):
        return None if _LOOSE_INTEGER(text) else False
    lowest: float = schema.get("minimum", -math.inf)
    highest: float = schema.get("maximum", math.inf)
    return lowest <= int(text) <= highest


def _number(text: str) -> Verdict:
    try:
        return True if math.isfinite(float(text)) else None
    except ValueError:
        return False


def _uuid(text: str) -> Verdict:
    if _UUID(text):
        return True
    try:
        UUID(text)
    except ValueError:
        return False
    return None


def _timestamp(text: str) -> Verdict:
    if _RFC_3339(text):
        # No calendar has a second 60, nor a year 0.
        return True if fixed(text) else None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return None


_FORMATS = {"uuid": _uuid, "date-time": _timestamp}
