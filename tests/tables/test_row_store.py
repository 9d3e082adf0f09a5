"""Rows that are put aside come back: each key once, in its last version, and none is lost."""

from __future__ import annotations

import re
import resource
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tap_llamaclassify.errors import OutputError
from tap_llamaclassify.tables import row_store
from tap_llamaclassify.tables.row_store import RowStore

SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("number", pa.int64(), nullable=False),
        pa.field("version", pa.int64()),
    ]
)
KEYS = ("id", "number")


def batch(rows: list[Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA
    )


def given_back(folder: Path, pages: list[list[Any]]) -> list[tuple[Any, ...]]:
    store = RowStore(folder / "rows", SCHEMA, KEYS)
    for page in pages:
        store.add(batch(page))
    batches = [*store.batches()]
    assert batches
    assert all(each.schema == SCHEMA for each in batches)
    return [tuple(row.values()) for each in batches for row in each.to_pylist()]


KEYED = st.tuples(st.sampled_from("abc"), st.integers(0, 2))


@settings(deadline=None)
@given(st.lists(st.lists(KEYED, max_size=6), max_size=6), st.sampled_from([1, 3, 8192]))
def test_each_key_comes_once_in_its_last_version_in_the_order_of_these(
    tmp_path_factory: pytest.TempPathFactory, pages: list[list[tuple[str, int]]], at_once: int
) -> None:
    number, rows = 0, []
    versions: dict[tuple[str, int], tuple[str, int, int]] = {}
    for page in pages:
        rows.append([(*key, number + place) for place, key in enumerate(page)])
        number += len(page)
    for row in (row for page in rows for row in page):
        versions.pop(row[:2], None)
        versions[row[:2]] = row
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_store, "ROWS", at_once)
        assert given_back(tmp_path_factory.mktemp("rows"), rows) == [*versions.values()]


def test_rows_are_given_back_as_soon_as_there_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_store, "ROWS", 4)
    store = RowStore(tmp_path / "rows", SCHEMA, KEYS)
    for page, rows in enumerate((2, 2, 3, 1, 1)):
        store.add(batch([("a", 10 * page + row, 1) for row in range(rows)]))
    assert [each.num_rows for each in store.batches()] == [4, 4, 1]


def test_no_rows_are_one_empty_batch(tmp_path: Path) -> None:
    assert given_back(tmp_path, []) == []
    assert given_back(tmp_path, [[]]) == []


@pytest.mark.parametrize("pages", [1, 2_000])
def test_disk_that_is_full_is_an_error_that_says_where(pages: Any, tmp_path: Path) -> None:
    (tmp_path / "rows").symlink_to("/dev/full")
    pages = [[("a", number, 1)] * 100 for number in range(pages)]
    with pytest.raises(OutputError, match=f"in {tmp_path}: .*TMPDIR can name another") as raised:
        given_back(tmp_path, pages)
    assert "\n" not in str(raised.value)


def test_disk_that_is_full_when_all_rows_are_there_is_an_error_as_well(tmp_path: Path) -> None:
    store = RowStore(tmp_path / "rows", SCHEMA, KEYS)
    store.add(batch([("a", 1, 1)]))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "rows").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(OutputError) as raised:
            next(store.batches())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    told = (
        f"rows cannot be put aside in {tmp_path}: .*File too large; TMPDIR can name another folder"
    )
    assert re.fullmatch(told, str(raised.value))


def test_folder_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"rows cannot be put aside in .*nowhere: (?!\[Errno)"):
        RowStore(tmp_path / "nowhere" / "rows", SCHEMA, KEYS)
