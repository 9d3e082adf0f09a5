"""The shape that a stream's rows leave in: field selection, stream maps, flattening.

Each is singer-sdk's; what changes nothing for a page or a row is left out, because a row costs
singer-sdk more than everything else that is done for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from singer_sdk import Stream
from singer_sdk.exceptions import MappingError
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform, StreamMap

from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.tables.rows import Row

Record = dict[str, Any]
"""What is left of a row once it has its final shape."""


class RecordMapper:
    """Turns a stream's rows into the records of each stream that its maps make of it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream.name
        self._maps = [m for m in stream.stream_maps if not isinstance(m, RemoveRecordTransform)]
        columns = stream.schema["properties"]
        selected = stream.stream_maps[0].raw_schema["properties"]
        self._columns = [name for name in columns if name in selected]
        self._is_whole = len(self._columns) == len(columns)
        self._nested = [
            name for name in self._columns if {"object", "array"} & set(columns[name]["type"])
        ]

    @property
    def aliases(self) -> list[str]:
        """What the streams are called that the rows leave in; none when all rows are left out."""
        return [m.stream_alias for m in self._maps]

    def of(self, rows: Sequence[Row]) -> Iterator[tuple[str, Sequence[Record]]]:
        """Give a page's rows their shape, for each alias.

        Raises:
            MappingError: An expression cannot be evaluated.
            SettingsError: An expression fails on a row.
        """
        if not self._is_whole:
            rows = [{name: row[name] for name in self._columns} for row in rows]
        for stream_map in self._maps:
            yield stream_map.stream_alias, self._through(stream_map, rows)

    def _through(self, stream_map: StreamMap, rows: Sequence[Row]) -> Sequence[Record]:
        if isinstance(stream_map, SameRecordTransform):
            if not stream_map.flattening_enabled:
                return rows
            if list(stream_map.transformed_schema["properties"]) == self._columns:
                return [row if self._is_flat(row) else stream_map.transform(row) for row in rows]  # type: ignore[misc] # it leaves out no row
        records = (self._mapped(stream_map, row) for row in rows)
        return [record for record in records if record is not None]

    def _is_flat(self, row: Row) -> bool:
        return all(row[name] is None for name in self._nested)

    def _mapped(self, stream_map: StreamMap, row: Row) -> Record | None:
        try:
            return stream_map.transform(row)
        except MappingError:
            # It shows the expression, and nothing of the row.
            raise
        except Exception as error:  # noqa: BLE001 - an expression may raise anything
            # The error's own text may hold a row's values.
            raise SettingsError(
                f"stream_maps: an expression of {stream_map.stream_alias} fails on a row of "
                f"{self._stream} with {type(error).__name__}; correct it"
            ) from None
