"""Several things at once: how many, in which order, and what becomes of the others after an error.

Nobody sleeps: a work that is under way stays so until the test, or another work, lets it go on.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, cast

import pytest

from tap_llamaclassify.concurrency import Rest, in_order, side_by_side, start_in_thread

PATIENCE = 20
"""Seconds that a test waits for what must come, before it fails."""


class Underway:
    """Notes what has begun, and how many were under way at once at most."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def enter(self, number: int) -> None:
        """Begin a work."""
        with self._lock:
            self.begun.append(number)
            self._now += 1
            self.most = max(self.most, self._now)

    def leave(self) -> None:
        """End one."""
        with self._lock:
            self._now -= 1


def threads(name: str) -> list[threading.Thread]:
    """Return the threads of that name that live."""
    return [each for each in threading.enumerate() if each.name == name]


def assert_ended(name: str) -> None:
    """Wait for threads that are about to end."""
    for each in threads(name):
        each.join(PATIENCE)
    assert threads(name) == []


# One after the other comes what is done side by side.


def test_what_is_begun_is_done_in_a_thread_that_nobody_need_wait_for() -> None:
    found = start_in_thread(threading.current_thread)()
    assert found is not threading.current_thread()
    assert found.daemon


@pytest.mark.parametrize("at_once", [1, 2, 3, 4, 9])
def test_works_are_answered_in_their_order_though_they_end_in_another(at_once: int) -> None:
    ended = [threading.Event() for _ in range(8)]

    def work(number: int) -> int:
        # The second of each pair that may be under way together has to end first.
        if at_once > 1 and number % 2 == 0:
            assert ended[number + 1].wait(PATIENCE)
        ended[number].set()
        return number

    assert list(in_order([partial(work, n) for n in range(8)], at_once)) == list(range(8))


@pytest.mark.parametrize("at_once", [2, 3, 5])
def test_so_many_works_are_under_way_at_once_and_no_more(at_once: int) -> None:
    underway = Underway()
    # Nobody comes through who is not one of as many as may be under way.
    together = threading.Barrier(at_once)

    def work(number: int) -> int:
        underway.enter(number)
        together.wait(PATIENCE)
        underway.leave()
        return number

    works = [partial(work, number) for number in range(4 * at_once)]
    assert list(in_order(works, at_once)) == list(range(4 * at_once))
    assert underway.most == at_once


def test_one_at_once_is_done_where_it_is_asked_for_and_not_before() -> None:
    done: list[threading.Thread] = []
    answers = in_order([lambda: done.append(threading.current_thread())] * 3, 1)
    assert done == []
    next(answers)
    assert done == [threading.current_thread()]


def failing(number: int) -> int:
    """Fail at the third work."""
    if number == 2:
        raise ValueError("third")
    return number


@pytest.mark.parametrize("at_once", [1, 2, 3, 9])
def test_error_is_raised_when_its_turn_has_come_and_nothing_is_begun_beyond_what_is_under_way(
    at_once: int,
) -> None:
    asked = []

    def works() -> Iterator[Callable[[], int]]:
        for number in range(20):
            asked.append(number)
            yield partial(failing, number)

    answers = in_order(works(), at_once)
    assert [next(answers), next(answers)] == [0, 1]
    with pytest.raises(ValueError, match="third"):
        next(answers)
    assert asked == list(range(2 + at_once))
    assert_ended("ahead")


# Side by side.


def race_of(
    sources: Sequence[Iterable[Any]], at_once: int
) -> Generator[tuple[int, Any], None, None]:
    """Go through sources side by side, to be broken off."""
    race = side_by_side(sources, at_once)
    return cast("Generator[tuple[int, Any], None, None]", race)


class Source:
    """A source of so many things that notes who goes through it; it fails where it is told."""

    def __init__(self, number: int, things: int, *, fails_at: int | None = None) -> None:
        self.number = number
        self.asked = 0
        self.is_closed = False
        self.threads: set[str] = set()
        self._things = things
        self._fails_at = fails_at

    def __iter__(self) -> Iterator[str]:
        try:
            for thing in range(self._things):
                self.asked += 1
                self.threads.add(threading.current_thread().name)
                if thing == self._fails_at:
                    raise ValueError(f"source {self.number}")
                yield f"{self.number}.{thing}"
        finally:
            self.is_closed = True


def test_everything_of_every_source_comes_in_its_source_s_order() -> None:
    sources = [Source(number, 5 + number) for number in range(5)]
    came: dict[int, list[str]] = {}
    for number, thing in side_by_side(sources, 2):
        came.setdefault(number, []).append(thing)
    assert came == {n: [f"{n}.{thing}" for thing in range(5 + n)] for n in range(5)}
    assert all(source.is_closed for source in sources)
    assert_ended("source")


