"""What a Singer state keeps of one stream, or of one connection's part in it: its fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tap_llamaclassify.errors import StateError
from tap_llamaclassify.replication.read_spans import Spans, joined
from tap_llamaclassify.replication.shared_state import UNFINISHED, UNFINISHED_OF
from tap_llamaclassify.timestamps import to_fixed

_KEY = "replication_key"
_VALUE = "replication_key_value"
_PREVIOUS_VALUE = "previous_replication_key_value"
_READ_UNTIL = "created_at_read_until"
_READ = "created_at_read"
_BEGUN = "reading_began_at"
_SET_ASIDE = "set_aside"
_LAST_READ_AT = "last_read_at"
_UNFINISHED_JOBS = "unfinished_jobs"
_COVERS = "covers"
_START_DATE = "start_date"
_OWN = {
    _KEY,
    _VALUE,
    _PREVIOUS_VALUE,
    _READ_UNTIL,
    _READ,
    _BEGUN,
    UNFINISHED,
    UNFINISHED_OF,
    _SET_ASIDE,
    _LAST_READ_AT,
    _UNFINISHED_JOBS,
    _COVERS,
    _START_DATE,
}
_LEFTOVERS = {"progress_markers", "replication_key_signpost", "starting_replication_value"}
"""What singer-sdk leaves in an entry when a run of a tap built on it is broken off."""


@dataclass(frozen=True)
class StreamState:
    """What a state keeps of one stream, or of one connection's part in it.

    Instants are in the fixed form.

    Attributes:
        bookmark: None when it has none yet.
        shifts: Whether jobs were ever seen to move from page to page while they were listed.
        previous_bookmark: Where `shifts`, the bookmark that the last run began with; None for the
            beginning.
        created_at_read: Every job created in these spans has been read since the bookmark was last
            set. One that has no beginning is written as `created_at_read_until`.
        reading_began_at: The server's clock when the reading began that came so far; None for none.
        unfinished: Ids of jobs that were unfinished when last seen, and when each was created;
            None when that is not known any more.
        set_aside: Ids of jobs whose results could not be had, and are asked for again.
        last_read_at: The server's clock when the last reading began that came to its end; None
            where nothing hangs on it.
        unfinished_jobs: As `unfinished`, where jobs are not asked for by their ids, but listed
            from the oldest of these on.
        covers: What the bookmark speaks of, in names; where it is not all there is, the rest is
            read from its beginning.
        start_date: What the setting was when it was read; None where it was not set, or nobody
            knows, "" where it was unset.
    """

    bookmark: str | None = None
    shifts: bool = False
    previous_bookmark: str | None = None
    created_at_read: Spans = ()
    reading_began_at: str | None = None
    unfinished: Mapping[str, str] | None = field(default_factory=dict)
    set_aside: Sequence[str] = ()
    last_read_at: str | None = None
    unfinished_jobs: Mapping[str, str] = field(default_factory=dict)
    covers: Sequence[str] = ()
    start_date: str | None = None


def read_fields(
    path: str, entry: Mapping[str, Any], replication_key: str | None, *, beside: str
) -> StreamState:
    """Read the fields of an entry's top, or of a partition.

    Raises:
        StateError: One is not known, or not understood.
    """
    known = _LEFTOVERS | {beside} | (_OWN if replication_key else set())
    if unknown := sorted(entry.keys() - known):
        raise unreadable(path, f".{unknown[0]}", "is not known to this version of the tap")
    if not isinstance(entry.get("progress_markers", {}), dict):
        raise unreadable(path, ".progress_markers", "is no object")
    bookmark = _instant(path, entry, _VALUE)
    if bookmark is not None and entry.get(_KEY, replication_key) != replication_key:
        raise unreadable(path, f".{_KEY}", f"is not {replication_key}")
    return StreamState(
        bookmark,
        _PREVIOUS_VALUE in entry,
        _instant(path, entry, _PREVIOUS_VALUE),
        _read(path, entry),
        _instant(path, entry, _BEGUN),
        _unfinished(path, entry),
        _names(path, entry, _SET_ASIDE),
        _instant(path, entry, _LAST_READ_AT),
        _instants(path, entry, _UNFINISHED_JOBS),
        _names(path, entry, _COVERS),
        _instant(path, entry, _START_DATE),
    )


def _read(path: str, entry: Mapping[str, Any]) -> Spans:
    until = _instant(path, entry, _READ_UNTIL)
    given = entry.get(_READ, [])
    if not isinstance(given, list):
        raise unreadable(path, f".{_READ}", "is no list")
    spans = []
    for span in given:
        match (
            [to_fixed(at) for at in span if isinstance(at, str)] if isinstance(span, list) else ()
        ):
            case [str(begin), str(end)] if len(span) == 2:  # noqa: PLR2004 - a span has two ends
                spans.append((begin, end))
            case _:
                raise unreadable(path, f".{_READ}", "holds what is no pair of timestamps")
    return joined([("", until), *spans] if until else spans)


def _unfinished(path: str, entry: Mapping[str, Any]) -> dict[str, str] | None:
    if UNFINISHED_OF not in entry:
        return _instants(path, entry, UNFINISHED)
    if not isinstance(entry[UNFINISHED_OF], str):
        raise unreadable(path, f".{UNFINISHED_OF}", "is no stream's name")
    return None


def _instants(path: str, entry: Mapping[str, Any], name: str) -> dict[str, str]:
    given = entry.get(name, {})
    if not isinstance(given, dict):
        raise unreadable(path, f".{name}", "is no object")
    read = {job: to_fixed(at) if isinstance(at, str) else None for job, at in given.items()}
    instants = {job: at for job, at in read.items() if at is not None}
    if len(instants) < len(given):
        raise unreadable(path, f".{name}", "holds what is no timestamp")
    return instants


def _names(path: str, entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
    given = entry.get(name, [])
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise unreadable(path, f".{name}", "is no list of texts")
    return tuple(given)


def _instant(path: str, entry: Mapping[str, Any], name: str) -> str | None:
    value = entry.get(name)
    if value is None:
        return None
    fixed = to_fixed(value) if isinstance(value, str) else None
    if fixed is None:
        raise unreadable(path, f".{name}", "is no timestamp")
    return fixed


def fields_of(kept: StreamState, replication_key: str) -> dict[str, Any]:
    """Return the fields of what is kept of a stream that has a replication key."""
    fields: dict[str, Any] = {}
    if kept.bookmark is not None:
        fields |= {_KEY: replication_key, _VALUE: _as_told(kept.bookmark, replication_key)}
    if kept.shifts:
        fields[_PREVIOUS_VALUE] = kept.previous_bookmark
    if kept.created_at_read or kept.reading_began_at is not None:
        # Both, for Meltano merges this into what an older run left.
        spans = kept.created_at_read
        fields[_READ_UNTIL] = next((end for begin, end in spans if not begin), None)
        fields[_READ] = [[begin, end] for begin, end in spans if begin]
        if kept.start_date is not None:
            fields.setdefault(_VALUE, None)
    if kept.unfinished is None:
        fields[UNFINISHED_OF] = ""
    others = {
        _BEGUN: kept.reading_began_at,
        UNFINISHED: dict(sorted((kept.unfinished or {}).items())),
        _SET_ASIDE: [*kept.set_aside],
        _LAST_READ_AT: kept.last_read_at,
        _UNFINISHED_JOBS: dict(sorted(kept.unfinished_jobs.items())),
        _COVERS: [*kept.covers],
    }
    if kept.start_date is not None:
        fields[_START_DATE] = kept.start_date or None
    return fields | {name: value for name, value in others.items() if value}


def _as_told(bookmark: str, replication_key: str) -> str:
    """Write a bookmark as the column is written that it is of."""
    return bookmark[: len("2026-11-23")] if replication_key == "day" else bookmark


def unreadable(path: str, field: str, problem: str) -> StateError:
    """Return the error that a field of a stream's entry is not understood."""
    return StateError(
        f"state: bookmarks.{path}{field} {problem}; correct it, or remove bookmarks.{path} "
        "to read that stream from its beginning"
    )
