"""Parquet and Arrow files from the tap's command line, read as people and a loader do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import ALL_KEYS, TIMES, Row, Tables, api_shows, keyed_by, utc
from tests.support.commands import Command, ran
from tests.support.loaders import (
    AWKWARD,
    AWKWARD_V2,
    EVERYTHING,
    ODD,
    PYARROW,
    installed,
    live_on,
    put_awkward,
    select_all,
)

pytestmark = pytest.mark.heavy

SHORT = {"classify_projects", "classify_organizations", "classify_configurations"}
READERS = f"duckdb==2.0.0 pandas==3.1.1 polars==2.1.0 {PYARROW} pytz==2026.6"

LOADER = "meltanolabs-target-snowflake==0.20.4 singer-sdk==0.55.0b3"
"""The one loader on the index that reads Arrow files by code of its own, and what it pins."""

READING = """
import json, sys
from glob import glob

import duckdb, pandas, polars, pyarrow
from pyarrow import dataset

folder, tables, form = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
duckdb.sql("SET TimeZone = 'UTC'")


def files_of(table):
    return sorted(glob(f"{folder}/{table}-*.{form}"))


def by_duckdb(table):
    found = duckdb.sql(f"FROM read_parquet('{folder}/{table}-*.parquet')")
    return dict(zip(found.columns, map(str, found.types))), rows_of(found)


def by_duckdb_newest(table):
    found = duckdb.sql(f'''
        SELECT * EXCLUDE (filename, file_row_number)
        FROM read_parquet('{folder}/{table}-*.parquet', filename = true, file_row_number = true)
        QUALIFY row_number() OVER (
            PARTITION BY {', '.join(tables[table])} ORDER BY filename DESC, file_row_number DESC
        ) = 1
    ''')
    return dict(zip(found.columns, map(str, found.types))), rows_of(found)


def rows_of(found):
    return [dict(zip(found.columns, row)) for row in found.fetchall()]


def by_pandas(table):
    frame = pandas.read_parquet(files_of(table), dtype_backend="pyarrow")
    return frame.dtypes.astype(str).to_dict(), frame.to_dict("records")


def by_polars(table):
    frame = polars.read_parquet(f"{folder}/{table}-*.parquet")
    return {name: str(kind) for name, kind in frame.schema.items()}, frame.to_dicts()


def by_pyarrow(table):
    opened = [pyarrow.ipc.open_file(pyarrow.memory_map(file)) for file in files_of(table)]
    found = pyarrow.concat_tables(each.read_all() for each in opened)
    return {field.name: str(field.type) for field in found.schema}, found.to_pylist()


def by_duckdb_of_arrow(table):
    jobs = dataset.dataset(files_of(table), format="arrow")
    found = duckdb.sql("FROM jobs")
    return dict(zip(found.columns, map(str, found.types))), rows_of(found)


def by_pandas_of_arrow(table):
    frames = [pandas.read_feather(file, dtype_backend="pyarrow") for file in files_of(table)]
    frame = pandas.concat(frames)
    return frame.dtypes.astype(str).to_dict(), frame.to_dict("records")


def by_polars_of_arrow(table):
    frame = polars.scan_ipc(f"{folder}/{table}-*.arrow").collect()
    return {name: str(kind) for name, kind in frame.schema.items()}, frame.to_dicts()


def by_polars_newest(table):
    files = polars.scan_ipc(f"{folder}/{table}-*.arrow")
    frame = files.unique(tables[table], keep="last", maintain_order=True).collect()
    return {name: str(kind) for name, kind in frame.schema.items()}, frame.to_dicts()


def plain(value):
    if value is pandas.NA or value is pandas.NaT:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value.tolist()


read = {
    "parquet": (by_duckdb, by_duckdb_newest, by_pandas, by_polars),
    "arrow": (
        *(by_pyarrow, by_duckdb_of_arrow, by_pandas_of_arrow, by_polars_of_arrow),
        by_polars_newest,
    ),
}[form]
said = {
    how.__name__[3:].removesuffix("_of_arrow"): {table: how(table) for table in tables}
    for how in read
}
json.dump(said, sys.stdout, default=plain)
"""
"""Answers, for each reader and table, the types of its columns and its rows."""

CONVERTING = """
import sys
from glob import glob
from pathlib import Path

from target_snowflake.arrow_batch import convert_arrow_manifest_to_parquet

folder, made, *tables = sys.argv[1:]
for table in tables:
    manifest = [Path(file).as_uri() for file in sorted(glob(f"{folder}/{table}-*.arrow"))]
    for place, uri in enumerate(convert_arrow_manifest_to_parquet(manifest, made)):
        Path(uri.removeprefix("file://")).rename(f"{made}/{table}-{place:06}.parquet")
