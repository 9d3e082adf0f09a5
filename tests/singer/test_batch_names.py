"""What a batch file is called, what its first bytes tell, and how one is let go."""

from __future__ import annotations

import errno
import gzip
import io
import re
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.singer import batches
from tap_llamaclassify.singer.batches import JsonLinesFile
from tests.support.batch_files import (
    batch_config,
    files_of,
    hidden,
    lines_of,
    parts_of,
    put_jobs,
    visible,
)
from tests.support.builders import STREAMS, cases, catalog_with, sync

ROWS: list[dict[str, Any]] = [{"id": "a", "more": {"ä": [1, None]}}, {"id": "b"}]
LINES = '{"id":"a","more":{"ä":[1,null]}}\n{"id":"b"}\n'.encode()
FLAGS, EXTRA_FLAGS = 3, 8
"""Where gzip's header says whether a name follows, and whether it was to be fast or small."""


class Kept(io.BytesIO):
    """A file that has a name, as those on a disk have."""

    name = "hidden.jsonl.gz"
    whole: bytes

    @override
    def close(self) -> None:
        if not self.closed:
            self.whole = self.getvalue()
        super().close()


class Full(Kept):
    """A file on a disk that is going to be full."""

    is_full = False

    @override
    def write(self, data: Any) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_lines_are_compressed_as_asked_and_nothing_is_held(compression: str) -> None:
    file = Kept()
    opened = JsonLinesFile(file, compression)
    opened.add(ROWS[:1])
    assert opened.held == 0
    opened.add(ROWS[1:])
    opened.close()
    assert file.closed
    if compression == "none":
        assert file.whole == LINES
        return
    assert gzip.decompress(file.whole) == LINES
    # What the file was called while it was hidden is nobody's business.
    assert (file.whole[FLAGS], file.whole[EXTRA_FLAGS]) == (0, 0)


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_file_that_cannot_be_ended_is_let_go_without_a_word(compression: str) -> None:
    closed = Kept()
    opened = JsonLinesFile(closed, compression)
    closed.close()
    opened.discard()
    full = Full()
    opened = JsonLinesFile(full, compression)
    full.is_full = True
    opened.discard()


@pytest.mark.parametrize("prefix", [None, "", "run-"])
@pytest.mark.usefixtures("elsewhere")
def test_file_is_called_by_prefix_stream_moment_and_number(
    sandbox: Sandbox, tmp_path: Path, prefix: str | None
) -> None:
    put_jobs(sandbox, 3)
    catalog = catalog_with(sandbox, **{key: {"selected": False} for key in STREAMS[1:]})
    storage = {"root": str(tmp_path)} | ({} if prefix is None else {"prefix": prefix})
    for compression, ending in (("gzip", r"jsonl\.gz"), ("none", "jsonl")):
        encoding = {"format": "jsonl", "compression": compression}
        config = batch_config(tmp_path, encoding=encoding, storage=storage, batch_size=2)
        before = datetime.now(UTC)
        output = sync(sandbox, catalog=catalog, batch_config=config)
        after = datetime.now(UTC)
        urls = [url for message in output.of_type("BATCH") for url in message["manifest"]]
        names = [url.rpartition("/")[2] for url in urls]
        assert sorted(names) == [path.name for path in visible(tmp_path)]
        form = rf"{prefix or ''}classify_jobs-(\d{{8}}T\d{{6}}\.\d{{6}}Z)-00000([12])\.{ending}"
        found = [re.fullmatch(form, name) for name in names]
        moments = {datetime.fromisoformat(match[1]) for match in found if match}
        assert [match and match[2] for match in found] == ["1", "2"]
        (began,) = moments
        assert before <= began <= after
        for path in visible(tmp_path):
            assert (path.read_bytes()[:2] == b"\x1f\x8b") is (compression == "gzip")
            path.unlink()


class Noon(datetime):
    """A clock that stands."""

    @override
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Noon:
        return cls(2026, 11, 23, 12, tzinfo=tz)


@cases(
    "newest, began",
    {
        "no file": (None, "20261123T120000.000000Z"),
        "a file of before": ("20261123T115959.999999Z", "20261123T120000.000000Z"),
        "a file of now": ("20261123T120000.000000Z", "20261123T120001.000000Z"),
        "a file of a clock that was ahead": ("20270101T000000.500000Z", "20270101T000001.500000Z"),
        "a time after which there is none": ("99991231T235959.999999Z", "20261123T120000.000000Z"),
    },
)
def test_run_is_named_up_to_a_second_after_the_newest_file_if_that_is_not_before_it(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, newest: str, began: str
) -> None:
    def most(below: int) -> int:
        assert below == 10**6
        return below - 1

    monkeypatch.setattr(batches, "datetime", Noon)
    monkeypatch.setattr(batches, "randbelow", most)
    put_jobs(sandbox, 1)
    if newest:
        (tmp_path / f"run-classify_jobs-{newest}-000001.parquet").touch()
    output = sync(sandbox, batch_config=batch_config(tmp_path, "jsonl"))
    (file,) = files_of(output, "classify_jobs")
    assert Path(file).name == f"run-classify_jobs-{began}-000001.jsonl.gz"


def test_each_stream_counts_its_own_files_and_fills_each_whatever_the_pages(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    put_jobs(sandbox, 10)
    config = batch_config(tmp_path, "jsonl", batch_size=4)
    output = sync(sandbox, page_size=3, batch_config=config)
    numbers: dict[str, list[str]] = {}
    for message in output.of_type("BATCH"):
        numbers.setdefault(message["stream"], []).append(message["manifest"][0].split("-")[-1])
    assert numbers == {key: [f"00000{n}.jsonl.gz" for n in (1, 2, 3)] for key in STREAMS}
    files = files_of(output, "classify_jobs")
    assert [len(lines_of([file])) for file in files] == [4, 4, 2]
    assert [row["id"] for row in lines_of(files)] == [f"j{n:04}" for n in range(10)]
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_rows_are_written_out_as_soon_as_open_files_hold_more_than_they_may(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(batches, "MOST_HELD", 0)
    put_jobs(sandbox, 10)
    output = sync(sandbox, page_size=3, batch_config=batch_config(tmp_path, form))
    for stream in STREAMS:
        (file,) = files_of(output, stream)
        assert parts_of(file) == [3, 3, 3, 1]


def test_stream_that_is_called_as_no_file_may_be_has_files_all_the_same(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    put_jobs(sandbox, 1)
    maps = {"a/b c": {"__source__": "classify_jobs"}}
    output = sync(sandbox, stream_maps=maps, batch_config=batch_config(tmp_path, "jsonl"))
    assert len(files_of(output, "a/b c")) == 1
    (name,) = [path.name for path in visible(tmp_path) if "b%20c" in path.name]
    assert name.startswith("run-a%2Fb%20c-")
