"""Where batch files go: their names, what killed runs have left, and places that fail."""

from __future__ import annotations

import errno
import gc
import json
import os
import re
import resource
import stat
import tempfile
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from singer_sdk.helpers._batch import StorageTarget
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.errors import OutputError
from tests.support.batch_files import FORMATS, batch_config, batches_of, hidden, put_jobs, visible
from tests.support.builders import STREAMS, Output, captured, cases, job, new_tap, sync
from tests.support.commands import COMMAND, Command, ended
from tests.support.runs import failure, put, watched

HOUR = 3600
each_form = pytest.mark.parametrize("form", FORMATS)
NOBODY = 65534


@pytest.fixture
def two_jobs(sandbox: Sandbox) -> Sandbox:
    put_jobs(sandbox, 2)
    return sandbox


# Names

NAME = re.compile(
    r"run-(?P<stream>.+)-(?P<began>[0-9]{8}T[0-9]{6}\.[0-9]{6}Z)-(?P<number>[0-9]{6})\.parquet"
).fullmatch


def test_names_say_stream_start_and_number_and_sort_by_time(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    put_jobs(sandbox, 12)
    announced: list[str] = []
    for _ in range(2):
        output = sync(sandbox, batch_config=batch_config(tmp_path, batch_size=1))
        messages = batches_of(output, "classify_jobs")
        announced += [Path(url).name for message in messages for url in message["manifest"]]
    assert len(announced) == 24
    assert announced == sorted(announced)
    parts = [found for name in announced if (found := NAME(name))]
    assert {part["stream"] for part in parts} == {"classify_jobs"}
    assert [int(part["number"]) for part in parts] == [*range(1, 13)] * 2
    assert len({part["began"] for part in parts}) == 2


def test_names_sort_by_run_though_the_clock_is_set_back_in_between(
    two_jobs: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock(datetime):
        hours = 0

        @classmethod
        @override
        def now(cls, tz: tzinfo | None = None) -> Clock:
            return super().now(tz) + timedelta(hours=cls.hours)

    monkeypatch.setattr("tap_llamaclassify.singer.batches.datetime", Clock)
    runs: list[str] = []
    for hours in (0, -7, 30, -2, -2):
        Clock.hours = hours
        before = {*tmp_path.iterdir()}
        sync(two_jobs, batch_config=batch_config(tmp_path))
        runs += sorted(
            path.name for path in {*tmp_path.iterdir()} - before if "classify_jobs" in path.name
        )
    assert len(runs) == 5
    assert runs == sorted(runs)


def test_run_is_named_after_a_killed_one_and_unlike_one_beside_it_though_the_clock_was_set_back(
    two_jobs: Sandbox, tmp_path: Path
) -> None:
    # What two runs left whose clock was ahead: one was killed, one goes on while this one begins.
    (tmp_path / ".run-classify_jobs-20770101T000000.000001Z-000001.parquet.part").touch()
    names = set()
    for _ in range(2):
        sync(two_jobs, batch_config=batch_config(tmp_path))
        (path,) = tmp_path.glob("run-classify_jobs-*")
        assert path.name > "run-classify_jobs-20770101T000000.000001Z-000001.parquet"
        names.add(path.name)
        for each in tmp_path.glob("run-*"):
            each.unlink()
    assert len(names) == 2


@pytest.mark.parametrize("time", ["20261399T000000.000000Z", "99991231T235959.999999Z", "1.2Z"])
def test_name_that_tells_of_no_time_after_which_there_is_one_stops_no_run(
    two_jobs: Sandbox, tmp_path: Path, time: str
) -> None:
    (tmp_path / f"run-classify_jobs-{time}-000001.parquet").touch()
    before = datetime.now(UTC)
    sync(two_jobs, batch_config=batch_config(tmp_path))
    names = [path.name for path in tmp_path.glob("run-classify_jobs-*") if time not in path.name]
    assert [name > f"run-classify_jobs-{before:%Y%m%d}" for name in names] == [True]


def test_file_and_the_folder_that_names_it_are_written_through_before_it_is_announced(
    two_jobs: Sandbox, tmp_path: Path
) -> None:
    written: list[tuple[str, int]] = []

    def note(number: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file"
        written.append((kind, len(visible(tmp_path))))

    with watched(os, "fsync", note):
        sync(two_jobs, batch_config=batch_config(tmp_path))
    # Each is there under its name when the folder is written through.
    assert written == [
        step
        for before in range(len(STREAMS))
        for step in (("file", before), ("folder", before + 1))
    ]


ALIASES = ["a/b", "../../up", "..", ".", "/etc/x", "with space", "Übung 日本", "a%2Fb", "a#b?c*[d]"]


@pytest.mark.parametrize("alias", ALIASES)
def test_stream_of_any_name_stays_in_the_folder(
    two_jobs: Sandbox, tmp_path: Path, alias: str
) -> None:
    folder = tmp_path / "deep" / "down" / "here"
    maps = {alias: {"__source__": "classify_jobs"}}
    output = sync(two_jobs, stream_maps=maps, batch_config=batch_config(folder))
    assert as_a_target_reads(*urls_of(output, alias)) == ["j0000", "j0001"]
    assert len(visible(folder)) == 4
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.parent for path in files} == {folder}


# Places


def urls_of(output: Output, alias: str = "classify_jobs") -> list[str]:
    """Return the one manifest of a stream."""
    (message,) = batches_of(output, alias)
    urls: list[str] = message["manifest"]
    return urls


def as_a_target_reads(url: str) -> list[str]:
    """Open a file of a manifest as singer-sdk's targets do; return the ids in it."""
    head, tail = StorageTarget.split_url(url)
    with StorageTarget.from_url(head).open(tail) as file:
        ids: list[str] = pq.read_table(file).column("id").to_pylist()
    return ids


ROOTS = ["plain", "deep/down/here", "with space", "ha#sh", "per%cent", "per%20cent"]
ROOTS += ["Übung 日本", "st*r [a]", "trailing/"]


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
@pytest.mark.parametrize("root", ROOTS)
def test_files_land_in_any_folder_and_targets_can_open_them(
    two_jobs: Sandbox, tmp_path: Path, root: str, scheme: str
) -> None:
    output = sync(two_jobs, batch_config=batch_config(f"{scheme}{tmp_path}/{root}"))
    assert len(visible(tmp_path / root)) == 3
    (url,) = urls_of(output)
    assert url.startswith(f"file://{tmp_path}")
    assert as_a_target_reads(url) == ["j0000", "j0001"]


@pytest.mark.parametrize("root", ["here", "./here", "file://here"])
def test_relative_root_is_below_the_working_folder_and_its_url_is_absolute(
    two_jobs: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    monkeypatch.chdir(tmp_path)
    output = sync(two_jobs, batch_config=batch_config(root))
    monkeypatch.chdir("/")
    assert as_a_target_reads(*urls_of(output)) == ["j0000", "j0001"]
    assert len(visible(tmp_path / "here")) == 3


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put this machine's temporary folder where a test can look."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_files_that_go_elsewhere_wait_where_only_their_owner_can_look(
    two_jobs: Sandbox, workshop: Path
) -> None:
    modes: list[int] = []

    def note(_: Any, path: str, *__: Any, **___: Any) -> None:
        modes.append(Path(path).stat().st_mode & 0o777)
        assert Path(path).parent == workshop

    with watched(type(fsspec.filesystem("memory")), "put_file", note):
        output = sync(two_jobs, batch_config=batch_config("memory://elsewhere/folder"))
    assert modes == [0o600] * 3
    assert [*workshop.iterdir()] == []
    for message in output.of_type("BATCH"):
        (url,) = message["manifest"]
        with fsspec.open(url) as file:
            assert pq.read_table(file).num_rows == 2


# What killed runs have left


def unfinished(prefix: str, stream: str) -> str:
    return f".{prefix}{stream}-20261122T143308.123456Z-000001.parquet.part"


def make_old(path: Path, hours: float) -> None:
    if not path.exists():
        path.write_bytes(b"PAR1 half")
    moment = time.time() - hours * HOUR
    os.utime(path, (moment, moment))


def test_leftovers_of_its_own_prefix_are_removed_after_a_day_and_nothing_else(
    two_jobs: Sandbox, tmp_path: Path
) -> None:
    gone = [unfinished("run-", stream) for stream in (*STREAMS, "jobs%2Frenamed")]
    gone += [gone[0].replace(".parquet.", f".{ending}.") for ending in ("jsonl.gz", "arrow")]
    kept = [
        unfinished("other-", "classify_jobs"),
        unfinished("", "classify_jobs"),
        unfinished("run-run-", "classify_jobs"),
        unfinished("run-", "somebody_elses"),
        unfinished("run-", "classify_jobs").removesuffix(".part"),
        unfinished("run-", "classify_jobs")[1:].removesuffix(".part"),
        unfinished("run-", "classify_jobs")[1:],
        ".run-classify_jobs.part",
        "notes.part",
        "notes.txt",
    ]
    for name in (*gone, *kept):
        make_old(tmp_path / name, hours=24.1)
    young = unfinished("run-", "classify_jobs").replace("1122", "1123")
    make_old(tmp_path / young, hours=23.9)

    maps = {"jobs/renamed": {"__source__": "classify_jobs"}}
    sync(two_jobs, stream_maps=maps, batch_config=batch_config(tmp_path))
    left = {path.name for path in tmp_path.iterdir()}
    assert left & {*gone} == set()
    assert left >= {*kept, young}
    assert len(left) == len(kept) + 1 + 4


def test_leftovers_of_a_run_without_prefix_are_told_from_those_with_one(
    two_jobs: Sandbox, tmp_path: Path
) -> None:
    for prefix in ("", "run-"):
        make_old(tmp_path / unfinished(prefix, "classify_jobs"), hours=25)
    sync(two_jobs, batch_config=batch_config(tmp_path, storage={"root": str(tmp_path)}))
    assert hidden(tmp_path) == [unfinished("run-", "classify_jobs")]
    assert {path.name.split("-")[0] for path in visible(tmp_path)} == {*STREAMS}


def test_leftover_that_cannot_be_removed_does_not_keep_the_others(
    two_jobs: Sandbox, tmp_path: Path
) -> None:
    names = [unfinished("run-", "classify_jobs").replace("0001", f"000{n}") for n in range(1, 10)]
    for name in names[1::2]:
        (tmp_path / name).mkdir()
    for name in names:
        make_old(tmp_path / name, hours=25)
    sync(two_jobs, batch_config=batch_config(tmp_path))
    assert hidden(tmp_path) == names[1::2]


def test_leftovers_of_uploads_are_looked_for_where_files_wait(
    two_jobs: Sandbox, workshop: Path
) -> None:
    make_old(workshop / unfinished("run-", "classify_jobs"), hours=25)
    make_old(workshop / unfinished("other-", "classify_jobs"), hours=25)
    sync(two_jobs, batch_config=batch_config("memory://elsewhere/leftovers"))
    assert hidden(workshop) == [unfinished("other-", "classify_jobs")]


# Places that cannot be used

SECRET = "MARKEDSECRET"
PLACES = {
    "a file": ("file", "File exists"),
    "below a file": ("file/below", "Not a directory"),
    "below a device": ("/dev/null/below", "Not a directory"),
    "where the kernel lets nobody": ("/proc/none", "there is no such bucket or folder"),
    "a name that is too long": ("x" * 300, "File name too long"),
    "a name that is none": ("a\0b", "cannot write there"),
    "an unknown scheme": ("nope://bucket", "nothing is known of nope://"),
    "S3 without the extra": (
        f"s3://{SECRET}:{SECRET}@bucket",
        "s3:// needs a package that is not installed (the extra s3)",
    ),
    "Google without its package": ("gs://bucket", "gs:// needs a package that is not installed"),
    "a server that is not there": (f"ftp://user:{SECRET}@127.0.0.1:9/x", "Connection refused"),
    "credentials for a scheme": (f"user:{SECRET}://x", ""),
    "credentials in a query": (f"https://127.0.0.1:9/x?sig={SECRET}", "needs a package"),
}


@each_form
@pytest.mark.parametrize(("root", "reason"), PLACES.values(), ids=PLACES)
def test_place_that_cannot_be_used_is_one_line_that_names_its_setting(
    two_jobs: Sandbox,
    quick_command: Command,
    config: dict[str, Any],
    tmp_path: Path,
    form: str,
    root: str,
    reason: str,
) -> None:
    (tmp_path / "file").write_text("")
    if root.startswith(("file", "x")):
        root = str(tmp_path / root)
    ended = quick_command("--config", config | {"batch_config": batch_config(root, form)})
    error = failure(ended)
    assert error.startswith("batch_config.storage.root: ")
    assert reason in error
    assert SECRET not in ended.stderr + ended.stdout
    assert ended.output.of_type("STATE") == []
    assert two_jobs.requests == []


@each_form
def test_folder_without_permission_is_said_to_be_so(
    two_jobs: Sandbox, tmp_path: Path, form: str
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir(0o500)
    tap = new_tap(two_jobs, batch_config=batch_config(folder / "below", form))
    # The superuser may write anywhere, so be somebody else.
    me = os.geteuid()
    if me == 0:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(OutputError) as caught:
            captured(tap)
    finally:
        os.seteuid(me)
    assert str(caught.value) == "batch_config.storage.root: no permission to write there"


# RLIMIT_FSIZE is as near to a disk that is full as a test comes without mounting one.
FULL = "batch_config.storage.root: cannot write there (File too large)"


@each_form
@pytest.mark.parametrize("room", [0, 20_000])
def test_disk_that_fills_up_is_one_line_and_leaves_no_unfinished_file(
    sandbox: Sandbox, tmp_path: Path, config: dict[str, Any], form: str, room: int
) -> None:
    for n in range(400):
        put(sandbox, job(f"{n}" * 20, user_id=os.urandom(99).hex()))
    folder = tmp_path / "files"
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config | {"batch_config": batch_config(folder, form)}))
    limited = ended(
        [COMMAND, "--config", path],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )
    assert failure(limited).startswith(FULL)
    assert limited.output.of_type("STATE") == []
    assert [*folder.iterdir()] == []


@each_form
@cases(
    "owner, name, root",
    {
        "here": (os, "fsync", None),
        "elsewhere": (type(fsspec.filesystem("memory")), "put_file", "memory://elsewhere/refused"),
    },
)
def test_file_that_finds_no_room_at_its_end_leaves_nothing_on_this_machine(
    two_jobs: Sandbox,
    workshop: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    owner: Any,
    name: str,
    root: str | None,
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "SECRET")

    monkeypatch.setattr(owner, name, full)
    text = r"^batch_config\.storage\.root: .*No space left on device"
    with pytest.raises(OutputError, match=text) as caught:
        sync(two_jobs, batch_config=batch_config(root or workshop, form))
    gc.collect()
    assert "SECRET" not in str(caught.value)
    assert [*workshop.iterdir()] == []
