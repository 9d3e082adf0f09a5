"""What a Singer state keeps of each stream: read with suspicion, written in one form.

A stream is never read from its beginning only because its state was not understood.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tap_llamaclassify.errors import StateError
from tap_llamaclassify.timestamps import to_fixed

REPLICATION_KEY = "updated_at"

_KEY = "replication_key"
_VALUE = "replication_key_value"
_PREVIOUS_VALUE = "previous_replication_key_value"
_LEFTOVERS = {"progress_markers", "replication_key_signpost", "starting_replication_value"}
"""What singer-sdk leaves in an entry when a run of a tap built on it is broken off."""
_TOP_LEVEL = {"bookmarks", "currently_syncing"}


@dataclass(frozen=True)
class Kept:
    """What a state keeps of one stream; instants are in the fixed form.

    Attributes:
        bookmark: None when it has none yet.
        shifts: Whether jobs were ever seen to move from page to page while they were listed.
        previous: Where `shifts`, the bookmark that the last run began with; None for the
            beginning.
    """

    bookmark: str | None = None
    shifts: bool = False
    previous: str | None = None


def check_state(state: object, streams: Collection[str]) -> list[str]:
    """Make sure that a state has a shape that is understood; answer the streams it has besides.

    Args:
        state: As it was handed in.
        streams: The names of the tap's streams.

    Raises:
        StateError: Names the stream and the field that is not understood.
    """
    if not isinstance(state, dict):
        raise StateError("the state is no JSON object; pass the last STATE that the loader wrote")
    if "bookmarks" not in state and {"type", "value"} <= state.keys():
        raise StateError("state: it is a whole STATE line; pass what the line has as its value")
    if unknown := sorted(map(str, state.keys() - _TOP_LEVEL)):
        raise StateError(
            f"state: {', '.join(unknown)[:200]} is not known beside bookmarks; pass the last STATE "
            "that the loader wrote, or start without a state"
        )
    bookmarks = state.get("bookmarks", {})
    if not isinstance(bookmarks, dict):
        raise StateError("state: bookmarks is no object; correct it, or start without a state")
    for stream, entry in bookmarks.items():
        if not isinstance(entry, dict):
            raise _unreadable(stream, "", "is no object")
        if stream in streams:
            read_entry(stream, entry)
    others = sorted(bookmarks.keys() - streams)
    if others and len(others) == len(bookmarks):
        raise StateError(
            f"state: it holds bookmarks.{others[0]}, and of no stream of this tap; pass this tap's "
            "state, or start without one"
        )
    return others


def read_entry(stream: str, entry: Mapping[str, Any]) -> Kept:
    """Read a stream's entry in a state.

    Raises:
        StateError: Names the field that cannot be read.
    """
    if unknown := sorted(entry.keys() - {_KEY, _VALUE, _PREVIOUS_VALUE, "partitions"} - _LEFTOVERS):
        raise _unreadable(stream, f".{unknown[0]}", "is not known to this version of the tap")
    for name, kind, what in (("partitions", list, "list"), ("progress_markers", dict, "object")):
        if not isinstance(entry.get(name, kind()), kind):
            raise _unreadable(stream, f".{name}", f"is no {what}")
    if entry.get("partitions"):
        raise _unreadable(stream, ".partitions", "holds bookmarks that are not this stream's")
    bookmark = _instant(stream, entry, _VALUE)
    if bookmark is not None and entry.get(_KEY, REPLICATION_KEY) != REPLICATION_KEY:
        raise _unreadable(stream, f".{_KEY}", f"is not {REPLICATION_KEY}")
    return Kept(bookmark, _PREVIOUS_VALUE in entry, _instant(stream, entry, _PREVIOUS_VALUE))


def _instant(stream: str, entry: Mapping[str, Any], name: str) -> str | None:
    value = entry.get(name)
    if value is None:
        return None
    fixed = to_fixed(value) if isinstance(value, str) else None
    if fixed is None:
        raise _unreadable(stream, f".{name}", "is no timestamp")
    return fixed


def _unreadable(stream: str, field: str, problem: str) -> StateError:
    return StateError(
        f"state: bookmarks.{stream}{field} {problem}; correct it, or remove bookmarks.{stream} "
        "to read that stream from its beginning"
    )


def write_entry(entry: dict[str, Any], kept: Kept) -> None:
    """Put what is kept of a stream into its entry, in place of all that was there."""
    entry.clear()
    if kept.bookmark is not None:
        entry[_KEY] = REPLICATION_KEY
        entry[_VALUE] = kept.bookmark
    if kept.shifts:
        entry[_PREVIOUS_VALUE] = kept.previous
