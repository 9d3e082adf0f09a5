"""Many keys: side by side, each with a state of its own, and none in the way of another.

Where connections have to wait for one another, each has a sandbox of its own, because a server
that is held up answers nobody.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.errors import ApiError, ReplyError
from tap_llamaclassify.http.pacing import RateLimiter
from tap_llamaclassify.singer import messages, run
from tap_llamaclassify.singer.tap import TapLlamaClassify
from tap_llamaclassify.tables import additional_fields
from tests.support.builders import (
    ALL_STREAMS,
    STREAMS,
    V2_STREAMS,
    Output,
    captured,
    catalog_with,
    job,
    parse,
    sync,
)
from tests.support.commands import Command
from tests.support.items import v2_job
from tests.support.moments import PATIENCE, at
from tests.support.processes import started, whole_lines
from tests.support.simulated import Life, clock_of

NAMES = ("emea", "apac", "latam", "anz", "nordics", "iberia", "africa", "india")
V1, V2 = "/api/v1/classifier/jobs", "/api/v2/classify"

Row = dict[str, Any]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run an API with eight projects."""
    with Sandbox(World.empty(projects=8)) as running:
        yield running


@pytest.fixture
def hosts() -> Iterator[Callable[[int], list[Sandbox]]]:
    """Run as many APIs as are asked for, each with a world of its own."""
    with ExitStack() as stack:

        def run(count: int) -> list[Sandbox]:
            worlds = [World.empty(seed=seed) for seed in range(1, count + 1)]
            return [stack.enter_context(Sandbox(world)) for world in worlds]

        yield run


def put(sandbox: Sandbox, connections: int, jobs: int, **fields: Any) -> None:
    """Add jobs to the projects of the first connections; their ids begin with its name."""
    for name, project_id in zip(NAMES[:connections], sandbox.keys, strict=False):
        for number in range(jobs):
            own = {"project_id": project_id, "updated_at": at(number)}
            sandbox.world.put(job(f"{name} {number}", **own | fields))


def connections(sandbox: Sandbox, count: int) -> list[Row]:
    """Make the first connections, each with the key of a project."""
    keys = zip(NAMES[:count], sandbox.keys.values(), strict=False)
    return [{"name": name, "api_key": key} for name, key in keys]


def config(sandbox: Sandbox, count: int, **more: Any) -> Row:
    """Make settings of the first connections, without retries and without lookback."""
    own = {"api_url": sandbox.url, "connections": connections(sandbox, count)}
    return own | {"retry_seconds": 0, "lookback_seconds": 0} | more


def config_of(hosts: list[Sandbox], **more: Any) -> Row:
    """Make settings of a connection for each of the hosts."""
    own = [
        {"name": name, "api_key": host.key, "api_url": host.url}
        for name, host in zip(NAMES, hosts, strict=False)
    ]
    return {"connections": own, "retry_seconds": 0, "lookback_seconds": 0} | more


def fetch(sandbox: Sandbox, settings: Row, *, state: Any = None, catalog: Any = None) -> Output:
    """Sync connections in this process."""
    return sync(sandbox, state=state, catalog=catalog, **{"api_key": None} | settings)


def select(sandbox: Sandbox, *streams: str, **wish: Any) -> Row:
    """Make a catalog of some streams."""
    entries = {name: wish | {"selected": name in streams} for name in ALL_STREAMS}
    return catalog_with(sandbox, **entries)


def kept(state: Row, stream: str = "classify_jobs") -> dict[str, str | None]:
    """Return the bookmark of each connection's part in a stream."""
    partitions = state.get("bookmarks", {}).get(stream, {}).get("partitions", [])
    return {p["context"]["connection"]: p.get("replication_key_value") for p in partitions}


def assert_came(event: threading.Event) -> None:
    """Wait for what must come."""
    assert event.wait(PATIENCE)


def keys_of(sandbox: Sandbox) -> list[str]:
    """Return the keys that requests came with, in order of arrival."""
    return [request.headers["authorization"].split()[1] for request in sandbox.requests]


# What there is then.


