"""A judge of mutants kills, lets live, and counts nothing that fails without a mutant."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from tests.mutants import ledger, modules, texts
from tests.mutants.forks import Work, in_forks
from tests.mutants.judging import Judge
from tests.mutants.ledger import Ledger, Outcome
from tests.mutants.mutant import Mutant

MODULE = """
awake = None

def record_trampoline_hit(name): ...

def set_mutant_under_test(name):
    global awake
    awake = name

def doubled(number):
    if awake == "stats":
        record_trampoline_hit("tiny.x_doubled")
    if awake == "tiny.x_doubled__mutmut_3":
        __import__("os").kill(__import__("os").getpid(), 9)
    return number * 3 if awake == "tiny.x_doubled__mutmut_1" else number * 2
"""
TEST = """
from pathlib import Path
from tiny import doubled

def test_nothing() -> None:
    pass

def test_it() -> None:
    assert doubled(2) == 4
"""
ONCE = """
def test_once() -> None:
    assert doubled(0) == 0
    Path(__file__).with_name("once").touch(exist_ok=False)
"""
KILLED, SURVIVES, DIES = (
    Mutant(f"tiny.x_doubled__mutmut_{number}", "tiny", "text") for number in (1, 2, 3)
)
# pytest-xdist has threads, of which these forks want nothing.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")


def read_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let texts be those of a folder, as they are at each time."""
    for module in (ledger, texts):
        monkeypatch.setattr(module, "ROOT", folder)
    for name in ("hash_of", "_around", "_imported_by"):
        monkeypatch.setattr(texts, name, getattr(texts, name).__wrapped__)


@pytest.fixture
def judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, list[Mutant]], tuple[int, str]]:
    """Judge mutants of a tiny module with the tests of a file; say pytest's code and words."""
    read_from(tmp_path, monkeypatch)
    monkeypatch.setitem(modules.TESTS, "tiny", ("test_tiny",))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tiny.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n", encoding="utf-8")
    file = tmp_path / "tests" / "test_tiny.py"

    def judged(test: str, mutants: list[Mutant]) -> tuple[int, str]:
        file.write_text(test, encoding="utf-8")

        # In a fork: pytest, hypothesis and the names of modules stay as they are here.
        def run(_: Callable[[str], None]) -> int:
            os.chdir(tmp_path)
            monkeypatch.syspath_prepend(tmp_path)
            tiny = importlib.import_module("tiny")
            plugin = Judge(mutants, Ledger(tmp_path), tiny)
            options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(file)]
            with (tmp_path / "said").open("w") as said, redirect_stdout(said):
                return int(pytest.main(options, plugins=[plugin]))

        (done,) = in_forks([Work("judge", run, 60)], 1)
        return done.code, (tmp_path / "said").read_text(encoding="utf-8")

    return judged


def test_mutant_that_a_test_sees_is_killed_by_it_and_no_other_is(
    judge: Callable[[str, list[Mutant]], tuple[int, str]], tmp_path: Path
) -> None:
    mutants = [KILLED, SURVIVES]
    code, said = judge(TEST, mutants)
    assert not code, said
    found = Ledger(tmp_path).verdicts(mutants)
    assert {name: (each.outcome, each.by) for name, each in found.items()} == {
        KILLED.name: (Outcome.KILLED, "tests/test_tiny.py::test_it"),
        SURVIVES.name: (Outcome.SURVIVED, ""),
    }


def test_mutant_is_judged_anew_when_the_test_that_killed_it_asserts_nothing_any_more(
    judge: Callable[[str, list[Mutant]], tuple[int, str]], tmp_path: Path
) -> None:
    judge(TEST, [KILLED])
    assert Ledger(tmp_path).verdicts([KILLED])[KILLED.name].outcome is Outcome.KILLED
    judge(TEST.replace("assert", ""), [KILLED])
    (found,) = Ledger(tmp_path).verdicts([KILLED]).values()
    assert found.outcome is Outcome.SURVIVED


def test_kill_by_a_test_that_fails_without_a_mutant_too_is_an_error_that_names_it(
    judge: Callable[[str, list[Mutant]], tuple[int, str]], tmp_path: Path
) -> None:
    code, said = judge(TEST + ONCE, [SURVIVES])
    assert code == 2
    assert "tests/test_tiny.py::test_once fails without a mutant" in said
    assert not Ledger(tmp_path).verdicts([SURVIVES])


def test_end_that_says_nothing_of_a_test_is_an_error_that_names_the_mutant(
    judge: Callable[[str, list[Mutant]], tuple[int, str]], tmp_path: Path
) -> None:
    code, said = judge(TEST, [DIES])
    assert code == 3
    assert f"{DIES.name} ended with -9 in tests/test_tiny.py::test_it" in said
    assert not Ledger(tmp_path).verdicts([DIES])


def test_text_of_tests_is_of_all_that_they_run_and_of_no_other_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_from(tmp_path, monkeypatch)
    files = {
        "tests/test_it.py": "from tests.test_imported import NAME\n",
        "tests/test_imported.py": "NAME = 1\n",
        "tests/test_other.py": "",
        "tests/support/helps.py": "",
        "tests/mutants/judging.py": "",
        "tap_llamaclassify/code.py": "",
        "constraints.txt": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    before, changing = texts.text_of(["tests/test_it.py"]), set()
    for name, text in files.items():
        (tmp_path / name).write_text(f"{text}\n", encoding="utf-8")
        if texts.text_of(["tests/test_it.py"]) != before:
            changing.add(name)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert files.keys() - changing == {"tests/test_other.py", "tests/mutants/judging.py"}
