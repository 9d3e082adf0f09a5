"""How far each stream has come: reading and moving `updated_at` in a stream's Singer state.

Every instant here is a text in the fixed form, so that comparing texts compares instants.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tap_llamaclassify.errors import StateError
from tap_llamaclassify.timestamps import from_datetime, to_datetime, to_fixed

REPLICATION_KEY = "updated_at"
CLOCK_SKEW_SECONDS = 10
"""How far the clocks of the servers behind one host may be apart; what is read again covers it."""


def check_state(state: object) -> None:
    """Make sure that a state has the shape that singer-sdk keeps.

    Raises:
        StateError: Names the stream and the field that has another.
    """
    if not isinstance(state, dict):
        raise StateError("the state is no JSON object; pass the last STATE that the loader wrote")
    if "bookmarks" not in state and {"type", "value"} <= state.keys():
        raise StateError("state: it is a whole STATE line; pass what the line has as its value")
    bookmarks = state.get("bookmarks", {})
    if not isinstance(bookmarks, dict):
        raise StateError("state: bookmarks is no object; correct it, or start without a state")
    for stream, entry in bookmarks.items():
        _check_entry(stream, "", entry)
        partitions = entry.get("partitions", [])
        if not isinstance(partitions, list):
            raise _unreadable(stream, ".partitions", "is no list")
        for number, partition in enumerate(partitions):
            _check_entry(stream, f".partitions[{number}]", partition)


def _check_entry(stream: str, place: str, entry: object) -> None:
    if not isinstance(entry, dict):
        raise _unreadable(stream, place, "is no object")
    if not isinstance(entry.get("progress_markers", {}), dict):
        raise _unreadable(stream, f"{place}.progress_markers", "is no object")


def read_bookmark(stream: str, entry: Mapping[str, Any]) -> str | None:
    """Read a stream's bookmark from its entry in the state; None when it has none yet.

    Raises:
        StateError: Names the field that cannot be read. A stream is never read from its
            beginning only because its bookmark was not understood.
    """
    if entry.get("partitions"):
        raise _unreadable(stream, ".partitions", "holds bookmarks that are not this stream's")
    value = entry.get("replication_key_value")
    if value is None:
        return None
    if entry.get("replication_key", REPLICATION_KEY) != REPLICATION_KEY:
        raise _unreadable(stream, ".replication_key", f"is not {REPLICATION_KEY}")
    fixed = to_fixed(value) if isinstance(value, str) else None
    if fixed is None:
        raise _unreadable(stream, ".replication_key_value", "is no timestamp")
    return fixed


def _unreadable(stream: str, field: str, problem: str) -> StateError:
    return StateError(
        f"state: bookmarks.{stream}{field} {problem}; correct it, or remove bookmarks.{stream} "
        "to read that stream from its beginning"
    )


class Bookmark:
    """One stream's progress through one listing.

    Args:
        last: The bookmark that the last run left.
        clock: The server's clock when the listing began: no bookmark goes beyond it.
        floor: The start date.
        lookback_seconds: How far before the bookmark jobs are read again.
    """

    def __init__(
        self, last: str | None, *, clock: str, floor: str | None, lookback_seconds: int
    ) -> None:
        ahead = _moved(clock, min(CLOCK_SKEW_SECONDS, lookback_seconds)) or clock
        self.is_trusted = last is None or last <= ahead
        self._last = last if self.is_trusted else None
        self._clock = clock
        self._floor = floor
        self._lookback_seconds = lookback_seconds

    def since(self) -> str | None:
        """Answer the instant before which jobs are left out; None to leave out none."""
        behind = self._last and _moved(self._last, -self._lookback_seconds)
        return max(behind, self._floor or behind) if behind else self._floor

    def moved_to(self, newest: str | None) -> str | None:
        """Answer the new bookmark: the newest update listed, within the server's clock.

        It never goes back, but for a bookmark that could not be right.
        """
        if newest is None:
            return self._last
        return max(min(newest, self._clock), self._last or "")


def _moved(fixed: str, seconds: int) -> str | None:
    """Move an instant; None when that leads out of the calendar."""
    try:
        return from_datetime(to_datetime(fixed) + timedelta(seconds=seconds))
    except OverflowError:
        return None


def write_bookmark(entry: dict[str, Any], value: str | None) -> None:
    """Put a bookmark into a stream's entry in the state; None takes one away."""
    if value is None:
        entry.pop("replication_key", None)
        entry.pop("replication_key_value", None)
    else:
        entry["replication_key"] = REPLICATION_KEY
        entry["replication_key_value"] = value
