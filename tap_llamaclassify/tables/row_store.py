"""Rows that are put aside until all have come, so that each key comes once, in its last version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from tap_llamaclassify.errors import OutputError
from tap_llamaclassify.tables.arrow import is_last

ROWS = 8192
"""How many rows are given back at once, at least: loaders are faster with more than a page's."""


class RowStore:
    """The rows of one table, in a file; of what is in it, memory holds the keys alone.

    Args:
        path: Where the file is to be.
        schema: That of all batches.
        keys: The columns that tell one row from another.
    """

    def __init__(self, path: Path, schema: pa.Schema, keys: Sequence[str]) -> None:
        self._path = path
        self._schema = schema
        self._keys = [*keys]
        self._seen: list[pa.RecordBatch] = []
        try:
            self._file = pa.OSFile(str(path), "wb")
            self._writer = pa.ipc.new_stream(self._file, schema)
        except OSError as error:
            raise self._full(error) from None

    def add(self, batch: pa.RecordBatch) -> None:
        """Put rows aside.

        Raises:
            OutputError: There is no room for them.
        """
        try:
            self._writer.write_batch(batch)
        except OSError as error:
            raise self._full(error) from None
        self._seen.append(batch.select(self._keys))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give back the rows, in the order of each key's last one; an empty batch if there is none.

        Raises:
            OutputError: There was no room for them.
        """
        try:
            self._writer.close()
            self._file.close()
        except OSError as error:
            raise self._full(error) from None
        seen = pa.Table.from_batches(
            self._seen, self._schema.empty_table().select(self._keys).schema
        )
        self._seen.clear()
        last = is_last(seen)
        held: list[pa.RecordBatch] = []
        place = rows = 0
        with pa.OSFile(str(self._path)) as file, pa.ipc.open_stream(file) as stored:
            for batch in stored:
                held.append(
                    batch.filter(last.slice(place, batch.num_rows)) if last is not None else batch
                )
                place += batch.num_rows
                rows += held[-1].num_rows
                if rows >= ROWS:
                    yield self._joined(held)
                    held, rows = [], 0
                    # Else Arrow keeps for itself what loaders need by and by.
                    pa.default_memory_pool().release_unused()
        if held or not place:
            yield self._joined(held)

    def _joined(self, batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
        whole = pa.Table.from_batches(batches, self._schema).combine_chunks().to_batches()
        return whole[0] if whole else pa.RecordBatch.from_pylist([], schema=self._schema)

    def _full(self, error: OSError) -> OutputError:
        return OutputError(
            f"rows cannot be put aside in {self._path.parent}: {error.strerror or error}; "
            "TMPDIR can name another folder"
        )
