"""Taps and loaders that are killed, die, find disks full and clocks wrong: no row lost or doubled.

`TRIALS` and `SEED` say how many trials there are, and from which seed on.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import victims
from tests.support.pipe import Moment
from tests.support.small_loader import DEATHS
from tests.support.tally import Tally
from tests.support.trials import (
    BYTES_A_REQUEST,
    FORMS,
    SEED,
    VICTIMS,
    Form,
    Outcome,
    Pair,
    Trial,
    noted,
    pairs,
    trials,
)

pytestmark = pytest.mark.heavy

A_LIFE = 8
"""Trials in one world, which begins with an empty warehouse."""
HOURS = (-30, -7, -3, -1, 1, 2, 5, 26)
"""By how much a clock jumps."""
each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Processes that have imported what taps and loaders need."""
    with pairs(tmp_path_factory.mktemp("pair")) as running:
        yield running


def lives(pair: Pair, folder: Path, form: Form, usual: int) -> Iterator[tuple[Trial, int]]:
    """Give worlds, and for each how many trials it is to see."""
    left = trials(usual)
    for number in range(-(-left // A_LIFE)):
        trial = Trial(pair, folder / f"{number}", SEED + number, form)
        with noted(trial):
            yield trial, min(A_LIFE, left)
            trial.assert_whole()
        left -= A_LIFE


def prepare(trial: Trial) -> None:
    """Let the world go on, and choose in which order it is listed."""
    dice = trial.dice
    trial.goes_on(dice.choice([0, 1, 30]))
    trial.sandbox.settings.order = dice.choice(["newest", "oldest", "updated", "shuffled"])


def kill(trial: Trial) -> tuple[Outcome, str]:
    """Kill somebody at some moment; return what became of it, and who it was to be."""
    dice = trial.dice
    who = dice.choice(VICTIMS)
    kind = dice.choice(["page", "page", "bytes", "seconds", "message", "flush"])
    more: dict[str, Any] = {"moment": Moment(who)}
    match kind:
        case "page":
            more["page"] = dice.randint(1, trial.requests)
        case "bytes":
            most = trial.requests * (BYTES_A_REQUEST if trial.form == "RECORD" else 300)
            more["moment"] = Moment(who, after_bytes=dice.randrange(most))
        case "seconds":
            more["moment"] = Moment(who, after_seconds=dice.uniform(0, trial.seconds))
        case "message":
            more = {"death": (dice.randint(1, trial.requests * 2), "SIGKILL")}
            who = frozenset({"loader"})
        case _:
            more["moment"] = Moment(who, flushing=dice.uniform(0, 0.01))
    trial.told.append((kind, sorted(who), more))

    def at_page(number: int) -> None:
        if number % 5 == 0:
            trial.goes_on(0.001)

    return trial.run(**more, at_page=at_page), " and ".join(sorted(who, reverse=True))


@each_form
def test_nothing_is_lost_or_doubled_when_tap_and_loader_are_killed(
    form: Form, pair: Pair, tmp_path: Path, tally: Tally
) -> None:
    for trial, many in lives(pair, tmp_path, form, 6):
        killed = 0
        while killed < many:
            prepare(trial)
            outcome, who = kill(trial)
            if was_killed := -signal.SIGKILL in {outcome.tap, outcome.loader}:
                killed += 1
                tally(f"SIGKILLs, {form} into SQLite: {who}", 1)
                kind = "many connections" if trial.is_many else "one connection"
                tally(f"of these with {kind}", 1)
            assert was_killed or outcome.is_good
            if trial.dice.random() < 0.4:
                trial.assert_whole()


@each_form
def test_nothing_is_lost_or_doubled_when_the_loader_dies(
    form: Form, pair: Pair, tmp_path: Path, tally: Tally
) -> None:
    for trial, many in lives(pair, tmp_path, form, 3):
        died = 0
        while died < many:
            prepare(trial)
            most = trial.requests * (8 if form == "RECORD" else 2)
            death = trial.dice.randint(0, most), trial.dice.choice(DEATHS)
            trial.told.append(death)
            outcome = trial.run(death=death)
            has_died = outcome.loader != 0 or outcome.tap != 0
            died += has_died
            tally("loaders that died", has_died)
            if outcome.tap:
                (error,) = outcome.errors
                assert "the loader has closed the pipe" in error
            if trial.dice.random() < 0.4:
                trial.assert_whole()


DISKS = {
    "RECORD": ("the loader's warehouse", "a file for the tap's output"),
    "Parquet": ("the loader's warehouse", "the tap's files"),
}


def run_on_full_disk(trial: Trial, whose: str) -> Outcome:
    """Run with a disk that is full after a while."""
    out = trial.folder / "out"
    folder = {"the loader's warehouse": trial.file.parent, "the tap's files": trial.files}
    room = trial.dice.randrange(1, 120_000)
    environment = {victims.DISK: f"{room}:{folder.get(whose, out)}"}
    trial.told.append((whose, room))
    if whose == "the loader's warehouse":
        return trial.run(of_loader=environment)
    if whose == "the tap's files":
        return trial.run(of_tap=environment)
    return trial.run_by_file(out / "messages.jsonl", environment)


@each_form
def test_nothing_is_lost_or_doubled_when_a_disk_is_full(
    form: Form, pair: Pair, tmp_path: Path, tally: Tally
) -> None:
    how = "a tmpfs" if victims.can_mount() else "RLIMIT_FSIZE"
    for trial, many in lives(pair, tmp_path, form, 3):
        full = 0
        while full < many:
            prepare(trial)
            whose = trial.dice.choice(DISKS[form])
            outcome = run_on_full_disk(trial, whose)
            full += not outcome.is_good
            tally(f"full disks ({how}): {whose}", not outcome.is_good)
            if outcome.tap:
                (error,) = outcome.errors
                assert "space" in error or "the loader has closed the pipe" in error, error
            if full == many or trial.dice.random() < 0.4:
                trial.assert_whole()


@each_form
def test_nothing_is_lost_or_doubled_when_the_clock_jumps(
    form: Form, pair: Pair, tmp_path: Path, tally: Tally
) -> None:
    clock = tmp_path / "clock"
    for trial, many in lives(pair, tmp_path, form, 4):
        wrong_by = 0.0
        trial.sandbox.settings.date = trial.dice.random() < 0.6
        for _ in range(many):
            prepare(trial)
            jump = trial.dice.choice(HOURS) * 3600
            page = trial.dice.choice([0, trial.dice.randint(1, trial.requests)])
            trial.told.append((jump, page))
            victims.set_clock(clock, wrong_by)

            def at_page(number: int, page: int = page, at: float = wrong_by + jump) -> None:
                if number >= page:
                    victims.set_clock(clock, at)

            wrong_by += jump
            if not page:
                victims.set_clock(clock, wrong_by)
            trial.environment = {victims.CLOCK: str(clock)}
            assert trial.run(at_page=at_page).is_good
            victims.set_clock(clock, wrong_by)
            when = "within a run" if page else "between runs"
            tally(f"clocks that jumped: {when}", 1)
            trial.assert_whole()
