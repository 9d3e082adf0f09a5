"""What was found out so far, in two files that only grow: a second call goes on from there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.mutants.modules import ROOT, files_of, judged_by
from tests.mutants.mutant import Mutant
from tests.mutants.texts import file_of, text_of


class Outcome(StrEnum):
    """How a mutant ended."""

    KILLED = "killed"
    TIMEOUT = "timeout"
    SURVIVED = "survived"


@dataclass(frozen=True)
class Reach:
    """What a test comes through, as seen on the code as it is.

    Attributes:
        test: pytest's name of the test.
        text: A hash of its file, and of what it runs.
        seconds: How long it keeps a processor.
        functions: The functions with mutants that it calls, as mutmut names them.
        modules: The modules that had mutants then, and that the test's file judges.
    """

    test: str
    text: str
    seconds: float
    functions: list[str]
    modules: list[str]


@dataclass(frozen=True)
class Verdict:
    """How a mutant ended, and by which test.

    Attributes:
        mutant: Its name.
        text: A hash of the function that it changes.
        outcome: How it ended.
        by: The test that failed or hung; none for a survivor.
        tests: A hash of that test's file, or of all those that a survivor has survived, and of
            what they run.
    """

    mutant: str
    text: str
    outcome: Outcome
    by: str
    tests: str


class Ledger:
    """Reaches and verdicts in files below `folder`, which hold while what was run is as it was."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._reaches, self._verdicts = folder / "reaches.jsonl", folder / "verdicts.jsonl"

    def reaches(self, files: Iterable[str], modules: list[str]) -> dict[str, list[Reach]]:
        """Return what the tests of files come through in some modules, as far as that still holds.

        It does for files that are as they were, with what they run, and were followed when these
        modules had mutants.
        """
        texts = {file: text_of([file]) for file in files}
        found: dict[str, list[Reach]] = {}
        for line in _lines(self._reaches):
            reach = Reach(**line)
            file = file_of(reach.test)
            if texts.get(file) == reach.text and {*judged_by(file, modules)} <= {*reach.modules}:
                found.setdefault(file, []).append(reach)
        return found

    def verdicts(self, mutants: Iterable[Mutant]) -> dict[str, Verdict]:
        """Return the last verdicts as far as they hold: all that was run is as it was."""
        by_name = {mutant.name: mutant for mutant in mutants}
        hints = self.hints(by_name.values())
        return {name: each for name, each in hints.items() if _holds(each, by_name[name])}

    def hints(self, mutants: Iterable[Mutant]) -> dict[str, Verdict]:
        """Return the last verdicts on mutants of functions that are as they were."""
        texts = {mutant.name: mutant.text for mutant in mutants}
        read = (_verdict(line) for line in _lines(self._verdicts))
        return {each.mutant: each for each in read if texts.get(each.mutant) == each.text}

    def add(self, *found: Reach | Verdict) -> None:
        """Write down what was found out, all of one kind."""
        path = self._reaches if isinstance(found[0], Reach) else self._verdicts
        lines = [json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in found]
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))


def judged_text(mutant: Mutant, by: str) -> str:
    """Return what a verdict of now is about: `Verdict.tests`, of the test that killed or none."""
    return text_of([file_of(by)] if by else files_of([mutant.module]))


def _holds(verdict: Verdict, mutant: Mutant) -> bool:
    # A file that is gone has no text.
    is_there = not verdict.by or (ROOT / file_of(verdict.by)).exists()
    return is_there and verdict.tests == judged_text(mutant, verdict.by)


def _verdict(line: dict[str, Any]) -> Verdict:
    return Verdict(**line | {"outcome": Outcome(line["outcome"])})


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    # The last line of a run that was killed may be cut.
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]
