"""A sync of v2 jobs costs what changed, is kept window by window, and misses nothing at edges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Order
from llamacloud_sandbox.wire.faults import FAULTS
from llamacloud_sandbox.world.clock import instant, stamp
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.replication.read_spans import Span
from tap_llamaclassify.replication.window_plan import AIM_AT_ONCE, TOO_LONG
from tests.support.builders import (
    V2_STREAMS,
    Output,
    captured,
    catalog_with,
    new_tap,
    seconds_after,
    sync,
)
from tests.support.commands import COMMAND
from tests.support.items import configuration, v2_job
from tests.support.windows import contain, small_windows, spans_of

JOBS, RULES, _ = V2_STREAMS
A_DAY = 86_400.0
PARALLEL_WINDOWS: int = Settings.model_fields["parallel_windows"].default
DAYS = 90
ORDERS: Sequence[Order] = get_args(Order)
BRIEF = configuration(rules=[{"type": "a", "description": "text"}], parsing_configuration=None)


def put(sandbox: Sandbox, id_: str, days_ago: float, **fields: Any) -> None:
    """Put a job that was created and last updated so many days ago."""
    at = stamp(sandbox.world.now() - timedelta(days=days_ago))
    light = {"configuration": BRIEF, "result": None, "usage": None, "project_id": "any"}
    sandbox.world.put_v2(v2_job(id_, **light | {"created_at": at, "updated_at": at} | fields))


def put_history(sandbox: Sandbox, jobs: int, days: float = DAYS) -> None:
    """Put finished jobs, evenly over some days."""
    dice = Random(1)  # noqa: S311 - it is to repeat
    for number in range(jobs):
        put(sandbox, f"clj-{number:06}", days * (number + dice.random()) / jobs)


def selection(sandbox: Sandbox, *streams: str, method: str = "INCREMENTAL") -> dict[str, Any]:
    """Make a catalog of v2 streams, by default of the jobs only."""
    wanted = streams or (JOBS,)
    entries = {name: {"selected": False} for name in ("classify_jobs", *V1_PARTS)}
    chosen = {name: {"selected": True, "replication_method": method} for name in wanted}
    return catalog_with(sandbox, **entries | chosen)


V1_PARTS = ("classify_job_rules", "classify_job_parsing_configs")


def run(sandbox: Sandbox, state: Mapping[str, Any] | None = None, **config: Any) -> Output:
    """Run a sync; look at its requests only."""
    catalog = config.pop("catalog", None) or selection(sandbox)
    sandbox.clear_requests()
    return sync(sandbox, state=state, catalog=catalog, **config)


def ids(output: Output) -> set[str]:
    return {row["id"] for row in output.records(JOBS)}


def shown(sandbox: Sandbox) -> set[str]:
    return {*sandbox.world.v2_entries(sandbox.project_id)}


def kept(state: Mapping[str, Any], stream: str = JOBS) -> dict[str, Any]:
    entry: dict[str, Any] = state.get("bookmarks", {}).get(stream, {})
    return entry


def seconds_of(span: Span) -> float:
    begin, end = map(instant, (span[0] or "2000-01-01T00:00:00Z", span[1]))
    return (end - begin).total_seconds()


def windows(sandbox: Sandbox) -> dict[tuple[str | None, str | None], int]:
    """Return how many pages each window was asked for."""
    pages: dict[tuple[str | None, str | None], int] = {}
    for request in sandbox.requests:
        if not {"status", "job_ids"} & request.query.keys():
            bounds = [request.query.get(f"created_at_on_or_{side}") for side in ("after", "before")]
            pages[bounds[0], bounds[1]] = pages.get((bounds[0], bounds[1]), 0) + 1
    return pages


# What a sync costs.


@pytest.fixture(scope="module")
def long_history() -> Any:
    """Run a sandbox with 100,000 jobs, 50 of them new and 10 just finished since a state.

    What the state knows is the same when the finished jobs come after it.
    """
    with Sandbox(World.empty(projects=1)) as sandbox:
        for number in range(10):
            put(sandbox, f"slow-{number}", 8 + number, status="RUNNING")
        put(sandbox, "newest", 0)
        state = run(sandbox).state
        put_history(sandbox, 100_000)
        sandbox.world.advance(A_DAY / 2)
        for number in range(10):
            sandbox.world.touch_v2(f"slow-{number}", status="COMPLETED")
        for number in range(50):
            put(sandbox, f"new-{number}", number / 200)
        # The first reply may take seconds, and by so much the API's clock may seem to be behind.
        sandbox.world.advance(60)
        yield sandbox, state


PAGES = 1001
NEWS = {f"new-{number}" for number in range(50)} | {f"slow-{number}" for number in range(10)}


@pytest.mark.parametrize("total_size", [True, False], ids=["total known", "no total"])
@pytest.mark.parametrize("order", ORDERS)
def test_sync_that_trusts_finished_jobs_sends_a_hundredth_of_a_full_listing_at_most(
    order: Order, *, total_size: bool, long_history: Any
) -> None:
    sandbox, state = long_history
    sandbox.settings.order, sandbox.settings.total_size = order, total_size
    assert ids(run(sandbox, state, reconcile_days=0)) >= NEWS
    assert len(sandbox.requests) <= PAGES / 100


@pytest.mark.parametrize(
    ("order", "total_size"),
    [
        pytest.param("newest", True, marks=pytest.mark.heavy),
        pytest.param("oldest", False, marks=pytest.mark.heavy),
        ("shuffled", True),
        pytest.param("shuffled", False, marks=pytest.mark.heavy),
    ],
)
def test_sync_that_looks_back_sends_little_more_than_the_pages_of_those_days(
    order: Order, *, total_size: bool, long_history: Any
) -> None:
    sandbox, state = long_history
    sandbox.settings.order, sandbox.settings.total_size = order, total_size
    assert ids(run(sandbox, state)) >= NEWS
    since = seconds_after(kept(state)["replication_key_value"], -7 * A_DAY)
    jobs = sandbox.world.v2_entries(sandbox.project_id).values()
    pages = sum(job["created_at"] >= since for job in jobs) / 100
    assert pages > 70
    assert len(sandbox.requests) <= pages * (1.15 if total_size else 1.3) + 2


def test_short_sync_is_one_request_and_one_for_the_unfinished(sandbox: Sandbox) -> None:
    put(sandbox, "slow", 20, status="PENDING")
    put(sandbox, "quick", 1)
    state = run(sandbox).state
    assert len(sandbox.requests) == 1
    assert ids(run(sandbox, state)) == {"quick"}
    assert [request.values("job_ids") for request in sandbox.requests] == [[], ["slow"]]
    assert ids(run(sandbox, state, reconcile_days=30)) == {"quick"}
    assert len(sandbox.requests) == 1


def test_no_page_of_more_than_a_hundred_is_asked_for(sandbox: Sandbox) -> None:
    put_history(sandbox, 250)
    run(sandbox, page_size=500)
    assert {request.query["page_size"] for request in sandbox.requests} == {"100"}
    run(sandbox, page_size=50)
    sizes = {r.query["page_size"] for r in sandbox.requests if "status" not in r.query}
    assert sizes == {"50"}


def test_history_of_no_job_or_one_page_is_one_request(sandbox: Sandbox) -> None:
    assert kept(run(sandbox).state) == {}
    assert len(sandbox.requests) == 1
    put_history(sandbox, 100)
    assert len(ids(run(sandbox))) == 100
    assert len(sandbox.requests) == 1


# Windows.

SMALL_PAGES = 5
OVERHEAD: dict[tuple[Order, bool], float] = {
    ("newest", True): 0.15,
    ("newest", False): 0.22,
    ("oldest", True): 0.15,
    ("oldest", False): 0.22,
    ("updated", False): 0.22,
    ("shuffled", True): 0.15,
    ("shuffled", False): 0,
}
"""Requests of a first sync beyond the pages that there are, as a share, by order and total."""


# Five jobs that are shuffled look ordered too often: that is tested with pages of a hundred.
@pytest.mark.parametrize(
    ("order", "total_size"), [each for each in OVERHEAD if each != ("shuffled", True)]
)
def test_first_sync_is_kept_window_by_window_at_little_cost(
    order: Order, *, total_size: bool, sandbox: Sandbox
) -> None:
    sandbox.settings.order, sandbox.settings.total_size = order, total_size
    put_history(sandbox, 1000)
    output = run(sandbox, page_size=SMALL_PAGES)
    assert ids(output) == shown(sandbox)
    pages = 1000 / SMALL_PAGES
    assert len(sandbox.requests) <= pages * (1 + OVERHEAD[order, total_size]) + 5
    if (order, total_size) != ("shuffled", False):
        assert max(windows(sandbox).values()) <= AIM_AT_ONCE * TOO_LONG
    states = [kept(message["value"]) for message in output.of_type("STATE")]
    during, last = [state for state in states[:-1] if state], states[-1]
    read = [sum(map(seconds_of, spans_of(state))) for state in during]
    assert read == sorted(read)
    assert len(read) >= (0 if (order, total_size) == ("shuffled", False) else 3)
    assert not any("replication_key_value" in state for state in during)
    assert last.keys() == {"replication_key", "replication_key_value"}


@pytest.mark.parametrize("total_size", [True, False], ids=["total", "no total"])
@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_sync_that_is_cut_off_reads_what_is_missing_and_little_more(
    order: Order, *, total_size: bool, sandbox: Sandbox
) -> None:
    sandbox.settings.order, sandbox.settings.total_size = order, total_size
    put_history(sandbox, 1200)
    output = run(sandbox, page_size=SMALL_PAGES)
    rows = [m for m in output.messages if m["type"] in {"RECORD", "STATE"}]
    came = rows[: int(len(rows) * 0.9)]
    state = [m["value"] for m in came if m["type"] == "STATE"][-1]
    loaded = {m["record"]["id"] for m in came if m["type"] == "RECORD"}
    rest = run(sandbox, state, page_size=SMALL_PAGES)
    assert loaded | ids(rest) == shown(sandbox)
    assert len(sandbox.requests) <= 0.1 * 240 + 60 + 10
    assert not spans_of(kept(rest.state))


def test_sync_that_fails_keeps_its_last_window_and_no_more(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60)
    run(sandbox, page_size=4)
    lines: list[Output] = []
    for asked in range(1, len(sandbox.requests) - 3, 3):
        sandbox.clear_requests()

        def fail_at_the_last(_: int, last: int = asked) -> None:
            # What is fetched ahead may be thrown away with its error.
            if len(sandbox.requests) >= last:
                sandbox.fail_next("500")

        sandbox.before_page = fail_at_the_last
        tap = new_tap(sandbox, catalog=selection(sandbox), page_size=4)
        lines.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tap_llamaclassify.command.standard_output.write", _into(lines))
            with pytest.raises(ApiError):
                tap.sync_all()
        sandbox.before_page = None
        sandbox.forget_faults()
        state = dict(tap.state)
        assert "replication_key_value" not in kept(state)
        loaded = {row["id"] for output in lines for row in output.records(JOBS)}
        read = spans_of(kept(state))
        entries = sandbox.world.v2_entries(sandbox.project_id)
        assert {id_ for id_, job in entries.items() if contain(read, job["created_at"])} <= loaded
        assert loaded | ids(run(sandbox, state, page_size=4)) == shown(sandbox)


def _into(outputs: list[Output]) -> Any:
    def write(lines: bytes) -> None:
        outputs.append(Output([json.loads(line) for line in lines.splitlines()]))

    return write


@pytest.mark.parametrize("fault", ["token-400", "503-after-seconds", "cut-length"])
def test_fault_of_the_wire_in_the_middle_of_a_window_loses_nothing(
    fault: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fault in FAULTS
    small_windows(monkeypatch)
    monkeypatch.setattr("tap_llamaclassify.http.pacing.Clock.wait", lambda *_: None)
    put_history(sandbox, 60)
    faults = [fault, fault]
    sandbox.before_page = lambda number: (
        sandbox.fail_next(faults.pop()) if number == 2 and faults else None
    )
    output = run(sandbox, page_size=4, retry_seconds=600)
    assert ids(output) == shown(sandbox)


def test_killed_command_goes_on_from_its_last_window(sandbox: Sandbox, tmp_path: Path) -> None:
    put_history(sandbox, 2000)
    config = {"api_url": sandbox.url, "api_key": sandbox.key, "page_size": SMALL_PAGES}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "catalog.json").write_text(json.dumps(selection(sandbox)))
    words = [COMMAND, "--config", "config.json", "--catalog", "catalog.json"]
    lines: list[str] = []
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ
    ) as process:
        for line in process.stdout or ():
            lines.append(line.decode())
            if sum('"type":"RECORD"' in each for each in lines[-1:]) and len(lines) > 1900:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    messages = [json.loads(line) for line in lines]
    state = [m["value"] for m in messages if m["type"] == "STATE"][-1]
    loaded = {m["record"]["id"] for m in messages if m["type"] == "RECORD"}
    assert "replication_key_value" not in kept(state)
    rest = run(sandbox, state, page_size=SMALL_PAGES)
    assert loaded | ids(rest) == shown(sandbox)
    assert len(sandbox.requests) <= 400 / 2


def test_full_table_is_one_listing_without_filter(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60)
    full = selection(sandbox, *V2_STREAMS, method="FULL_TABLE")
    assert ids(run(sandbox, catalog=full, page_size=4)) == shown(sandbox)
    assert windows(sandbox) == {(None, None): 16}
    mixed = selection(sandbox, *V2_STREAMS)
    mixed["streams"][-3]["replication_method"] = "FULL_TABLE"
    state = run(sandbox, page_size=4).state
    run(sandbox, state, catalog=mixed, page_size=4)
    assert windows(sandbox).keys() == {(None, None)}


# Edges.


def test_jobs_of_one_instant_or_on_an_edge_come_all(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    for number in range(60):
        put(sandbox, f"{number}", 10 + (number // 12) * 2)
    for sandbox.settings.order in ORDERS:
        for sandbox.settings.total_size in (True, False):
            assert ids(run(sandbox, page_size=4)) == shown(sandbox)
            assert len(sandbox.requests) <= 7 * 60 / 4


def test_thousands_of_jobs_of_one_instant_come_all(sandbox: Sandbox) -> None:
    sandbox.settings.order = "oldest"
    for number in range(2000):
        put(sandbox, f"{number}", 10 if number % 10 else 10 + number / 300)
    output = run(sandbox, page_size=20)
    assert ids(output) == shown(sandbox)
    assert len(sandbox.requests) <= 4 * 2000 / 20


@pytest.mark.parametrize(
    ("order", "total_size"), [("newest", True), ("oldest", False), ("shuffled", True)]
)
def test_burst_among_sparse_days_costs_little(
    order: Order, *, total_size: bool, sandbox: Sandbox
) -> None:
    sandbox.settings.order, sandbox.settings.total_size = order, total_size
    for number in range(500):
        put(sandbox, f"burst-{number}", 20 - number / A_DAY / 500)
    for number in range(100):
        put(sandbox, f"sparse-{number}", number * 0.9)
    assert ids(run(sandbox, page_size=5)) == shown(sandbox)
    assert len(sandbox.requests) <= 2.5 * 600 / 5


@pytest.mark.parametrize("order", ORDERS)
def test_forms_of_created_at_come_all_and_jobs_of_the_future_when_it_has_come(
    order: Order, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    sandbox.settings.order = order
    put_history(sandbox, 40)
    forms = ("2026-10-{:02}T12:00:00+05:30", "2026-10-{:02}", "2026-10-{:02}T12:00:00.123456789Z")
    for number in range(1, 29):
        created = (*forms, "2027-01-{:02}T12:00:00")[number % 4].format(number)
        updated = created if number % 4 == 3 else stamp(sandbox.world.now())
        put(sandbox, f"odd-{number}", 1, created_at=created, updated_at=updated)
    future = {f"odd-{number}" for number in range(3, 29, 4)}
    output = run(sandbox, page_size=4)
    assert ids(output) | future == shown(sandbox)
    assert len(sandbox.requests) <= 3 * 68 / 4
    sandbox.world.advance(70 * A_DAY)
    assert ids(run(sandbox, output.state, page_size=4)) >= future - ids(output)


def test_job_without_created_at_is_found_by_a_listing_of_all_and_followed_by_its_id(
    sandbox: Sandbox,
) -> None:
    put(sandbox, "none", 1, created_at=None, status="RUNNING")
    put(sandbox, "soon", 1, created_at="soon")
    put(sandbox, "other", 1)
    output = run(sandbox)
    assert ids(output) == {"none", "soon", "other"}
    sandbox.world.advance(A_DAY)
    sandbox.world.touch_v2("none", status="COMPLETED")
    assert ids(run(sandbox, output.state)) == {"none", "other"}
    put(sandbox, "late", 0, created_at=None)
    assert "late" not in ids(run(sandbox, output.state))
    full = selection(sandbox, method="FULL_TABLE")
    assert "late" in ids(run(sandbox, output.state, catalog=full))


@pytest.mark.parametrize("order", ORDERS)
def test_api_that_ignores_filters_is_read_whole_with_a_warning(
    order: Order, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    small_windows(monkeypatch)
    monkeypatch.setattr("llamacloud_sandbox.api.filters.Filter.passes", lambda *_: True)
    sandbox.settings.order = order
    put_history(sandbox, 80)
    for number in range(5):
        put(sandbox, f"slow-{number}", 20, status="RUNNING")
    state = run(sandbox, page_size=4).state
    sandbox.world.advance(A_DAY)
    for number in range(5):
        sandbox.world.touch_v2(f"slow-{number}", status="COMPLETED")
    put(sandbox, "new", 0)
    sandbox.world.delete_v2("slow-0")
    caplog.clear()
    output = run(sandbox, state, page_size=4)
    assert {"new", "slow-1", "slow-2", "slow-3", "slow-4"} <= ids(output)
    assert sum("created at other times" in message for message in caplog.messages) == 1
    # The pages that showed it, all of them, and all again for a job that is gone.
    assert len(sandbox.requests) <= 4 * 90 / 4


def test_api_that_ignores_job_ids_is_read_whole_once_for_all_of_them(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llamacloud_sandbox.api.filters.Filter._is_asked_for", lambda *_: True)
    for number in range(330):
        put(sandbox, f"{number:03}", 20, status="RUNNING")
    state = run(sandbox).state
    for number in range(300):
        sandbox.world.delete_v2(f"{number:03}")
    run(sandbox, state)
    assert sum("job_ids" in request.query for request in sandbox.requests) == 1
    for number in range(300, 330):
        sandbox.world.touch_v2(f"{number:03}", status="COMPLETED")
    assert ids(run(sandbox, state)) == shown(sandbox)


def test_jobs_that_the_api_dates_elsewhere_than_it_filters_are_not_lost(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60)
    passes = "llamacloud_sandbox.api.filters.Filter._is_in_window"
    shift = timedelta(days=2)

    def displaced(self: Any, created_at: str) -> bool:
        moment = datetime.fromisoformat(created_at) + shift
        return (self.on_or_after is None or self.on_or_after <= moment) and (
            self.on_or_before is None or moment <= self.on_or_before
        )

    monkeypatch.setattr(passes, displaced)
    assert ids(run(sandbox, page_size=4)) == shown(sandbox)


@pytest.mark.parametrize("total", [0, 1, 80, 10**9])
@pytest.mark.parametrize("order", ORDERS)
def test_total_that_lies_costs_little_and_loses_nothing(
    order: Order, total: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    sandbox.settings.order = order
    put_history(sandbox, 80)
    dumps = "llamacloud_sandbox.api.listing.msgspec.json.encode"
    encode = __import__("msgspec").json.encode

    def lying(body: Any) -> bytes:
        told = {"total_size": total} if isinstance(body, dict) and "total_size" in body else {}
        return bytes(encode({**body, **told} if told else body))

    monkeypatch.setattr(dumps, lying)
    assert ids(run(sandbox, page_size=4)) == shown(sandbox)
    assert len(sandbox.requests) <= 4 * 80 / 4


# Unfinished jobs.


def test_unfinished_jobs_are_asked_for_in_hundreds_unless_they_were_listed(
    sandbox: Sandbox,
) -> None:
    for number in range(230):
        put(sandbox, f"slow-{number:03} ä&=?/", 20, status="STRANGE")
    put(sandbox, "near", 1, status="PENDING")
    state = run(sandbox).state
    assert len(kept(state)["unfinished"]) == 231
    sandbox.world.advance(3600)
    for id_ in shown(sandbox):
        sandbox.world.touch_v2(id_, status="FAILED")
    output = run(sandbox, state)
    assert ids(output) == shown(sandbox)
    asked = [request.values("job_ids") for request in sandbox.requests]
    assert [len(each) for each in asked] == [0, 100, 100, 30]
    assert "unfinished" not in kept(output.state)


def test_unfinished_job_that_is_gone_is_asked_for_and_kept_until_it_is_old(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put(sandbox, "gone", 20, status="PENDING")
    put(sandbox, "other", 1)
    state = run(sandbox).state
    sandbox.world.delete_v2("gone")
    state = run(sandbox, state).state
    assert kept(state)["unfinished"].keys() == {"gone"}
    sandbox.world.advance(11 * A_DAY)
    caplog.clear()
    assert "unfinished" not in kept(run(sandbox, state).state)
    assert any("1 jobs are unfinished and not asked" in message for message in caplog.messages)


def test_more_than_a_thousand_unfinished_jobs_are_given_up_with_a_warning(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1040):
        put(sandbox, f"slow-{number:04}", 20 - number / 1000, status="RUNNING")
    state = run(sandbox).state
    assert kept(state)["unfinished"].keys() == {f"slow-{n:04}" for n in range(40, 1040)}
    assert any("40 jobs are unfinished and not asked" in message for message in caplog.messages)
    run(sandbox, state, reconcile_days=0)
    assert sum("job_ids" in request.query for request in sandbox.requests) == 10


def test_unfinished_jobs_stay_known_over_a_failure(sandbox: Sandbox) -> None:
    put(sandbox, "slow", 20, status="PENDING")
    put(sandbox, "other", 1)
    state = run(sandbox).state
    sandbox.world.touch_v2("slow", status="COMPLETED")
    tap = new_tap(sandbox, state=state, catalog=selection(sandbox))
    sandbox.before_page = lambda _: sandbox.fail_next("500")
    with pytest.raises(ApiError):
        captured(tap)
    sandbox.before_page = None
    sandbox.forget_faults()
    assert kept(tap.state) == kept(state)
    assert "slow" in ids(run(sandbox, tap.state))


@pytest.mark.parametrize("method", ["INCREMENTAL", "FULL_TABLE"])
def test_job_that_moves_to_a_page_that_was_read_comes_all_the_same(
    method: str, sandbox: Sandbox
) -> None:
    sandbox.settings.order = "updated"
    for number in range(12):
        put(sandbox, f"{number:02}", 10 + number, status="RUNNING" if number > 8 else "COMPLETED")
    listed: list[int] = []

    def at_page(_: int) -> None:
        listed.append(1)
        if "page_token" in sandbox.requests[-1].query:
            for number in (9, 10, 11):
                sandbox.world.touch_v2(f"{number:02}", status="COMPLETED")

    sandbox.before_page = at_page
    catalog = selection(sandbox, method=method)
    output = run(sandbox, catalog=catalog, page_size=4)
    sandbox.before_page = None
    assert ids(output) == shown(sandbox)
    last = {row["id"]: row["status"] for row in output.records(JOBS)}
    if method == "FULL_TABLE":
        return
    again = run(sandbox, output.state)
    last |= {row["id"]: row["status"] for row in again.records(JOBS)}
    assert {*last.values()} == {"COMPLETED"}


# Bookmarks.


def test_bookmark_later_than_the_servers_clock_is_not_trusted(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put_history(sandbox, 30)
    state = run(sandbox).state
    kept(state)["replication_key_value"] = stamp(sandbox.world.now() + timedelta(days=2))
    caplog.clear()
    output = run(sandbox, state)
    assert ids(output) == shown(sandbox)
    assert sum("later than the server's clock" in message for message in caplog.messages) == 1
    assert kept(output.state)["replication_key_value"] <= stamp(sandbox.world.now())


@pytest.mark.parametrize("name", ["created_at_read_until", "reading_began_at"])
def test_window_later_than_the_servers_clock_is_not_trusted(name: str, sandbox: Sandbox) -> None:
    put_history(sandbox, 30)
    now = sandbox.world.now()
    marks = {"created_at_read_until": stamp(now), "reading_began_at": stamp(now)}
    state = {"bookmarks": {JOBS: marks | {name: stamp(now + timedelta(days=2))}}}
    assert ids(run(sandbox, state)) == shown(sandbox)


def test_start_date_leaves_out_older_updates_and_what_was_created_long_before(
    sandbox: Sandbox,
) -> None:
    put_history(sandbox, 90)
    put(sandbox, "late", 40, updated_at=stamp(sandbox.world.now()))
    put(sandbox, "too late", 60, updated_at=stamp(sandbox.world.now()))
    start_date = stamp(sandbox.world.now() - timedelta(days=20))
    output = run(sandbox, start_date=start_date)
    updates = [row["updated_at"] for row in output.records(JOBS)]
    assert min(updates) >= start_date
    assert len(updates) == 21
    assert "late" in ids(output)
    assert "too late" not in ids(output)


def test_lookback_brings_what_was_created_or_updated_a_little_before(sandbox: Sandbox) -> None:
    for seconds in (0, 50, 100, 150):
        put(sandbox, f"{seconds}", (3600 + seconds) / A_DAY)
    state = run(sandbox).state
    for lookback, wanted in ((0, {"0"}), (100, {"0", "50", "100"}), (149, {"0", "50", "100"})):
        config = {"lookback_seconds": lookback, "reconcile_days": 0}
        assert ids(run(sandbox, state, **config)) == wanted
    put(sandbox, "hidden", 3690 / A_DAY)
    assert "hidden" in ids(run(sandbox, state, lookback_seconds=100, reconcile_days=0))


@pytest.mark.parametrize("parallel_windows", [1, 4])
def test_stream_that_is_selected_later_gets_its_whole_history(
    parallel_windows: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60)
    state = run(sandbox, page_size=4).state
    both = selection(sandbox, JOBS, RULES)
    config = {"page_size": 4, "lookback_seconds": 0, "parallel_windows": parallel_windows}
    output = run(sandbox, state, catalog=both, **config)
    assert {row["job_id"] for row in output.records(RULES)} == shown(sandbox)
    assert len(ids(output)) == 1
    states = [message["value"] for message in output.of_type("STATE")]
    bookmarks = {kept(each)["replication_key_value"] for each in states}
    assert bookmarks == {kept(state)["replication_key_value"]}
    reach = seconds_after(kept(state)["replication_key_value"], -7 * A_DAY)
    early = []
    for each in states:
        spans = spans_of(kept(each, RULES))
        if spans and all(end < reach for _, end in spans):
            early.append(each)
    assert parallel_windows > 1 or len(early) > 1
    assert all(kept(each) == kept(state) for each in early)
    assert kept(output.state, RULES) == kept(output.state)


@pytest.mark.parametrize("times", [1, 2])
def test_finished_job_that_changes_between_the_parts_of_a_broken_sync_is_seen(
    times: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60, days=5)
    output, oldest = run(sandbox, page_size=4), "clj-000059"
    for turn in range(times):
        sandbox.world.advance(3600)
        states = [message["value"] for message in output.of_type("STATE")]
        state = [state for state in states if spans_of(kept(state))][turn]
        if turn == 0:
            sandbox.world.touch_v2(oldest, error_message="changed")
        sandbox.world.advance(3600)
        put(sandbox, "new", 0)
        output = run(sandbox, state, page_size=4)
    assert oldest in ids(run(sandbox, output.state))


def test_jobs_seen_to_move_in_a_run_that_was_cut_off_are_all_read_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    sandbox.settings.tokens, sandbox.settings.order = "position", "newest"
    put(sandbox, "first", 95)
    begun = run(sandbox).state
    put_history(sandbox, 60)
    made: list[int] = []

    def at_page(number: int) -> None:
        made.append(number)
        if number == 2 and len(made) > 8 and "new" not in shown(sandbox):
            window = sandbox.requests[-1].query
            after = window.get("created_at_on_or_before", stamp(sandbox.world.now()))
            put(sandbox, "new", 0, created_at=seconds_after(after, -1))

    sandbox.before_page = at_page
    output = run(sandbox, begun, page_size=4)
    sandbox.before_page = None
    during = [kept(message["value"]) for message in output.of_type("STATE")][:-1]
    shifted = [state for state in during if "previous_replication_key_value" in state]
    assert shifted
    state = {"bookmarks": {JOBS: shifted[0]}}
    after = run(sandbox, state, page_size=4).state
    assert kept(after)["replication_key_value"] > kept(begun)["replication_key_value"]
    assert kept(after)["previous_replication_key_value"] is None
    assert ids(run(sandbox, after, page_size=4)) == shown(sandbox)


@pytest.mark.heavy
@pytest.mark.parametrize(("order", "total_size"), OVERHEAD)
def test_long_first_sync_is_kept_window_by_window_at_little_cost(
    order: Order, *, total_size: bool, sandbox: Sandbox
) -> None:
    sandbox.settings.order, sandbox.settings.total_size = order, total_size
    put_history(sandbox, 100_000)
    output = run(sandbox)
    assert len(ids(output)) == 100_000
    assert len(sandbox.requests) <= 1000 * (1 + OVERHEAD[order, total_size]) + 3
    is_one_listing = (order, total_size) == ("shuffled", False)
    longest = AIM_AT_ONCE * TOO_LONG if total_size else 1000 / PARALLEL_WINDOWS * 1.1
    assert max(windows(sandbox).values()) <= longest or is_one_listing
    reached = int(len(output.messages) * 0.9)
    states = [m["value"] for m in output.messages[:reached] if m["type"] == "STATE"]
    if is_one_listing:
        assert not states
        return
    state = states[-1]
    run(sandbox, state)
    assert len(sandbox.requests) <= 1000 * 0.1 + PARALLEL_WINDOWS * AIM_AT_ONCE
    assert not kept(state).get("replication_key_value")
