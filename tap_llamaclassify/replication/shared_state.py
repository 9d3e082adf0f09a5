"""What the entries of several streams have in common stands in a state once.

The tables of one listing know the same unfinished jobs, and there may be a thousand of them. The
first stream's entry holds them, in the others `unfinished_of` names that stream. Nothing but the
form of a state is known here; entries that differ, because a stream was not selected for a time,
are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

UNFINISHED = "unfinished"
UNFINISHED_OF = "unfinished_of"

Entry = dict[str, Any]
"""A stream's entry, or a partition of it."""


def shared(state: Mapping[str, Any]) -> dict[str, Any]:
    """Write what entries have in common once; the state itself stays as it is.

    Args:
        state: One that `spelled_out` has made.
    """
    copied = _copied(state)
    first: dict[str | None, list[tuple[str, Any]]] = {}
    for stream, connection, entry in _entries(copied):
        unfinished = entry.get(UNFINISHED)
        if not unfinished:
            continue
        seen = first.setdefault(connection, [])
        owner = next((name for name, theirs in seen if theirs == unfinished), None)
        if owner is None:
            seen.append((stream, unfinished))
        else:
            del entry[UNFINISHED]
            entry[UNFINISHED_OF] = owner
    return copied


def spelled_out(state: Mapping[str, Any]) -> dict[str, Any]:
    """Give each entry what it shares with another's; the state handed in stays as it is.

    Where that other entry is gone, `unfinished_of` is left.
    """
    copied = _copied(state)
    theirs = {
        (stream, connection): entry.get(UNFINISHED) for stream, connection, entry in _entries(state)
    }
    for _, connection, entry in _entries(copied):
        owner = entry.get(UNFINISHED_OF)
        found = theirs.get((owner, connection)) if isinstance(owner, str) else None
        own = entry.get(UNFINISHED, {})
        if isinstance(found, dict) and isinstance(own, dict):
            # Where states were merged, an entry may have both.
            entry[UNFINISHED] = {**found, **own}
            del entry[UNFINISHED_OF]
    return copied


def _copied(state: Mapping[str, Any]) -> dict[str, Any]:
    """Copy as far down as anything is changed."""
    bookmarks = state.get("bookmarks")
    if not isinstance(bookmarks, dict):
        return dict(state)
    return {**state, "bookmarks": {name: _copied_entry(each) for name, each in bookmarks.items()}}


def _copied_entry(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    partitions = entry.get("partitions")
    if not isinstance(partitions, list):
        return dict(entry)
    copies = [dict(each) if isinstance(each, dict) else each for each in partitions]
    return {**entry, "partitions": copies}


def _entries(state: Mapping[str, Any]) -> Iterator[tuple[str, str | None, Entry]]:
    """Go through the entries, by name; what is no entry is for others to refuse."""
    bookmarks = state.get("bookmarks")
    for stream, entry in sorted(bookmarks.items()) if isinstance(bookmarks, dict) else ():
        if not isinstance(entry, dict):
            continue
        yield stream, None, entry
        partitions = entry.get("partitions")
        for partition in partitions if isinstance(partitions, list) else ():
            match partition:
                case {"context": {"connection": str(connection)}}:
                    yield stream, connection, partition