"""
"""Makes of Arrow files the Parquet files that the loader has Snowflake load."""

TYPES = {
    "duckdb": "VARCHAR|BIGINT|TIMESTAMP WITH TIME ZONE|BIGINT[]|DOUBLE|BOOLEAN|DATE",
    "pandas": "string[pyarrow]|int64[pyarrow]|timestamp[us, tz=UTC][pyarrow]"
    "|list<element: int64>[pyarrow]|double[pyarrow]|bool[pyarrow]|date32[day][pyarrow]",
    "polars": "String|Int64|Datetime(time_unit='us', time_zone='UTC')|List(Int64)|Float64|Boolean"
    "|Date",
}
TYPES_OF_ARROW = TYPES | {
    "pandas": TYPES["pandas"].replace("element", "item"),
    "pyarrow": "string|int64|timestamp[us, tz=UTC]|list<item: int64>|double|bool|date32[day]",
}
"""What each calls text, whole numbers, instants, lists of whole numbers, numbers, truth, days."""
OF_TYPES = ("text", "whole", "instant", "wholes", "number", "truth", "day")
KINDS = {
    **dict.fromkeys(TIMES, "instant"),
    **dict.fromkeys(("rule_count", "rule_index", "max_pages", "value"), "whole"),
    **dict.fromkeys(("confidence", "result_confidence", "credits"), "number"),
    **dict.fromkeys(("usage_credits", "usage_parse_credits"), "number"),
    "is_default": "truth",
    "day": "day",
}


def kind_of(table: str, column: str) -> str:
    # Positions in v1; in v2 what the user wrote, such as "1,3,5-7".
    if (table, column) == ("classify_job_parsing_configs", "target_pages"):
        return "wholes"
    return KINDS.get(column, "text")


@dataclass(frozen=True)
class Story:
    """Two runs into one folder, what the API showed after each, and what the readers say."""

    shown: list[Tables]
    files: list[str]
    said: dict[str, dict[str, tuple[dict[str, str], list[Row]]]]

    def rows(self, reader: str, table: str) -> list[Row]:
        """Return a table's rows in the form in which the API's are compared."""
        return [_comparable(row) for row in self.said[reader][table][1]]


def _comparable(row: Row) -> Row:
    times: Row = {name: utc(row[name]) for name in row.keys() & {*TIMES}}
    days = {name: date.fromisoformat(row[name]) for name in row.keys() & {"day"}}
    texts = row.keys() & {"additional_fields", "properties", "usage_tags"}
    return row | times | days | {name: row[name] and json.loads(row[name]) for name in texts}


@pytest.fixture(scope="module")
def python() -> Path:
    return installed("readers", READERS) / "bin" / "python"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(History(jobs=1250, v2_jobs=1250, unknown_fields=0.2))) as running:
        running.settings.data_points_reach = "bounds"
        yield running


@pytest.fixture
def tell(
    command: Command, config: Row, sandbox: Sandbox, python: Path, tmp_path: Path
) -> Callable[[str], Story]:
    def tell(form: str) -> Story:
        shown = two_runs(form, tmp_path / "lake", command, config, sandbox)
        return Story(shown, *_read(python, tmp_path / "lake", form))

    return tell


def two_runs(
    form: str, folder: Path, command: Command, config: Row, sandbox: Sandbox
) -> list[Tables]:
    """Sync twice into files; return what the API showed after each."""
    batches = {"encoding": {"format": form}, "storage": {"root": str(folder)}}
    settings = config | EVERYTHING | {"batch_config": batches | {"batch_size": 150}}
    given = ("--config", settings, "--catalog", select_all(sandbox))
    put_awkward(sandbox, AWKWARD, ODD, v2=AWKWARD_V2)
    first = command(*given)
    assert first.code == 0, first.stderr
    shown = [api_shows(sandbox)]

    live_on(sandbox)
    second = command(*given, "--state", first.output.messages[-1]["value"])
    assert second.code == 0, second.stderr
    shown.append(api_shows(sandbox))
    return shown


def _read(python: Path, folder: Path, form: str) -> tuple[list[str], Any]:
    files = sorted(path.name for path in folder.iterdir())
    # What a run that was killed leaves is not whole: no reader may come across it.
    (folder / f".{files[0]}.part").write_bytes(b"PAR1 but no more")
    return files, json.loads(ran([python, "-c", READING, folder, json.dumps(ALL_KEYS), form]))


def test_every_reader_finds_the_rows_of_both_runs_and_the_newest_are_what_the_api_shows(
    tell: Callable[[str], Story],
) -> None:
    story = tell("parquet")
    assert_rows_and_types(story, TYPES)
    assert_newest(story, "duckdb_newest")


def test_every_reader_of_arrow_finds_them_too_and_so_does_the_loader_for_snowflake(
    tell: Callable[[str], Story], python: Path, tmp_path: Path
) -> None:
    story = tell("arrow")
    assert_rows_and_types(story, TYPES_OF_ARROW)
    assert_newest(story, "polars_newest")

    lake, made = tmp_path / "lake", tmp_path / "made"
    loaders = installed("target-snowflake", LOADER) / "bin" / "python"
    ran([loaders, "-c", CONVERTING, lake, made, *ALL_KEYS])
    of_loader = Story(story.shown, *_read(python, made, "parquet"))
    assert_rows_and_types(of_loader, TYPES)
    for table in ALL_KEYS:
        assert of_loader.rows("duckdb", table) == story.rows("duckdb", table)


def assert_rows_and_types(story: Story, kinds: dict[str, str]) -> None:
    """Compare what each reader says with what the API showed, cell by cell."""
    first, second = story.shown
    assert len(first["classify_jobs"]) > 900
    tables = [name.split("-")[0] for name in story.files]
    assert min(tables.count(table) for table in ALL_KEYS.keys() - SHORT) > 3
    for reader, its in kinds.items():
        names = dict(zip(OF_TYPES, its.split("|"), strict=True))
        for table in ALL_KEYS:
            types = story.said[reader][table][0]
            assert types == {name: names[kind_of(table, name)] for name in types}, reader
            assert _keyed_newest(table, story.rows(reader, table)) == second[table], reader
            assert story.rows(reader, table) == story.rows("duckdb", table), reader


def assert_newest(story: Story, reader: str) -> None:
    """Make sure that a reader that picks the newest rows has what the API shows at last."""
    for table in ALL_KEYS:
        rows = story.rows(reader, table)
        assert keyed_by(ALL_KEYS[table], rows) == story.shown[1][table] != story.shown[0][table]


def _keyed_newest(table: str, rows: list[Row]) -> dict[tuple[Any, ...], Row]:
    """Keep the last row of each key: names sort by time, and readers take files in that order."""
    return {tuple(row[name] for name in ALL_KEYS[table]): row for row in rows}
