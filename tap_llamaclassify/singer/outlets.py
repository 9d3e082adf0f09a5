"""From a page's jobs to one stream's messages: its rows, their shape, and where they go."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from singer_sdk.singerlib import ActivateVersionMessage
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE

from tap_llamaclassify.api.models import Json
from tap_llamaclassify.singer.messages import MessageWriter
from tap_llamaclassify.singer.record_mapper import Shape
from tap_llamaclassify.singer.schema_drift import Census
from tap_llamaclassify.singer.streams import ClassifyStream


class Sink(Protocol):
    """Where rows go once they have their final shape."""

    def write(self, alias: str, rows: Sequence[dict[str, Any]]) -> None:
        """Take rows of the stream that is called so in the output."""

    def close(self) -> None:
        """Write what is still held."""


class RecordSink:
    """Writes rows as RECORD messages, at once."""

    def __init__(self, writer: MessageWriter, version: int | None) -> None:
        self._writer = writer
        self._version = version

    def write(self, alias: str, rows: Sequence[dict[str, Any]]) -> None:
        """Write a page's rows."""
        now = datetime.now(UTC)
        self._writer.write_records(alias, rows, version=self._version, extracted_at=now)

    def close(self) -> None:
        """Nothing is held."""


class Outlet:
    """One selected stream during one listing.

    Args:
        stream: The stream.
        sink: Where its rows go.
        census: Takes down what is new in them.
        written: Counts the rows that were written, by the stream's name in the output.
    """

    def __init__(
        self, stream: ClassifyStream, sink: Sink, census: Census, written: dict[str, int]
    ) -> None:
        self.stream = stream
        self.counter = stream.get_record_counter()
        self._sink = sink
        self._census = census
        self._shape = Shape(stream)
        self._room = stream.ABORT_AT_RECORD_COUNT
        self._written = written
        for alias in self._shape.aliases:
            written.setdefault(alias, 0)

    def take(self, items: Sequence[Json]) -> None:
        """Write the rows that the stream has for these items.

        Raises:
            ReplyError: An item holds what cannot be written.
        """
        if not self._shape.aliases:
            return
        rows = self.stream.table.rows(items)
        if self._room is not None:
            rows = rows[: self._room]
            self._room -= len(rows)
        self._census.note_unknown(self.stream.name, self.stream.table.api_fields, rows)
        for alias, records in self._shape.of(rows):
            self._sink.write(alias, records)
            self._written[alias] += len(records)
        self.counter.increment(len(rows))

    def flush(self) -> None:
        """Write what is held."""
        self._sink.close()

    def close(self, writer: MessageWriter, version: int | None) -> None:
        """Write what is held, and then, for a full table, which version is whole now."""
        self.flush()
        if version is not None:
            for alias in self._shape.aliases:
                writer.write_message(ActivateVersionMessage(alias, version))


def version_of(stream: ClassifyStream, started_at: int) -> int | None:
    """Answer the version that a full table's rows carry; None when none is asked for.

    Args:
        stream: The stream.
        started_at: When the tap was started, in milliseconds since 1970.
    """
    wanted = (
        stream.replication_method == REPLICATION_FULL_TABLE
        and stream.emit_activate_version_messages
    )
    return started_at // 1000 if wanted else None
