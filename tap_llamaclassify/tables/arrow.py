"""From rows to Arrow: one schema a stream, whatever its rows hold; the one place that knows Arrow.

It is imported only when it is needed, because pyarrow takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from typing_extensions import override

from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.json_text import encoder
from tap_llamaclassify.tables.columns import Kind, kind_of
from tap_llamaclassify.timestamps import to_day, to_fixed

_TYPES: dict[Kind, pa.DataType] = {
    Kind.TIMESTAMP: pa.timestamp("us", "UTC"),
    Kind.DAY: pa.date32(),
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGERS: pa.list_(pa.int64()),
    Kind.JSON: pa.string(),
}
_decoders: dict[Kind, msgspec.json.Decoder[list[Any]]] = {
    Kind.TIMESTAMP: msgspec.json.Decoder(list[str | None]),
    Kind.DAY: msgspec.json.Decoder(list[str | None]),
    Kind.TEXT: msgspec.json.Decoder(list[str | None]),
    Kind.INTEGER: msgspec.json.Decoder(list[int | None]),
    Kind.NUMBER: msgspec.json.Decoder(list[float | None]),
    Kind.BOOLEAN: msgspec.json.Decoder(list[bool | None]),
    Kind.INTEGERS: msgspec.json.Decoder(list[list[int] | None]),
    Kind.JSON: msgspec.json.Decoder(list[Any]),
}
"""pyarrow would cut fractions off, and read numbers from text."""
_FORMS: dict[Kind, Callable[[str], str | None]] = {Kind.TIMESTAMP: to_fixed, Kind.DAY: to_day}


class Columns:
    """The columns of a stream.

    Args:
        stream: What the stream is called.
        schema: Its JSON Schema.
        keys: The columns that are never null.
        is_made: Whether a stream map makes the rows, so that they may hold anything.
    """

    def __init__(
        self,
        stream: str,
        schema: Mapping[str, Any],
        keys: Collection[str],
        *,
        is_made: bool = False,
    ) -> None:
        self._stream = stream
        self._is_made = is_made
        properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
        self._kinds = {name: kind_of(column) for name, column in properties.items()}
        self.schema = pa.schema(
            [
                pa.field(
                    name,
                    _TYPES[kind],
                    nullable=name not in keys,
                    metadata={"description": str(properties[name].get("description", ""))},
                )
                for name, kind in self._kinds.items()
            ]
        )

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
        """Put rows into columns.

        Raises:
            SettingsError: A stream map has made what does not fit its column.
        """
        arrays = [
            self._array(name, kind, self._values(name, rows)) for name, kind in self._kinds.items()
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _values(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        if self._is_made:
            return [row.get(name) for row in rows]
        return [*map(itemgetter(name), rows)]

    def _array(self, name: str, kind: Kind, values: list[Any]) -> pa.Array:
        try:
            array = _array_of(kind, _as_sent(kind, values) if self._is_made else values)
        except (pa.ArrowException, msgspec.MsgspecError, OverflowError, TypeError, ValueError):
            # Its text shows the value.
            raise SettingsError(
                f"stream_maps: column {name} of {self._stream} holds what is not {kind.value}; "
                "put int(), float(), str() or bool() around its expression"
            ) from None
        if array.null_count and not self.schema.field(name).nullable:
            raise SettingsError(
                f"column {name} of {self._stream} holds nulls, and is part of the key; correct "
                "stream_maps or the catalog's key_properties"
            )
        return array


def last_of_each(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Leave out the rows whose key comes again in a later one."""
    last = is_last(table.select(keys))
    return table if last is None else table.filter(last)


def is_last(keys: pa.Table) -> pa.Array | None:
    """Tell of each row whether its key comes no more; None where each comes but once."""
    places = pa.array(range(len(keys)), pa.int64())
    # Side by side it would take as much memory again for each thread.
    groups = keys.append_column("", places).group_by(keys.column_names, use_threads=False)
    last = groups.aggregate([("", "max")])
    if len(last) == len(keys):
        return None
    return pc.is_in(places, value_set=last.column("_max").combine_chunks())


def without_lists(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Write lists as JSON text, for loaders that have no column for them."""
    for place, field in enumerate(batch.schema):
        if pa.types.is_list(field.type):
            texts = _array_of(Kind.JSON, batch.column(place).to_pylist())
            batch = batch.set_column(place, field.with_type(texts.type), texts)
    return batch


def _as_sent(kind: Kind, values: list[Any]) -> list[Any]:
    """Make of an expression's results what a RECORD message would hold."""
    sent = _decoders[kind].decode(encoder.encode(values))
    to_form = _FORMS.get(kind)
    return [None if text is None else _in_form(text, to_form) for text in sent] if to_form else sent


def _in_form(text: str, to_form: Callable[[str], str | None]) -> str:
    if (fixed := to_form(text)) is None:
        raise ValueError
    return fixed


def _array_of(kind: Kind, values: list[Any]) -> pa.Array:
    if kind is Kind.JSON:
        values = [None if value is None else encoder.encode(value).decode() for value in values]
    if kind in _FORMS:
        return pa.array(values, pa.string()).cast(_TYPES[kind])
    return pa.array(values, _TYPES[kind])


class _File:
    """A file while it is written, a batch of rows at a time.

    Attributes:
        held: Bytes of rows that are not in the file yet.
    """

    def __init__(self, file: BinaryIO, columns: Columns, writer: Any) -> None:
        self._columns = columns
        self._file = file
        self._writer = writer
        self._batches: list[pa.RecordBatch] = []
        self.held = 0

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows."""
        batch = self._columns.batch(rows)
        self._batches.append(batch)
        self.held += batch.nbytes

    def flush(self) -> None:
        """Write the rows that are held."""
        if self._batches:
            self._write(pa.Table.from_batches(self._batches))
        self._batches.clear()
        self.held = 0

    def _write(self, table: pa.Table) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        """Write what is held, and the file's end."""
        self.flush()
        self._writer.close()
        self._file.close()

    def discard(self) -> None:
        """Let go of the file."""
        self._batches.clear()
        with suppress(pa.ArrowException, OSError, ValueError):
            self._writer.close()


class ParquetFile(_File):
    """A Parquet file while it is written, a row group at a time."""

    def __init__(self, file: BinaryIO, columns: Columns, compression: str) -> None:
        writer = pq.ParquetWriter(file, columns.schema, compression=compression)
        super().__init__(file, columns, writer)

    @override
    def discard(self) -> None:
        super().discard()
        # Else it would try once more when it is collected.
        self._writer.is_open = False


class ArrowFile(_File):
    """A file in Arrow's IPC file format while it is written, a record batch at a time."""

    def __init__(self, file: BinaryIO, columns: Columns, compression: str) -> None:
        options = pa.ipc.IpcWriteOptions(compression=None if compression == "none" else compression)
        super().__init__(file, columns, pa.ipc.new_file(file, columns.schema, options=options))

    @override
    def _write(self, table: pa.Table) -> None:
        # Each chunk would become a record batch, however small.
        super()._write(table.combine_chunks())


FILES: Mapping[str, Callable[[BinaryIO, Columns, str], ParquetFile | ArrowFile]] = {
    "parquet": ParquetFile,
    "arrow": ArrowFile,
}
"""What makes a file of each format: of what it is written to, its columns, its compression."""
