"""How deep a JSON value nests: what reads and copies values goes down by recursion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

DEEPEST = 50
"""How many levels of objects and lists a value may have: many a parser of JSON stops at 64, and a
loader finds the value inside a message."""


def is_too_deep(value: Any) -> bool:
    """Return whether a value has more than DEEPEST levels of objects and lists."""
    level: list[Any] = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return any(isinstance(inner, dict | list) for inner in level)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
