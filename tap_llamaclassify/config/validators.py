"""Texts that settings may hold, each checked and brought into one form; no setting is known here.

Every check answers the text in its one form, or raises a ValueError whose text is the reason,
without the value.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from tap_llamaclassify.timestamps import to_fixed

KEY_PREFIX = "llx-"
DEFAULT_API_URL = "https://api.cloud.llamaindex.ai"

is_key = re.compile(r"[\x21-\x7e]+").fullmatch
_is_name = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch
_is_variable = re.compile(r"[A-Za-z_][A-Za-z0-9_]*").fullmatch
_is_address = re.compile(r"[\x21-\x7e]+").fullmatch
_call = re.compile("(?i)(/api/v[0-9]{1,2})(/(classif|projects|organizations).*)?/*$").search
_is_header = re.compile(r"[\x21-\x7e][\x20-\x7e]*").fullmatch


def is_name(text: object) -> bool:
    """Return whether a value can be the name of a connection: it stands in states and in logs."""
    return isinstance(text, str) and bool(_is_name(text)) and KEY_PREFIX not in text


def normal_name(text: str) -> str:
    """Check the name of a connection."""
    if KEY_PREFIX in text:
        reason = "holds a key: the name is one of your choice, and the key goes into api_key"
        raise ValueError(reason)
    if not is_name(text):
        reason = "must be 1 to 64 characters out of A-Z a-z 0-9 . _ -"
        raise ValueError(reason)
    return text


def normal_variable(text: str) -> str:
    """Check the name of an environment variable."""
    if text.startswith(KEY_PREFIX):
        reason = "is a key: it goes into api_key, and here the name of a variable that holds it"
        raise ValueError(reason)
    if not _is_variable(text):
        reason = "is no name of an environment variable, such as LLAMA_KEY_EMEA"
        raise ValueError(reason)
    return text


def normal_instant(text: str) -> str:
    """Bring an ISO 8601 date or timestamp into the fixed form."""
    fixed = to_fixed(text)
    if fixed is None:
        reason = "is no ISO 8601 date or timestamp, such as 2026-01-31 or 2026-01-31T12:00:00Z"
        raise ValueError(reason)
    return fixed


def normal_key(text: str) -> str:
    """Check a key, and take off the blanks around it."""
    key = text.strip()
    if not key:
        reason = "is empty"
        raise ValueError(reason)
    if not is_key(key):
        reason = "holds characters that no key has"
        raise ValueError(reason)
    return key


def normal_header(text: str) -> str:
    """Check the value of an HTTP header."""
    if not _is_header(text):
        reason = "may hold printable ASCII characters only, and not begin with a blank"
        raise ValueError(reason)
    return text


def normal_url(text: str) -> str:
    """Bring an address into the form `scheme://host[:port][/path]`; without a scheme, https."""
    address = text.strip()
    parts = _split(address if "://" in address else f"https://{address}")
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        reason = f"is no address such as {DEFAULT_API_URL}"
        raise ValueError(reason)
    if parts.username is not None or parts.query or parts.fragment:
        reason = "must be scheme, host, port and path only: no user, password, query or fragment"
        raise ValueError(reason)
    if call := _call(parts.path):
        reason = f"must end before {call[1]}, as in {DEFAULT_API_URL}: calls have their own paths"
        raise ValueError(reason)
    if parts.hostname.startswith(KEY_PREFIX):
        reason = "is a key: the address goes there, and the key into api_key"
        raise ValueError(reason)
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        usable = parts.port != 0 and _is_address(address)
    except ValueError:
        return None
    return parts if usable else None
