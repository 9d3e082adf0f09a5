"""What the sandbox can put on the wire: whole replies, broken ones, floods; it sends nothing."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

JSON_TYPE = {"content-type": "application/json"}

Ending = Literal["close", "reset", "stall"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Canned:
    """A reply made beforehand; `cut` closes the connection in the middle of its body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    date: bool = True
    cut: bool = False
    delay_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Broken:
    """Bytes that are no whole reply, and what comes after them.

    end: the connection is closed, or reset, or stays open and silent.
    status: what the bytes say, if they say so much.
    """

    data: bytes
    end: Ending
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Flood:
    """A reply of status 200 that is too large to be made beforehand; made as it is sent."""

    headers: dict[str, str]
    chunks: Callable[[], Iterator[bytes]]


Reply = Canned | Broken | Flood


def canned_body(body: Any, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Bytes as they are, a text in UTF-8, anything else as JSON; and the lower-cased headers."""
    lowered = {name.lower(): value for name, value in headers.items()}
    if isinstance(body, bytes):
        return body, lowered
    if isinstance(body, str):
        return body.encode(), lowered
    return json.dumps(body).encode(), {**JSON_TYPE, **lowered}


def answer(status: int, body: Any, **headers: str) -> Canned:
    """Make a whole reply; a header's name is written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    raw, lowered = canned_body(body, named)
    return Canned(status=status, body=raw, headers=lowered)
