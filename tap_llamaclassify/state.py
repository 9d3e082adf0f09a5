"""What a Singer state keeps of each stream: read with suspicion, written in one form.

A stream is never read from its beginning only because its state was not understood. Where there
are connections, an entry has partitions as singer-sdk writes them, with the context
`{"connection": name}`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from tap_llamaclassify.encoding import encoder
from tap_llamaclassify.errors import StateError
from tap_llamaclassify.shared_state import UNFINISHED, UNFINISHED_OF
from tap_llamaclassify.texts import is_name
from tap_llamaclassify.timestamps import to_fixed

_KEY = "replication_key"
_VALUE = "replication_key_value"
_PREVIOUS_VALUE = "previous_replication_key_value"
_READ_UNTIL = "created_at_read_until"
_BEGUN = "reading_began_at"
_OWN = {_KEY, _VALUE, _PREVIOUS_VALUE, _READ_UNTIL, _BEGUN, UNFINISHED, UNFINISHED_OF}
_LEFTOVERS = {"progress_markers", "replication_key_signpost", "starting_replication_value"}
"""What singer-sdk leaves in an entry when a run of a tap built on it is broken off."""
_TOP_LEVEL = {"bookmarks", "currently_syncing"}


@dataclass(frozen=True)
class Kept:
    """What a state keeps of one stream, or of one connection's part in it.

    Instants are in the fixed form.

    Attributes:
        bookmark: None when it has none yet.
        shifts: Whether jobs were ever seen to move from page to page while they were listed.
        previous: Where `shifts`, the bookmark that the last run began with; None for the
            beginning.
        read_until: Every job created until then has been read since the bookmark was last set;
            None for none.
        begun: The server's clock when the reading began that came so far; None for none.
        unfinished: Ids of jobs that were unfinished when last seen, and when each was created;
            None when that is not known any more.
    """

    bookmark: str | None = None
    shifts: bool = False
    previous: str | None = None
    read_until: str | None = None
    begun: str | None = None
    unfinished: Mapping[str, str] | None = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where in a stream's entry something is kept.

    Attributes:
        connection: The connection's name; None for the single one, at the top of the entry.
        adopts: Whether the connection goes on from what the single one kept at the top.
    """

    connection: str | None = None
    adopts: bool = False


def check_state(state: object, streams: Mapping[str, str | None]) -> list[str]:
    """Make sure that a state has a shape that is understood; answer the streams it has besides.

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
            raise _unreadable(str(stream), "", "holds what is no text")
        if not isinstance(entry, dict):
            raise _unreadable(stream, "", "is no object")
        if stream in streams:
            _read(stream, entry, streams[stream], beside="partitions")
            _partitions(stream, entry, streams[stream])
    others = sorted(bookmarks.keys() - streams.keys())
    if others and len(others) == len(bookmarks):
        raise StateError(
            f"state: it holds bookmarks.{others[0]}, and of no stream of this tap; pass this tap's "
            "state, or start without one"
        )
    return others


def read_kept(
    stream: str, entry: Mapping[str, Any], replication_key: str | None, place: Place
) -> Kept:
    """Read what a stream's entry keeps at a place.

    Raises:
        StateError: Names the field that cannot be read; or the entry is of connections, and the
            place is not.
    """
    top = _read(stream, entry, replication_key, beside="partitions")
    partitions = _partitions(stream, entry, replication_key)
    if place.connection is not None:
        kept = partitions.get(place.connection, Kept())
        return top if place.adopts and kept == Kept() else kept
    if names := [name for name, kept in partitions.items() if kept != Kept()]:
        raise StateError(
            f"state: bookmarks.{stream} is of connections ({', '.join(sorted(names))}); set "
            "connections, or start without a state"
        )
    return top


def write_kept(
    entry: dict[str, Any], replication_key: str | None, kept: Kept, place: Place
) -> None:
    """Put what is kept into a stream's entry, in place of all that was at that place.

    What other connections keep stays. A connection that adopts leaves nothing at the top, unless
    it had a partition of its own to go on from.
    """
    if replication_key is None or place.connection is None:
        entry.clear()
        entry.update(_fields(kept, replication_key))
        return
    partitions = _by_name(entry)
    if place.adopts and not _keeps(partitions.get(place.connection, {})):
        entry.clear()
    partitions[place.connection] = {
        "context": {"connection": place.connection},
        **_fields(kept, replication_key),
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
        if _keeps(entry) and (adopts is None or _keeps(partitions[stream].get(adopts, {})))
    ]
    gone = {name for some in partitions.values() for name in some if _keeps(some[name])} - {*names}
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


def _read(path: str, entry: Mapping[str, Any], replication_key: str | None, *, beside: str) -> Kept:
    """Read the fields of an entry's top, or of a partition."""
    known = _LEFTOVERS | {beside} | (_OWN if replication_key else set())
    if unknown := sorted(entry.keys() - known):
        raise _unreadable(path, f".{unknown[0]}", "is not known to this version of the tap")
    if not isinstance(entry.get("progress_markers", {}), dict):
        raise _unreadable(path, ".progress_markers", "is no object")
    bookmark = _instant(path, entry, _VALUE)
    if bookmark is not None and entry.get(_KEY, replication_key) != replication_key:
        raise _unreadable(path, f".{_KEY}", f"is not {replication_key}")
    return Kept(
        bookmark,
        _PREVIOUS_VALUE in entry,
        _instant(path, entry, _PREVIOUS_VALUE),
        _instant(path, entry, _READ_UNTIL),
        _instant(path, entry, _BEGUN),
        _unfinished(path, entry),
    )


