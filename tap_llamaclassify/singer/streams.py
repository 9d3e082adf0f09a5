"""The Singer streams, one for each table.

A stream does not list jobs itself during a sync: one pass over the listings serves them all. For
that, the tap leans on these of singer-sdk, beyond what its documentation offers to override (all
that it leans on, with what it must be like, is in `tests/support/seams.py`):

- What `Stream.sync`, which is final, calls in turn: `Stream.log` to announce a stream, and a
  failure at level ERROR; `Stream._write_schema_message`, through which
  `Stream._generate_schema_messages` is called; `Stream._write_activate_version_message`;
  `Stream._sync_batches` or `Stream._sync_records`.
- `Stream.selected`, a property that can be set, and `Stream.ABORT_AT_RECORD_COUNT`: `--test` sets
  both.
- `Tap.catalog`: `Tap.setup_mapper` alone takes the streams from it, for their maps.
- `Tap._handle_termination`, which a signal calls, and `SingerCommand.main`, which calls all.
- `singer_sdk.helpers._batch`, a module of its own use: what `batch_config` and BATCH consist of.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from typing import Any, Protocol

from singer_sdk import Stream, Tap
from singer_sdk.helpers.types import Context
from singer_sdk.singerlib import Catalog, CatalogEntry, SchemaMessage
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE, REPLICATION_INCREMENTAL
from typing_extensions import override

from tap_llamaclassify.errors import CatalogError
from tap_llamaclassify.tables.columns import with_json_as_text
from tap_llamaclassify.tables.rows import Row
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import Table


class Pass(Protocol):
    """Whatever takes all selected streams through one listing."""

    def serves(self, stream: ClassifyStream) -> bool:
        """Return whether a stream's part was done while another stream was synced."""

    def run(self, driver: ClassifyStream) -> None:
        """Sync all selected streams, or nothing when the driver was served already."""

    def rows(self, stream: ClassifyStream) -> Iterable[Row]:
        """Read one stream's rows from a listing of its own."""


class ClassifyStream(Stream):
    """The stream of a table.

    Attributes:
        table: The table.
        is_unknown: Whether there is a catalog that does not have the stream.
        unknown_columns: The columns that the catalog does not have; none where there is no catalog.
    """

    replication_key = None

    def __init__(self, tap: Tap, one_pass: Pass, table: Table, *, is_typed: bool = False) -> None:
        super().__init__(tap, schema=schema_of(table.name), name=table.name)
        self.table = table
        self.primary_keys = table.keys
        self.replication_key = table.replication_key
        self.selected_by_default = table.endpoint.is_default
        self.is_unknown = False
        self.unknown_columns: list[str] = []
        self._pass = one_pass
        self._is_typed = is_typed

    @property
    def is_held_back(self) -> bool:
        """Whether a setting is missing that allows for the requests that the stream takes."""
        setting = self.table.endpoint.setting
        return setting is not None and not self.config.get(setting)

    @property
    def is_chosen(self) -> bool:
        """Whether the catalog selects the stream."""
        return bool(Stream.selected.fget(self))  # type: ignore[attr-defined] # a property

    @property
    def selected(self) -> bool:
        """Whether the stream is to be synced."""
        return self.is_chosen and not self.is_held_back

    @selected.setter
    def selected(self, value: bool | None) -> None:
        Stream.selected.fset(self, value)  # type: ignore[attr-defined] # a property

    def announce(self) -> None:
        """Say that the stream's sync begins, as `Stream.sync` does when it comes to the stream."""
        self.log("Beginning sync of '%s' in %s mode", self.name, self.replication_method.lower())

    def write_schema(self) -> None:
        """Write the stream's SCHEMA messages, one for each of its stream maps."""
        self._write_schema_message()

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """Read the stream's rows from a listing of its own, bookmark aside."""
        return self._pass.rows(self)

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        super().apply_catalog(catalog)
        entry = catalog.get_stream(self.name)
        if entry is None:
            self.is_unknown = True
            return
        self._check(entry)
        columns = entry.schema.properties or {}
        self.unknown_columns = [n for n in schema_of(self.name)["properties"] if n not in columns]
        key = self.table.replication_key
        methods = [REPLICATION_INCREMENTAL, REPLICATION_FULL_TABLE][0 if key else 1 :]
        if self.replication_method not in methods:
            raise self._unsupported("replication method", " or ".join(methods))
        if self.replication_key not in {key, None}:
            raise self._unsupported("replication key", key or "none")
        if self.replication_method == REPLICATION_INCREMENTAL:
            self.replication_key = key
        # A catalog without keys would make a loader append each job's versions.
        entry.key_properties = entry.key_properties or self.table.keys
        self.primary_keys = entry.key_properties

    def _check(self, entry: CatalogEntry) -> None:
        """Make sure that what the catalog says of the stream leaves its rows their identity."""
        columns = (entry.schema.properties or {}).keys()
        needed = filter(None, (*self.table.keys, self.table.replication_key))
        if missing := [name for name in needed if name not in columns]:
            raise CatalogError(
                f"catalog: the schema of {self.name} lacks {', '.join(missing)}; "
                "make it anew with --discover"
            )
        if entry.stream not in {self.name, None}:
            raise self._unsupported("stream name", f"{self.name}; stream maps can rename it")
        own = self.table.keys
        keys: Any = entry.key_properties or own
        if not isinstance(keys, list | tuple) or not {*own} <= {*map(str, keys)} <= columns:
            raise self._unsupported("key_properties", ", ".join(own))

    def _unsupported(self, what: str, supported: str) -> CatalogError:
        return CatalogError(f"catalog: stream {self.name} cannot have that {what}; use {supported}")

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Set no limit by this machine's clock: the pass goes by the server's."""

    @override
    def log(self, message: str, *args: Any, level: int = logging.INFO, **kwargs: Any) -> None:
        # Stream.sync announces each failure at level ERROR before it raises it again; the one
        # line that a user needs is written where it ends up. And it announces a stream whose part
        # is done already, which was announced before the pass.
        is_told = level == logging.ERROR or (level == logging.INFO and self._pass.serves(self))
        super().log(message, *args, level=logging.DEBUG if is_told else level, **kwargs)

    @override
    def _write_schema_message(self) -> None:
        if not self._pass.serves(self):
            super()._write_schema_message()

    @override
    def _generate_schema_messages(self) -> Generator[SchemaMessage, None, None]:
        for message in super()._generate_schema_messages():
            if self._is_typed:
                message.schema = with_json_as_text(message.schema)
            yield message

    @override
    def _write_activate_version_message(self, full_table_version: int) -> None:
        """Write nothing: Stream.sync asks for it before the rows, the pass does it after them."""

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        self._pass.run(self)
        yield from ()

    @override
    def _sync_batches(self, batch_config: Any, context: Context | None = None) -> None:
        self._pass.run(self)
