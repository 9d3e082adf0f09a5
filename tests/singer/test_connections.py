"""Many keys: side by side, each with a state of its own, and none in the way of another.

Where connections have to wait for one another, each has a sandbox of its own, because a server
that is held up answers nobody.
"""

from __future__ import annotations

import json
import logging
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.command import standard_output
from tap_llamaclassify.errors import ApiError, ReplyError
from tap_llamaclassify.http.pacing import RateLimiter
from tap_llamaclassify.singer import run
from tap_llamaclassify.singer.tap import TapLlamaClassify
from tap_llamaclassify.tables import additional_fields
from tests.support.batch_files import batch_config
from tests.support.builders import (
    ALL_STREAMS,
    DEFAULT_STREAMS,
    STREAMS,
    V2_STREAMS,
    Output,
    captured,
    catalog_with,
    job,
    sync,
)
from tests.support.commands import Command, ended
from tests.support.items import v2_job
from tests.support.moments import PATIENCE, at
from tests.support.processes import started, whole_lines
from tests.support.runs import (
    Hold,
    Row,
    assert_version_activated_last,
    at_page,
    failure,
    select,
    success,
    warning,
    watched,
)
from tests.support.simulated import Life, clock_of

NAMES = ("emea", "apac", "latam", "anz", "nordics", "iberia", "africa", "india")
V1, V2 = "/api/v1/classifier/jobs", "/api/v2/classify"


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


def put_into(hosts: list[Sandbox], count: int = 1, seconds: int = 0) -> list[Sandbox]:
    """Add jobs, one a second, to each of some APIs."""
    for host in hosts:
        for number in range(count):
            own = {"project_id": host.project_id, "updated_at": at(seconds + number)}
            host.world.put(job(f"j{number}", **own))
    return hosts


def ids_of(*connections: str, jobs: int) -> list[str]:
    """Return the ids of all jobs of some connections, sorted."""
    return sorted(f"{name} {number}" for name in connections for number in range(jobs))


def config(sandbox: Sandbox, count: int, **more: Any) -> Row:
    """Make settings of the first connections, without retries and without lookback."""
    keys = zip(NAMES[:count], sandbox.keys.values(), strict=False)
    connections = [{"name": name, "api_key": key} for name, key in keys]
    own = {"api_url": sandbox.url, "connections": connections}
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


def test_rows_of_every_connection_come_whole_with_their_project_and_before_its_bookmark(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, 8, 6, error_message="x" * 20_000)
    settings = config(sandbox, 8, parallel_connections=8, page_size=2)
    # No line is torn: all are JSON.
    output = success(quick_command("--config", settings))
    seen: dict[str, str] = {}
    for message in output.messages:
        if message["type"] == "RECORD" and message["stream"] == "classify_jobs":
            seen[message["record"]["id"]] = message["record"]["project_id"]
        elif message["type"] == "STATE":
            done = [name for name, reached in kept(message["value"]).items() if reached]
            assert {*seen} >= {*ids_of(*done, jobs=6)}
    assert seen == {
        f"{name} {number}": project_id
        for name, project_id in zip(NAMES, sandbox.keys, strict=True)
        for number in range(6)
    }
    assert len(output.ids()) == 8 * 6
    assert [request.path for request in sandbox.requests].count(V1) == 8 * 3
    assert len(output.of_type("SCHEMA")) == len(DEFAULT_STREAMS)
    assert len(output.of_type("STATE")) > 1


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
        **{name: {} for name in ("classify_files", "classify_projects")},
        "classify_organizations": {},
        "classify_configurations": {},
        # The API shows those of the last days only.
        "classify_job_timings": dict.fromkeys(NAMES[:2]),
        "classify_usage": dict.fromkeys(NAMES[:2], "2026-11-01"),
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


def test_log_names_whose_listing_it_is_and_no_key(sandbox: Sandbox, quick_command: Command) -> None:
    put(sandbox, 2, 1)
    ended = quick_command("--config", config(sandbox, 2))
    said = "\n".join(ended.lines("INFO"))
    for name in NAMES[:2]:
        assert f"{name}: classify_jobs: emitting everything" in said
    assert "classify_v2_jobs 0" in said
    assert "4 pages, 2 jobs, 4 requests, 0 waits" in said


def test_trial_run_tries_every_connection(sandbox: Sandbox, quick_command: Command) -> None:
    put(sandbox, 3, 5)
    settings = config(sandbox, 3, page_size=2)
    ended = quick_command("--config", settings, "--test")
    assert len(success(ended).ids()) == 1
    listed = [request for request in sandbox.requests if request.path == V1]
    assert len(listed) == 3
    assert {*keys_of(sandbox)} == {*list(sandbox.keys.values())[:3]}
    assert "replication_key_value" not in ended.stdout

    settings["connections"][1]["api_key"] = "llx-wrong"
    error = failure(quick_command("--config", settings, "--test"))
    assert "1 of 3 connections failed (apac)" in error


