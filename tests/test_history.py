"""History in Python goes on from a state as the tap does, and claims no more than was worked on."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import islice
from typing import Any

import pyarrow as pa
import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify import History, read_table
from tap_llamaclassify.errors import ApiError, SettingsError, StateError
from tap_llamaclassify.http.client import Activity
from tests.support.builders import DEFAULT_STREAMS, STREAMS, V2_STREAMS, catalog_with, job, sync
from tests.support.runs import config_of, put, put_v2
from tests.support.windows import small_windows

JOBS, V2_JOBS = STREAMS[0], V2_STREAMS[0]


def ids(history: History, table: str = V2_JOBS) -> list[str]:
    return [id_ for name, batch in history if name == table for id_ in batch["id"].to_pylist()]


def put_now(sandbox: Sandbox, id_: str) -> None:
    now = stamp(sandbox.world.now())
    put_v2(sandbox, id_, created_at=now, updated_at=now)


def fill(sandbox: Sandbox, jobs: int) -> None:
    for number in range(jobs):
        put(sandbox, job(f"one-{number:03}"))
        put_v2(sandbox, f"two-{number:03}")


def test_state_and_rows_are_those_of_the_tap_over_several_runs(sandbox: Sandbox) -> None:
    state: dict[str, Any] = {}
    theirs = None
    catalog = catalog_with(sandbox, **{name: {"selected": True} for name in DEFAULT_STREAMS})
    for number in (5, 7, 7):
        fill(sandbox, number)
        sandbox.world.advance(3600)
        output = sync(sandbox, state=theirs, catalog=catalog)
        theirs = output.state
        history = History(config_of(sandbox), state=json.loads(json.dumps(state)))
        found: dict[str, list[str]] = {name: [] for name in DEFAULT_STREAMS}
        for name, batch in history:
            found[name] += batch.column(0).to_pylist()
        for name in DEFAULT_STREAMS:
            assert len(found[name]) == len(output.records(name))
        state = history.state
        bookmarks = {k: v for k, v in theirs["bookmarks"].items() if k in state["bookmarks"]}
        assert state["bookmarks"] == bookmarks


def test_history_goes_on_from_a_taps_state_and_a_tap_from_its(sandbox: Sandbox) -> None:
    catalog = catalog_with(sandbox, **{name: {"selected": True} for name in V2_STREAMS})
    put_now(sandbox, "first")
    state = sync(sandbox, catalog=catalog).state
    sandbox.world.advance(30 * 86_400)
    put_now(sandbox, "second")
    history = History(config_of(sandbox), state=state)
    assert ids(history) == ["second", "first"]
    sandbox.world.advance(30 * 86_400)
    put_now(sandbox, "third")
    output = sync(sandbox, state=history.state, catalog=catalog)
    assert [row["id"] for row in output.records(V2_JOBS)] == ["third", "second"]


def test_iterating_once_more_brings_what_has_come_since(sandbox: Sandbox) -> None:
    put_now(sandbox, "first")
    history = History(config_of(sandbox), tables=[V2_JOBS])
    assert ids(history) == ["first"]
    sandbox.world.advance(30 * 86_400)
    put_now(sandbox, "second")
    # The newest of before is looked at once more.
    assert ids(history) == ["second", "first"]
    assert ids(history) == ["second"]


def test_state_tells_of_no_batch_that_is_still_worked_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    fill(sandbox, 40)
    config = config_of(sandbox, page_size=4)
    whole = len([*History(config, tables=[V2_JOBS])])
    for stop in range(whole + 1):
        history = History(config, tables=[V2_JOBS])
        worked_on = {id_ for _, batch in islice(history, stop) for id_ in batch["id"].to_pylist()}
        rest = ids(History(config, tables=[V2_JOBS], state=history.state))
        assert len(worked_on | {*rest}) == 40


@pytest.mark.parametrize("parallel_windows", [1, 4])
def test_history_in_parts_goes_on_with_the_windows_that_are_missing(
    parallel_windows: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    sandbox.settings.order = "newest"
    now = sandbox.world.now()
    for number in range(60):
        at = stamp(now - timedelta(days=number))
        put_v2(sandbox, f"two-{number}", created_at=at, updated_at=at)
    state: dict[str, Any] = {}
    found: list[str] = []
    parts = 0
    is_whole = False
    while not is_whole:
        history = History(
            config_of(sandbox, page_size=4, parallel_windows=parallel_windows),
            tables=[V2_JOBS],
            state=state,
            max_jobs=9,
        )
        part = ids(history)
        assert len(part) < 45
        found += part
        state, is_whole = history.state, history.is_whole
        parts += 1
    assert parts > 1
    assert len({*found}) == 60
    assert len(found) < 1.6 * 60
    assert "replication_key_value" in state["bookmarks"][V2_JOBS]


def test_what_can_be_read_is_read_before_an_error_and_the_state_tells_of_it(
    sandbox: Sandbox,
) -> None:
    put_v2(sandbox, "there")
    keys = [*sandbox.keys.values()]
    connections = [{"name": "a", "api_key": "llx-wrong"}, {"name": "b", "api_key": keys[0]}]
    config = config_of(sandbox) | {"api_key": None, "project_id": None, "connections": connections}
    history = History(config, tables=[V2_JOBS])
    batches = iter(history)
    _, batch = next(batches)
    assert batch["id"].to_pylist() == ["there"]
    with pytest.raises(ApiError, match=r"^1 of 2 connections failed \(a\), all others are read"):
        next(batches)
    (partition,) = history.state["bookmarks"][V2_JOBS]["partitions"]
    assert partition["context"] == {"connection": "b"}


def test_progress_is_told_after_each_page(sandbox: Sandbox) -> None:
    fill(sandbox, 10)
    told: list[Activity] = []
    history = History(config_of(sandbox, page_size=4), tables=[JOBS], on_progress=told.append)
    batches = [*history]
    assert len(batches) == 3
    assert [activity.jobs for activity in told][:3] == [4, 8, 10]
    assert told[-1].requests == 3


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"bookmarks": {JOBS: {"replication_key_value": 5}}}, "replication_key_value"),
        ({"bookmarks": {"others": {}}}, "of no stream of this tap"),
        ({"value": {}}, "value is not known beside bookmarks"),
    ],
)
def test_state_that_is_not_understood_is_refused_before_any_request(
    sandbox: Sandbox, state: Any, text: str
) -> None:
    with pytest.raises(StateError, match=text):
        History(config_of(sandbox), state=state)
    assert sandbox.requests == []


def test_state_of_connections_is_refused_without_them(sandbox: Sandbox) -> None:
    partition = {"context": {"connection": "a"}, "replication_key": "updated_at"}
    partition["replication_key_value"] = "2026-11-01T00:00:00.000000Z"
    with pytest.raises(StateError, match=r"is of connections \(a\)"):
        History(config_of(sandbox), state={"bookmarks": {V2_JOBS: {"partitions": [partition]}}})


def test_entries_of_other_streams_are_kept_with_a_warning(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put_v2(sandbox, "there")
    others = {"others": {"a": 1}}
    history = History(config_of(sandbox), state={"bookmarks": others | {V2_JOBS: {}}})
    assert ids(history) == ["there"]
    assert history.state["bookmarks"]["others"] == {"a": 1}
    assert "bookmarks.others is of no table" in caplog.text


def test_table_is_read_in_one_call_each_row_once(sandbox: Sandbox) -> None:
    sandbox.settings.tokens, sandbox.settings.order = "position", "newest"
    for number in range(6):
        put(sandbox, job(f"one-{number}", created_at=f"2026-10-0{number + 1}T00:00:00Z"))

    def put_another(page: int) -> None:
        if page == 1:
            put(sandbox, job("new"))

    sandbox.before_page = put_another
    table = read_table(JOBS, config_of(sandbox, page_size=3))
    listed = [f"one-{number}" for number in range(6)]
    assert {*listed} <= {*table["id"].to_pylist()}
    assert len({*table["id"].to_pylist()}) == len(table)
    assert table.schema.field("created_at").type == pa.timestamp("us", "UTC")


def test_table_without_rows_has_its_columns(sandbox: Sandbox) -> None:
    table = read_table(V2_JOBS, config_of(sandbox))
    assert table.num_rows == 0
    assert "status" in table.column_names


def test_table_that_is_not_there_is_an_error_before_any_request(sandbox: Sandbox) -> None:
    with pytest.raises(SettingsError, match="there is no table classify_job;"):
        read_table("classify_job", config_of(sandbox))
    assert sandbox.requests == []
