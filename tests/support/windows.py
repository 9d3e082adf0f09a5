"""Windows that a few jobs fill, what a state says of them, and pages that come in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any, TypeVar
from unittest import mock

import pytest

from tap_llamaclassify.replication.read_spans import Span, Spans

_T = TypeVar("_T")
_REPLICATION = "tap_llamaclassify.replication"
PLAN = {"AIM": 2, "AIM_AT_ONCE": 2, "LEAST_AIM": 1, "SHARE_OF_TOTAL": 1.5, "SHARE": 1.5}
"""How long windows are to be, so that a few jobs fill them."""
LOOKS = ("LOOK", "LOOK_BACK")


def small_windows(monkeypatch: pytest.MonkeyPatch, **changes: float) -> None:
    """Let windows have two pages or so, whatever that costs."""
    for name, value in (PLAN | changes).items():
        monkeypatch.setattr(f"{_REPLICATION}.window_plan.{name}", value)
    for name in LOOKS:
        monkeypatch.setattr(f"{_REPLICATION}.windows.{name}", 1)


def spans_of(entry: Mapping[str, Any]) -> Spans:
    """Return the spans of creation that a stream's entry, or a partition, says were read."""
    until = entry.get("created_at_read_until")
    first: list[Span] = [("", until)] if until else []
    return (*first, *((begin, end) for begin, end in entry.get("created_at_read", ())))


def contain(spans: Spans, instant: str) -> bool:
    """Return whether an instant is within one of them."""
    return any(begin <= instant <= end for begin, end in spans)


class _AnyOrder:
    """A queue from which things come in the order of dice."""

    dice = Random(0)  # noqa: S311 - it is to repeat

    def __init__(self) -> None:
        self._there: list[Any] = []

    def put(self, thing: Any) -> None:
        self._there.append(thing)

    def get(self) -> Any:
        return self._there.pop(self.dice.randrange(len(self._there)))


def _at_once(work: Callable[[], _T], then: Callable[[], None] | None = None) -> Callable[[], _T]:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
        failure = error

        def wait() -> _T:
            raise failure
    else:

        def wait() -> _T:
            return result

    if then:
        then()
    return wait


@contextmanager
def pages_in_any_order(seed: int) -> Iterator[None]:
    """Answer requests where they are made, and work on replies in an order that repeats."""
    with (
        mock.patch("tap_llamaclassify.api.pagination.start_in_thread", _at_once),
        mock.patch(f"{_REPLICATION}.window_listings.SimpleQueue", _AnyOrder),
        mock.patch.object(_AnyOrder, "dice", Random(seed)),  # noqa: S311 - it is to repeat
    ):
        yield
