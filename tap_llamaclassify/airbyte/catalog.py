"""The tables as Airbyte's streams, and which of them a configured catalog asks for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tap_llamaclassify.errors import CatalogError
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import TABLES, Table

INCREMENTAL, FULL_REFRESH = "incremental", "full_refresh"


@dataclass(frozen=True)
class Configured:
    """A stream that is asked for.

    Attributes:
        is_incremental: Whether it goes on from its state; else it is read from its beginning.
        generation: Which full refresh it is, so that another try goes on with it.
        replaces: Whether all that was loaded before is dropped once it is complete.
    """

    table: Table
    is_incremental: bool
    generation: int | None = None
    replaces: bool = False

    @property
    def is_resumable(self) -> bool:
        """Whether a read goes on from what another one has kept."""
        is_full = not self.is_incremental
        return self.table.replication_key is not None and not (is_full and self.generation is None)


def streams() -> list[dict[str, Any]]:
    """Describe every table."""
    return [_stream(table) for table in TABLES]


def _stream(table: Table) -> dict[str, Any]:
    key = table.replication_key
    described: dict[str, Any] = {
        "name": table.name,
        "json_schema": _json_schema(table),
        "supported_sync_modes": [FULL_REFRESH, *[INCREMENTAL] * bool(key)],
        "source_defined_primary_key": [[name] for name in table.keys],
        "is_resumable": bool(key),
    }
    if key:
        described |= {"source_defined_cursor": True, "default_cursor_field": [key]}
    return described


def _json_schema(table: Table) -> dict[str, Any]:
    schema = copy.deepcopy(schema_of(table.name))
    for column in schema["properties"].values():
        if column.get("format") == "date-time":
            column["airbyte_type"] = "timestamp_with_timezone"
        elif "integer" in column["type"]:
            column["airbyte_type"] = "integer"
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def configured(catalog: Mapping[str, Any]) -> list[Configured]:
    """Read a configured catalog.

    Raises:
        CatalogError: It is none, or asks for what there is not.
    """
    asked = catalog.get("streams")
    if not isinstance(asked, list):
        raise CatalogError("catalog: it has no list of streams; make one with discover")
    by_name = {table.name: table for table in TABLES}
    found: dict[str, Configured] = {}
    for each in asked:
        match each:
            case {"stream": {"name": str(name)}} if name in by_name:
                found[name] = _configured(by_name[name], each)
            case {"stream": {"name": str(name)}}:
                raise CatalogError(f"catalog: there is no stream {name[:64]!r}; run discover")
            case _:
                raise CatalogError("catalog: it holds what is no configured stream")
    return [found[name] for name in by_name if name in found]


def _configured(table: Table, each: Mapping[str, Any]) -> Configured:
    is_asked_for = each.get("sync_mode") == INCREMENTAL
    generation, least = each.get("generation_id"), each.get("minimum_generation_id")
    is_overwrite = str(each.get("destination_sync_mode")).startswith("overwrite")
    # PyAirbyte says overwrite of everything, and means that of none.
    replaces = (is_overwrite and not is_asked_for) or bool(least and least == generation)
    if replaces and not table.is_whole:
        raise CatalogError(
            f"catalog: {table.name} cannot replace what was loaded before, for a read brings "
            "only a part of its rows; choose append, or incremental and deduped if there is that"
        )
    # Asked for incremental where there is none, a full refresh is what can be had.
    is_incremental = is_asked_for and table.replication_key is not None
    number = generation if type(generation) is int else None
    return Configured(table, is_incremental, number, replaces)
