"""`make mutants` counts what it found out, no more, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from tests.mutants import figures, forks
from tests.mutants.forks import BROKEN, TOO_LONG, Work, in_forks
from tests.mutants.ledger import Ledger, Outcome, Reach, Verdict, judged_text
from tests.mutants.modules import ROOT, TESTS, files_of, source_of
from tests.mutants.mutant import Mutant
from tests.mutants.survivors import Change, listed
from tests.mutants.texts import hash_of, text_of
from tests.support import commit
from tests.support.commands import ran

PACING = "tests/http/test_pacing.py"
MUTANT = Mutant("tap_llamaclassify.http.pacing.x_retry_after__mutmut_1", "http/pacing", "text")
TEST = f"{PACING}::test_it"
KILLED = Verdict(MUTANT.name, MUTANT.text, Outcome.KILLED, TEST, judged_text(MUTANT, TEST))
SURVIVED = Verdict(MUTANT.name, MUTANT.text, Outcome.SURVIVED, "", judged_text(MUTANT, ""))


def test_modules_and_the_tests_that_judge_them_are_there() -> None:
    assert all((ROOT / source_of(module)).exists() for module in TESTS)
    assert all((ROOT / file).exists() for file in files_of([*TESTS]))


def test_ledger_tells_the_last_verdict_on_a_function_that_is_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(SURVIVED)
    ledger.add(KILLED)
    assert Ledger(tmp_path).verdicts([MUTANT]) == {MUTANT.name: KILLED}
    assert ledger.verdicts([replace(MUTANT, text="another")]) == {}


@pytest.mark.parametrize("verdict", [KILLED, SURVIVED])
def test_verdict_is_but_a_hint_when_what_was_run_is_not_as_it_was(
    verdict: Verdict, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(replace(verdict, tests="another"))
    assert ledger.verdicts([MUTANT]) == {}
    assert ledger.hints([MUTANT]).keys() == {MUTANT.name}


def test_verdict_does_not_hold_when_the_file_of_its_test_is_gone(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(replace(KILLED, by="tests/test_gone.py::test_it"))
    assert ledger.verdicts([MUTANT]) == {}


def test_ledger_tells_what_tests_come_through_while_their_file_is_as_it_was(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    function, modules = MUTANT.function, ["http/pacing"]
    reach = Reach(f"{PACING}::test_it", text_of([PACING]), 0.5, [function], modules)
    ledger.add(reach, replace(reach, text="another"))
    assert ledger.reaches([PACING], [*TESTS]) == {PACING: [reach]}


def test_ledger_forgets_what_was_followed_before_a_module_had_mutants(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(Reach(f"{PACING}::test_it", text_of([PACING]), 0.5, [], []))
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


def _waits_a_little(_: Callable[[str], None]) -> int:
    return int(Event().wait(0.3))


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
        "raises": (BROKEN, ""),
        "dies": (-signal.SIGXCPU, "a test"),
    }


@FORKS
def test_fork_that_hangs_is_ended_when_its_time_is_up() -> None:
    (done,) = in_forks([Work("hangs", _hangs, 0.5)], 1)
    assert done.code == TOO_LONG


@FORKS
def test_fork_that_waits_and_does_nothing_is_ended_before_its_time_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (done,) = in_forks([Work("waits", _hangs, 60, idle=0.2)], 1)
    assert done.code == TOO_LONG
    monkeypatch.setattr(forks, "_processor_time", lambda _: time.monotonic() * 1000)
    (done,) = in_forks([Work("works", _waits_a_little, 60, idle=0.2)], 1)
    assert not done.code


@FORKS
def test_forks_that_nobody_waits_for_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    fork = os.fork

    def noted() -> int:
        begun.append(process := fork())
        return process

    monkeypatch.setattr(os, "fork", noted)
    found = in_forks([Work("passes", lambda _: 0, 60), Work("hangs", _hangs, 60)], 2)
    assert next(found).name == "passes"
    found.close()
    assert len(begun) == 2
    for process in begun:
        with pytest.raises(ChildProcessError):
            os.waitpid(process, os.WNOHANG)


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
    figures.record([MUTANT, hung, lives, other], verdicts, "a commit")
    found = json.loads(recorded.read_bytes())
    text = hash_of(source_of("http/pacing"))
    row = {"commit": "a commit", "mutants": 3, "killed": 2, "timeouts": 1, "text": text}
    assert found["modules"] == {"http/pacing": row}
    assert (found["mutants"], found["killed"], found["percent"]) == (3, 2, 66.7)


def test_figures_of_a_module_name_the_commit_that_it_was_judged_on(recorded: Path) -> None:
    other = Mutant("tap_llamaclassify.tables.rows.x_rows__mutmut_1", "tables/rows", "text")
    figures.record([MUTANT], {MUTANT.name: KILLED}, "one")
    figures.record([other], {other.name: replace(KILLED, mutant=other.name)}, "two")
    rows = json.loads(recorded.read_bytes())["modules"]
    assert {name: row["commit"] for name, row in rows.items()} == {
        "http/pacing": "one",
        "tables/rows": "two",
    }


def test_commit_is_12_digits_beside_any_tag_and_says_whether_a_file_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "ROOT", tmp_path)
    assert not commit.checkout_commit()
    person = ["-c", "user.name=name", "-c", "user.email=name@example.com"]
    for name in ("one", "two"):
        (tmp_path / name).touch()
    for words in ("init -q", "add .", "commit -qm text", "tag -a v1 -m text"):
        ran(["git", *person, *words.split()], cwd=tmp_path)
    found = commit.checkout_commit()
    assert re.fullmatch("[0-9a-f]{12}", found)
    (tmp_path / "one").write_text("another", encoding="utf-8")
    assert commit.checkout_commit() == commit.checkout_commit("one") == f"{found}-dirty"
    assert commit.checkout_commit("two") == found


def test_module_is_changed_when_its_text_is_not_the_one_that_is_recorded(recorded: Path) -> None:
    assert figures.changed() == [*TESTS]
    figures.record([MUTANT], {MUTANT.name: KILLED}, "a commit")
    assert figures.changed() == [module for module in TESTS if module != "http/pacing"]
    text = hash_of(source_of("http/pacing"))
    recorded.write_text(recorded.read_text().replace(text, "another"), encoding="utf-8")
    assert figures.changed() == [*TESTS]


def test_few_mutants_are_enough_when_there_are_any_and_most_are_killed() -> None:
    assert not figures.is_enough(0, 0)
    assert not figures.is_enough(7, 10)
    assert figures.is_enough(8, 10)


def test_each_survivor_that_is_listed_has_a_reason_and_changes_something() -> None:
    for change, reason in listed().items():
        assert reason.endswith("."), change
        assert change.was != change.becomes
        assert change.is_there(), change


def test_survivor_is_gone_with_its_lines_its_function_or_its_module() -> None:
    there = next(iter(listed()))
    assert not replace(there, was="another line").is_there()
    assert not replace(there, function=f"{there.function}s").is_there()
    assert not Change("gone.function", "", "").is_there()