def _unfinished(path: str, entry: Mapping[str, Any]) -> dict[str, str] | None:
    given = entry.get(UNFINISHED, {})
    if UNFINISHED_OF in entry:
        if not isinstance(entry[UNFINISHED_OF], str):
            raise _unreadable(path, f".{UNFINISHED_OF}", "is no stream's name")
        return None
    if not isinstance(given, dict):
        raise _unreadable(path, f".{UNFINISHED}", "is no object")
    created = {job: to_fixed(at) if isinstance(at, str) else None for job, at in given.items()}
    unfinished = {job: at for job, at in created.items() if at is not None}
    if len(unfinished) < len(given):
        raise _unreadable(path, f".{UNFINISHED}", "holds what is no timestamp")
    return unfinished


def _instant(path: str, entry: Mapping[str, Any], name: str) -> str | None:
    value = entry.get(name)
    if value is None:
        return None
    fixed = to_fixed(value) if isinstance(value, str) else None
    if fixed is None:
        raise _unreadable(path, f".{name}", "is no timestamp")
    return fixed


def _partitions(
    stream: str, entry: Mapping[str, Any], replication_key: str | None
) -> dict[str, Kept]:
    partitions = entry.get("partitions", [])
    if not isinstance(partitions, list):
        raise _unreadable(stream, ".partitions", "is no list")
    kept: dict[str, Kept] = {}
    for number, partition in enumerate(partitions):
        at = f".partitions[{number}]"
        if not isinstance(partition, dict):
            raise _unreadable(stream, at, "is no object")
        match partition.get("context"):
            case {"connection": name, **others} if is_name(name) and not others:
                path = f"{stream}.partitions.{name}"
            case _:
                raise _unreadable(stream, f"{at}.context", "is not that of a connection")
        if name in kept:
            raise _unreadable(path, "", "is there twice")
        kept[name] = _read(path, partition, replication_key, beside="context")
    return kept


def _by_name(entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {p["context"]["connection"]: p for p in entry.get("partitions", [])}


def _keeps(fields: Mapping[str, Any]) -> bool:
    held = any(fields.get(name) for name in (_VALUE, _READ_UNTIL, UNFINISHED))
    return held or _PREVIOUS_VALUE in fields


def _fields(kept: Kept, replication_key: str | None) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if kept.bookmark is not None:
        fields |= {_KEY: replication_key, _VALUE: kept.bookmark}
    if kept.shifts:
        fields[_PREVIOUS_VALUE] = kept.previous
    if kept.read_until is not None:
        fields[_READ_UNTIL] = kept.read_until
    if kept.begun is not None:
        fields[_BEGUN] = kept.begun
    if kept.unfinished:
        fields[UNFINISHED] = dict(sorted(kept.unfinished.items()))
    return fields if replication_key else {}


def _has_lone_surrogate(*values: Any) -> bool:
    """Return whether a text in it cannot be written: JSON can spell what UTF-8 cannot."""
    try:
        encoder.encode(values)
    except UnicodeEncodeError:
        return True
    return False


def _unreadable(path: str, field: str, problem: str) -> StateError:
    return StateError(
        f"state: bookmarks.{path}{field} {problem}; correct it, or remove bookmarks.{path} "
        "to read that stream from its beginning"
    )
