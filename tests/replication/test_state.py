"""State is understood or refused: never silently everything, never silently nothing."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.errors import StateError
from tests.support.builders import DEFAULT_STREAMS, job, seconds_after, sync
from tests.support.commands import Command
from tests.support.runs import at_page, bookmark_at, config_of, put_v2, success

OLD = "2026-10-01T00:00:00.000000Z"
NEW = "2026-11-01T00:00:00.000000Z"
AT_NEW = bookmark_at(NEW)
NO_INSTANTS: list[Any] = ["soon", "", 5, {}]


def state_of(**entry: Any) -> dict[str, Any]:
    """Make a state that has one stream's entry."""
    return {"bookmarks": {"classify_jobs": entry}}


@pytest.fixture
def history(sandbox: Sandbox) -> Sandbox:
    """Put two jobs into the world, a month apart."""
    sandbox.world.put(job("old", updated_at=OLD))
    sandbox.world.put(job("new", updated_at=NEW))
    return sandbox


# Understood.


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"bookmarks": {}},
        {"bookmarks": {"classify_jobs": {}}},
        {"bookmarks": {"classify_jobs": {}, "gone_stream": {"replication_key_value": "x"}}},
        state_of(replication_key_value=None),
        state_of(progress_markers={"Note": "Progress is not resumable if interrupted."}),
        state_of(
            progress_markers={"replication_key": "updated_at", "replication_key_value": NEW},
            starting_replication_value=None,
            replication_key_signpost=NEW,
        ),
    ],
    ids=[
        *("none", "empty", "no stream", "empty stream", "gone stream", "null", "leftovers"),
        "progress of a first run that was broken off",
    ],
)
def test_state_without_bookmarks_reads_from_the_beginning_and_says_so(
    history: Sandbox, state: dict[str, Any] | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert sorted(sync(history, state=state).ids()) == ["new", "old"]
    assert "classify_jobs: emitting everything" in caplog.messages


@pytest.mark.parametrize("stream", ["classify_jobs", "classify_v2_job_rules"])
def test_stream_whose_bookmark_is_removed_is_read_anew_and_no_other(
    history: Sandbox, quick_command: Command, stream: str
) -> None:
    for name, at in (("old", OLD), ("new", NEW)):
        put_v2(history, f"v2 {name}", created_at=at, updated_at=at)
    arguments = ("--config", config_of(history))
    state = success(quick_command(*arguments)).state
    del state["bookmarks"][stream]
    output = success(quick_command(*arguments, "--state", state))
    updates = {
        name: {row["updated_at"] for row in output.records(name)} for name in DEFAULT_STREAMS
    }
    assert updates.pop(stream) == {OLD, NEW}
    assert [*updates.values()] == [{NEW}] * (len(DEFAULT_STREAMS) - 1)
    assert output.bookmarks() == dict.fromkeys(DEFAULT_STREAMS, NEW)


def test_state_of_a_stream_that_is_gone_is_kept_and_named(
    history: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    state = {"bookmarks": {"gone": {"replication_key_value": "x"}, "classify_jobs": AT_NEW}}
    output = sync(history, state=state)
    assert output.ids() == ["new"]
    assert output.state["bookmarks"]["gone"] == {"replication_key_value": "x"}
    assert "The state's bookmarks.gone is of no stream of this tap" in caplog.messages


# Refused.


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ([], "classify_jobs is no object"),
        ("2026-11-01", "classify_jobs is no object"),
        (None, "classify_jobs is no object"),
        *(
            (bookmark_at(value), "classify_jobs.replication_key_value is no timestamp")
            for value in NO_INSTANTS
        ),
        (bookmark_at(NEW, "created_at"), "classify_jobs.replication_key is not updated_at"),
        ({"partitions": 5}, "classify_jobs.partitions is no list"),
        ({"progress_markers": []}, "classify_jobs.progress_markers is no object"),
        ({"replication_key_value": "\ud800"}, "classify_jobs holds what is no text"),
        ({"unfinished": {"\ud800": NEW}}, "classify_jobs holds what is no text"),
        ({"unfinished_of": 5}, "classify_jobs.unfinished_of is no stream's name"),
        (AT_NEW | {"windows": []}, "classify_jobs.windows is not known to this version"),
        (
            AT_NEW | {"previous_replication_key_value": 5},
            "classify_jobs.previous_replication_key_value is no timestamp",
        ),
    ],
    ids=[
        *("a list", "a text", "null", "no timestamp", "empty text", "number", "object"),
        *("other key", "partitions no list", "markers no object"),
        *(
            "lone surrogate",
            "lone surrogate in an id",
            "number for a name",
            "a later version's field",
        ),
        "previous no timestamp",
    ],
)
def test_entry_that_is_not_understood_is_refused_with_stream_and_field(
    history: Sandbox, entry: Any, field: str
) -> None:
    with pytest.raises(StateError, match=rf"^state: bookmarks\.{field}[^\n]*; correct it"):
        sync(history, state={"bookmarks": {"classify_jobs": entry}})
    assert history.requests == []


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"type": "STATE", "value": {"bookmarks": {}}}, "it is a whole STATE line"),
        ({"bookmarks": []}, "bookmarks is no object"),
        ({"version": 2, "bookmarks": {}}, "version is not known beside bookmarks"),
        ({"singer_state": {"bookmarks": {}}}, "singer_state is not known beside bookmarks"),
        ({"classify_jobs": NEW}, "classify_jobs is not known beside bookmarks"),
        ({"bookmarks": {"orders": AT_NEW}}, r"it holds bookmarks\.orders, and of no stream"),
    ],
    ids=[
        *("a whole line", "bookmarks no object", "a later version", "Meltano's own file"),
        *("no bookmarks", "another tap's"),
    ],
)
def test_state_that_is_not_understood_is_refused(
    history: Sandbox, state: dict[str, Any], text: str
) -> None:
    with pytest.raises(StateError, match=text):
        sync(history, state=state)
    assert history.requests == []


