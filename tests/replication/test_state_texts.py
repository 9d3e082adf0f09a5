"""What a state that cannot be gone on from leads to, to the last word; and its `start_date`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tap_llamaclassify.errors import StateError
from tap_llamaclassify.replication.state import Partition, State
from tap_llamaclassify.replication.stream_state import StreamState, fields_of, read_fields
from tests.support.builders import cases
from tests.support.runs import bookmark_at

JOBS = "classify_jobs"
STREAMS = {JOBS: "updated_at", "classify_projects": None}
OLD, MIDDLE = "2026-10-01T00:00:00.000000Z", "2026-10-15T00:00:00.000000Z"
NEW = "2026-11-01T00:00:00.000000Z"
SINGLE, EMEA = Partition(), Partition("emea")
LAST_STATE = "pass the last STATE that the loader wrote"
FRESH = "or start without a state"
FROM_BEGINNING = "to read that stream from its beginning"


def partition(name: Any, **fields: Any) -> dict[str, Any]:
    return {"context": {"connection": name}, **fields}


def partitions(*given: Any) -> dict[str, Any]:
    return {"bookmarks": {JOBS: {"partitions": [*given]}}}


def unreadable(path: str, problem: str) -> str:
    place, _, _ = path.partition("[")
    stream = place.removesuffix(".partitions")
    return (
        f"state: bookmarks.{path} {problem}; correct it, or remove bookmarks.{stream} "
        f"{FROM_BEGINNING}"
    )


@cases(
    "state, text",
    {
        "no object": ([], f"the state is no JSON object; {LAST_STATE}"),
        "a whole line": (
            {"type": "STATE", "value": {"bookmarks": {}}},
            "state: it is a whole STATE line; pass what the line has as its value",
        ),
        "a value alone": (
            {"value": 5, "bookmarks": {}},
            f"state: value is not known beside bookmarks; {LAST_STATE}, {FRESH}",
        ),
        "a whole line, and bookmarks": (
            {"type": "STATE", "value": {}, "bookmarks": {}},
            f"state: type, value is not known beside bookmarks; {LAST_STATE}, {FRESH}",
        ),
        "no whole line": (
            {"type": "STATE"},
            f"state: type is not known beside bookmarks; {LAST_STATE}, {FRESH}",
        ),
        "unknown": (
            {"version": 2, "more": 1, "bookmarks": {}, "currently_syncing": None},
            f"state: more, version is not known beside bookmarks; {LAST_STATE}, {FRESH}",
        ),
        "unknown, and long": (
            {"x" * 300: 2},
            f"state: {'x' * 200} is not known beside bookmarks; {LAST_STATE}, {FRESH}",
        ),
        "no bookmarks": (
            {"bookmarks": []},
            f"state: bookmarks is no object; correct it, {FRESH}",
        ),
        "another tap's": (
            {"bookmarks": {"orders": {}, "customers": {}}},
            (
                "state: it holds bookmarks.customers, and of no stream of this tap; pass this "
                "tap's state, or start without one"
            ),
        ),
        "no entry": ({"bookmarks": {JOBS: 5}}, unreadable(JOBS, "is no object")),
        "no text": ({"bookmarks": {"x": "\ud800"}}, unreadable("x", "holds what is no text")),
        "no text as a name": (
            {"bookmarks": {"\ud800": {}}},
            unreadable("\ud800", "holds what is no text"),
        ),
        "no list": (
            {"bookmarks": {JOBS: {"partitions": {}}}},
            (
                f"state: bookmarks.{JOBS}.partitions is no list; correct it, or remove "
                f"bookmarks.{JOBS} {FROM_BEGINNING}"
            ),
        ),
        "no partition": (
            partitions(partition("a"), 5),
            unreadable(f"{JOBS}.partitions[1]", "is no object"),
        ),
        "no context": (
            partitions(partition("a"), {"context": {"connection": "b", "project": "p"}}),
            unreadable(f"{JOBS}.partitions[1].context", "is not that of a connection"),
        ),
        "a context of no name": (
            partitions(partition(5)),
            unreadable(f"{JOBS}.partitions[0].context", "is not that of a connection"),
        ),
        "no pair": (
            {"bookmarks": {JOBS: {"created_at_read": [5]}}},
            (
                f"state: bookmarks.{JOBS}.created_at_read holds what is no pair of timestamps; "
                f"correct it, or remove bookmarks.{JOBS} {FROM_BEGINNING}"
            ),
        ),
        **{
            f"no {name}": (
                {"bookmarks": {JOBS: {name: value}}},
                (
                    f"state: bookmarks.{JOBS}.{name} is no {kind}; correct it, or remove "
                    f"bookmarks.{JOBS} {FROM_BEGINNING}"
                ),
            )
            for name, value, kind in (
                ("reading_began_at", "soon", "timestamp"),
                ("start_date", 5, "timestamp"),
                ("last_read_at", {}, "timestamp"),
                ("set_aside", 5, "list of texts"),
                ("covers", [5], "list of texts"),
            )
        },
        "twice": (
            partitions(partition("a"), partition("a")),
            (
                f"state: bookmarks.{JOBS}.partitions.a is there twice; correct it, or remove "
                f"bookmarks.{JOBS}.partitions.a {FROM_BEGINNING}"
            ),
        ),
    },
)
def test_state_that_cannot_be_read_says_what_where_and_what_to_do(state: Any, text: str) -> None:
    with pytest.raises(StateError) as caught:
        State(STREAMS).load(state)
    assert str(caught.value) == text


def test_state_is_loaded_whole_and_names_the_streams_that_it_has_besides() -> None:
    state = State(STREAMS)
    bookmarks = {JOBS: bookmark_at(NEW), "orders": {}, "customers": {}, "classify_projects": {}}
    assert state.load({"bookmarks": bookmarks}) == ["customers", "orders"]
    assert state.kept(JOBS, SINGLE) == StreamState(NEW)
    assert State(STREAMS).load({}) == []
    assert State(STREAMS).load({"currently_syncing": None}) == []


def test_state_of_connections_is_refused_without_them_and_names_those_that_keep_something() -> None:
    state = State(STREAMS)
    kept = [partition(name, **bookmark_at(NEW)) for name in ("emea", "apac")]
    state.load(partitions(*kept, partition("empty")))
    with pytest.raises(StateError) as caught:
        state.kept(JOBS, SINGLE)
    assert str(caught.value) == (
        f"state: bookmarks.{JOBS} is of connections (apac, emea); set connections, or start "
        "without a state"
    )


@cases(
    "place, start_date, said",
    {
        "unset": (
            SINGLE,
            None,
            (
                f"{JOBS} was last read with start_date {MIDDLE}, and is read anew "
                "now, from its beginning"
            ),
        ),
        "moved back": (
            SINGLE,
            OLD,
            f"{JOBS} was last read with start_date {MIDDLE}, and is read anew now, from {OLD}",
        ),
        "moved back for a connection": (
            EMEA,
            OLD,
            (
                f"emea: {JOBS} was last read with start_date {MIDDLE}, and is read anew "
                f"now, from {OLD}"
            ),
        ),
    },
)
def test_stream_is_read_anew_where_start_date_was_moved_back_and_says_so_once(
    place: Partition, start_date: str | None, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    fields = bookmark_at(NEW) | {"start_date": MIDDLE, "last_read_at": NEW}
    state = State(STREAMS, start_date)
    given = (
        {"bookmarks": {JOBS: fields}}
        if place == SINGLE
        else partitions(partition("emea", **fields))
    )
    state.load(given)
    for _ in range(2):
        assert state.kept(JOBS, place) == StreamState(last_read_at=NEW)
        assert caplog.messages == [said]
    # A merge with the older state must not bring the older date back.
    entry = state.keep(JOBS, place, StreamState(NEW))
    (written,) = entry.get("partitions", [entry])
    assert written["start_date"] == start_date
    assert "start_date" in written


@cases("start_date", {"as it was": MIDDLE, "moved on": NEW})
def test_stream_goes_on_where_start_date_was_not_moved_back(
    start_date: str, caplog: pytest.LogCaptureFixture
) -> None:
    state = State(STREAMS, start_date)
    state.load({"bookmarks": {JOBS: bookmark_at(NEW) | {"start_date": MIDDLE}}})
    assert state.kept(JOBS, SINGLE) == StreamState(NEW)
    assert caplog.messages == []
    assert state.keep(JOBS, SINGLE, StreamState(NEW))["start_date"] == start_date
    assert state.keep(JOBS, SINGLE, StreamState()) == {}


def test_start_date_that_was_never_set_is_not_written() -> None:
    state = State(STREAMS)
    state.load({"bookmarks": {JOBS: bookmark_at(NEW)}})
    assert state.kept(JOBS, SINGLE) == StreamState(NEW)
    assert state.keep(JOBS, SINGLE, StreamState(NEW)) == bookmark_at(NEW)
    assert state.keep("classify_projects", SINGLE, StreamState()) == {}


BROKEN_OFF = StreamState(created_at_read=((OLD, MIDDLE),), reading_began_at=MIDDLE, start_date=OLD)


@cases(
    "kept, key, fields",
    {
        "broken off": (
            BROKEN_OFF,
            "updated_at",
            {
                # All of them, for states are merged.
                "replication_key_value": None,
                "created_at_read_until": None,
                "created_at_read": [[OLD, MIDDLE]],
                "reading_began_at": MIDDLE,
                "start_date": OLD,
            },
        ),
        "broken off, with a bookmark": (
            replace(BROKEN_OFF, bookmark=NEW, start_date=None),
            "updated_at",
            {
                **bookmark_at(NEW),
                "created_at_read_until": None,
                "created_at_read": [[OLD, MIDDLE]],
                "reading_began_at": MIDDLE,
            },
        ),
        "of days": (
            StreamState("2026-11-01T00:00:00.000000Z"),
            "day",
            {"replication_key": "day", "replication_key_value": "2026-11-01"},
        ),
    },
)
def test_what_is_kept_is_written_in_one_form_and_read_again(
    kept: StreamState, key: str, fields: dict[str, Any]
) -> None:
    assert fields_of(kept, key) == fields
    assert read_fields(JOBS, fields, key, beside="partitions") == kept
