"""What a Singer state keeps of each stream: read with suspicion, written in one form.

A stream is never read from its beginning only because its state was not understood. Where there
are connections, an entry has partitions as singer-sdk writes them, with the context
`{"connection": name}`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tap_llamaclassify.config.validators import is_name
from tap_llamaclassify.errors import StateError
from tap_llamaclassify.json_text import encoder
from tap_llamaclassify.replication.stream_state import (
    StreamState,
    fields_of,
    read_fields,
    unreadable,
)

_TOP_LEVEL = {"bookmarks", "currently_syncing"}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Partition:
    """Where in a stream's entry something is kept.

    Attributes:
        connection: The connection's name; None for the single one, at the top of the entry.
        adopts: Whether the connection goes on from what the single one kept at the top.
    """

    connection: str | None = None
    adopts: bool = False

    @classmethod
    def of(cls, connection: str | None, adopting: str | None) -> Partition:
        """Return a connection's, given the name of the one that adopts."""
        return cls(connection, adopts=connection is not None and connection == adopting)


class State:
    """What a state keeps of each stream and connection, parsed but once; at first nothing.

    Args:
        streams: The names of the tap's streams, and the replication key of each; None for one
            without.
        start_date: The setting, by which all is read that is kept from now on; None for all there
            is.
    """

    def __init__(self, streams: Mapping[str, str | None], start_date: str | None = None) -> None:
        self._keys = streams
        self._start_date = start_date
        self._read_anew: set[tuple[str, Partition]] = set()
        self._tops = dict.fromkeys(streams, StreamState())
        self._partitions: dict[str, dict[str, StreamState]] = {name: {} for name in streams}

    def load(self, state: object) -> list[str]:
        """Make sure that a state is understood whole, and keep what it keeps.

        Args:
            state: As it was handed in.

        Returns:
            The streams that it has besides.

        Raises:
            StateError: Names the stream, the connection and the field that is not understood.
        """
        bookmarks = _bookmarks_of(state)
        streams = self._keys
        for stream, entry in bookmarks.items():
            if _has_lone_surrogate(stream, entry):
                raise unreadable(str(stream), "", "holds what is no text")
            if not isinstance(entry, dict):
                raise unreadable(stream, "", "is no object")
            if stream in streams:
                key = streams[stream]
                self._tops[stream] = read_fields(stream, entry, key, beside="partitions")
                self._partitions[stream] = _partitions(stream, entry, key)
        others = sorted(bookmarks.keys() - streams.keys())
        if others and len(others) == len(bookmarks):
            raise StateError(
                f"state: it holds bookmarks.{others[0]}, and of no stream of this tap; pass "
                "this tap's state, or start without one"
            )
        return others

    def kept(self, stream: str, place: Partition) -> StreamState:
        """Return what is kept of a stream at a place; nothing where `start_date` was moved back.

        Raises:
            StateError: The stream's entry is of connections, and the place is not.
        """
        found = self._found(stream, place)
        if found.start_date and (self._start_date or "") < found.start_date:
            if (stream, place) not in self._read_anew:
                _logger.warning(
                    "%s%s was last read with start_date %s, and is read anew now, from %s",
                    f"{place.connection}: " if place.connection else "",
                    stream,
                    found.start_date,
                    self._start_date or "its beginning",
                )
            self._read_anew.add((stream, place))
            return StreamState(last_read_at=found.last_read_at)
        return replace(found, start_date=None)

    def _found(self, stream: str, place: Partition) -> StreamState:
        if place.connection is not None:
            is_adopted = self._is_adopted(stream, place)
            return self._tops[stream] if is_adopted else self._at(stream, place)
        partitions = self._partitions[stream].items()
        if names := [name for name, kept in partitions if kept != StreamState()]:
            raise StateError(
                f"state: bookmarks.{stream} is of connections ({', '.join(sorted(names))}); set "
                "connections, or start without a state"
            )
        return self._tops[stream]

    def keep(self, stream: str, place: Partition, kept: StreamState) -> dict[str, Any]:
        """Keep this of a stream, in place of all that was kept at that place.

        What other connections keep stays. A connection that adopts leaves nothing at the top,
        unless it had a partition of its own to go on from.

        Returns:
            The stream's entry as it is now.
        """
        if kept != StreamState():
            # Where states are merged, what an older one says must not stay.
            unset = "" if (stream, place) in self._read_anew else None
            kept = replace(kept, start_date=self._start_date or unset)
        if place.connection is None:
            self._partitions[stream].clear()
            self._tops[stream] = kept
        else:
            if self._is_adopted(stream, place):
                self._tops[stream] = StreamState()
            self._partitions[stream][place.connection] = kept
        return self._entry_of(stream)

    def unused(self, names: Collection[str], adopts: str | None) -> list[str]:
        """Say what is kept that nothing goes on from, one text for each kind of it.

        Args:
            names: Those of the connections; none when there is but the single one, which goes on
                from all that is at the top, or refuses the state.
            adopts: The name of the connection that goes on from the single one's bookmarks.
        """
        if not names:
            return []
        adopting = Partition.of(adopts, adopts)
        idle = [
            stream
            for stream, top in sorted(self._tops.items())
            if top != StreamState() and not self._is_adopted(stream, adopting)
        ]
        gone = {
            name
            for partitions in self._partitions.values()
            for name, kept in partitions.items()
            if kept != StreamState()
        } - {*names}
        texts = []
        if idle:
            texts.append(
                f"The state has bookmarks of the time before connections ({', '.join(idle)}), and "
                "no connection goes on from them; adopt_state can name one that has none of its own"
            )
        if gone:
            texts.append(
                "The state has bookmarks of connections that are not set "
                f"({', '.join(sorted(gone))}); they are kept"
            )
        return texts

    def _at(self, stream: str, place: Partition) -> StreamState:
        return self._partitions[stream].get(place.connection or "", StreamState())

    def _is_adopted(self, stream: str, place: Partition) -> bool:
        return place.adopts and self._at(stream, place) == StreamState()

    def _entry_of(self, stream: str) -> dict[str, Any]:
        key = self._keys[stream]
        if key is None:
            return {}
        entry = fields_of(self._tops[stream], key)
        if partitions := self._partitions[stream]:
            entry["partitions"] = [
                {"context": {"connection": name}, **fields_of(kept, key)}
                for name, kept in sorted(partitions.items())
            ]
        return entry


def _bookmarks_of(state: object) -> dict[str, Any]:
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
    return bookmarks


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


def _has_lone_surrogate(*values: Any) -> bool:
    """Return whether a text in it cannot be written: JSON can spell what UTF-8 cannot."""
    try:
        encoder.encode(values)
    except UnicodeEncodeError:
        return True
    return False
