"""From bytes to JSON values, whatever numbers and text they hold; it knows nothing of the API."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec
from pydantic_core import from_json

from tap_llamaclassify.errors import CutShortError, ReplyError

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_INTEGER = 4000


def decode(body: bytes) -> tuple[Any, int]:
    """Read JSON; return it, and how many lone surrogates became U+FFFD.

    A number that no float can hold, or with thousands of digits, is read as its text.

    Raises:
        CutShortError: The JSON ends in the middle.
        ReplyError: It is no JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return msgspec.json.decode(body), 0
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_with_care(body)


def _decode_with_care(body: bytes) -> tuple[Any, int]:
    """Decode what the fast decoder refuses: lone surrogates, and numbers out of range, as text."""
    try:
        text = body.decode("utf-8", "surrogatepass")
        decoded = json.loads(text, parse_constant=_refuse, parse_float=_to_float, parse_int=_to_int)
        return _replace_surrogates(decoded)
    except ValueError:
        raise _no_json(body) from None


def _no_json(body: bytes) -> ReplyError:
    if body.lstrip()[:1] == b"<":
        return ReplyError("answered HTML instead of JSON; check api_url and any proxy")
    try:
        from_json(body)
    except ValueError as error:
        if "EOF while parsing" in str(error):
            return CutShortError("answered JSON that ends in the middle")
    return ReplyError("answered what is no JSON; check api_url and any proxy")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _to_float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _to_int(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INTEGER else text


def _replace_surrogates(value: Any) -> tuple[Any, int]:
    match value:
        case str():
            return _LONE_SURROGATE.subn("\ufffd", value)
        case list():
            items = [_replace_surrogates(item) for item in value]
            return [item for item, _ in items], sum(count for _, count in items)
        case dict():
            return _replace_in_object(value)
        case _:
            return value, 0


def _replace_in_object(value: dict[str, Any]) -> tuple[dict[str, Any], int]:
    replaced: dict[str, Any] = {}
    total = 0
    for name, content in value.items():
        text, in_name = _replace_surrogates(name)
        if text in replaced or (in_name and text in value):
            text = name.encode("utf-8", "backslashreplace").decode()
            while text in replaced or text in value:
                text += "\ufffd"
        replaced[text], in_content = _replace_surrogates(content)
        total += in_name + in_content
    return replaced, total
