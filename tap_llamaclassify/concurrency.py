"""Several things at once: in threads that nobody need wait for, and in an order that is known."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

_T = TypeVar("_T")


def start_in_thread(
    work: Callable[[], _T], then: Callable[[], None] | None = None
) -> Callable[[], _T]:
    """Begin work in a thread; return a function that waits for what comes of it.

    The thread is a daemon, so that a process told to stop need not wait for the network.

    Args:
        work: Whatever is to be done.
        then: Called in that thread when there is nothing to wait for any more.
    """
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            future.set_exception(error)
        if then:
            then()

    threading.Thread(target=run, name="ahead", daemon=True).start()
    return future.result


def in_order(works: Iterable[Callable[[], _T]], at_once: int) -> Iterator[_T]:
    """Do works side by side, at most so many at once; return what comes of each, in their order.

    What a work raises is raised when its turn has come.
    """
    started: deque[Callable[[], _T]] = deque()
    for work in works:
        started.append(start_in_thread(work) if at_once > 1 else work)
        if len(started) >= at_once:
            yield started.popleft()()
    while started:
        yield started.popleft()()


@dataclass(frozen=True)
class _Handed(Generic[_T]):
    """What a thread hands over: things it has made, or none and perhaps an error at its end."""

    number: int
    made: Sequence[_T] = ()
    error: BaseException | None = None


@dataclass(frozen=True)
class Rest:
    """What to do meanwhile, each time that nothing has come for so many seconds."""

    seconds: float
    work: Callable[[], None]


def side_by_side(
    sources: Sequence[Iterable[_T]], at_once: int, rest: Rest | None = None
) -> Iterator[tuple[int, _T]]:
    """Go through sources side by side, at most so many at once, each in a thread of its own.

    A source goes on when what it gave has been worked on, so that it holds one thing, and not all
    that there was no time for yet. What one raises is raised at once.

    Args:
        sources: A single one is gone through by whoever asks, who has no rest.
        at_once: How many.
        rest: Done by whoever asks.

    Returns:
        The number of a source, and what it gave next.
    """
    if len(sources) == 1:
        yield from ((0, made) for made in sources[0])
        return
    race = _Race(sources, rest)
    try:
        yield from race.run(at_once)
    finally:
        race.end()


class _Race(Generic[_T]):
    """Sources that are gone through side by side."""

    def __init__(self, sources: Sequence[Iterable[_T]], rest: Rest | None) -> None:
        self._sources = sources
        self._rest = rest
        self._waiting = deque(range(len(sources)))
        self._handed: SimpleQueue[_Handed[_T]] = SimpleQueue()
        self._turns = [threading.Semaphore(0) for _ in sources]
        self._is_over = threading.Event()

    def run(self, at_once: int) -> Iterator[tuple[int, _T]]:
        for _ in range(min(at_once, len(self._sources))):
            self._begin_next()
        for _ in self._sources:
            while (handed := self._next()).made:
                yield handed.number, handed.made[0]
                self._turns[handed.number].release()
                del handed
            if handed.error:
                raise handed.error
            if self._waiting:
                self._begin_next()

    def _next(self) -> _Handed[_T]:
        while self._rest:
            try:
                return self._handed.get(timeout=self._rest.seconds)
            except Empty:
                self._rest.work()
        return self._handed.get()

    def _begin_next(self) -> None:
        number = self._waiting.popleft()
        thread = threading.Thread(
            target=self._go_through, args=[number], name="source", daemon=True
        )
        thread.start()

    def _go_through(self, number: int) -> None:
        try:
            for made in self._sources[number]:
                self._handed.put(_Handed(number, [made]))
                del made
                self._turns[number].acquire()
                if self._is_over.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            self._handed.put(_Handed(number, error=error))
        else:
            self._handed.put(_Handed(number))

    def end(self) -> None:
        """Let threads that still wait for their turn end."""
        self._is_over.set()
        for turn in self._turns:
            turn.release()
