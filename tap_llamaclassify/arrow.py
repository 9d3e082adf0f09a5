"""From rows to Arrow: one schema a stream, whatever its rows hold; the one place that knows Arrow.

It is imported only when it is needed, because pyarrow takes its time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from tap_llamaclassify.columns import Kind, kind_of
from tap_llamaclassify.errors import SettingsError

_TYPES: dict[Kind, pa.DataType] = {
    Kind.TIMESTAMP: pa.timestamp("us", "UTC"),
    Kind.TEXT: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.INTEGERS: pa.list_(pa.int64()),
    Kind.JSON: pa.string(),
}
_encoder = msgspec.json.Encoder(enc_hook=str, decimal_format="number")


class Columns:
    """The columns of a stream.

    Args:
        stream: What the stream is called.
        schema: Its JSON Schema.
        keys: The columns that are never null.
    """

    def __init__(self, stream: str, schema: Mapping[str, Any], keys: Collection[str]) -> None:
        self._stream = stream
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
            self._array(name, kind, [row.get(name) for row in rows])
            for name, kind in self._kinds.items()
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _array(self, name: str, kind: Kind, values: list[Any]) -> pa.Array:
        try:
            array = _array_of(kind, values)
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            # Its text shows the value.
            raise self._misfit(name, f"what is not {kind.value}") from None
        if array.null_count and not self.schema.field(name).nullable:
            raise self._misfit(name, "nulls, and is part of the key")
        return array

    def _misfit(self, name: str, what: str) -> SettingsError:
        return SettingsError(
            f"stream_maps: column {name} of {self._stream} holds {what}; correct its expression"
        )


def _array_of(kind: Kind, values: list[Any]) -> pa.Array:
    if kind is Kind.JSON:
        values = [None if value is None else _encoder.encode(value).decode() for value in values]
    if kind is Kind.TIMESTAMP:
        return pa.array(values, pa.string()).cast(_TYPES[kind])
    return pa.array(values, _TYPES[kind])


class ParquetFile:
    """A Parquet file while it is written.

    Attributes:
        held: Bytes of rows that are not in the file yet.
    """

    def __init__(self, file: BinaryIO, columns: Columns, compression: str) -> None:
        self._columns = columns
        self._file = file
        self._writer = pq.ParquetWriter(self._file, columns.schema, compression=compression)
        self._batches: list[pa.RecordBatch] = []
        self.held = 0

    def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take rows."""
        batch = self._columns.batch(rows)
        self._batches.append(batch)
        self.held += batch.nbytes

    def flush(self) -> None:
        """Write the rows that are held as a row group."""
        if self._batches:
            self._writer.write_table(pa.Table.from_batches(self._batches))
        self._batches.clear()
        self.held = 0

    def close(self) -> None:
        """Write what is held, and the file's end."""
        self.flush()
        self._writer.close()
        self._file.close()
