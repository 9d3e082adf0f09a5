"""The figures at the end of a run of the tests: what was tried, and what went wrong in it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, ended

TESTS = """
from collections import Counter
from tests.support.tally import Tally
from hypothesis.stateful import RuleBasedStateMachine, rule
from tests.support.histories import simulate

class Right(RuleBasedStateMachine):
    tried = Counter()

    @rule()
    def goes_on(self) -> None:
        self.tried["runs"] += 1

class Wrong(Right):
    @rule()
    def diverges(self) -> None:
        assert False

def test_right(tally: Tally) -> None:
    simulate(Right, tally, seed=1, histories=2)

def test_wrong(tally: Tally) -> None:
    simulate(Wrong, tally, seed=1, histories=2)

def test_of_another_kind(tally: Tally) -> None:
    tally("inputs fuzzed", 1)
    assert False
"""


def figures(folder: Path, chosen: str) -> dict[str, int]:
    """Run some of the tests; return what was counted."""
    (folder / "test_some.py").write_text(TESTS, encoding="utf-8")
    (folder / "reliability.json").unlink(missing_ok=True)
    pytest = ["-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-k", chosen]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RELIABILITY": "reliability.json"}
    ended([sys.executable, *pytest], cwd=folder, env=environment)
    counted: dict[str, int] = json.loads((folder / "reliability.json").read_bytes())
    return counted


@pytest.mark.heavy
def test_divergences_are_those_of_simulations_only(tmp_path: Path) -> None:
    every = figures(tmp_path, "test")
    assert (every["inputs fuzzed"], every["divergences"]) == (1, 1)
    assert [*every][-1] == "divergences"
    assert figures(tmp_path, "right or another")["divergences"] == 0
    assert figures(tmp_path, "another") == {"inputs fuzzed": 1}
