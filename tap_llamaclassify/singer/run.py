"""What one sync writes: rows first, then what the state keeps of them, then STATE."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import cast

from singer_sdk import Tap
from singer_sdk.singerlib import StateMessage
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_llamaclassify.concurrency import Rest
from tap_llamaclassify.config.json_schema import Configuration
from tap_llamaclassify.http.pacing import Clock
from tap_llamaclassify.replication.listing_bookmarks import Wanted
from tap_llamaclassify.replication.schema_drift import SchemaDrift
from tap_llamaclassify.replication.state import Partition, State
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.singer.batches import Batches
from tap_llamaclassify.singer.messages import MessageWriter
from tap_llamaclassify.singer.streams import ClassifyStream
from tap_llamaclassify.singer.writers import RecordWriter, RowWriter, StreamWriter, version_of

FILES_SECONDS = 60
"""How often files are finished, at most, only for the state to move."""


class Run:
    """All selected streams during one sync.

    Args:
        streams: The selected streams, in the order in which a step's rows are written.
        tap: Writes the messages; its state is moved as reading goes on.
        state: What that state keeps.
        configuration: What the user set.
        clock: Tells how long ago files were finished.

    Attributes:
        writers: Where each stream's rows go.
        rows: How many rows were written so far, by the stream's name in the output.
    """

    def __init__(
        self,
        streams: Sequence[ClassifyStream],
        tap: Tap,
        state: State,
        configuration: Configuration,
        clock: Clock,
    ) -> None:
        self._tap = tap
        self._state = state
        # Asked for here, so that the state names every stream that was begun.
        self._entries = {
            s.name: s.stream_state
            for s in streams
            if s.replication_method == REPLICATION_INCREMENTAL
        }
        self._settings = configuration.settings
        self._messages = cast("MessageWriter", tap.message_writer)
        self._clock = clock
        self._drift = SchemaDrift()
        self._versions = {s.name: version_of(s, tap.initialized_at) for s in streams}
        batches = configuration.batches
        names = {*tap.streams} | {m.stream_alias for s in streams for m in s.stream_maps}
        self._batches = Batches(batches, self._messages, names) if batches else None
        self.rows: dict[str, int] = {}
        self.writers = [
            StreamWriter(s, self._row_writer(s), self._drift, self.rows) for s in streams
        ]
        self._flushed_at = clock.monotonic()
        self._to_keep: dict[tuple[str, str | None], StreamState] = {}

    def _row_writer(self, stream: ClassifyStream) -> RowWriter:
        version = self._versions[stream.name]
        if self._batches is None:
            return RecordWriter(self._messages, version)
        return self._batches.writer_of(stream, version)

    def wanted(self, connection: str | None) -> Wanted:
        """Return what is to be read of a connection, and what the state keeps of it.

        Raises:
            StateError: What it keeps cannot be read.
        """
        return {
            s.name: (
                self._state.kept(s.name, self._partition(connection))
                if s.replication_method == REPLICATION_INCREMENTAL
                else None
            )
            for s in [writer.stream for writer in self.writers]
        }

    def _partition(self, connection: str | None) -> Partition:
        return Partition.of(connection, self._settings.adopt_state)

    def write_step(self, connection: str | None, step: Step) -> None:
        """Write a step's rows, and take note of what the state may keep then."""
        for writer in self.writers:
            if (items := step.items.get(writer.stream.name)) is not None:
                writer.write(items)
        self._drift.note_misfits(step)
        if step.kept:
            self._to_keep |= {(stream, connection): kept for stream, kept in step.kept.items()}
            self._keep_in_time()

    @property
    def rest(self) -> Rest:
        """What to do while nothing comes: files are finished though one connection hangs."""
        return Rest(FILES_SECONDS, self._keep_in_time)

    def _keep_in_time(self) -> None:
        age = self._clock.monotonic() - self._flushed_at
        if self._batches is None or age >= FILES_SECONDS:
            self._keep()

    def _keep(self) -> None:
        """Write the state with what it may keep, now that the rows are where they belong."""
        if not self._to_keep:
            return
        for writer in self.writers:
            writer.flush()
        self._flushed_at = self._clock.monotonic()
        for (name, connection), kept in self._to_keep.items():
            entry = self._entries[name]
            entry.clear()
            entry.update(self._state.keep(name, self._partition(connection), kept))
        self._to_keep.clear()
        self._tap.state_writer.write_state(self._tap.state)

    def finish(self, *, whole: bool, left_out: Container[str] = ()) -> None:
        """Write what is held back, then the new state.

        Args:
            whole: Whether everything was read. If not, no version of a table counts as done.
            left_out: The tables that were not read all the same.
        """
        self._keep()
        versions = {
            name: version
            for name, version in self._versions.items()
            if version is not None and whole and name not in left_out
        }
        for writer in self.writers:
            writer.finish(self._messages, versions.get(writer.stream.name))
        if versions:
            # Though it may say nothing new: it ends a run.
            self._messages.write_message(StateMessage(self._tap.state))
        else:
            self._tap.state_writer.write_state(self._tap.state)
        self._drift.warn()

    def break_off(self) -> None:
        """Write the state that was reached, for not everything could be read."""
        self._keep()
        self._drift.warn()
        self.discard()

    def discard(self) -> None:
        """Remove files that were not finished."""
        if self._batches is not None:
            self._batches.discard()