def test_state_has_a_partition_for_each_connection_by_name_and_no_key(sandbox: Sandbox) -> None:
    put(sandbox, 3, 2)
    output = fetch(sandbox, config(sandbox, 3))
    for stream in STREAMS:
        entry = output.state["bookmarks"][stream]
        assert entry == {
            "partitions": [
                {
                    "context": {"connection": name},
                    "replication_key": "updated_at",
                    "replication_key_value": at(1),
                }
                for name in sorted(NAMES[:3])
            ]
        }
    assert "llx-" not in json.dumps(output.state)


def test_rows_of_every_connection_are_there_with_their_project(sandbox: Sandbox) -> None:
    put(sandbox, 8, 5)
    output = fetch(sandbox, config(sandbox, 8, page_size=2))
    projects = {row["id"]: row["project_id"] for row in output.records("classify_jobs")}
    assert projects == {
        f"{name} {number}": project_id
        for name, project_id in zip(NAMES, sandbox.keys, strict=True)
        for number in range(5)
    }
    assert len(output.ids()) == 40
    assert len(sandbox.requests) == 8 * 3
    assert len(output.of_type("SCHEMA")) == 3


@pytest.mark.parametrize("at_once", [1, 2, 8])
def test_how_many_are_read_at_once_changes_nothing_of_what_is_read(
    sandbox: Sandbox, at_once: int
) -> None:
    put(sandbox, 4, 3)
    output = fetch(sandbox, config(sandbox, 4, parallel_connections=at_once, page_size=2))
    assert sorted(output.ids()) == sorted(f"{n} {i}" for n in NAMES[:4] for i in range(3))
    assert kept(output.state) == dict.fromkeys(NAMES[:4], at(2))


def test_every_stream_of_every_connection_keeps_its_own(sandbox: Sandbox) -> None:
    put(sandbox, 2, 3)
    for name, project_id in zip(NAMES[:2], sandbox.keys, strict=False):
        sandbox.world.put_v2(v2_job(f"{name} v2", project_id=project_id, updated_at=at(7)))
    catalog = select(sandbox, *ALL_STREAMS)
    settings = config(sandbox, 2, fetch_results=True)
    output = fetch(sandbox, settings, catalog=catalog)
    reached = {stream: kept(output.state, stream) for stream in ALL_STREAMS}
    assert reached == {
        **dict.fromkeys((*STREAMS, "classify_job_results"), dict.fromkeys(NAMES[:2], at(2))),
        **dict.fromkeys(V2_STREAMS, dict.fromkeys(NAMES[:2], at(7))),
        "classify_projects": {},
        "classify_organizations": {},
    }
    results = output.records("classify_job_results")
    assert {row["project_id"] for row in results} == {*list(sandbox.keys)[:2]}
    assert {row["job_id"] for row in results} == {*output.ids()}
    # Each key shows all projects of its organization.
    assert len(output.records("classify_projects")) == 2 * 8

    sandbox.clear_requests()
    again = fetch(sandbox, settings, state=output.state, catalog=catalog)
    assert sorted(again.ids()) == ["apac 2", "emea 2"]
    assert {row["job_id"] for row in again.records("classify_job_results")} == {*again.ids()}


def test_next_run_goes_on_where_each_connection_was(sandbox: Sandbox) -> None:
    put(sandbox, 3, 4)
    sandbox.world.touch("apac 0")
    state = fetch(sandbox, config(sandbox, 3)).state
    sandbox.world.advance(60)
    sandbox.world.touch("emea 0")
    output = fetch(sandbox, config(sandbox, 3), state=state)
    assert sorted(output.ids()) == ["apac 0", "emea 0", "emea 3", "latam 3"]
    assert kept(output.state)["latam"] == at(3)


def test_no_line_is_torn_between_connections(sandbox: Sandbox, quick_command: Command) -> None:
    put(sandbox, 8, 6, error_message="x" * 20_000)
    ended = quick_command("--config", config(sandbox, 8, parallel_connections=8, page_size=2))
    assert ended.code == 0
    assert all(len(line) > 10 for line in ended.stdout.splitlines())
    assert sorted(ended.output.ids()) == sorted(f"{n} {i}" for n in NAMES for i in range(6))


