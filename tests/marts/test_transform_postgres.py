"""The marts on PostgreSQL are those on DuckDB; the report can be made of them there, too."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import ALL_KEYS, Row, Tables, api_shows
from tests.support.awkward_jobs import awkward_api
from tests.support.commands import ended, ran, words_of
from tests.support.context_tables import DUCKDB, POSTGRES, made_up, put
from tests.support.items import v2_job
from tests.support.loaders import loader, plugin
from tests.support.postgres import HOST, USER, Server, running_server
from tests.support.transform import (
    KEYS,
    NO_TESTS,
    SCHEMA,
    Mart,
    built,
    keyed,
    marts_of,
    outcomes,
    rounded,
    sync,
    well_built,
)

pytestmark = pytest.mark.heavy

DAY = 86_400.0
DATABASE = "marts"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        running.query(f"CREATE DATABASE {DATABASE}")
        running.query(f"ALTER DATABASE {DATABASE} SET timezone = 'Pacific/Auckland'")
        yield running


@pytest.fixture(scope="module")
def environment(server: Server) -> dict[str, str]:
    return {
        "DBT_TARGET": "postgres",
        "PGHOST": HOST,
        "PGPORT": str(server.port),
        "PGUSER": USER,
        "PGPASSWORD": "none",
        "PGDATABASE": DATABASE,
    }


def load(messages: str, server: Server, folder: Path) -> None:
    """Give target-postgres what the tap has written."""
    address: Row = {"host": HOST, "port": server.port, "user": USER, "password": "none"}
    settings = plugin("target-postgres")["config"] | address | {"database": DATABASE}
    config = words_of(["--config", settings], folder)
    environment = os.environ | {"PGTZ": "UTC"}
    ran([loader("target-postgres"), *config], messages, env=environment)


def in_postgres(server: Server) -> dict[str, Mart]:
    """Read all marts."""
    with a_cursor(server) as cursor:
        return {name: _mart(cursor, name) for name in KEYS}


def put_into(server: Server, made: Tables) -> None:
    """Write tables anew, as target-postgres would."""
    with a_cursor(server) as cursor:
        put(cursor.execute, made, POSTGRES, "%s")


@contextmanager
def a_cursor(server: Server) -> Iterator[Any]:
    given: dict[str, Any] = {"host": HOST, "port": server.port, "user": USER, "dbname": DATABASE}
    connection = psycopg2.connect(**given)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def alike(server: Server, folder: Path) -> dict[str, Mart]:
    """Make sure that the marts are the same in both databases; return them."""
    ours, theirs = rounded(in_postgres(server)), rounded(marts_of(folder))
    for name in KEYS:
        assert ours[name].keys() == theirs[name].keys()
        assert ours[name] == theirs[name]
    return ours


def _mart(cursor: Any, name: str) -> Mart:
    cursor.execute(f"SELECT * FROM {SCHEMA}.{name}")  # noqa: S608 - names of our own
    names = [column.name for column in cursor.description]
    return keyed(name, [dict(zip(names, row, strict=True)) for row in cursor.fetchall()])


def test_marts_are_the_same_on_both_after_each_of_two_syncs(
    server: Server, environment: dict[str, str], tmp_path: Path
) -> None:
    in_pg = tmp_path / "postgres"
    in_pg.mkdir()
    with awkward_api() as sandbox:
        world = sandbox.world
        for _ in range(2):
            load(sync(sandbox, tmp_path), server, tmp_path)
            as_of = world.now().replace(tzinfo=None)
            for folder, given in ((tmp_path, {}), (in_pg, environment)):
                well_built(folder, as_of=as_of, **given)
            assert outcomes(in_pg) == outcomes(tmp_path)
            ours = alike(server, tmp_path)
            assert without_others(server) == without_others_in(tmp_path)
            world.advance(2 * DAY)
            world.touch_v2("runs", status="COMPLETED")
        made = made_up(api_shows(sandbox))
    assert len(ours["fct_classify_job_status_changes"]) > len(ours["fct_classify_jobs"])

    put_into(server, made)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as warehouse:
        put(warehouse.execute, made, DUCKDB, "?")
    for folder, given in ((tmp_path, {}), (in_pg, environment)):
        well_built(folder, *NO_TESTS, as_of=as_of, **given)
    jobs = alike(server, tmp_path)["fct_classify_jobs"].values()
    assert {job["credits_from"] for job in jobs} == {"usage", "job", None}
    assert {job["times_from"] for job in jobs} == {"timings", "job"}

    pages = [reported(tmp_path / "duckdb.html", DBT_FILEPATH=str(tmp_path / "warehouse.duckdb"))]
    pages.append(reported(tmp_path / "postgres.html", **environment))
    here, there = "warehouse.duckdb, schema", f"{HOST}/{DATABASE}, schema"
    assert here in pages[0]
    assert pages[0].replace(here, there) == pages[1]
    assert "<svg" in pages[0]


def test_build_that_finds_no_table_of_the_taps_names_where_it_looked(
    server: Server, environment: dict[str, str], tmp_path: Path
) -> None:
    server.query("CREATE DATABASE empty")
    as_of = datetime(2026, 11, 21)  # noqa: DTZ001 - as databases have it
    done = built(tmp_path, *NO_TESTS, as_of=as_of, **environment | {"PGDATABASE": "empty"})
    assert done.code == 2
    assert f"is in schema 'llamacloud' of database empty at {HOST}." in done.stdout
    assert "PGDATABASE" in done.stdout


WITHOUT_OTHERS = " UNION ALL ".join(
    f"SELECT '{table}' AS t, count(*) FROM {SCHEMA}.stg_{table} WHERE additional_fields IS NULL"  # noqa: S608 - names of our own
    for table in ALL_KEYS.keys() - {"classify_organizations"}  # which no mart asks for
)


def without_others(server: Server) -> dict[str, int]:
    """Count the rows of each table that hold nothing beyond its columns, which is a JSON null."""
    lines = server.query(WITHOUT_OTHERS, DATABASE).splitlines()
    return {table: int(count) for table, count in (line.split("|") for line in lines)}


def without_others_in(folder: Path) -> dict[str, int]:
    """Count them in the folder's DuckDB file."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as warehouse:
        return dict(warehouse.execute(WITHOUT_OTHERS).fetchall())


