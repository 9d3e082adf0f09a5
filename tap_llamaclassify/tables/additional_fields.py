"""What an object of the API's holds beyond the columns, so that nothing of it is lost."""

from __future__ import annotations

from typing import Any

import msgspec

from tap_llamaclassify.api.models import MISFITS, Json, Mark
from tap_llamaclassify.errors import ReplyError
from tap_llamaclassify.nesting import is_too_deep

_MARKS = frozenset(Mark)


def additional_fields(
    owner: Json, known: frozenset[str], more: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return an object's unknown fields and misfits, in the order of their names.

    Args:
        owner: The object.
        known: Its fields that have columns, one way or another.
        more: What else is left, ready as it is.
    """
    if known.issuperset(owner) and not more:
        return {}
    left = _left(owner, known)
    kept = {name: _kept(value, value) for name, value in left.items()} | (more or {})
    return dict(sorted(kept.items()))


def left_of(name: str, nested: Json, known: frozenset[str]) -> dict[str, Any]:
    """Return the same of an object inside another, under its name; nothing if nothing is left."""
    if known.issuperset(nested):
        return {}
    left = _left(nested, known)
    # It ends up one level further down.
    kept = {inner: _kept(value, [value]) for inner, value in sorted(left.items())}
    return {name: kept} if kept else {}


def kept_whole(value: Json | None) -> dict[str, Any] | None:
    """Return an object that has a column of its own, as deep as a loader can take it."""
    return value and {name: _kept(inner, [inner]) for name, inner in value.items()}


def _left(owner: Json, known: frozenset[str]) -> dict[str, Any]:
    unknown = {name: owner[name] for name in owner.keys() - known - _MARKS}
    misfits: dict[str, Any] = owner.get(MISFITS, {})
    return unknown | misfits


def _kept(value: Any, placed: Any) -> Any:
    return _as_text(value) if isinstance(value, dict | list) and is_too_deep(placed) else value


def _as_text(value: Any) -> str:
    """Write a value as JSON, so that it is kept, whatever depth a loader can take."""
    try:
        return msgspec.json.encode(value).decode()
    except RecursionError:
        raise ReplyError("answered JSON that is nested too deeply to be written") from None