def test_bookmark_of_a_connection_stands_behind_its_rows(sandbox: Sandbox) -> None:
    put(sandbox, 8, 6)
    output = fetch(sandbox, config(sandbox, 8, parallel_connections=8, page_size=2))
    seen: set[str] = set()
    for message in output.messages:
        if message["type"] == "RECORD" and message["stream"] == "classify_jobs":
            seen.add(message["record"]["id"])
        elif message["type"] == "STATE":
            done = [name for name, reached in kept(message["value"]).items() if reached]
            assert seen >= {f"{name} {number}" for name in done for number in range(6)}
    assert len(output.of_type("STATE")) > 1


def test_log_names_whose_listing_it_is_and_no_key(sandbox: Sandbox, quick_command: Command) -> None:
    put(sandbox, 2, 1)
    ended = quick_command("--config", config(sandbox, 2))
    said = "\n".join(ended.lines("INFO"))
    for name in NAMES[:2]:
        assert f"{name}: classify_jobs: emitting everything" in said
    assert "classify_v2_jobs 0" in said
    assert "4 pages, 2 jobs, 4 requests, 0 waits" in said


def test_keys_may_stand_in_the_environment(sandbox: Sandbox, quick_command: Command) -> None:
    put(sandbox, 2, 1)
    own = [{"name": name, "api_key_env": f"KEY_OF_{name.upper()}"} for name in NAMES[:2]]
    keys = [*sandbox.keys.values()]
    environment = {"KEY_OF_EMEA": keys[0], "KEY_OF_APAC": keys[1]}
    ended = quick_command("--config", config(sandbox, 2, connections=own), env=environment)
    assert ended.code == 0
    assert sorted(ended.output.ids()) == ["apac 0", "emea 0"]
    assert {*keys_of(sandbox)} == {*keys[:2]}


def test_trial_run_tries_every_connection(sandbox: Sandbox, quick_command: Command) -> None:
    put(sandbox, 3, 5)
    settings = config(sandbox, 3, page_size=2)
    ended = quick_command("--config", settings, "--test")
    assert (ended.code, ended.errors) == (0, [])
    listed = [request for request in sandbox.requests if request.path == V1]
    assert len(listed) == 3
    assert {*keys_of(sandbox)} == {*list(sandbox.keys.values())[:3]}
    assert len(ended.output.ids()) == 1
    assert "replication_key_value" not in ended.stdout

    settings["connections"][1]["api_key"] = "llx-wrong"
    ended = quick_command("--config", settings, "--test")
    assert ended.code == 1
    assert "1 of 3 connections failed (apac)" in ended.errors[0]


# At once.


@pytest.mark.parametrize(("given", "at_once"), [(None, 4), (1, 1), (2, 2), (4, 4)])
def test_so_many_listings_are_read_at_once_and_no_more(
    hosts: Callable[[int], list[Sandbox]], given: int | None, at_once: int
) -> None:
    running = hosts(4)
    # None comes through that is not one of as many as may be under way.
    together, turn = threading.Barrier(at_once), threading.Lock()
    underway, most = 0, 0

    def at_page(number: int) -> None:
        nonlocal underway, most
        with turn:
            underway += {1: 1, 3: -1}.get(number, 0)
            most = max(most, underway)
        if number == 1:
            together.wait(PATIENCE)

    for host in running:
        for number in range(3):
            host.world.put(job(f"{number}", project_id=host.project_id))
        host.before_page = at_page
    output = fetch(running[0], config_of(running, parallel_connections=given, page_size=1))
    assert len(output.ids()) == 12
    assert most == at_once


def test_connection_that_waits_keeps_no_other_from_being_read(
    hosts: Callable[[int], list[Sandbox]],
) -> None:
    slow, quick = hosts(2)
    done = threading.Event()
    for host in (slow, quick):
        for number in range(6):
            host.world.put(job(f"{number}", project_id=host.project_id))

    def wait(_: int) -> None:
        assert done.wait(PATIENCE)

    slow.before_page = wait
    quick.before_page = lambda page: done.set() if page == 6 else None
    output = fetch(slow, config_of([slow, quick], page_size=1))
    assert len(output.ids()) == 12
    projects = [row["project_id"] for row in output.records("classify_jobs")]
    assert projects[:4] == [quick.project_id] * 4


