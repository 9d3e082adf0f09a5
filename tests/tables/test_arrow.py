"""Rows become columns of Arrow in one schema, and files that hold what they were given."""

from __future__ import annotations

import errno
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typing_extensions import override

from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.tables.arrow import (
    FILES,
    Columns,
    is_last,
    last_of_each,
    without_lists,
)
from tests.support.builders import cases

SCHEMA = {
    "properties": {
        "id": {"type": ["string", "null"], "description": "Its name."},
        "count": {"type": ["integer", "null"]},
        "pages": {"type": ["array", "null"], "items": {"type": "integer"}},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "more": {"type": ["object", "null"]},
    }
}
AT = "2026-11-23T12:00:00.000001Z"
ROW = {"id": "a", "count": 5, "pages": [1, 2], "at": AT, "more": {"deep": [None, "ä"]}}
EMPTY = dict.fromkeys(ROW)
PUT_AROUND = "put int(), float(), str() or bool() around its expression"
each_form = pytest.mark.parametrize("form", ["parquet", "arrow"])


class Kept(io.BytesIO):
    """Bytes that can be looked at after they were closed."""

    def __init__(self) -> None:
        super().__init__()
        self.whole: bytes | None = None

    @override
    def close(self) -> None:
        if not self.closed:
            self.whole = self.getvalue()
        super().close()


def columns(*keys: str, is_made: bool = False) -> Columns:
    if is_made:
        return Columns("jobs", SCHEMA, keys, is_made=True)
    return Columns("jobs", SCHEMA, keys)


def table_in(file: Kept, form: str) -> Any:
    assert file.whole is not None
    source = pa.BufferReader(file.whole)
    return pq.read_table(source) if form == "parquet" else pa.ipc.open_file(source).read_all()


def test_schema_has_types_descriptions_and_which_columns_are_never_null() -> None:
    fields = [(f.name, f.type, f.nullable) for f in columns("id").schema]
    assert fields == [
        ("id", pa.string(), False),
        ("count", pa.int64(), True),
        ("pages", pa.list_(pa.int64()), True),
        ("at", pa.timestamp("us", "UTC"), True),
        ("more", pa.string(), True),
    ]
    told = [field.metadata for field in columns().schema]
    assert told == [{b"description": b"Its name."}, *[{b"description": b""}] * 4]


def test_rows_are_put_into_their_columns() -> None:
    batch = columns().batch([ROW, EMPTY])
    assert batch.schema.equals(columns().schema, check_metadata=True)
    found = batch.to_pylist()
    assert found[0].pop("at").isoformat() == "2026-11-23T12:00:00.000001+00:00"
    assert found == [
        {"id": "a", "count": 5, "pages": [1, 2], "more": '{"deep":[null,"ä"]}'},
        EMPTY,
    ]


def test_row_that_a_stream_map_makes_may_lack_columns_and_no_other_may() -> None:
    assert columns(is_made=True).batch([{"id": "a"}]).to_pylist() == [EMPTY | {"id": "a"}]
    with pytest.raises(KeyError):
        columns().batch([{"id": "a"}])


