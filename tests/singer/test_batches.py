"""Batch files hold what RECORD mode writes, in one schema a stream, and are seen when whole."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.command import standard_output
from tap_llamaclassify.config.batch_config import FORMATS as COMPRESSIONS
from tap_llamaclassify.errors import ApiError, SettingsError
from tap_llamaclassify.singer import batches
from tap_llamaclassify.singer.batches import Batches
from tap_llamaclassify.tables import arrow
from tests.support.batch_files import (
    ARROW,
    FORMATS,
    TYPED_FORMATS,
    as_loaded,
    batch_config,
    batches_of,
    cells,
    files_of,
    hidden,
    lines_of,
    parts_of,
    put_jobs,
    table_of,
    visible,
)
from tests.support.builders import (
    STREAMS,
    Message,
    Output,
    catalog_with,
    job,
    new_tap,
    parse,
    sync,
    written_by,
)
from tests.support.commands import ended
from tests.support.processes import started
from tests.support.runs import at_page, config_of, watched
from tests.support.shapes import CASES, schemas
from tests.support.tally import Tally
from tests.support.trials import SEED, trials

each_form = pytest.mark.parametrize("form", FORMATS)
each_typed_form = pytest.mark.parametrize("form", TYPED_FORMATS)

# Cell by cell


def assert_same_tables(records: Output, files: Output, form: str) -> None:
    """Compare what the two modes come to once loaded."""
    assert files.of_type("RECORD") == []
    assert files.state == records.state
    shown = schemas(records)
    assert schemas(files).keys() == shown.keys()
    loaded = 0
    for alias, message in shown.items():
        columns = message["schema"]["properties"]
        rows = records.records(alias)
        loaded += len(rows)
        if form == "jsonl":
            assert lines_of(files_of(files, alias)) == rows, alias
        elif rows:
            expected = [as_loaded(row, columns) for row in rows]
            assert cells(files_of(files, alias), columns) == expected, alias
        else:
            assert files_of(files, alias) == []
    assert loaded


# singer-sdk calls a new column text unless its expression says otherwise.
TYPED = {"copies": {"__source__": "classify_jobs", "n": "int(rule_count + 1)"}}
TYPED_CASES = CASES | {"two streams of one": {"stream_maps": TYPED}}


@each_form
@pytest.mark.parametrize("case", TYPED_CASES.values(), ids=TYPED_CASES)
def test_files_hold_the_rows_and_columns_of_record_mode(
    api: Sandbox, tmp_path: Path, case: dict[str, Any], form: str
) -> None:
    config = {name: value for name, value in case.items() if name != "deselect"}
    wish = {"deselect": case.get("deselect", [])}
    catalog = catalog_with(api, **dict.fromkeys(STREAMS, wish))
    api.settings.order = "oldest"
    records = sync(api, catalog=catalog, page_size=25, **config)
    api.clear_requests()
    config |= {"batch_config": batch_config(tmp_path, form, batch_size=17)}
    files = sync(api, catalog=catalog, page_size=25, **config)
    assert len(api.requests) == 3
    assert_same_tables(records, files, form)


EXPRESSIONS = {
    "a moment": "datetime.datetime.fromisoformat(updated_at)",
    "a moment without a zone": "datetime.datetime.fromisoformat('2026-11-01T08:00:00.5')",
    "a day": "datetime.date.fromisoformat(updated_at[:10])",
    "no number": "float('nan')",
    "an infinite number": "float('inf')",
    "a whole number in a column of numbers": "float(5)",
    "true or false": "bool(rule_count)",
    "bytes": "id.encode()",
    "an object": "additional_fields",
    "the record": "record",
    "null": "None if id else 5",
}


@each_form
@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_what_stream_maps_make_is_the_same_in_files(
    sandbox: Sandbox, tmp_path: Path, expression: str, form: str
) -> None:
    put_jobs(sandbox, 2, extra={"a": [1, None]})
    maps = {"classify_jobs": {"made": expression}}
    records = sync(sandbox, stream_maps=maps)
    files = sync(sandbox, stream_maps=maps, batch_config=batch_config(tmp_path, form))
    assert_same_tables(records, files, form)


@each_form
def test_two_streams_of_one_name_keep_their_own_columns(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    put_jobs(sandbox, 2)
    x = {"__alias__": "x", "__else__": None}
    rules = x | {"id": "job_id + '-rule'", "type": "type", "__key_properties__": ["id"]}
    maps = {"classify_jobs": x | {"id": "id", "status": "status"}, "classify_job_rules": rules}
    output = sync(sandbox, stream_maps=maps, batch_config=batch_config(tmp_path, form))
    files = files_of(output, "x")
    if form == "jsonl":
        rows = lines_of(files)
    else:
        rows = [row for file in files for row in table_of(file).to_pylist()]
    assert sorted((row["id"], row.get("status"), row.get("type")) for row in rows) == [
        row
        for id_ in ("j0000", "j0001")
        for row in ((id_, "SUCCESS", None), (f"{id_}-rule", None, "invoice"))
    ]
    assert len({*files}) == len(files)


# The schema


@each_typed_form
def test_every_file_of_a_stream_has_its_one_schema_whatever_it_holds(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    nulls = dict.fromkeys(["lang", "max_pages", "target_pages"])
    put_jobs(sandbox, 3, parsing_configuration=nulls, created_at=None, user_id=None, extra={})
    for n in (3, 4):
        sandbox.world.put(job(f"j{n}", project_id=sandbox.project_id))
    output = sync(sandbox, batch_config=batch_config(tmp_path, form, batch_size=2))
    for stream, fields in ARROW.items():
        found = [table_of(file).schema for file in files_of(output, stream)]
        assert len(found) == 3
        assert [(f.name, f.type, f.nullable) for f in found[0]] == fields
        assert all(each.equals(found[0], check_metadata=True) for each in found)
    rows = [rows_in(Path(file)) for file in files_of(output, "classify_jobs")]
    assert rows == [2, 2, 1]


@each_typed_form
def test_descriptions_of_columns_can_be_read_from_the_file_and_no_rows_give_no_file(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    put_jobs(sandbox, 1, parsing_configuration=None)
    output = sync(sandbox, batch_config=batch_config(tmp_path, form))
    assert {message["stream"] for message in output.of_type("BATCH")} == {*STREAMS[:2]}
    assert len(visible(tmp_path)) == 2
    for stream in STREAMS[:2]:
        (file,) = files_of(output, stream)
        properties = new_tap(sandbox).streams[stream].schema["properties"]
        shown = {f.name: f.metadata[b"description"].decode() for f in table_of(file).schema}
        assert shown == {name: about["description"] for name, about in properties.items()}


@each_typed_form
def test_schema_calls_json_text_where_files_have_types_and_only_there(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    plain = schemas(sync(sandbox))
    assert schemas(sync(sandbox, batch_config=batch_config(tmp_path, "jsonl"))) == plain
    typed = schemas(sync(sandbox, batch_config=batch_config(tmp_path, form)))
    for stream in STREAMS:
        theirs = plain[stream]["schema"]["properties"]
        ours = typed[stream]["schema"]["properties"]
        differing = {name for name in theirs if ours[name] != theirs[name]}
        assert differing == {"additional_fields"}
        assert ours["additional_fields"]["type"] == ["string", "null"]
        assert ours["additional_fields"]["description"].endswith("As JSON text.")


# How files are made


FRAMES = {"zstd": b"\x28\xb5\x2f\xfd", "lz4": b"\x04\x22\x4d\x18"}
"""What each compressed buffer of an Arrow file begins with."""


@pytest.mark.parametrize(
    ("form", "asked", "compression"),
    [
        ("jsonl", None, "gzip"),
        ("parquet", None, "zstd"),
        ("arrow", None, "zstd"),
        *((form, each, each) for form, allowed in COMPRESSIONS.items() for each in allowed),
    ],
)
def test_files_are_compressed_as_asked_or_as_usual_and_say_so(
    sandbox: Sandbox, tmp_path: Path, form: str, asked: str | None, compression: str
) -> None:
    put_jobs(sandbox, 3)
    encoding = {"format": form} | ({"compression": asked} if asked else {})
    output = sync(sandbox, batch_config=batch_config(tmp_path, encoding=encoding))
    said = {"format": form, "compression": compression}
    assert [message["encoding"] for message in output.of_type("BATCH")] == [said] * 3
    (file,) = files_of(output, "classify_jobs")
    if form == "jsonl":
        assert file.endswith({"gzip": ".jsonl.gz", "none": ".jsonl"}[compression])
        assert len(lines_of([file])) == 3
        return
    assert file.endswith(f".{form}")
    if form == "arrow":
        frames = {name for name, magic in FRAMES.items() if magic in Path(file).read_bytes()}
        assert frames == {compression} - {"none"}
        return
    group = pq.ParquetFile(file).metadata.row_group(0)
    names = {group.column(place).compression for place in range(group.num_columns)}
    assert names == {{"none": "UNCOMPRESSED"}.get(compression, compression.upper())}


@each_typed_form
def test_file_is_written_in_one_part_and_parquet_with_dictionaries(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    put_jobs(sandbox, 1_200)
    output = sync(sandbox, page_size=500, batch_config=batch_config(tmp_path, form))
    (file,) = files_of(output, "classify_jobs")
    assert parts_of(file) == [1_200]
    if form == "arrow":
        return
    group = pq.ParquetFile(file).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert columns["status"].has_dictionary_page
    assert columns["status"].total_compressed_size < 1_200


@each_form
@pytest.mark.parametrize("page_size", [1, 3, 100])
def test_files_hold_batch_size_rows_whatever_the_pages(
    sandbox: Sandbox, tmp_path: Path, form: str, page_size: int
) -> None:
    put_jobs(sandbox, 10)
    config = batch_config(tmp_path, form, batch_size=4)
    output = sync(sandbox, page_size=page_size, batch_config=config)
    assert [rows_in(Path(file)) for file in files_of(output, "classify_jobs")] == [4, 4, 2]


@each_typed_form
def test_open_files_together_hold_no_more_than_the_bound(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    put_jobs(sandbox, 300)
    bound = 20_000
    monkeypatch.setattr(batches, "MOST_HELD", bound)
    opened: list[Any] = []
    held: list[int] = []

    def note(*_: Any) -> None:
        held.append(sum(file.held for file in opened))

    maps = {f"copy {n}": {"__source__": "classify_jobs"} for n in range(6)}
    with (
        watched(arrow.FILES[form], "__init__", lambda file, *_: opened.append(file)),
        watched(Batches, "add", note),
    ):
        config = batch_config(tmp_path, form)
        output = sync(sandbox, page_size=10, stream_maps=maps, batch_config=config)
    assert bound / 2 < max(held) <= bound
    assert len(opened) == 9
    for alias in ("classify_jobs", *maps):
        (file,) = files_of(output, alias)
        assert len(parts_of(file)) > 1
        ids = table_of(file).column("id").to_pylist()
        assert ids == [f"j{n:04}" for n in range(300)]


# Stream maps that make what does not fit

MISFITS: dict[str, tuple[str, str, str]] = {
    "a number as text": ("status", "rule_count + 12345", "text"),
    "a list as text": ("status", "[12345]", "text"),
    "text as a whole number": ("rule_count", "['12345', 5][0]", "whole numbers"),
    "a fraction as a whole number": ("rule_count", "rule_count + 12345.5", "whole numbers"),
    "too large a number": ("rule_count", "12345 ** 20", "whole numbers"),
    "true as a whole number": ("rule_count", "rule_count > 0", "whole numbers"),
    "a day of no calendar": ("created_at", "created_at and '12345-13-01'", "timestamps"),
    "a number as a timestamp": ("created_at", "12345", "timestamps"),
    "text as a day": ("made", "datetime.date(2026, 11, 1) and '12345-13-01'", "days"),
    "text as a number": ("made", "float(1) and '12345x'", "numbers"),
    "text as true or false": ("made", "bool(1) and '12345'", "true or false"),
    "a null key": ("id", "None if id == 'j0001' else id", "nulls, and is part of the key"),
}


@each_typed_form
@pytest.mark.parametrize(("column", "expression", "holds"), MISFITS.values(), ids=MISFITS)
def test_stream_map_that_makes_what_does_not_fit_names_the_column_and_shows_no_value(
    sandbox: Sandbox, tmp_path: Path, form: str, column: str, expression: str, holds: str
) -> None:
    put_jobs(sandbox, 3)
    maps = {"classify_jobs": {column: expression}}
    with pytest.raises(SettingsError) as caught:
        sync(sandbox, stream_maps=maps, batch_config=batch_config(tmp_path, form))
    text = str(caught.value)
    assert f"column {column} of classify_jobs holds " in text
    assert holds in text
    assert "12345" not in text
    assert "j0001" not in text
    assert [*tmp_path.iterdir()] == []


# The order of things


def watched_output(watch: Any) -> Any:
    """Call `watch` with each message of the output before it is written."""

    def before(lines: bytes) -> None:
        for line in lines.splitlines():
            watch(json.loads(line))

    return watched(standard_output, "write", before)


def rows_in(file: Path) -> int:
    """Count a file's rows; a file that is not whole raises."""
    if file.suffix in {".parquet", ".arrow"}:
        return int(table_of(str(file)).num_rows)
    return len(lines_of([str(file)]))


