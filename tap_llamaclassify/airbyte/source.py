"""What one read sends: rows first, then what the state keeps of them, stream by stream."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tap_llamaclassify.airbyte import messages
from tap_llamaclassify.airbyte.catalog import Configured
from tap_llamaclassify.config.connections import resolve_connections
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.errors import ApiError, StateError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.http.pacing import Clock
from tap_llamaclassify.replication.listing_bookmarks import Wanted
from tap_llamaclassify.replication.readers import Failed
from tap_llamaclassify.replication.reading import check_allowed, read_parts
from tap_llamaclassify.replication.schema_drift import SchemaDrift
from tap_llamaclassify.replication.state import Partition, State
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.replication.summary import (
    Part,
    error_of,
    summed_up,
    warn_of_insecure,
    warn_of_nothing,
    warn_of_the_unmissed,
)
from tap_llamaclassify.tables.tables import TABLES

GENERATION = "generation"
"""Where a stream's state says which full refresh it is of."""

_logger = logging.getLogger(__name__)


class Read:
    """One read of the streams that are configured.

    Args:
        settings: What the user set.
        streams: Those that are asked for.
        state: The messages of type STATE that the platform hands in.

    Raises:
        SettingsError: There is no key, or a setting is missing that a stream needs.
        StateError: A state is not understood.
    """

    def __init__(
        self, settings: Settings, streams: Sequence[Configured], state: Sequence[Any]
    ) -> None:
        check_allowed([each.table for each in streams], settings)
        self._settings = settings
        self._streams = {each.table.name: each for each in streams}
        self._connections = resolve_connections(settings, os.environ)
        keys = {table.name: table.replication_key for table in TABLES}
        self._state = State(keys, settings.start_date)
        given = dict(_entries(state))
        going_on = {name: entry for name, entry in given.items() if self._goes_on(name, entry)}
        self._state.load({"bookmarks": going_on})
        names = [name for each in self._connections if (name := each.name)]
        for text in self._state.unused(names, settings.adopt_state):
            _logger.warning(text)
        self._drift = SchemaDrift()
        self._rows = dict.fromkeys(self._streams, 0)
        self._counted = dict(self._rows)

    def _goes_on(self, name: str, entry: dict[str, Any]) -> bool:
        """Return whether a stream goes on from what is kept of it."""
        stream = self._streams.get(name)
        generation = entry.pop(GENERATION, None)
        if stream is None:
            return False
        # A full refresh goes on from what it has kept itself, and from nothing else.
        return stream.is_incremental or (generation is not None and generation == stream.generation)

    def run(self) -> None:
        """Read, and write what comes.

        Raises:
            ApiError: Something could not be read; all else was, and is written.
            OutputError: Nobody takes what is written.
        """
        warn_of_insecure(self._connections)
        relied_on = {name for name, stream in self._streams.items() if stream.replaces}
        all_ = self._settings.require_all
        parts = [
            Part(Client(each), self._wanted(each.name), require_all=all_, relied_on=relied_on)
            for each in self._connections
        ]
        messages.write(*(messages.status(name, "STARTED") for name in self._streams))
        with summed_up(parts, self._rows, Clock()):
            for part, step in read_parts(parts, self._settings):
                try:
                    self._write(part, step)
                except ApiError as failure:
                    # Its next steps would let the state pass over what could not be written.
                    part.failures.append(Failed(failure, [*self._streams]))
                    part.is_over = True
                del step
            warn_of_the_unmissed(parts)
            self._drift.warn()
            self._finish(parts)
            if error := error_of(parts):
                raise error
            warn_of_nothing(parts, self._settings)

    def _wanted(self, connection: str | None) -> Wanted:
        return {
            name: self._state.kept(name, self._place(connection)) if stream.is_resumable else None
            for name, stream in self._streams.items()
        }

    def _place(self, connection: str | None) -> Partition:
        return Partition.of(connection, self._settings.adopt_state)

    def _write(self, part: Part, step: Step) -> None:
        rows_of = {
            name: stream.table.rows(step.items.get(name, ()))
            for name, stream in self._streams.items()
        }
        out: list[dict[str, Any]] = []
        for name, rows in rows_of.items():
            if rows and not self._rows[name]:
                out.append(messages.status(name, "RUNNING"))
            out += messages.records(name, rows)
            self._rows[name] += len(rows)
            self._drift.note_unknown(self._streams[name].table, rows)
        self._drift.note_misfits(step)
        connection = part.client.connection.name
        out += [self._kept(name, connection, kept) for name, kept in step.kept.items()]
        messages.write(*out)

    def _kept(self, name: str, connection: str | None, kept: StreamState) -> dict[str, Any]:
        entry = self._state.keep(name, self._place(connection), kept)
        if not self._streams[name].is_incremental:
            entry = {**entry, GENERATION: self._streams[name].generation}
        return self._counted_state(name, entry)

    def _counted_state(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        count = self._rows[name] - self._counted[name]
        self._counted[name] = self._rows[name]
        return messages.state(name, entry, count)

    def _finish(self, parts: Sequence[Part]) -> None:
        unread = {name for part in parts for name in part.unread}
        missed = {name for part in parts for name in part.missed}
        for name, stream in self._streams.items():
            if not stream.is_resumable and name not in unread:
                messages.write(self._counted_state(name, messages.NO_CURSOR))
            messages.write(messages.status(name, "INCOMPLETE" if name in missed else "COMPLETE"))


def _entries(state: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what state messages keep, by stream.

    Raises:
        StateError: One is none of a stream's.
    """
    if not isinstance(state, list):
        raise StateError("state: it is no list of state messages; pass what the platform has kept")
    for each in state:
        # As it was written, or as a platform hands it in.
        match each.get("state", each) if isinstance(each, dict) else each:
            case {"stream": {"stream_descriptor": {"name": str(name)}, **stream}}:
                entry = stream.get("stream_state") or {}
                if not isinstance(entry, dict):
                    raise StateError(f"state: that of {name[:64]!r} is no object; reset the stream")
                if entry != messages.NO_CURSOR:
                    yield name, dict(entry)
            case _:
                raise StateError("state: it holds what is no state of a stream; reset the source")
