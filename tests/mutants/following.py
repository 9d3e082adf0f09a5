"""Which tests come through which functions, as seen on the code as it is: a plugin of pytest."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Protocol

import pytest

from tests.mutants.ledger import Ledger, Reach
from tests.mutants.modules import judged_by
from tests.mutants.texts import file_of, text_of


class Trampoline(Protocol):
    """What stands between a function and its mutants: of mutmut, the module of that name."""

    record_trampoline_hit: Callable[..., None]
    """Is told the name of each function that is called while the mutant is `stats`."""

    def set_mutant_under_test(self, name: str | None) -> None:
        """Wake a mutant; with None, there is none."""


class Follower:
    """Follows tests in a process that is theirs alone, and writes down what they came through."""

    def __init__(self, ledger: Ledger, modules: list[str], trampoline: Trampoline) -> None:
        self._ledger, self._modules, self._trampoline = ledger, modules, trampoline
        self._seen: set[str] = set()
        self._by_fixture: dict[str, set[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object]
    ) -> Generator[None, object, object]:
        """See what a fixture comes through, for all the tests that share it."""
        before, self._seen = self._seen, set()
        try:
            return (yield)
        finally:
            self._by_fixture[fixturedef.argname] = self._seen
            self._seen = self._seen | before

    def follow(self, items: list[pytest.Item], say: Callable[[str], None]) -> int:
        """Run tests; return 0 if all pass, else 1. It says which it runs."""
        self._trampoline.set_mutant_under_test("stats")
        self._trampoline.record_trampoline_hit = self._hit
        reaches = []
        for item, next_item in in_turn(items):
            say(item.nodeid)
            self._seen, began = set(), time.process_time()
            if not passes(item, next_item):
                return 1
            reaches.append(self._reach(item, time.process_time() - began))
        # All or none: a file of which something is written is not followed again.
        self._ledger.add(*reaches)
        return 0

    def _hit(self, name: str, caller: str | None = None) -> None:
        del caller
        self._seen.add(name)

    def _reach(self, item: pytest.Item, seconds: float) -> Reach:
        names = getattr(item, "fixturenames", ())
        shared = (self._by_fixture.get(name, set()) for name in names)
        functions = sorted(self._seen.union(*shared))
        file = file_of(item.nodeid)
        modules = judged_by(file, self._modules)
        return Reach(item.nodeid, text_of([file]), round(seconds, 4), functions, modules)


def in_turn(items: list[pytest.Item]) -> list[tuple[pytest.Item, pytest.Item | None]]:
    """Return tests, each with the one that comes after it."""
    return list(zip(items, [*items[1:], None], strict=False))


def passes(item: pytest.Item, next_item: pytest.Item | None) -> bool:
    """Run a test; whatever it raises is a failure."""
    try:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=next_item)
    except BaseException:  # noqa: BLE001 - a mutant may raise anything, KeyboardInterrupt too
        return False
    return not item.session.testsfailed
