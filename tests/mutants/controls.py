"""Kills count once the same tests, in the same order, have passed without a mutant."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from tests.mutants.ledger import Reach, Verdict


class Controls:
    """Holds kills back until what was run on them is run without a mutant."""

    def __init__(self) -> None:
        self._passed: set[str] = set()
        self._waiting: dict[str, list[Verdict]] = {}
        self._to_begin: deque[tuple[str, list[Reach]]] = deque()

    def hold(self, verdict: Verdict, reaches: list[Reach]) -> list[Verdict]:
        """Take a kill, and the tests that ran; return it where they are known to pass."""
        name = _name(reaches)
        if name in self._passed:
            return [verdict]
        if name not in self._waiting:
            self._to_begin.append((name, reaches))
        self._waiting.setdefault(name, []).append(verdict)
        return []

    def begun(self) -> Iterator[tuple[str, list[Reach]]]:
        """Give out the tests that are still to be run, each list once and with its name."""
        while self._to_begin:
            yield self._to_begin.popleft()

    def passed(self, name: str) -> list[Verdict]:
        """Return the kills that count now that their tests have passed."""
        tests = name.split("\n")
        self._passed |= {"\n".join(tests[:number]) for number in range(1, len(tests) + 1)}
        return self._waiting.pop(name)


def _name(reaches: list[Reach]) -> str:
    return "\n".join(reach.test for reach in reaches)