IN_CAPITALS = """
    CREATE SCHEMA capitals;
    CREATE TABLE capitals.classify_jobs AS
        SELECT id AS "ID", 'p' AS "PROJECT_ID", 'SUCCESS' AS "STATUS", deleted AS "_SDC_DELETED_AT",
            CAST('null' AS json) AS "ADDITIONAL_FIELDS",
            TIMESTAMPTZ '2026-11-20 12:00:00+02' AS "UPDATED_AT"
        FROM (VALUES ('kept', NULL), ('gone', now())) AS jobs (id, deleted);
"""


def test_columns_named_in_capitals_are_read(
    server: Server, environment: dict[str, str], tmp_path: Path
) -> None:
    server.query(IN_CAPITALS, DATABASE)
    as_of = datetime(2026, 11, 21)  # noqa: DTZ001 - as databases have it
    given = environment | {"DBT_SCHEMA": "of_capitals"}
    well_built(tmp_path, *NO_TESTS, "--vars", "loaded_into: capitals", as_of=as_of, **given)
    found = server.query(
        "SELECT job_id, api_status, updated_at, additional_fields IS NULL"
        " FROM of_capitals.stg_classify_jobs",
        DATABASE,
    )
    assert found == "kept|SUCCESS|2026-11-20 10:00:00|t\n"


def reported(output: Path, **environment: str) -> str:
    """Make the report; return the page."""
    command = [sys.executable, "-m", "llamaclassify_report", "--output", output]
    made = ended(command, env=os.environ | environment)
    assert (made.code, made.stderr) == (0, "")
    return output.read_text(encoding="utf-8")


def test_full_refresh_keeps_the_versions_that_were_seen(tmp_path: Path) -> None:
    with Sandbox(World.empty()) as sandbox:
        world = sandbox.world
        world.put_v2(v2_job("runs", project_id=sandbox.project_id, status="RUNNING", result=None))
        for _ in range(2):
            sync(sandbox, tmp_path)
            as_of = world.now().replace(tzinfo=None)
            well_built(tmp_path, "--full-refresh", as_of=as_of)
            world.advance(DAY)
            world.touch_v2("runs", status="COMPLETED")
    statuses = [row["status"] for row in marts_of(tmp_path)[CHANGES].values()]
    assert sorted(statuses) == ["running", "succeeded"]


CHANGES = "fct_classify_job_status_changes"
