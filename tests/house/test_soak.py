"""`make soak`: it leaves no simulation out, goes on with new seeds, and ends at a divergence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import soak
from tests.support.commands import ROOT
from tests.support.soak import DivergedError, Part, Soak

TESTS = """
import os
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
"""


def test_every_test_that_counts_what_it_tried_is_a_part_of_a_soak() -> None:
    parts = {word for part in (*soak.ONCE, *soak.SEEDED) for word in part.tests}
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