# Where jobs were seen to move from page to page.


@pytest.fixture
def shifting() -> Any:
    """Run an API whose page tokens are positions, with four jobs on two pages."""
    with Sandbox(World.empty(), Settings(tokens="position")) as running:
        for number in range(4):
            created = seconds_after(OLD, number)
            running.world.put(job(f"j{number}", created_at=created, updated_at=created))
        yield running


def create(sandbox: Sandbox, identity: str) -> None:
    """Create a job now."""
    now = stamp(sandbox.world.now())
    sandbox.world.put(job(identity, created_at=now, updated_at=now))


def run(sandbox: Sandbox, state: Any = None) -> tuple[list[str], Any]:
    """Sync one stream with pages of two jobs; return the ids and the stream's entry."""
    output = sync(sandbox, state=state, page_size=2, lookback_seconds=0)
    return sorted(output.ids()), output.state


def test_listing_that_shifts_unseen_passes_over_one_job_for_good(shifting: Sandbox) -> None:
    at_page(shifting, 2, lambda: shifting.world.delete("j3"))
    first, state = run(shifting)
    assert first == ["j0", "j2", "j3"]
    shifting.before_page = None
    assert run(shifting, state) == ([], state), "only a change or a full refresh would bring j1"


def test_run_after_jobs_were_first_seen_to_move_emits_everything_again(
    shifting: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    at_page(shifting, 2, lambda: create(shifting, "new"))
    first, state = run(shifting)
    assert caplog.text.count("Jobs moved from page to page while they were listed") == 1
    assert first == ["j0", "j1", "j2", "j2", "j3"]
    assert state["bookmarks"]["classify_jobs"]["previous_replication_key_value"] is None
    shifting.before_page = None
    caplog.clear()
    assert run(shifting, state)[0] == ["j0", "j1", "j2", "j3", "new"]
    assert "Jobs moved" not in caplog.text


def test_runs_begin_where_the_one_before_began_once_jobs_were_seen_to_move(
    shifting: Sandbox,
) -> None:
    at_page(shifting, 2, lambda: create(shifting, "first"))
    _, state = run(shifting)
    shifting.before_page = None
    _, state = run(shifting, state)
    assert state["bookmarks"]["classify_jobs"]["previous_replication_key_value"] is not None
    emitted = []
    for name in ("second", "third", "fourth"):
        shifting.world.advance(3600)
        create(shifting, name)
        ids, state = run(shifting, state)
        emitted.append(ids)
    assert emitted == [
        ["first", "j3", "second"],
        ["first", "second", "third"],
        ["fourth", "second", "third"],
    ]


# From one key to connections.


def connections(sandbox: Sandbox, *names: str) -> dict[str, Any]:
    """Make settings of connections that all have the sandbox's one key."""
    given = [{"name": name, "api_key": sandbox.key} for name in names]
    return {"api_key": None, "connections": given, "lookback_seconds": 0}


def test_bookmarks_that_no_connection_adopts_are_named_and_kept(
    history: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    output = sync(history, state=state_of(**AT_NEW), **connections(history, "emea"))
    assert sorted(output.ids()) == ["new", "old"]
    entry = output.state["bookmarks"]["classify_jobs"]
    assert {name: entry[name] for name in AT_NEW} == AT_NEW
    assert "bookmarks of the time before connections (classify_jobs)" in caplog.text


def test_state_of_connections_is_refused_by_one_key_before_anything_is_asked(
    history: Sandbox,
) -> None:
    state = sync(history, **connections(history, "emea")).state
    history.clear_requests()
    with pytest.raises(StateError, match=r"is of connections \(emea\); set connections, or start"):
        sync(history, state=state)
    assert history.requests == []