# At once.


@pytest.mark.parametrize(("given", "at_once"), [(None, 4), (1, 1), (2, 2), (4, 4)])
def test_so_many_listings_are_read_at_once_and_no_more(
    hosts: Callable[[int], list[Sandbox]], given: int | None, at_once: int
) -> None:
    running = put_into(hosts(4), 3)
    # None comes through that is not one of as many as may be under way.
    together, turn = threading.Barrier(at_once), threading.Lock()
    underway, most = 0, 0

    def before_page(number: int) -> None:
        nonlocal underway, most
        with turn:
            underway += {1: 1, 3: -1}.get(number, 0)
            most = max(most, underway)
        if number == 1:
            together.wait(PATIENCE)

    for host in running:
        host.before_page = before_page
    output = fetch(running[0], config_of(running, parallel_connections=given, page_size=1))
    assert len(output.ids()) == 12
    assert most == at_once


def test_connection_that_waits_keeps_no_other_from_being_read(
    hosts: Callable[[int], list[Sandbox]],
) -> None:
    slow, quick = put_into(hosts(2), 6)
    done = threading.Event()
    slow.before_page = lambda _: assert_came(done)
    at_page(quick, 6, done.set)
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
    hung, quick = put_into(hosts(2), seconds=1)
    done, states = threading.Event(), []

    def note(lines: bytes) -> None:
        if b'"type":"STATE"' in lines:
            states.append(json.loads(lines)["value"])
            done.set()

    monkeypatch.setattr(run, "FILES_SECONDS", 0.1)
    hung.before_page = lambda _: assert_came(done)
    more = {"batch_config": batch_config(tmp_path, "jsonl")} if in_files else {}
    with watched(standard_output, "write", note):
        fetch(hung, config_of([hung, quick], **more))
    assert kept(states[0]) == {"apac": at(1)}
    assert kept(states[-1]) == {"emea": at(1), "apac": at(1)}


def test_each_connection_keeps_a_pace_of_its_own(sandbox: Sandbox) -> None:
    put(sandbox, 2, 9)
    left: dict[int, list[float]] = {}

    def note(pace: RateLimiter) -> None:
        left.setdefault(id(pace), []).append(sandbox.world.now().timestamp())

    with watched(RateLimiter, "note", note), clock_of(Life(sandbox)):
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
    error = failure(ended)
    assert error.startswith("1 of 4 connections failed (apac), all others are synced: apac: page 3")
    assert "check api_key" in error
    whole = ("emea", "latam", "anz")
    assert kept(ended.output.state) == dict.fromkeys(whole, at(5))
    others = [id_ for id_ in ended.output.ids() if not id_.startswith("apac")]
    assert sorted(others) == ids_of(*whole, jobs=6)

    # A key of that project that works again.
    with Sandbox(sandbox.world) as repaired:
        settings |= {"api_url": repaired.url}
        again = success(quick_command("--config", settings, "--state", ended.output.state))
    assert sorted(again.ids()) == sorted([*ids_of("apac", jobs=6), "emea 5", "latam 5", "anz 5"])
    assert kept(again.state) == dict.fromkeys(NAMES[:4], at(5))


def test_error_names_every_connection_that_failed_and_fits_a_line(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, 8, 1)
    settings = config(sandbox, 8)
    for each in settings["connections"][1:]:
        each["api_key"] += "-wrong"
    ended = quick_command("--config", settings)
    error = failure(ended)
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
    assert re.match(r"2 of 2 connections failed \((emea, apac|apac, emea)\)", failure(ended))
    assert ended.output.of_type("RECORD") == []
    for message in ended.output.of_type("STATE"):
        assert kept(message["value"]) == kept(state)


def test_api_that_is_gone_for_one_connection_leaves_it_the_other_api(
    hosts: Callable[[int], list[Sandbox]], quick_command: Command
) -> None:
    whole, without = put_into(hosts(2), seconds=1)
    for host in (whole, without):
        host.world.put_v2(v2_job("two", project_id=host.project_id, updated_at=at(2)))
    without.settings.gone = {V1: 404}
    catalog = select(whole, *STREAMS, *V2_STREAMS)
    ended = quick_command("--config", config_of([whole, without]), "--catalog", catalog)
    said = warning(ended)
    assert "apac: page 1: " in said
    assert f"{', '.join(STREAMS)} are left out" in said
    assert kept(ended.output.state) == {"emea": at(1)}
    for stream in V2_STREAMS:
        assert kept(ended.output.state, stream) == {"emea": at(2), "apac": at(2)}

    whole.settings.gone = {V1: 404}
    given = ["--catalog", catalog, "--state", ended.output.state]
    ended = quick_command("--config", config_of([whole, without]), *given)
    assert "emea, apac: " in warning(ended)
    assert kept(ended.output.state) == {"emea": at(1)}