@each_form
def test_file_is_whole_before_its_batch_and_all_are_announced_before_the_state(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    put_jobs(sandbox, 7)
    announced: list[Path] = []
    kinds: list[str] = []

    def watch(message: Message) -> None:
        kinds.append(message["type"])
        if message["type"] == "BATCH":
            (url,) = message["manifest"]
            announced.append(Path(url.removeprefix("file://")))
            assert 0 < rows_in(announced[-1]) <= 2
        assert visible(tmp_path) == sorted(announced)
        if message["type"] == "STATE":
            assert hidden(tmp_path) == []

    with watched_output(watch):
        sync(sandbox, page_size=3, batch_config=batch_config(tmp_path, form, batch_size=2))
    assert kinds == ["SCHEMA"] * 3 + ["BATCH"] * 12 + ["STATE"]


@each_form
def test_full_table_batches_carry_the_version_that_is_activated_after_them(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    put_jobs(sandbox, 5)
    output = sync(
        sandbox,
        catalog=catalog_with(sandbox, classify_jobs={"replication_method": "FULL_TABLE"}),
        emit_activate_version_messages=True,
        batch_config=batch_config(tmp_path, form, batch_size=2),
    )
    (activated,) = output.of_type("ACTIVATE_VERSION")
    assert activated["stream"] == "classify_jobs"
    ours = batches_of(output, "classify_jobs")
    assert [message["version"] for message in ours] == [activated["version"]] * 3
    assert max(map(output.messages.index, ours)) < output.messages.index(activated)
    rules = batches_of(output, "classify_job_rules")
    assert [message.get("version") for message in rules] == [None] * 3
    assert output.messages[-1]["type"] == "STATE"


# Runs that come to no good end


@each_form
def test_run_that_fails_leaves_whole_files_and_no_unfinished_one(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    put_jobs(sandbox, 9)
    at_page(sandbox, 2, lambda: sandbox.answer_next(503))
    unfinished: list[str] = []
    config = batch_config(tmp_path, form, batch_size=2)
    with (
        watched_output(lambda _: unfinished.extend(hidden(tmp_path))),
        pytest.raises(ApiError, match=r"^page 3"),
    ):
        sync(sandbox, page_size=3, batch_config=config)
    gc.collect()
    assert unfinished
    assert hidden(tmp_path) == []
    assert [rows_in(file) for file in visible(tmp_path)] == [2] * 9


JOBS_A_PAGE = 9
ROWS_A_FILE = 4
"""So that after any page but each fourth there are rows left over, in files that are open."""


def run_until(
    sandbox: Sandbox, folder: Path, signum: int, form: str, *, page: int, batch: int = 0
) -> int:
    """Run the command until a page is asked for, or before that so many BATCH lines were read.

    The page stays unanswered, so that no run comes to its own end, however late the signal is.
    Returns the exit code.
    """
    batches = batch_config(folder / "files", form, batch_size=ROWS_A_FILE)
    config = config_of(sandbox, page_size=JOBS_A_PAGE, batch_config=batches)
    with started(folder, "--config", config, stdout=subprocess.PIPE) as process:

        def stop() -> None:
            if not batch:
                process.send_signal(signum)
            process.wait()

        at_page(sandbox, page, stop)
        assert process.stdout
        seen = 0
        for line in process.stdout:
            is_batch = b'"type":"BATCH"' in line
            seen += is_batch
            if is_batch and seen == batch:
                process.send_signal(signum)
            assert b'"type":"STATE"' not in line
    assert "Traceback" not in (folder / "stderr").read_text()
    sandbox.before_page = None
    return process.wait()


@each_form
def test_run_of_which_a_connection_fails_keeps_what_the_other_one_read(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    put_jobs(sandbox, 5)
    keys = {"good": sandbox.key, "bad": "llx-revoked"}
    tap = new_tap(
        sandbox,
        catalog=catalog_with(sandbox),
        api_key=None,
        connections=[{"name": name, "api_key": key} for name, key in keys.items()],
        batch_config=batch_config(tmp_path, form),
    )
    text, error = written_by(tap)
    assert str(error).startswith("1 of 2 connections failed (bad)")
    output = parse(text)
    assert all(Path(file).exists() for file in files_of(output, "classify_jobs"))
    columns = schemas(output)["classify_jobs"]["schema"]["properties"]
    if form == "jsonl":
        rows = lines_of(files_of(output, "classify_jobs"))
        assert [row["id"] for row in rows] == [f"j{n:04}" for n in range(5)]
    else:
        assert len(cells(files_of(output, "classify_jobs"), columns)) == 5
    (kept,) = output.state["bookmarks"]["classify_jobs"]["partitions"]
    newest = sandbox.world.job("j0004")["updated_at"]
    assert (kept["context"], kept["replication_key_value"]) == ({"connection": "good"}, newest)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    ("form", "moment"),
    [("arrow", {"page": 4}), ("parquet", {"page": 3, "batch": 7})],
    ids=["page 4", "7 files"],
)
def test_run_that_is_killed_leaves_no_half_file_under_a_final_name(
    sandbox: Sandbox, tmp_path: Path, form: str, moment: dict[str, int]
) -> None:
    put_jobs(sandbox, 95)
    folder = tmp_path / "files"
    assert run_until(sandbox, tmp_path, signal.SIGKILL, form, **moment) == -signal.SIGKILL
    assert visible(folder)
    assert {rows_in(file) for file in visible(folder)} == {ROWS_A_FILE}
    left = hidden(folder)
    assert left
    assert all(name.startswith(".run-") and name.endswith(f".{form}.part") for name in left)

    for name in left:
        a_day_ago = (folder / name).stat().st_mtime - 24 * 3600 - 60
        os.utime(folder / name, (a_day_ago, a_day_ago))
    sync(sandbox, batch_config=batch_config(folder, form))
    assert hidden(folder) == []


@each_typed_form
def test_run_that_is_terminated_leaves_no_unfinished_file(
    sandbox: Sandbox, tmp_path: Path, form: str
) -> None:
    put_jobs(sandbox, 95)
    assert run_until(sandbox, tmp_path, signal.SIGTERM, form, page=6) == 128 + signal.SIGTERM
    assert visible(tmp_path / "files")
    assert hidden(tmp_path / "files") == []


@pytest.mark.heavy
def test_run_that_is_killed_at_any_moment_leaves_no_half_file(
    sandbox: Sandbox, tmp_path: Path, tally: Tally
) -> None:
    put_jobs(sandbox, 395)
    dice = Random(SEED)  # noqa: S311 - it is to be repeatable
    folder = tmp_path / "files"
    kills = trials(40)
    for kill in range(kills):
        moment = {"page": dice.randint(1, 40)}
        if not kill % 2:
            moment = {"page": 44, "batch": dice.randint(1, 280)}
        form = TYPED_FORMATS[kill // 2 % 2]
        code = run_until(sandbox, tmp_path, signal.SIGKILL, form, **moment)
        assert code == -signal.SIGKILL, moment
        for file in visible(folder) if folder.exists() else ():
            assert 0 < rows_in(file) <= ROWS_A_FILE, moment
            file.unlink()
    tally("SIGKILLs, Parquet and Arrow: no file is half", kills)


# What a run loads

SYNC_AND_LIST = """
import sys
from tap_llamaclassify.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("pyarrow" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(("form", "loaded"), [(None, False), ("jsonl", False), ("arrow", True)])
def test_pyarrow_is_imported_where_files_have_types_only(
    sandbox: Sandbox, tmp_path: Path, form: str | None, *, loaded: bool
) -> None:
    put_jobs(sandbox, 1)
    files = {"batch_config": batch_config(tmp_path / "files", form)} if form else {}
    config = config_of(sandbox, **files)
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    listed = ended([sys.executable, "-c", SYNC_AND_LIST, "--config", tmp_path / "config.json"])
    assert listed.code == 0, listed.stderr
    assert listed.stderr.splitlines()[-1] == str(loaded)


# Settings


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"encoding": {"format": "jsonl", "compression": "zstd"}}, "must be gzip or none"),
        ({"encoding": {"format": "parquet", "compression": "brotli"}}, "compression"),
        ({"encoding": {"format": "parquet", "compression": "lz4"}}, "must be zstd or snappy"),
        ({"encoding": {"format": "arrow", "compression": "gzip"}}, "must be zstd or lz4 or none"),
        ({"encoding": {"format": "csv"}}, "format"),
        ({"storage": {"root": "/tmp", "prefix": "a/b"}}, "prefix must not hold a /"),  # noqa: S108 - nothing is written
        ({"encoding": {}}, "is not valid"),
        ({"storage": {}}, "is not valid"),
        ({"storage": {"root": ""}}, "storage.root"),
        ({"storage": {"root": None}}, "storage.root"),
        ({"storage": {"root": 5}}, "storage.root"),
        ({"storage": None}, "is not valid"),
        ({"more": 1}, "is not valid"),
        ({"batch_size": 0}, "batch_size must be a whole number, at least 1"),
        ({"batch_size": "many"}, "batch_size must be a whole number, at least 1"),
        ({"batch_size": True}, "batch_size must be a whole number, at least 1"),
    ],
)
@each_form
def test_batch_config_that_cannot_be_followed_is_refused_before_any_request(
    sandbox: Sandbox, tmp_path: Path, form: str, change: dict[str, Any], text: str
) -> None:
    with pytest.raises(SettingsError, match=f"batch_config.*{text}"):
        new_tap(sandbox, batch_config=batch_config(tmp_path, form) | change)
    assert sandbox.requests == []
