"""What a stream's entry in a state keeps: at its top for one key, in partitions for many."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tap_llamaclassify.errors import StateError
from tap_llamaclassify.replication.state import Partition, State
from tap_llamaclassify.replication.stream_state import StreamState
from tests.support.runs import bookmark_at

KEY = "updated_at"
OLD = "2026-10-01T00:00:00.000000Z"
MIDDLE = "2026-10-15T00:00:00.000000Z"
NEW = "2026-11-01T00:00:00.000000Z"
AT_OLD, AT_NEW = bookmark_at(OLD), bookmark_at(NEW)
ALL = StreamState(
    NEW,
    shifts=True,
    previous_bookmark=OLD,
    created_at_read=(("", OLD), (MIDDLE, NEW)),
    unfinished={"b": OLD, "a": NEW},
    set_aside=("a",),
    last_read_at=NEW,
    unfinished_jobs={"b": OLD, "a": NEW},
    covers=("a", "b"),
)
ALL_FIELDS = AT_NEW | {
    "previous_replication_key_value": OLD,
    "created_at_read_until": OLD,
    "created_at_read": [[MIDDLE, NEW]],
    "unfinished": {"a": NEW, "b": OLD},
    "set_aside": ["a"],
    "last_read_at": NEW,
    "unfinished_jobs": {"a": NEW, "b": OLD},
    "covers": ["a", "b"],
}
SINGLE = Partition()
EMEA = Partition("emea")
ADOPTING = Partition("emea", adopts=True)
NO_PAIR = "created_at_read holds what is no pair of timestamps"
NO_PAIRS: list[Any] = [OLD, [], [OLD], [OLD, NEW, NEW], [OLD, "soon"], [None, NEW]]
LEFTOVERS = {"progress_markers": {}, "replication_key_signpost": NEW}


NO_CONTEXTS: list[Any] = [None, {}, {"connection": 5}, {"connection": "llx-key"}]
NO_CONTEXTS += [{"connection": "emea", "project": "p"}]


def partition(name: str, **fields: Any) -> dict[str, Any]:
    return {"context": {"connection": name}, **fields}


def state_of(entry: Any, key: str | None = KEY) -> State:
    state = State({"classify_jobs": key})
    state.load({"bookmarks": {"classify_jobs": entry}})
    return state


def read(entry: dict[str, Any], place: Partition = EMEA, key: str | None = KEY) -> StreamState:
    return state_of(entry, key).kept("classify_jobs", place)


def written(
    entry: dict[str, Any], kept: StreamState, place: Partition = EMEA, key: str | None = KEY
) -> dict[str, Any]:
    before = copy.deepcopy(entry)
    after = state_of(entry, key).keep("classify_jobs", place, kept)
    assert entry == before
    return after


# One key.


@pytest.mark.parametrize(
    ("kept", "fields"),
    [
        (StreamState(), {}),
        (StreamState(NEW), AT_NEW),
        (StreamState(NEW, shifts=True), AT_NEW | {"previous_replication_key_value": None}),
        (
            StreamState(created_at_read=(("", OLD),)),
            {"created_at_read_until": OLD, "created_at_read": []},
        ),
        (StreamState(unfinished={"a": OLD}), {"unfinished": {"a": OLD}}),
        (StreamState(unfinished=None), {"unfinished_of": ""}),
        (ALL, ALL_FIELDS),
    ],
    ids=["nothing", "a bookmark", "shifts", "read until", "unfinished", "not known", "all"],
)
@pytest.mark.parametrize("place", [SINGLE, EMEA], ids=["one key", "a connection"])
def test_what_is_written_is_read_again(
    kept: StreamState, fields: dict[str, Any], place: Partition
) -> None:
    entry = written(LEFTOVERS, kept, place)
    connected = {"partitions": [partition("emea", **fields)]}
    assert entry == (fields if place is SINGLE else connected)
    assert read(entry, place) == kept


def test_fields_and_unfinished_jobs_are_written_in_one_order() -> None:
    entry = written({}, ALL, SINGLE)
    assert list(entry) == list(ALL_FIELDS)
    assert list(entry["unfinished"]) == ["a", "b"]


def test_instants_in_any_form_are_read_in_the_fixed_one() -> None:
    entry = {
        "replication_key_value": "2026-11-01T01:00:00+01:00",
        "created_at_read_until": "2026-10-01",
        "unfinished": {"a": "2026-10-01T00:00:00Z"},
    }
    assert read(entry, SINGLE) == StreamState(
        NEW, created_at_read=(("", OLD),), unfinished={"a": OLD}
    )


def test_stream_may_have_another_replication_key() -> None:
    entry = written({}, StreamState(NEW), SINGLE, "job_updated_at")
    assert entry == {"replication_key": "job_updated_at", "replication_key_value": NEW}
    assert read(entry, SINGLE, "job_updated_at") == StreamState(NEW)
    with pytest.raises(StateError, match=r"classify_jobs\.replication_key is not updated_at"):
        read(entry, SINGLE)
    with pytest.raises(StateError, match=r"classify_jobs\.replication_key is not job_updated_at"):
        read(AT_NEW, SINGLE, "job_updated_at")


@pytest.mark.parametrize("place", [SINGLE, EMEA], ids=["one key", "a connection"])
def test_stream_without_a_replication_key_keeps_nothing(place: Partition) -> None:
    assert read(LEFTOVERS, place, None) == StreamState()
    assert written(LEFTOVERS, StreamState(NEW), place, None) == {}
    for name in ALL_FIELDS:
        with pytest.raises(StateError, match=f"classify_jobs.{name} is not known"):
            read({name: ALL_FIELDS[name]}, place, None)


# Connections.


def test_connection_writes_its_partition_and_leaves_all_else_alone() -> None:
    others = [partition("apac", **AT_OLD), partition("latam", **AT_OLD)]
    entry = AT_OLD | {"partitions": [*reversed(others)]}
    assert written(entry, StreamState(NEW)) == AT_OLD | {
        "partitions": [others[0], partition("emea", **AT_NEW), others[1]]
    }
    replaced = written({"partitions": [partition("emea", **ALL_FIELDS), *others]}, StreamState(NEW))
    assert replaced["partitions"] == [others[0], partition("emea", **AT_NEW), others[1]]


def test_connection_begins_at_the_beginning_unless_it_adopts() -> None:
    assert read(ALL_FIELDS) == StreamState()
    assert read(ALL_FIELDS, ADOPTING) == ALL
    assert read({"partitions": [partition("apac", **AT_OLD)]}, ADOPTING) == StreamState()


def test_connection_that_adopts_leaves_nothing_at_the_top() -> None:
    entry = ALL_FIELDS | LEFTOVERS | {"partitions": [partition("apac", **AT_OLD)]}
    assert written(entry, StreamState(NEW), ADOPTING) == {
        "partitions": [partition("apac", **AT_OLD), partition("emea", **AT_NEW)]
    }


@pytest.mark.parametrize(
    "fields",
    [
        AT_OLD,
        {"created_at_read_until": OLD},
        {"unfinished": {"a": OLD}},
        {"previous_replication_key_value": None},
    ],
    ids=["a bookmark", "read until", "unfinished", "shifts"],
)
def test_partition_that_keeps_anything_wins_over_adoption(fields: dict[str, Any]) -> None:
    entry = AT_NEW | {"partitions": [partition("emea", **fields)]}
    assert read(entry, ADOPTING) == read({"partitions": [partition("emea", **fields)]})
    assert read(entry, ADOPTING) != StreamState(NEW)
    assert written(entry, StreamState(OLD), ADOPTING) == AT_NEW | {
        "partitions": [partition("emea", **AT_OLD)]
    }


def test_partition_that_a_broken_off_run_left_empty_does_not_stand_in_the_way_of_adoption() -> None:
    entry = AT_OLD | {"partitions": [partition("emea", **LEFTOVERS)]}
    assert read(entry, ADOPTING) == StreamState(OLD)
    adopted = {"partitions": [partition("emea", **AT_NEW)]}
    assert written(entry, StreamState(NEW), ADOPTING) == adopted


def test_connection_that_was_removed_and_comes_back_goes_on_where_it_was() -> None:
    entry = written(written({}, ALL), StreamState(OLD), Partition("apac"))
    assert read(entry) == ALL


def test_state_of_connections_is_refused_without_them() -> None:
    entry = {"partitions": [partition("emea", **AT_OLD), partition("apac", **AT_OLD)]}
    with pytest.raises(
        StateError,
        match=r"^state: bookmarks\.classify_jobs is of connections \(apac, emea\); set "
        r"connections, or start without a state$",
    ):
        read(entry, SINGLE)


@pytest.mark.parametrize(
    "partitions",
    [[], [partition("emea")], [partition("emea", **LEFTOVERS)]],
    ids=["none", "empty", "leftovers"],
)
def test_partitions_that_keep_nothing_are_dropped_for_one_key(partitions: list[Any]) -> None:
    entry = AT_OLD | {"partitions": partitions}
    assert read(entry, SINGLE) == StreamState(OLD)
    assert written(entry, StreamState(NEW), SINGLE) == AT_NEW


# Refused.


@pytest.mark.parametrize(
    ("partitions", "field"),
    [
        (5, "partitions is no list"),
        ({}, "partitions is no list"),
        ([partition("a"), 5], "partitions[1] is no object"),
        ([AT_OLD], "partitions[0].context is not that of a connection"),
        *(
            ([{"context": context}], "partitions[0].context is not that of a connection")
            for context in NO_CONTEXTS
        ),
        ([partition("emea"), partition("apac"), partition("emea")], "partitions.emea is there"),
        (
            [partition("emea", replication_key_value="soon")],
            "partitions.emea.replication_key_value is no timestamp",
        ),
        (
            [partition("emea", **AT_OLD | {"replication_key": "created_at"})],
            "partitions.emea.replication_key is not updated_at",
        ),
        ([partition("emea", windows=[])], "partitions.emea.windows is not known to this version"),
        ([partition("emea", partitions=[])], "partitions.emea.partitions is not known"),
        ([partition("emea", progress_markers=5)], "partitions.emea.progress_markers is no object"),
    ],
    ids=[
        *("a number", "an object", "partition no object", "no context", "null", "empty context"),
        *("name no text", "name no connection's", "more context", "twice", "no timestamp"),
        *("other key", "a later version's field", "partitions in it", "markers no object"),
    ],
)
def test_partition_that_is_not_understood_is_refused_with_stream_connection_and_field(
    partitions: Any, field: str
) -> None:
    with pytest.raises(StateError) as caught:
        state_of({"partitions": partitions})
    assert str(caught.value).startswith(f"state: bookmarks.classify_jobs.{field}")
    assert "; correct it, or remove bookmarks.classify_jobs" in str(caught.value)
    assert "llx-" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"created_at_read_until": "soon"}, "created_at_read_until is no timestamp"),
        ({"created_at_read_until": 5}, "created_at_read_until is no timestamp"),
        ({"created_at_read": {}}, "created_at_read is no list"),
        *(({"created_at_read": [at]}, NO_PAIR) for at in NO_PAIRS),
        ({"unfinished": []}, "unfinished is no object"),
        ({"unfinished": None}, "unfinished is no object"),
        ({"unfinished": {"a": OLD, "b": "soon"}}, "unfinished holds what is no timestamp"),
        ({"unfinished": {"a": None}}, "unfinished holds what is no timestamp"),
        ({"unfinished_jobs": {"a": 5}}, "unfinished_jobs holds what is no timestamp"),
        ({"last_read_at": "soon"}, "last_read_at is no timestamp"),
        ({"covers": "a"}, "covers is no list of texts"),
        ({"covers": ["a", 5]}, "covers is no list of texts"),
    ],
    ids=[
        *("no timestamp", "number", "spans no list", *(f"pair {each}" for each in NO_PAIRS)),
        *("list", "null", "one no timestamp", "one null"),
        *("a job without", "last read", "covers text", "covers a number"),
    ],
)
def test_field_that_cannot_be_read_is_refused_at_the_top_and_in_a_partition(
    fields: dict[str, Any], field: str
) -> None:
    entries = {"": fields, "partitions.emea.": {"partitions": [partition("emea", **fields)]}}
    for path, entry in entries.items():
        with pytest.raises(StateError) as caught:
            state_of(entry)
        assert str(caught.value).startswith(f"state: bookmarks.classify_jobs.{path}{field}; ")


def test_whole_state_is_checked_by_each_streams_replication_key() -> None:
    streams = {"classify_jobs": KEY, "classify_job_results": "job_updated_at", "projects": None}
    results = {"replication_key": "job_updated_at", "replication_key_value": NEW}
    bookmarks: dict[str, Any] = {
        "classify_jobs": ALL_FIELDS,
        "classify_job_results": {"partitions": [partition("emea", **results)]},
        "projects": {},
        "gone": {"anything": 5},
    }
    assert State(streams).load({"bookmarks": bookmarks}) == ["gone"]
    with pytest.raises(StateError, match=r"bookmarks\.projects\.replication_key is not known"):
        State(streams).load({"bookmarks": bookmarks | {"projects": results}})
    with pytest.raises(StateError, match=r"classify_jobs\.replication_key is not updated_at"):
        State(streams).load({"bookmarks": bookmarks | {"classify_jobs": results}})


# Unused.

IDLE = (
    "The state has bookmarks of the time before connections (a, b), and no connection goes on from "
    "them; adopt_state can name one that has none of its own"
)


def of(*names: str, empty: str | None = None) -> dict[str, Any]:
    """Make the partitions of some connections, and an empty one."""
    parts = [partition(name, **AT_OLD) for name in names]
    return {"partitions": [*parts, *([partition(empty)] if empty else [])]}


GONE = "The state has bookmarks of connections that are not set (apac, latam); they are kept"


@pytest.mark.parametrize(
    ("entries", "names", "adopts", "texts"),
    [
        ({"b": AT_OLD, "a": {"partitions": [partition("emea", **AT_OLD)]}}, [], None, []),
        ({"b": AT_OLD, "a": AT_OLD, "c": LEFTOVERS}, ["emea"], None, [IDLE]),
        ({"b": AT_OLD, "a": AT_OLD}, ["emea"], "emea", []),
        ({s: AT_OLD | of("emea") for s in "ab"}, ["emea"], "emea", [IDLE]),
        ({"a": of("latam", "emea"), "b": of("apac", empty="none")}, ["emea"], None, [GONE]),
        ({"a": AT_OLD | of("apac"), "b": AT_OLD | of("latam")}, ["emea"], None, [IDLE, GONE]),
        ({"foreign": AT_OLD}, ["emea"], None, []),
        ({}, ["emea"], "emea", []),
    ],
    ids=[
        *("one key", "no connection adopts", "one adopts", "one could not adopt", "removed"),
        *("both", "a foreign stream's", "empty"),
    ],
)
def test_what_no_connection_goes_on_from_is_named(
    entries: dict[str, Any], names: list[str], adopts: str | None, texts: list[str]
) -> None:
    streams = dict.fromkeys("abc", KEY)
    state = State(streams)
    assert state.unused(names, adopts) == []
    state.load({"bookmarks": {"a": {}} | entries})
    assert state.unused(names, adopts) == texts
