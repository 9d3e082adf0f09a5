"""From a page's jobs to one stream's messages: rows, field selection, stream maps, and the sink."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from singer_sdk.exceptions import MappingError
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform, StreamMap
from singer_sdk.singerlib import ActivateVersionMessage
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE

from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.messages import MessageWriter
from tap_llamaclassify.models import Json
from tap_llamaclassify.rows import Row
from tap_llamaclassify.streams import ClassifyStream

MOST_NAMES = 50
"""How many new field names are logged in a run; documents may have found their way into names."""
LONGEST_NAME = 64

_logger = logging.getLogger(__name__)


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


class Census:
    """Takes down what did not fit its column, and field names that the tap does not know."""

    def __init__(self) -> None:
        self._misfits: Counter[str] = Counter()
        self._unknown: set[str] = set()

    def note(self, stream: ClassifyStream, rows: Sequence[Row]) -> None:
        """Look through rows; each new field name is logged once."""
        for additional_fields in [row["additional_fields"] for row in rows]:
            for name in additional_fields or ():
                field = f"{stream.name}.{name[:LONGEST_NAME]}"
                if name in stream.api_fields:
                    self._misfits[field] += 1
                elif field not in self._unknown:
                    self._meet(field)

    def _meet(self, field: str) -> None:
        if len(self._unknown) < MOST_NAMES:
            self._unknown.add(field)
            _logger.info("New field in the API, kept in additional_fields: %r", field)

    def warn(self) -> None:
        """Say how many values did not fit."""
        if self._misfits:
            _logger.warning(
                "%d values did not fit their columns and are in additional_fields: %s",
                self._misfits.total(),
                ", ".join(f"{field} {count}" for field, count in sorted(self._misfits.items())),
            )


class Outlet:
    """One selected stream during one listing."""

    def __init__(self, stream: ClassifyStream, sink: Sink, census: Census) -> None:
        self.stream = stream
        self.counter = stream.get_record_counter()
        self._sink = sink
        self._census = census
        self._maps = [m for m in stream.stream_maps if not isinstance(m, RemoveRecordTransform)]
        self._room = stream.ABORT_AT_RECORD_COUNT
        announced = stream.stream_maps[0].raw_schema["properties"]
        self._columns = [name for name in stream.schema["properties"] if name in announced]
        self._as_they_are = len(self._columns) == len(stream.schema["properties"]) and all(
            isinstance(m, SameRecordTransform) and not m.flattening_enabled for m in self._maps
        )

    def take(self, jobs: Sequence[Json]) -> None:
        """Write the rows that the stream has for these jobs."""
        if not self._maps:
            return
        rows = self.stream.rows_of(jobs)
        if self._room is not None:
            rows = rows[: self._room]
            self._room -= len(rows)
        self._census.note(self.stream, rows)
        for alias, shaped in self._shaped(rows):
            self._sink.write(alias, shaped)
        self.counter.increment(len(rows))

    def _shaped(self, rows: Sequence[Row]) -> Iterator[tuple[str, Sequence[dict[str, Any]]]]:
        if self._as_they_are:
            yield from ((m.stream_alias, rows) for m in self._maps)
            return
        kept = [{name: row[name] for name in self._columns} for row in rows]
        for m in self._maps:
            mapped = (self._mapped(m, row) for row in kept)
            yield m.stream_alias, [row for row in mapped if row is not None]

    def _mapped(self, stream_map: StreamMap, row: Row) -> dict[str, Any] | None:
        try:
            return stream_map.transform(row)
        except MappingError:
            # It shows the expression, and nothing of the row.
            raise
        except Exception as error:  # noqa: BLE001 - an expression may raise anything
            # The error's own text may hold a row's values.
            raise SettingsError(
                f"stream_maps: an expression of {stream_map.stream_alias} fails on a row of "
                f"{self.stream.name} with {type(error).__name__}; correct it"
            ) from None

    def close(self, writer: MessageWriter, version: int | None) -> None:
        """Write what is held, and then, for a full table, which version is whole now."""
        self._sink.close()
        if version is not None:
            for m in self._maps:
                writer.write_message(ActivateVersionMessage(m.stream_alias, version))


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
