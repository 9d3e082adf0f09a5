"""From a page's jobs to one stream's messages: its rows, their shape, and where they go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from singer_sdk.singerlib import ActivateVersionMessage
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE

from tap_llamaclassify.api.models import Json
from tap_llamaclassify.replication.schema_drift import SchemaDrift
from tap_llamaclassify.singer.messages import MessageWriter
from tap_llamaclassify.singer.record_mapper import RecordMapper
from tap_llamaclassify.singer.streams import ClassifyStream


class RowWriter(Protocol):
    """Where rows go once they have their final shape."""

    def write(self, alias: str, rows: Sequence[dict[str, Any]]) -> None:
        """Take rows of the stream that is called so in the output."""

    def flush(self) -> None:
        """Write what is still held."""


class RecordWriter:
    """Writes rows as RECORD messages, at once."""

    def __init__(self, messages: MessageWriter, version: int | None) -> None:
        self._messages = messages
        self._version = version

    def write(self, alias: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write a page's rows."""
        now = datetime.now(UTC)
        self._messages.write_records(alias, rows, version=self._version, extracted_at=now)

    def flush(self) -> None:
        """Nothing is held."""


class StreamWriter:
    """One selected stream during one listing.

    Args:
        stream: The stream.
        writer: Where its rows go.
        drift: Takes down what is new in them.
        written: Counts the rows that were written, by the stream's name in the output.
    """

    def __init__(
        self, stream: ClassifyStream, writer: RowWriter, drift: SchemaDrift, written: dict[str, int]
    ) -> None:
        self.stream = stream
        self.counter = stream.get_record_counter()
        self._writer = writer
        self._drift = drift
        self._mapper = RecordMapper(stream)
        self._room = stream.ABORT_AT_RECORD_COUNT
        self._written = written
        for alias in self._mapper.aliases:
            written.setdefault(alias, 0)

    def write(self, items: Sequence[Json]) -> None:
        """Write the rows that the stream has for these items.

        Raises:
            ReplyError: An item holds what cannot be written.
        """
        if not self._mapper.aliases:
            return
        rows = self.stream.table.rows(items)
        if self._room is not None:
            rows = rows[: self._room]
            self._room -= len(rows)
        self._drift.note_unknown(self.stream.table, rows)
        for alias, records in self._mapper.of(rows):
            self._writer.write(alias, records)
            self._written[alias] += len(records)
        self.counter.increment(len(rows))

    def flush(self) -> None:
        """Write what is held."""
        self._writer.flush()

    def finish(self, messages: MessageWriter, version: int | None) -> None:
        """Write what is held, and then, for a full table, which version is whole now."""
        self.flush()
        if version is not None:
            for alias in self._mapper.aliases:
                messages.write_message(ActivateVersionMessage(alias, version))


def version_of(stream: ClassifyStream, started_at: int) -> int | None:
    """Return the version that a full table's rows carry; None when none is asked for.

    Args:
        stream: The stream.
        started_at: When the tap was started, in milliseconds since 1970.
    """
    wanted = (
        stream.replication_method == REPLICATION_FULL_TABLE
        and stream.table.is_whole
        and stream.emit_activate_version_messages
    )
    return started_at // 1000 if wanted else None
