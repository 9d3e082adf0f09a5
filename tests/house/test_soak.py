"""`make soak`: it leaves nothing out, takes new seeds, and ends at a divergence or when told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import soak, soak_parts
from tests.support.commands import ROOT
from tests.support.marked import marked
from tests.support.soak import DivergedError, Soak
from tests.support.soak_parts import Part

TESTS = """
import os
import subprocess
from pathlib import Path
from threading import Event
from tests.support.tally import Tally
from tests.support.trials import SEED, trials

def test_right(tally: Tally) -> None:
    with Path(os.environ["SEEDS"]).open("a") as file:
        file.write(f"{SEED} ")
    tally("SIGKILLs of nobody", trials(1))

def test_wrong(tally: Tally) -> None:
    tally("loaders that died", 2)
    assert SEED < 2000

def test_endless(tally: Tally) -> None:
    if SEED >= 2000:
        Event().wait(120)
    tally("waits that came to their end", 1)

def test_never_ends(tally: Tally) -> None:
    subprocess.Popen(["sleep", "600"], start_new_session=True)
    if path := os.environ.get("BEGUN"):
        Path(path).write_text("")
    tally("waits that came to their end", 1)
    Event().wait(600)
"""
SOAK = """
import sys
from pathlib import Path
from tests.support import soak
from tests.support.soak_parts import Part

folder = Path(sys.argv.pop())
words = "-p", "tests.conftest", str(folder / "test_some.py"), "-k"
soak.FILE = folder / "reliability.json"
soak.ONCE = ()
soak.SEEDED = Part((*words, "right"), trials=3), Part((*words, "never_ends"))
sys.exit(soak.main())
"""


def test_every_test_that_counts_what_it_tried_is_a_part_of_a_soak() -> None:
    parts = {word for part in (*soak_parts.ONCE, *soak_parts.SEEDED) for word in part.tests}
    counting = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if "tally: Tally" in path.read_text(encoding="utf-8")
    }
    # Where a secret is put does not depend on seeds, and is counted for its own sake.
    others = {name for name in counting if "secrets" in name or name.startswith("tests/house/")}
    assert counting - others <= parts
    assert all((ROOT / word).exists() for word in parts if word.endswith(".py"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where some tests, the file, and the seeds that were used are."""
    (tmp_path / "test_some.py").write_text(TESTS, encoding="utf-8")
    monkeypatch.setattr(soak, "FILE", tmp_path / "reliability.json")
    monkeypatch.setattr(soak, "ONCE", ())
    monkeypatch.setenv("SEEDS", str(tmp_path / "seeds"))
    return tmp_path


def part(folder: Path, chosen: str) -> Part:
    return Part(("-p", "tests.conftest", str(folder / "test_some.py"), "-k", chosen), trials=3)


def file(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "reliability.json").read_bytes())
    return told


@pytest.mark.heavy
def test_rounds_have_seeds_of_their_own_until_the_time_is_over_and_one_there_is_always(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "SEEDED", (part(folder, "right"),))
    monkeypatch.setattr(soak, "A_ROUND", 7)
    times = iter([True, True, False])
    monkeypatch.setattr(Soak, "has_time", property(lambda _: next(times)))
    Soak(40, 1, "a commit").run()
    told = file(folder)
    assert (folder / "seeds").read_text() == "40 47 54 "
    assert (told["seed"], told["rounds"], told["commit"]) == (40, 3, "a commit")
    assert told["tried"] == {"SIGKILLs, all": 9, "SIGKILLs of nobody": 9, "divergences": 0}


@pytest.mark.heavy
def test_first_divergence_ends_it_is_counted_and_told_with_what_shows_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "SEEDED", (part(folder, "wrong"), part(folder, "endless")))
    # As if there were time without end.
    with pytest.raises(DivergedError, match=r"SEED=2000 TRIALS=3 .*test_some.py -k wrong"):
        Soak(1000, 1e9, "a commit").run()
    assert file(folder)["rounds"] == 1
    tried = file(folder)["tried"]
    assert (tried["loaders that died"], tried["divergences"]) == (4, 1)
    assert tried["waits that came to their end"] == 1


def left(folder: Path) -> list[int]:
    """Return what runs still of all that the parts have started."""
    return marked(f"SEEDS={folder / 'seeds'}")


@pytest.mark.heavy
def test_part_that_does_not_end_is_a_divergence_and_nothing_of_it_is_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "SEEDED", (part(folder, "never_ends"),))
    monkeypatch.setattr(soak, "PATIENCE", 4)
    with pytest.raises(DivergedError, match=r"has not ended in 4 s: SEED=1 .* -k never_ends"):
        Soak(1, 1, "a commit").run()
    assert file(folder)["tried"] == {"SIGKILLs, all": 0, "divergences": 1}
    assert not left(folder)


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_it_ends_all_of_it_and_what_was_counted_is_written_without_a_divergence(
    folder: Path, number: signal.Signals
) -> None:
    os.mkfifo(folder / "begun")
    environment = os.environ | {"BEGUN": str(folder / "begun")}
    with subprocess.Popen(
        [sys.executable, "-c", SOAK, "1", str(folder)],
        cwd=ROOT,
        env=environment,
        encoding="utf-8",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert "3 SIGKILLs of nobody" in process.stdout.readline()
        (folder / "begun").read_text()
        process.send_signal(number)
        assert process.stderr.read() == "soak: interrupted\n"
    assert process.returncode == 130
    tried = {"SIGKILLs, all": 3, "SIGKILLs of nobody": 3, "divergences": 0}
    assert (file(folder)["tried"], file(folder)["rounds"]) == (tried, 0)
    assert not left(folder)