@pytest.mark.parametrize("in_files", [False, True], ids=["records", "files"])
def test_state_of_a_connection_that_is_done_waits_for_no_other(
    hosts: Callable[[int], list[Sandbox]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    in_files: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    hung, quick = hosts(2)
    for host in (hung, quick):
        host.world.put(job("one", project_id=host.project_id, updated_at=at(1)))
    done, write, states = threading.Event(), messages._write, []  # noqa: SLF001 - the one place

    def noted(lines: bytes) -> None:
        write(lines)
        if b'"type":"STATE"' in lines:
            states.append(json.loads(lines)["value"])
            done.set()

    monkeypatch.setattr(messages, "_write", noted)
    monkeypatch.setattr(run, "FILES_SECONDS", 0.1)
    hung.before_page = lambda _: assert_came(done)
    batches = {"encoding": {"format": "jsonl"}, "storage": {"root": str(tmp_path)}}
    more = {"batch_config": batches} if in_files else {}
    fetch(hung, config_of([hung, quick], **more))
    assert kept(states[0]) == {"apac": at(1)}
    assert kept(states[-1]) == {"emea": at(1), "apac": at(1)}


def test_each_connection_keeps_a_pace_of_its_own(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(sandbox, 2, 9)
    left: dict[int, list[float]] = {}
    note, life = RateLimiter.note, Life(sandbox)

    def noted(pace: RateLimiter) -> None:
        left.setdefault(id(pace), []).append(sandbox.world.now().timestamp())
        note(pace)

    monkeypatch.setattr(RateLimiter, "note", noted)
    with clock_of(life):
        fetch(sandbox, config(sandbox, 2, requests_per_minute=4, page_size=1))
    assert [len(moments) for moments in left.values()] == [9, 9]
    for moments in left.values():
        assert all(b - a >= 60 for a, b in zip(moments, moments[4:], strict=False))


# One that fails.


def test_key_that_is_revoked_does_not_stop_the_others_whose_state_is_kept(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, 4, 6)
    revoked = sandbox.keys[list(sandbox.keys)[1]]
    settings = config(sandbox, 4, page_size=2)

    def revoke(page: int) -> None:
        # In the middle of that key's own listing.
        if page == 2 and keys_of(sandbox)[-1] == revoked:
            sandbox.revoke(revoked)

    sandbox.before_page = revoke
    ended = quick_command("--config", settings)
    assert ended.code == 1
    (error,) = ended.errors
    assert error.startswith("1 of 4 connections failed (apac), all others are synced: apac: page 3")
    assert "check api_key" in error
    assert kept(ended.output.state) == dict.fromkeys(("emea", "latam", "anz"), at(5))
    others = [id_ for id_ in ended.output.ids() if not id_.startswith("apac")]
    assert sorted(others) == sorted(f"{n} {i}" for n in ("emea", "latam", "anz") for i in range(6))

    # A key of that project that works again.
    with Sandbox(sandbox.world) as repaired:
        settings |= {"api_url": repaired.url}
        again = quick_command("--config", settings, "--state", ended.output.state)
    assert again.code == 0
    assert sorted(again.output.ids()) == sorted(
        [*(f"apac {i}" for i in range(6)), "emea 5", "latam 5", "anz 5"]
    )
    assert kept(again.output.state) == dict.fromkeys(NAMES[:4], at(5))


def test_error_names_every_connection_that_failed_and_fits_a_line(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, 8, 1)
    settings = config(sandbox, 8)
    for each in settings["connections"][1:]:
        each["api_key"] += "-wrong"
    ended = quick_command("--config", settings)
    assert ended.code == 1
    (error,) = ended.errors
    named = re.match(r"7 of 8 connections failed \(([a-z, ]+)\), ", error)
    assert named
    assert {*named[1].split(", ")} == {*NAMES[1:]}
    assert len(error) <= 1000
    assert "llx-" not in ended.stderr
    assert ended.output.ids() == ["emea 0"]
    assert kept(ended.output.state) == {"emea": at(0)}


def test_state_of_before_is_kept_when_all_fail(sandbox: Sandbox, quick_command: Command) -> None:
    put(sandbox, 2, 2)
    settings = config(sandbox, 2)
    state = fetch(sandbox, settings).state
    wrong = [each | {"api_key": "llx-wrong"} for each in settings["connections"]]
    ended = quick_command("--config", settings | {"connections": wrong}, "--state", state)
    assert ended.code == 1
    (error,) = ended.errors
    assert re.match(r"2 of 2 connections failed \((emea, apac|apac, emea)\)", error)
    assert ended.output.of_type("RECORD") == []
    for message in ended.output.of_type("STATE"):
        assert kept(message["value"]) == kept(state)


def test_results_of_one_that_fails_midway_are_kept_as_far_as_they_came(
    hosts: Callable[[int], list[Sandbox]], quick_command: Command
) -> None:
    good, bad = hosts(2)
    for host in (good, bad):
        for number in range(120):
            own = {"project_id": host.project_id, "updated_at": at(number)}
            host.world.put(job(f"j{number}", **own))
    bad.settings.gone = {f"{V1}/j110/": 403}
    catalog = select(good, "classify_job_results")
    settings = config_of([good, bad], fetch_results=True)
    ended = quick_command("--config", settings, "--catalog", catalog)
    assert ended.code == 1
    assert "1 of 2 connections failed (apac)" in ended.errors[0]
    reached = kept(ended.output.state, "classify_job_results")
    assert reached == {"emea": at(119), "apac": at(99)}


def test_api_that_is_gone_for_one_connection_leaves_it_the_other_api(
    hosts: Callable[[int], list[Sandbox]], quick_command: Command
) -> None:
    whole, without = hosts(2)
    for host in (whole, without):
        host.world.put(job("one", project_id=host.project_id, updated_at=at(1)))
        host.world.put_v2(v2_job("two", project_id=host.project_id, updated_at=at(2)))
    without.settings.gone = {V1: 404}
    catalog = select(whole, *STREAMS, *V2_STREAMS)
    ended = quick_command("--config", config_of([whole, without]), "--catalog", catalog)
    assert (ended.code, ended.errors) == (0, [])
    (warning,) = ended.lines("WARNING")
    assert "apac: page 1: " in warning
    assert f"{', '.join(STREAMS)} are left out" in warning
    assert kept(ended.output.state) == {"emea": at(1)}
    for stream in V2_STREAMS:
        assert kept(ended.output.state, stream) == {"emea": at(2), "apac": at(2)}

    whole.settings.gone = {V1: 404}
    given = ["--catalog", catalog, "--state", ended.output.state]
    ended = quick_command("--config", config_of([whole, without]), *given)
    assert (ended.code, ended.errors) == (0, [])
    (warning,) = ended.lines("WARNING")
    assert "emea, apac: " in warning
    assert kept(ended.output.state) == {"emea": at(1)}


def test_job_that_cannot_be_written_fails_its_connection_and_no_other(
    hosts: Callable[[int], list[Sandbox]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> str:
        raise ReplyError("answered JSON that is nested too deeply to be written")

    # How deep that is depends on the Python, and on how deep its stack is just then.
    monkeypatch.setattr(additional_fields, "_as_text", fails)
    good, bad = hosts(2)
    for host in (good, bad):
        host.world.put(job("one", project_id=host.project_id, updated_at=at(1)))
    deep: dict[str, Any] = {}
    for _ in range(60):
        deep = {"a": deep}
    bad.answer_next(200, {"items": [{"id": "fine"}, {"id": "deep", "nest": deep}]})
    settings = config_of([bad, good], parallel_connections=1)
    tap = TapLlamaClassify(config=settings, catalog=catalog_with(good))
    with pytest.raises(ApiError) as caught:
        captured(tap)
    assert str(caught.value) == (
        "1 of 2 connections failed (emea), all others are synced: emea: classify_jobs: for 'deep' "
        "the API answered JSON that is nested too deeply to be written"
    )
    assert {name for name, _ in kept(dict(tap.state)).items()} == {"apac"}
    assert [request.path for request in bad.requests] == [V1]


DEFECT = """
import sys
from tap_llamaclassify.replication import v1 as v1_reader

Step = v1_reader.Step

def fails(items=(), *rest, pages=(), **more):
    if any(job["id"].startswith("apac") for page in pages for job in page.items):
        raise KeyError("a document's text")
    return Step(items, *rest, pages=pages, **more)

v1_reader.Step = fails
from tap_llamaclassify.__main__ import main
main()
"""


def test_defect_in_one_connection_s_thread_ends_the_run_with_one_line(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    put(sandbox, 4, 6)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config(sandbox, 4, page_size=2)), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-c", DEFECT, "--config", path],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=os.environ,
        timeout=PATIENCE,
    )
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if "| ERROR" in line]
    assert "this is a defect of the tap: KeyError in <string>, line " in line
    assert "document" not in ended.stderr
    assert "Traceback" not in ended.stderr
    for message in parse(ended.stdout).of_type("STATE"):
        assert "apac" not in kept(message["value"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_several_listings_wait_ends_the_run_at_once_without_state(
    hosts: Callable[[int], list[Sandbox]], tmp_path: Path, number: signal.Signals
) -> None:
    running = hosts(3)
    waiting, release = threading.Semaphore(0), threading.Event()

    def hold(page: int) -> None:
        if page == 2:
            waiting.release()
            release.wait(PATIENCE)

    for host in running:
        for each in range(3):
            host.world.put(job(f"{each}", project_id=host.project_id))
        host.before_page = hold
    settings = config_of(running, page_size=1)
    try:
        with started(tmp_path, "--config", settings) as process:
            for _ in running:
                assert waiting.acquire(timeout=PATIENCE)
            process.send_signal(number)
            assert process.wait(PATIENCE) == 128 + number
    finally:
        release.set()
    assert whole_lines(tmp_path).of_type("STATE") == []
    said = (tmp_path / "stderr").read_text()
    assert said.endswith(
        f"ERROR: stopped by {number.name}; run again to go on from the last STATE\n"
    )
    assert said.count("ERROR") == 1
    assert "Traceback" not in said
    for host in running:
        host.before_page = None
    assert len(fetch(running[0], settings).ids()) == 9


def test_version_is_activated_only_when_every_connection_was_whole(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, 3, 2)
    catalog = select(sandbox, "classify_jobs", replication_method="FULL_TABLE")
    settings = config(sandbox, 3, emit_activate_version_messages=True)
    wrong = [*settings["connections"][:2], {"name": "latam", "api_key": "llx-wrong"}]
    failed = quick_command("--config", settings | {"connections": wrong}, "--catalog", catalog)
    assert failed.code == 1
    assert len(failed.output.ids()) == 4
    assert failed.output.of_type("ACTIVATE_VERSION") == []

    whole = quick_command("--config", settings, "--catalog", catalog)
    assert whole.code == 0
    (version,) = whole.output.of_type("ACTIVATE_VERSION")
    rows = whole.output.of_type("RECORD")
    assert {row["version"] for row in rows} == {version["version"]}
    assert len(rows) == 6
    assert whole.output.messages.index(version) > whole.output.messages.index(rows[-1])


# From one key to connections, and from some to others.


def test_connection_that_adopts_reads_nothing_again(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put(sandbox, 2, 20)
    catalog = select(sandbox, *STREAMS, "classify_job_results")
    state = sync(sandbox, catalog=catalog, fetch_results=True, lookback_seconds=0).state
    sandbox.clear_requests()

    settings = config(sandbox, 2, fetch_results=True, adopt_state="emea")
    output = fetch(sandbox, settings, state=state, catalog=catalog)
    assert sorted(output.ids()) == sorted(["emea 19", *(f"apac {n}" for n in range(20))])
    paths = [request.path for request in sandbox.requests]
    asked = [path for path in paths if path.endswith("/results")]
    assert paths.count(V1) == 2
    assert sorted(asked) == sorted(
        f"{V1}/{id_}/results" for id_ in ["emea 19", *(f"apac {n}" for n in range(20))]
    )
    for stream in (*STREAMS, "classify_job_results"):
        assert output.state["bookmarks"][stream].keys() == {"partitions"}
        assert kept(output.state, stream) == {"emea": at(19), "apac": at(19)}

    # The setting may stay.
    again = fetch(sandbox, settings, state=output.state, catalog=catalog)
    assert sorted(again.ids()) == ["apac 19", "emea 19"]
    assert "time before connections" not in caplog.text


def test_connections_that_are_added_are_read_from_the_beginning_and_others_go_on(
    sandbox: Sandbox,
) -> None:
    put(sandbox, 3, 3)
    state = fetch(sandbox, config(sandbox, 2)).state
    output = fetch(sandbox, config(sandbox, 3), state=state)
    assert sorted(output.ids()) == ["apac 2", "emea 2", "latam 0", "latam 1", "latam 2"]


def test_connection_that_was_removed_and_comes_back_goes_on_where_it_was(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put(sandbox, 2, 3)
    state = fetch(sandbox, config(sandbox, 2)).state
    without = fetch(sandbox, config(sandbox, 1), state=state)
    assert without.ids() == ["emea 2"]
    assert "connections that are not set (apac); they are kept" in caplog.text
    sandbox.world.touch("apac 0")
    back = fetch(sandbox, config(sandbox, 2), state=without.state)
    assert sorted(back.ids()) == ["apac 0", "apac 2", "emea 2"]


def test_connection_that_is_renamed_is_read_from_the_beginning_and_loses_nothing(
    sandbox: Sandbox,
) -> None:
    put(sandbox, 2, 3)
    state = fetch(sandbox, config(sandbox, 2)).state
    settings = config(sandbox, 2)
    settings["connections"][1]["name"] = "asia"
    output = fetch(sandbox, settings, state=state)
    assert sorted(output.ids()) == ["apac 0", "apac 1", "apac 2", "emea 2"]
    assert kept(output.state) == dict.fromkeys(("apac", "asia", "emea"), at(2))


def test_order_of_connections_and_their_keys_may_change(sandbox: Sandbox) -> None:
    put(sandbox, 3, 3)
    settings = config(sandbox, 3)
    state = fetch(sandbox, settings).state
    with Sandbox(sandbox.world) as elsewhere:
        own = [each | {"api_url": elsewhere.url} for each in settings["connections"][::-1]]
        output = fetch(sandbox, settings | {"connections": own}, state=state)
        assert len(elsewhere.requests) == 3
    assert sorted(output.ids()) == ["apac 2", "emea 2", "latam 2"]


def test_state_that_is_merged_from_a_failed_run_loses_no_connection(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, 2, 3)
    settings = config(sandbox, 2)
    state = fetch(sandbox, settings).state
    wrong = [settings["connections"][0], {"name": "apac", "api_key": "llx-wrong"}]
    sandbox.world.touch("emea 1")
    failed = quick_command("--config", settings | {"connections": wrong}, "--state", state)
    assert failed.code == 1
    reached = kept(failed.output.state)
    assert reached["apac"] == at(2)
    assert (reached["emea"] or "") > at(2)


def test_retries_of_one_connection_hold_up_no_other(
    hosts: Callable[[int], list[Sandbox]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    busy, free = hosts(2)
    for host in (busy, free):
        host.world.put(job("one", project_id=host.project_id))
    busy.answer_next(503, times=3)
    with clock_of(Life(busy)):
        output = fetch(busy, config_of([busy, free], retry_seconds=600))
    assert output.ids() == ["one", "one"]
    assert [request.status for request in busy.requests] == [503, 503, 503, 200]
    assert [request.status for request in free.requests] == [200]
    assert len(re.findall("Waiting", caplog.text)) == 3


def test_rate_limit_of_the_organization_is_outlasted_by_all(sandbox: Sandbox) -> None:
    put(sandbox, 4, 5)
    sandbox.settings.requests_per_minute = 5
    sandbox.settings.retry_after = True
    with clock_of(Life(sandbox)):
        output = fetch(sandbox, config(sandbox, 4, page_size=1, retry_seconds=3600))
    assert sorted(output.ids()) == sorted(f"{n} {i}" for n in NAMES[:4] for i in range(5))
