"""Takes out addresses that let whoever has them read a file: none is to get into a warehouse."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

from tap_llamaclassify.api.models import Json

_OPEN = r"""
    x-(?:amz|goog|oss|cos|obs|tos|ms)-(?:signature|credential|security-token)
    | cloudfront-(?:signature|policy|key-pair-id) | (?:aws|oss)accesskeyid | googleaccessid
    | key-pair-id | hdnts | access_token
"""
_IS_OPEN = re.compile(rf"(?:^|[^a-z0-9-])(?:{_OPEN})\s*=", re.VERBOSE)
"""Finds what opens a file, and is nothing else, as a parameter of an address."""
_IS_SIGNED = re.compile(r"[?&#;](?:sig|signature|token|policy)=|//[^/?#@\s]*@")
"""Finds what does so in an address, and may be anything in another text."""
_IS_OPEN_NAME = re.compile(rf"{_OPEN} | download_?url | form_?fields", re.VERBOSE).fullmatch
_BESIDE_URL = {"fields", "form_fields", "expires_at", "expires_in", "expiration"}
"""What stands beside `url` in an object that is a presigned address."""


def without_presigned(item: Json) -> None:
    """Take them out of an item: of a text, what follows the `?`; of an object, all of it."""
    cleaned = _cleaned(item)
    item.clear()
    item.update(cleaned)


def _cleaned(value: Any) -> Any:
    # Loops, and no comprehensions: each is a frame more for a value that is nested deeply.
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        items = []
        for each in value:
            items.append(None if _is_presigned(each) else _cleaned(each))  # noqa: PERF401 - see above
        return items
    if isinstance(value, dict):
        fields = {}
        for name, inner in value.items():
            if not (isinstance(name, str) and _IS_OPEN_NAME(name.casefold())):
                fields[_cleaned(name)] = None if _is_presigned(inner) else _cleaned(inner)
        return fields
    return value


def _text(text: str) -> str | None:
    if not _opens(text):
        return text
    address = text.partition("?")[0]
    return None if _opens(address) else address


def _opens(text: str) -> bool:
    if "=" not in text and "%" not in text and "@" not in text:
        return False
    # It may be part of another address, and that of a third, or of JSON.
    plain = unquote(unquote(text)).replace("\\/", "/").casefold()
    return bool(_IS_OPEN.search(plain) or ("//" in plain and _IS_SIGNED.search(plain)))


def _is_presigned(value: Any) -> bool:
    return isinstance(value, dict) and "url" in value and not _BESIDE_URL.isdisjoint(value)
