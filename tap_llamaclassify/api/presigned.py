"""Takes out addresses that let whoever has them read a file: none is to get into a warehouse."""

from __future__ import annotations

import re
from typing import Any

from tap_llamaclassify.api.models import Json

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s\"'<>?]*\?[^\s\"'<>]*")
_SIGNATURE = re.compile(
    r"[?&;](?:x-(?:amz|goog|oss|cos|obs|ms|tos)-[a-z-]*|awsaccesskeyid|signature|sig|se|token"
    r"|key-pair-id|policy|googleaccessid|ossaccesskeyid)=",
    re.IGNORECASE,
)
_PARTS = {"url", "form_fields"}
"""What a presigned address consists of, where it is an object."""


def without_presigned(item: Json) -> None:
    """Take them out of an item: of a text, what follows the `?`; of an object, all of it."""
    item.pop("download_url", None)
    cleaned = _cleaned(item)
    item.clear()
    item.update(cleaned)


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return _ADDRESS.sub(_unsigned, value) if "://" in value else value
        case list():
            return [_cleaned(each) for each in value]
        case dict():
            return {
                _cleaned(name): None if _is_presigned(inner) else _cleaned(inner)
                for name, inner in value.items()
            }
        case _:
            return value


def _unsigned(address: re.Match[str]) -> str:
    text = address[0]
    return text.partition("?")[0] if _SIGNATURE.search(text) else text


def _is_presigned(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() >= _PARTS