def test_job_that_cannot_be_written_fails_its_connection_and_no_other(
    hosts: Callable[[int], list[Sandbox]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: Any) -> str:
        raise ReplyError("answered JSON that is nested too deeply to be written")

    # How deep that is depends on the Python, and on how deep its stack is just then.
    monkeypatch.setattr(additional_fields, "_as_text", fails)
    good, bad = put_into(hosts(2), seconds=1)
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

def fails(items=None, *rest, pages=(), **more):
    if any(job["id"].startswith("apac") for page in pages for job in page.items):
        raise KeyError("a document's text")
    return Step(items or {}, *rest, pages=pages, **more)

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
    broken = ended([sys.executable, "-c", DEFECT, "--config", path], timeout=PATIENCE)
    assert "this is a defect of the tap: KeyError in <string>, line " in failure(broken)
    assert "document" not in broken.stderr
    for message in broken.output.of_type("STATE"):
        assert "apac" not in kept(message["value"])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_listings_wait_ends_the_run_at_once_without_state(
    hosts: Callable[[int], list[Sandbox]], tmp_path: Path, number: signal.Signals, count: int
) -> None:
    running = put_into(hosts(count), 3)
    settings = config_of(running, page_size=1)
    with Hold() as hold, started(tmp_path, "--config", settings) as process:
        for host in running:
            at_page(host, 2, hold)
        hold.wait(len(running))
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
    assert whole_lines(tmp_path).of_type("STATE") == []
    said = (tmp_path / "stderr").read_text()
    assert " Broken off after " in said
    assert said.endswith(
        f"ERROR: stopped by {number.name}; run again to go on from the last STATE\n"
    )
    assert said.count("ERROR") == 1
    assert "Traceback" not in said
    for host in running:
        host.before_page = None
    assert len(fetch(running[0], settings).ids()) == 3 * count


def test_version_is_activated_only_when_every_connection_was_whole(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, 3, 2)
    catalog = select(sandbox, "classify_jobs", replication_method="FULL_TABLE")
    settings = config(sandbox, 3, emit_activate_version_messages=True)
    wrong = [*settings["connections"][:2], {"name": "latam", "api_key": "llx-wrong"}]
    failed = quick_command("--config", settings | {"connections": wrong}, "--catalog", catalog)
    failure(failed)
    assert len(failed.output.ids()) == 4
    assert failed.output.of_type("ACTIVATE_VERSION") == []

    whole = success(quick_command("--config", settings, "--catalog", catalog))
    assert len(whole.of_type("RECORD")) == 6
    assert_version_activated_last(whole)


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
    assert sorted(output.ids()) == sorted(["emea 19", *ids_of("apac", jobs=20)])
    paths = [request.path for request in sandbox.requests]
    asked = [path for path in paths if path.endswith("/results")]
    assert paths.count(V1) == 2
    assert sorted(asked) == sorted(f"{V1}/{id_}/results" for id_ in output.ids())
    for stream in (*STREAMS, "classify_job_results"):
        assert output.state["bookmarks"][stream].keys() == {"partitions"}
        assert kept(output.state, stream) == {"emea": at(19), "apac": at(19)}

    # The setting may stay.
    again = fetch(sandbox, settings, state=output.state, catalog=catalog)
    assert sorted(again.ids()) == ["apac 19", "emea 19"]
    assert "time before connections" not in caplog.text


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


def test_retries_of_one_connection_hold_up_no_other(
    hosts: Callable[[int], list[Sandbox]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    busy, free = put_into(hosts(2))
    busy.answer_next(503, times=3)
    with clock_of(Life(busy)):
        output = fetch(busy, config_of([busy, free], retry_seconds=600))
    assert output.ids() == ["j0", "j0"]
    assert [request.status for request in busy.requests] == [503, 503, 503, 200]
    assert [request.status for request in free.requests] == [200]
    assert len(re.findall("Waiting", caplog.text)) == 3


def test_rate_limit_of_the_organization_is_outlasted_by_all(sandbox: Sandbox) -> None:
    put(sandbox, 4, 5)
    sandbox.settings.requests_per_minute = 5
    sandbox.settings.retry_after = True
    with clock_of(Life(sandbox)):
        output = fetch(sandbox, config(sandbox, 4, page_size=1, retry_seconds=3600))
    assert sorted(output.ids()) == ids_of(*NAMES[:4], jobs=5)
