"""`make mutants` counts what it found out, no more, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutants import figures
from tests.mutants.forks import TOO_LONG, Work, in_forks
from tests.mutants.ledger import Ledger, Outcome, Reach, Verdict
from tests.mutants.modules import ROOT, TESTS, files_of, source_of
from tests.mutants.mutant import Mutant, hash_of
from tests.mutants.survivors import listed

PACING = "tests/http/test_pacing.py"
MUTANT = Mutant("tap_llamaclassify.http.pacing.x_retry_after__mutmut_1", "http/pacing", "text")
KILLED = Verdict(MUTANT.name, MUTANT.text, Outcome.KILLED, f"{PACING}::test_it", "")
SURVIVED = Verdict(MUTANT.name, MUTANT.text, Outcome.SURVIVED, "", "tests")


def test_modules_and_the_tests_that_judge_them_are_there() -> None:
    assert all((ROOT / source_of(module)).exists() for module in TESTS)
    assert all((ROOT / file).exists() for file in files_of([*TESTS]))


def test_ledger_tells_the_last_verdict_on_a_function_that_is_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(SURVIVED)
    ledger.add(KILLED)
    assert Ledger(tmp_path).verdicts([MUTANT]) == {MUTANT.name: KILLED}
    assert ledger.verdicts([replace(MUTANT, text="another")]) == {}


def test_ledger_tells_what_tests_come_through_while_their_file_is_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    function, modules = MUTANT.function, ["http/pacing"]
    reach = Reach(f"{PACING}::test_it", hash_of(PACING), 0.5, [function], modules)
    ledger.add(reach, replace(reach, text="another"))
    assert ledger.reaches([PACING], [*TESTS]) == {PACING: [reach]}


def test_ledger_forgets_what_was_followed_before_a_module_had_mutants(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(Reach(f"{PACING}::test_it", hash_of(PACING), 0.5, [], []))
    assert ledger.reaches([PACING], ["tables/rows"]).keys() == {PACING}
    assert ledger.reaches([PACING], ["http/pacing"]) == {}


def test_ledger_leaves_out_a_line_that_was_cut_off(tmp_path: Path) -> None:
    Ledger(tmp_path).add(KILLED)
    with (tmp_path / "verdicts.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"mutant": "tap')
    assert Ledger(tmp_path).verdicts([MUTANT]) == {MUTANT.name: KILLED}


def _dies(say: Callable[[str], None]) -> int:
    say("a test")
    os.kill(os.getpid(), signal.SIGXCPU)
    return 0


def _hangs(say: Callable[[str], None]) -> int:
    say("another test")
    while True:
        signal.pause()


# pytest-xdist has threads, of which these forks want nothing.
FORKS = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


@FORKS
def test_fork_tells_its_end_and_its_last_word_however_it_ends() -> None:
    works = [
        Work("passes", lambda _: 0, 60),
        Work("fails", lambda _: 1, 60),
        Work("raises", lambda _: 1 // 0, 60),
        Work("dies", _dies, 60),
    ]
    found = {done.name: (done.code, done.said) for done in in_forks(works, 2)}
    assert found == {
        "passes": (0, ""),
        "fails": (1, ""),
        "raises": (1, ""),
        "dies": (-signal.SIGXCPU, "a test"),
    }


@FORKS
def test_fork_that_hangs_is_ended_when_its_time_is_up() -> None:
    (done,) = in_forks([Work("hangs", _hangs, 0.5)], 1)
    assert done.code == TOO_LONG


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let figures be read and written elsewhere."""
    path = tmp_path / "mutants.json"
    monkeypatch.setattr(figures, "FIGURES", path)
    return path


def test_figures_are_raw_and_of_modules_that_are_judged_to_the_end(recorded: Path) -> None:
    hung, lives = (replace(MUTANT, name=f"{MUTANT.name}{number}") for number in (1, 2))
    verdicts = {
        MUTANT.name: KILLED,
        hung.name: replace(KILLED, mutant=hung.name, outcome=Outcome.TIMEOUT),
        lives.name: replace(SURVIVED, mutant=lives.name),
    }
    other = Mutant("tap_llamaclassify.tables.rows.x_rows__mutmut_1", "tables/rows", "text")
    figures.record([MUTANT, hung, lives, other], verdicts)
    found = json.loads(recorded.read_bytes())
    text = hash_of(source_of("http/pacing"))
    row = {"mutants": 3, "killed": 2, "timeouts": 1, "text": text}
    assert found["modules"] == {"http/pacing": row}
    assert (found["mutants"], found["killed"], found["percent"]) == (3, 2, 66.7)


def test_module_is_changed_when_its_text_is_not_the_one_that_is_recorded(recorded: Path) -> None:
    assert figures.changed() == [*TESTS]
    figures.record([MUTANT], {MUTANT.name: KILLED})
    assert figures.changed() == [module for module in TESTS if module != "http/pacing"]
    text = hash_of(source_of("http/pacing"))
    recorded.write_text(recorded.read_text().replace(text, "another"), encoding="utf-8")
    assert figures.changed() == [*TESTS]


def test_each_survivor_that_is_listed_has_a_reason_and_changes_something() -> None:
    for change, reason in listed().items():
        assert reason.endswith("."), change
        assert change.was != change.becomes
