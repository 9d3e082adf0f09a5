"""BATCH messages: rows in files, JSON Lines, Parquet or Arrow, instead of RECORD messages."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from secrets import randbelow
from typing import Any, BinaryIO, Protocol
from urllib.parse import quote

from singer_sdk import Stream
from singer_sdk.helpers._batch import BatchConfig, SDKBatchMessage
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib import Message
from singer_sdk.singerlib.encoding import GenericSingerWriter

from tap_llamaclassify.config.batch_config import TYPED
from tap_llamaclassify.json_text import encoder
from tap_llamaclassify.singer.storage import TIME, Storage

MOST_HELD = 16 * 2**20
"""Bytes of rows that all open files hold together; writing them out takes as much again."""
AT_ONCE = 1000
"""Rows that a file takes at a time, so that a large page is not held twice."""
A_SECOND = 10**6
"""In microseconds."""

Row = dict[str, Any]


class RowFile(Protocol):
    """A file while it is written.

    Attributes:
        held: Bytes of rows that are not in the file yet.
    """

    held: int

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows."""

    def flush(self) -> None:
        """Write the rows that are held."""

    def close(self) -> None:
        """Write what is held, and the file's end."""

    def discard(self) -> None:
        """Let go of a file that will be removed."""


class JsonLinesFile:
    """A file with a JSON object in each line; it holds nothing back."""

    def __init__(self, file: BinaryIO, compression: str) -> None:
        self.held = 0
        self._file = file
        self._rows: BinaryIO | gzip.GzipFile = file
        if compression == "gzip":
            self._rows = gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6)

    def add(self, rows: Sequence[Row]) -> None:
        """Write rows."""
        self._rows.write(encoder.encode_lines(rows))

    def flush(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        """Write the file's end."""
        self._rows.close()
        self._file.close()

    def discard(self) -> None:
        """Let go of the file."""
        with suppress(OSError, ValueError):
            self._rows.close()


@dataclass
class _Open:
    file: RowFile
    name: str
    rows: int = 0


class Batches:
    """The files of one run: as many open at a time as there are streams.

    Args:
        config: What the user set.
        writer: Writes the messages; each follows its file at once.
        streams: What the streams are called whose leftovers are removed.

    Raises:
        OutputError: Files cannot be written there.
    """

    def __init__(
        self,
        config: BatchConfig,
        writer: GenericSingerWriter[Any, Message],
        streams: Iterable[str],
    ) -> None:
        self._config = config
        self.format = config.encoding.format
        self._writer = writer
        storage = config.storage
        self._storage = Storage(storage.root, storage.prefix or "", storage.params)
        names = {_file_name(stream) for stream in streams}
        self._storage.remove_leftovers(names)
        self._began = _after(self._storage.newest(names))
        # By the writer as well: two streams may be called the same.
        self._open: dict[tuple[BatchWriter, str], _Open] = {}
        self._numbers: Counter[str] = Counter()

    def writer_of(self, stream: Stream, version: int | None) -> BatchWriter:
        """Make what a stream's rows go into."""
        return BatchWriter(self, stream, version)

    def add(self, alias: str, rows: Sequence[Row], writer: BatchWriter) -> None:
        """Put rows into a stream's files; each is announced when it is full."""
        while rows:
            current = self._open.get((writer, alias)) or self._begin(alias, writer)
            some = rows[: min(AT_ONCE, self._config.batch_size - current.rows)]
            rows = rows[len(some) :]
            with self._storage.guarded():
                current.file.add(some)
                current.rows += len(some)
                self._keep_within_bounds()
            if current.rows == self._config.batch_size:
                self.end(alias, writer)

    def _begin(self, alias: str, writer: BatchWriter) -> _Open:
        compression = str(self._config.encoding.compression)
        self._numbers[alias] += 1
        ending = self.format
        if ending not in TYPED and compression == "gzip":
            ending += ".gz"
        name = f"{_file_name(alias)}-{self._began}-{self._numbers[alias]:06}.{ending}"
        opened = self._storage.begin(name)
        with self._storage.guarded():
            file = writer.new_file(alias, opened, compression)
        return self._open.setdefault((writer, alias), _Open(file, name))

    def _keep_within_bounds(self) -> None:
        files = [each.file for each in self._open.values()]
        while sum(file.held for file in files) > MOST_HELD:
            max(files, key=lambda file: file.held).flush()

    def end(self, alias: str, writer: BatchWriter) -> None:
        """Let a stream's open file be seen, and announce it."""
        current = self._open.get((writer, alias))
        if current is None:
            return
        with self._storage.guarded():
            current.file.close()
        url = self._storage.finish(current.name)
        del self._open[writer, alias]
        self._writer.write_message(
            SDKBatchMessage(alias, self._config.encoding, [url], writer.version)
        )

    def discard(self) -> None:
        """Remove what was not finished, because the run has failed."""
        for each in self._open.values():
            each.file.discard()
        self._open.clear()
        self._storage.discard()


class BatchWriter:
    """What one stream's rows go into, whatever its stream maps call them."""

    def __init__(self, batches: Batches, stream: Stream, version: int | None) -> None:
        self.version = version
        self._batches = batches
        self._maps = {each.stream_alias: each for each in stream.stream_maps}
        self._columns: dict[str, Any] = {}

    def write(self, alias: str, rows: Sequence[Row]) -> None:
        """Take a page's rows."""
        self._batches.add(alias, rows, self)

    def flush(self) -> None:
        """Let what is left be seen as one more file."""
        for alias in self._maps:
            self._batches.end(alias, self)

    def new_file(self, alias: str, file: BinaryIO, compression: str) -> RowFile:
        """Begin a file of the stream that is called so in the output."""
        if self._batches.format not in TYPED:
            return JsonLinesFile(file, compression)
        from tap_llamaclassify.tables.arrow import FILES, Columns  # noqa: PLC0415 - see there

        if alias not in self._columns:
            mapped = self._maps[alias]
            keys = mapped.transformed_key_properties or ()
            is_made = not isinstance(mapped, SameRecordTransform)
            schema = mapped.transformed_schema
            self._columns[alias] = Columns(alias, schema, keys, is_made=is_made)
        return FILES[self._batches.format](file, self._columns[alias], compression)


def _after(newest: datetime | None) -> str:
    """Return what names say of now; the clock may have been set back since the newest name."""
    now = datetime.now(UTC)
    if newest and newest >= now:
        with suppress(OverflowError):
            # By chance, for a run beside this one sees the same name.
            now = newest + timedelta(microseconds=1 + randbelow(A_SECOND))
    return f"{now:{TIME}}"


def _file_name(stream: str) -> str:
    # A stream map may call a stream whatever it likes.
    return quote(stream, safe="")