def test_things_that_are_empty_or_nothing_come_through() -> None:
    things: list[Any] = [None, 0, "", [], False]
    assert [t for _, t in side_by_side([things, things], 2)].count(None) == 2
    assert len(list(side_by_side([things, things], 2))) == 10


@pytest.mark.parametrize(("sources", "at_once"), [(6, 1), (6, 2), (6, 3), (3, 8)])
def test_so_many_sources_are_gone_through_at_once_and_no_more(sources: int, at_once: int) -> None:
    underway, most = Underway(), min(sources, at_once)
    # With the first thing of each: the others of those at once must have begun meanwhile.
    together = threading.Barrier(most)

    def source(number: int) -> Iterator[int]:
        underway.enter(number)
        together.wait(PATIENCE)
        yield number
        underway.leave()

    came = [number for number, _ in side_by_side([source(n) for n in range(sources)], at_once)]
    assert sorted(came) == sorted(underway.begun) == list(range(sources))
    assert underway.most == most


def test_source_goes_on_only_when_what_it_gave_was_worked_on() -> None:
    sources = [Source(0, 50), Source(1, 50)]
    race = race_of(sources, 2)
    taken: Counter[int] = Counter()
    for number, _ in islice(race, 60):
        taken[number] += 1
        # The one at hand, and those that the others hold out.
        assert all(source.asked <= taken[source.number] + 1 for source in sources)
        assert sources[number].asked == taken[number]
    race.close()


def test_sources_take_turns_so_that_none_is_ahead_of_another_that_it_waits_for() -> None:
    rounds = threading.Barrier(4)

    def source(number: int) -> Iterator[int]:
        for _ in range(20):
            rounds.wait(PATIENCE)
            yield number

    served = [number for number, _ in side_by_side([source(number) for number in range(4)], 4)]
    assert [sorted(served[n : n + 4]) for n in range(0, 80, 4)] == [[0, 1, 2, 3]] * 20


def test_source_that_waits_keeps_neither_the_others_nor_those_after_them_from_going_on() -> None:
    release = threading.Event()

    def slow() -> Iterator[str]:
        assert release.wait(PATIENCE)
        yield "slow"

    came = []
    sources: list[Iterable[str]] = [slow(), *(Source(number, 30) for number in range(1, 4))]
    for _, thing in side_by_side(sources, 2):
        came.append(thing)
        if len(came) == 90:
            release.set()
    assert came[-1] == "slow"


def test_error_of_a_source_is_raised_from_where_it_came_and_no_thread_is_left_behind() -> None:
    sources = [Source(0, 1000), Source(1, 1000, fails_at=3), Source(2, 1000), Source(3, 1000)]
    with pytest.raises(ValueError, match="source 1") as caught:
        list(side_by_side(sources, 3))
    assert caught.traceback[-1].name == "__iter__"
    assert_ended("source")
    assert all(source.is_closed for source in sources[:3])
    assert sources[3].asked == 0
    assert all(source.asked < 1000 for source in sources)


@pytest.mark.parametrize("at_once", [2, 4])
def test_closing_early_leaves_no_thread_behind(at_once: int) -> None:
    sources = [Source(number, 1000) for number in range(4)]
    race = race_of(sources, at_once)
    next(race)
    race.close()
    assert_ended("source")
    assert [source.is_closed for source in sources] == [n < at_once for n in range(4)]
    assert all(source.asked <= 1 for source in sources)


def test_thread_that_waits_for_the_network_ends_once_it_was_answered() -> None:
    answered, waiting = threading.Event(), threading.Event()

    def slow() -> Iterator[str]:
        waiting.set()
        assert answered.wait(PATIENCE)
        yield "too late"
        raise AssertionError

    race = race_of([slow(), Source(1, 10)], 2)
    assert next(race) == (1, "1.0")
    assert waiting.wait(PATIENCE)
    race.close()
    assert len(threads("source")) >= 1
    answered.set()
    assert_ended("source")


def test_single_source_is_gone_through_by_whoever_asks() -> None:
    source = Source(0, 3)
    race = race_of([source], 4)
    assert source.asked == 0
    assert list(race) == [(0, "0.0"), (0, "0.1"), (0, "0.2")]
    assert source.threads == {threading.current_thread().name}


def test_no_works_and_no_sources_give_nothing() -> None:
    assert list(in_order([], 4)) == []
    assert list(side_by_side([], 4)) == []


def test_whoever_waits_for_sources_has_a_rest_each_time_that_nothing_came_for_so_long() -> None:
    rested: list[threading.Thread] = []
    enough = threading.Event()

    def rest() -> None:
        rested.append(threading.current_thread())
        if len(rested) == 3:
            enough.set()

    def slow() -> Iterator[str]:
        assert enough.wait(PATIENCE)
        yield "slow"

    assert [*side_by_side([slow(), ()], 2, Rest(0.01, rest))] == [(0, "slow")]
    assert {*rested} == {threading.current_thread()}
