"""Reads the marts where dbt has built them; the one place that knows databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import duckdb
import psycopg2

SCHEMA = "llamaclassify"
FILE = "output/warehouse.duckdb"

Row = dict[str, Any]


class MartsError(Exception):
    """The marts cannot be read; the text is one line for the user."""


class Cursor(Protocol):
    """What DuckDB's connections and PostgreSQL's cursors have in common."""

    description: Any

    def execute(self, query: str) -> Any:
        """Run a query."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows of the query."""


class Marts:
    """The marts in one database. Timestamps are without zone, in UTC.

    `place` names the database and its schema, for people.
    """

    def __init__(self, cursor: Cursor, place: str) -> None:
        self._cursor = cursor
        self.place = place

    def rows(self, query: str) -> list[Row]:
        """Return what a query finds, a dictionary a row.

        Raises:
            MartsError: The marts are not there, are those of another version, or cannot be read.
        """
        try:
            self._cursor.execute(query)
        except (duckdb.CatalogException, psycopg2.errors.UndefinedTable) as error:
            raise MartsError(
                f"the marts are not in {self.place}; run `meltano run dbt:build` first"
            ) from error
        except (duckdb.BinderException, psycopg2.errors.UndefinedColumn) as error:
            raise MartsError(
                f"the marts in {self.place} were built by another version; run `meltano run "
                "dbt:build` first"
            ) from error
        except (duckdb.Error, psycopg2.Error) as error:
            raise MartsError(
                f"the marts in {self.place} cannot be read: {_first_line(error)}"
            ) from error
        names = [column[0] for column in self._cursor.description]
        return [
            dict(zip(names, map(_number, values), strict=True))
            for values in self._cursor.fetchall()
        ]


@contextmanager
def opened(environ: Mapping[str, str]) -> Iterator[Marts]:
    """Open the marts that the environment names, by the variables of dbt's profile.

    Raises:
        MartsError: There is no such database, or it lets nobody in.
    """
    schema = environ.get("DBT_SCHEMA") or SCHEMA
    match environ.get("DBT_TARGET") or "duckdb":
        case "duckdb":
            file = environ.get("DBT_FILEPATH") or environ.get("TARGET_DUCKDB_FILEPATH") or FILE
            with _duckdb(Path(file)) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute(f"SET search_path = '{_quoted(schema)}'")
                yield Marts(connection, f"{Path(file).name}, schema {schema}")
        case "postgres":
            with _postgres(environ, schema) as cursor:
                parameters = cursor.connection.info
                where = f"{parameters.host}/{parameters.dbname}"
                yield Marts(cursor, f"{where}, schema {schema}")
        case other:
            raise MartsError(f"DBT_TARGET is {other!r}; it must be duckdb or postgres")


@contextmanager
def _duckdb(file: Path) -> Iterator[Any]:
    if not file.exists():
        raise MartsError(f"there is no DuckDB file {file}; sync first, or set DBT_FILEPATH")
    try:
        connection = duckdb.connect(str(file), read_only=True)
    except duckdb.Error as error:
        raise MartsError(f"{file} cannot be opened: {_first_line(error)}") from error
    try:
        yield connection
    except duckdb.CatalogException as error:
        raise MartsError(
            f"{file} has no marts; run `meltano run dbt:build` first, or set DBT_SCHEMA"
        ) from error
    finally:
        connection.close()


@contextmanager
def _postgres(environ: Mapping[str, str], schema: str) -> Iterator[Any]:
    try:
        # The defaults are those of dbt's profile; the password is libpq's affair.
        connection = psycopg2.connect(
            host=environ.get("PGHOST") or "localhost",
            user=environ.get("PGUSER") or "postgres",
            dbname=environ.get("PGDATABASE") or "postgres",
            options="-c timezone=UTC",
        )
    except psycopg2.Error as error:
        raise MartsError(
            f"PostgreSQL cannot be reached (PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE): "
            f"{_first_line(error)}"
        ) from error
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('search_path', quote_ident(%s), false)", (schema,))
            yield cursor
    finally:
        connection.close()


def _number(value: Any) -> Any:
    # PostgreSQL adds integers up to a numeric.
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