@cases(
    "made, text",
    {
        "a fraction": (
            {"count": 1.5},
            f"stream_maps: column count of jobs holds what is not whole numbers; {PUT_AROUND}",
        ),
        "no instant": (
            {"at": "soon"},
            f"stream_maps: column at of jobs holds what is not timestamps; {PUT_AROUND}",
        ),
        "a null key": (
            {"id": None},
            (
                "column id of jobs holds nulls, and is part of the key; correct stream_maps or the "
                "catalog's key_properties"
            ),
        ),
    },
)
def test_what_does_not_fit_is_refused_with_what_to_do(made: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        columns("id", is_made=True).batch([ROW, ROW | made])
    assert str(caught.value) == text


def test_what_a_stream_map_makes_is_brought_into_the_form_of_its_column() -> None:
    batch = columns(is_made=True).batch([{"at": "2026-11-23", "count": None}, {"at": None}])
    assert [at and at.isoformat() for at in batch.column("at").to_pylist()] == [
        "2026-11-23T00:00:00+00:00",
        None,
    ]


def test_last_row_of_each_key_is_left_in_its_place() -> None:
    keys = {"a": ["x", "x", "y", "x", None, None], "b": [1, 2, 1, 1, 1, 1]}
    table = pa.table(keys | {"n": [0, 1, 2, 3, 4, 5]})
    assert last_of_each(table, ["a", "b"]).column("n").to_pylist() == [1, 2, 3, 5]
    assert last_of_each(table, ["a"]).column("n").to_pylist() == [2, 3, 5]
    assert last_of_each(table, ["n"]) is table
    assert is_last(table.select(["n"])) is None
    lasting = is_last(table.select(["a"]))
    assert lasting is not None
    assert lasting.to_pylist() == [False, False, True, True, False, True]
    empty = table.slice(0, 0)
    assert last_of_each(empty, ["a"]).num_rows == 0


def test_last_rows_are_found_in_one_thread_where_each_would_take_as_much_memory_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[bool] = []

    class Groups(pa.TableGroupBy):  # type: ignore[misc] # it is Any
        def __init__(self, *arguments: Any, use_threads: bool) -> None:
            said.append(use_threads)
            super().__init__(*arguments, use_threads=use_threads)

    monkeypatch.setattr(pa.lib, "TableGroupBy", Groups)
    assert last_of_each(pa.table({"id": ["a", "a"]}), ["id"]).num_rows == 1
    assert said == [False]


def test_lists_become_json_text_where_loaders_have_no_column_for_them() -> None:
    batch = columns("id").batch([ROW, EMPTY | {"id": "b"}])
    written = without_lists(batch)
    assert written.column("pages").to_pylist() == ["[1,2]", None]
    assert written.schema.field("pages") == pa.field("pages", pa.string())
    assert written.schema.names == batch.schema.names
    others = ["id", "count", "at", "more"]
    assert written.select(others).equals(batch.select(others))
    assert without_lists(batch.select(others)) is not None
    assert without_lists(batch.select(others)).equals(batch.select(others))


@cases("rows", {"no row": [], "no list": [EMPTY, EMPTY]})
def test_schema_without_lists_is_the_same_whatever_the_rows_hold(rows: list[Any]) -> None:
    schema = without_lists(columns().batch([ROW])).schema
    assert schema.field("pages").type == pa.string()
    assert without_lists(columns().batch(rows)).schema.equals(schema, check_metadata=True)


@each_form
def test_file_holds_rows_until_they_are_written(form: str) -> None:
    file = Kept()
    opened = FILES[form](file, columns(), "none")
    assert opened.held == 0
    opened.add([ROW])
    held = opened.held
    assert held == columns().batch([ROW]).nbytes
    opened.add([ROW, EMPTY])
    assert opened.held == held + columns().batch([ROW, EMPTY]).nbytes
    opened.flush()
    opened.flush()
    assert opened.held == 0
    opened.add([EMPTY])
    opened.close()
    assert file.closed
    table = table_in(file, form)
    assert table.num_rows == 4
    assert table.column("id").to_pylist() == ["a", "a", None, None]
    if form == "arrow":
        assert [len(chunk) for chunk in table.column("id").chunks] == [3, 1]


@each_form
def test_file_that_is_let_go_says_nothing_and_takes_what_it_held_with_it(form: str) -> None:
    file = Kept()
    opened = FILES[form](file, columns(), "zstd")
    opened.add([ROW])
    file.close()
    opened.discard()
    opened.discard()
    del opened


class Full(io.BytesIO):
    """A file on a disk that is going to be full, or for which there is no memory any more."""

    error: Exception | None = None

    @override
    def write(self, data: Any) -> int:
        if self.error:
            raise self.error
        return super().write(data)


@each_form
@cases(
    "error",
    {
        "a full disk": OSError(errno.ENOSPC, "No space left on device"),
        "no memory": pa.ArrowMemoryError("malloc of size 64 failed"),
    },
)
def test_file_that_cannot_be_ended_is_let_go_without_a_word(form: str, error: Exception) -> None:
    file = Full()
    opened = FILES[form](file, columns(), "zstd")
    opened.add([ROW])
    file.error = error
    opened.discard()
