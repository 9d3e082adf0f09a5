"""What is asked for by a reader's options: a table, some of its columns, and by which settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tap_llamaclassify.config.connections import Connection, resolve_connections
from tap_llamaclassify.config.settings import Settings, parse_settings, parse_texts
from tap_llamaclassify.config.validators import is_key
from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.replication.reading import check_allowed
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import TABLES, Table

MAX_PAGES, POLL_SECONDS = "maxPagesPerTrigger", "pollSeconds"
_JSON = ("connections", "usage_event_types")
_OWN = {
    "table": None,
    "columns": None,
    "api_key_env": None,
    MAX_PAGES.lower(): 500,
    POLL_SECONDS.lower(): 30,
}
"""The options that are no settings of the tap, by the names that Spark makes of them."""
OPTIONS = frozenset(_OWN) | Settings.model_fields.keys()
"""Every option, by such a name."""


@dataclass(frozen=True)
class Request:
    """What a reader is to read; it may be pickled, with its keys.

    Attributes:
        columns: The names of those that are wanted, in their order.
        max_pages: How many pages an increment has at most.
        poll_seconds: How long to wait at least before another look for what is new.
    """

    table: Table
    columns: Sequence[str]
    settings: Settings
    connections: Sequence[Connection]
    max_pages: int
    poll_seconds: int

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the columns that are wanted."""
        properties = schema_of(self.table.name)["properties"]
        return {"properties": {name: properties[name] for name in self.columns}}


def table_of(options: Mapping[str, str]) -> tuple[Table, list[str]]:
    """Return the table that options name, and the names of the columns that are wanted of it.

    Raises:
        SettingsError: There is no such table or column.
    """
    names = {table.name: table for table in TABLES}
    name = _lower(options).get("table")
    if name not in names:
        what = f"there is no table {name}" if name else "option table is missing"
        raise SettingsError(f"{what}; there are {', '.join(names)}")
    there = [*schema_of(name)["properties"]]
    given = _lower(options).get("columns")
    wanted = there if given is None else [each.strip() for each in given.split(",")]
    if unknown := [each for each in wanted if each not in there]:
        raise SettingsError(
            f"option columns: {name} has no column {unknown[0]!r}; it has {', '.join(there)}"
        )
    return names[name], [*dict.fromkeys(wanted)]


def parse_options(options: Mapping[str, str], environ: Mapping[str, str]) -> Request:
    """Read the options of a reader.

    Args:
        options: Texts, by names of which the case is of no account.
        environ: Where keys and the address are looked for that no option tells.

    Raises:
        SettingsError: An option is unknown or wrong; there is no such table, or no key.
    """
    table, columns = table_of(options)
    texts = _lower(options)
    own = {name: texts.pop(name, None) for name in _OWN}
    given = {name: _of_json(name, texts.pop(name)) for name in _JSON if name in texts}
    config = {**parse_texts(texts), **given, **_key_of(own["api_key_env"], texts, environ)}
    settings = parse_settings(config)
    check_allowed([table], settings)
    return Request(
        table,
        columns,
        settings,
        resolve_connections(settings, environ),
        _number(MAX_PAGES, own[MAX_PAGES.lower()]),
        _number(POLL_SECONDS, own[POLL_SECONDS.lower()]),
    )


def _lower(options: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in options.items()}


def _of_json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # The text may hold keys.
        raise SettingsError(f"option {name} is no JSON") from None


def _key_of(
    variable: str | None, texts: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    if variable is None:
        return {}
    if "api_key" in texts:
        raise SettingsError("api_key and api_key_env are both set: set one of them")
    # The variable's name is not shown: it may be a key that was put in the wrong place.
    key = environ.get(variable, "").strip()
    if not key:
        raise SettingsError("api_key_env names an environment variable that is not set")
    if not is_key(key):
        raise SettingsError("api_key_env names a variable that holds characters that no key has")
    return {"api_key": key}


def _number(name: str, text: str | None) -> int:
    default = _OWN[name.lower()]
    number = str(default) if text is None else text.strip()
    if not (number.isascii() and number.isdigit() and int(number) > 0):
        raise SettingsError(f"option {name} must be a whole number of at least 1")
    return int(number)
