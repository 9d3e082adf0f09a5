"""What a Singer state keeps of each stream: read with suspicion, written in one form.

A stream is never read from its beginning only because its state was not understood. Where there
are connections, an entry has partitions as singer-sdk writes them, with the context
`{"connection": name}`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tap_llamaclassify.config.validators import is_name
from tap_llamaclassify.errors import StateError
from tap_llamaclassify.json_text import encoder
from tap_llamaclassify.replication.stream_state import (
    StreamState,
    fields_of,
    keeps,
    read_fields,
    unreadable,
)

_TOP_LEVEL = {"bookmarks", "currently_syncing"}


@dataclass(frozen=True)
class Partition:
    """Where in a stream's entry something is kept.

    Attributes:
        connection: The connection's name; None for the single one, at the top of the entry.
        adopts: Whether the connection goes on from what the single one kept at the top.
    """

    connection: str | None = None
    adopts: bool = False


def check_state(state: object, streams: Mapping[str, str | None]) -> list[str]:
    """Make sure that a state has a shape that is understood; return the streams it has besides.

    Args:
        state: As it was handed in.
        streams: The names of the tap's streams, and the replication key of each; None for one
            without.

    Raises:
        StateError: Names the stream, the connection and the field that is not understood.
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
        if _has_lone_surrogate(stream, entry):
            raise unreadable(str(stream), "", "holds what is no text")
        if not isinstance(entry, dict):
            raise unreadable(stream, "", "is no object")
        if stream in streams:
            read_fields(stream, entry, streams[stream], beside="partitions")
            _partitions(stream, entry, streams[stream])
    others = sorted(bookmarks.keys() - streams.keys())
    if others and len(others) == len(bookmarks):
        raise StateError(
            f"state: it holds bookmarks.{others[0]}, and of no stream of this tap; pass this tap's "
            "state, or start without one"
        )
    return others


def read_kept(
    stream: str, entry: Mapping[str, Any], replication_key: str | None, place: Partition
) -> StreamState:
    """Read what a stream's entry keeps at a place.

    Raises:
        StateError: Names the field that cannot be read; or the entry is of connections, and the
            place is not.
    """
    top = read_fields(stream, entry, replication_key, beside="partitions")
    partitions = _partitions(stream, entry, replication_key)
    if place.connection is not None:
        kept = partitions.get(place.connection, StreamState())
        return top if place.adopts and kept == StreamState() else kept
    if names := [name for name, kept in partitions.items() if kept != StreamState()]:
        raise StateError(
            f"state: bookmarks.{stream} is of connections ({', '.join(sorted(names))}); set "
            "connections, or start without a state"
        )
    return top


def write_kept(
    entry: dict[str, Any], replication_key: str | None, kept: StreamState, place: Partition
) -> None:
    """Put what is kept into a stream's entry, in place of all that was at that place.

    What other connections keep stays. A connection that adopts leaves nothing at the top, unless
    it had a partition of its own to go on from.
    """
    if replication_key is None or place.connection is None:
        entry.clear()
        entry.update(fields_of(kept, replication_key))
        return
    partitions = _by_name(entry)
    if place.adopts and not keeps(partitions.get(place.connection, {})):
        entry.clear()
    partitions[place.connection] = {
        "context": {"connection": place.connection},
        **fields_of(kept, replication_key),
    }
    entry["partitions"] = [partitions[name] for name in sorted(partitions)]


def unused(
    state: Mapping[str, Any],
    streams: Collection[str],
    names: Collection[str],
    adopts: str | None,
) -> list[str]:
    """Say what a state keeps that nothing goes on from, one text for each kind of it.

    Args:
        state: One that `check_state` understood.
        streams: The names of the tap's streams.
        names: Those of the connections; none when there is but the single one, which goes on from
            all that is at the top, or refuses the state.
        adopts: The name of the connection that goes on from the single one's bookmarks.
    """
    if not names:
        return []
    bookmarks = state.get("bookmarks", {})
    entries = {stream: bookmarks[stream] for stream in sorted(bookmarks.keys() & {*streams})}
    partitions = {stream: _by_name(entry) for stream, entry in entries.items()}
    idle = [
        stream
        for stream, entry in entries.items()
        if keeps(entry) and (adopts is None or keeps(partitions[stream].get(adopts, {})))
    ]
    gone = {name for some in partitions.values() for name in some if keeps(some[name])} - {*names}
    texts = []
    if idle:
        texts.append(
            f"The state has bookmarks of the time before connections ({', '.join(idle)}), and no "
            "connection goes on from them; adopt_state can name one that has none of its own"
        )
    if gone:
        texts.append(
            f"The state has bookmarks of connections that are not set ({', '.join(sorted(gone))}); "
            "they are kept"
        )
    return texts


def _partitions(
    stream: str, entry: Mapping[str, Any], replication_key: str | None
) -> dict[str, StreamState]:
    partitions = entry.get("partitions", [])
    if not isinstance(partitions, list):
        raise unreadable(stream, ".partitions", "is no list")
    kept: dict[str, StreamState] = {}
    for number, partition in enumerate(partitions):
        at = f".partitions[{number}]"
        if not isinstance(partition, dict):
            raise unreadable(stream, at, "is no object")
        match partition.get("context"):
            case {"connection": name, **others} if is_name(name) and not others:
                path = f"{stream}.partitions.{name}"
            case _:
                raise unreadable(stream, f"{at}.context", "is not that of a connection")
        if name in kept:
            raise unreadable(path, "", "is there twice")
        kept[name] = read_fields(path, partition, replication_key, beside="context")
    return kept


def _by_name(entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {p["context"]["connection"]: p for p in entry.get("partitions", [])}


def _has_lone_surrogate(*values: Any) -> bool:
    """Return whether a text in it cannot be written: JSON can spell what UTF-8 cannot."""
    try:
        encoder.encode(values)
    except UnicodeEncodeError:
        return True
    return False
