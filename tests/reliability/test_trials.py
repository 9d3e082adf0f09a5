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
from tests.support.pair_trials import FORMS, Form, Outcome, Pair, PairTrial, pairs
from tests.support.pipe import Moment, Victims
from tests.support.small_loader import DEATHS
from tests.support.tally import Tally
from tests.support.trials import lives

pytestmark = pytest.mark.heavy

VICTIMS: tuple[Victims, ...] = (
    frozenset({"tap"}),
    frozenset({"loader"}),
    frozenset({"tap", "loader"}),
)
HOURS = (-30, -7, -3, -1, 1, 2, 5, 26)
"""By how much a clock jumps."""
A_CALM = 0.4
"""How often a run in peace comes in between, after which all must be there."""
BYTES = {"RECORD": 3_000, "Parquet": 300}
"""About how many a request brings through the pipe."""
MESSAGES = {"RECORD": 8, "Parquet": 2}
"""About how many messages."""
CLOSED = "the loader has closed the pipe"
each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Processes that have imported what taps and loaders need."""
    with pairs(tmp_path_factory.mktemp("pair")) as running:
        yield running


class Lives:
    """Trials in worlds of their own."""

    def __init__(self, pair: Pair, folder: Path, form: Form) -> None:
        self._made_of: dict[str, Any] = {"pair": pair, "form": form}
        self._folder = folder

    def each(self, usual: int) -> Iterator[tuple[PairTrial, int]]:
        """Give each trial, and how many times something is to go wrong in it."""
        for seed, many in lives(usual):
            yield PairTrial(self._folder / f"{seed}", seed, **self._made_of), many


@pytest.fixture
def worlds(pair: Pair, tmp_path: Path, form: Form) -> Lives:
    """Make worlds for trials."""
    return Lives(pair, tmp_path, form)


def kill(trial: PairTrial) -> tuple[Outcome, str]:
    """Kill somebody at some moment; return what became of it, and who it was to be."""
    dice = trial.dice
    who = dice.choice(VICTIMS)
    kind = dice.choice(["page", "page", "bytes", "seconds", "message", "flush"])
    more: dict[str, Any] = {"moment": Moment(who)}
    match kind:
        case "page":
            more["page"] = dice.randint(1, trial.requests)
        case "bytes":
            most = trial.requests * BYTES[trial.form]
            more["moment"] = Moment(who, after_bytes=dice.randrange(most))
        case "seconds":
            more["moment"] = Moment(who, after_seconds=dice.uniform(0, trial.seconds))
        case "message":
            more = {"death": (dice.randint(1, trial.requests * 2), "SIGKILL")}
            who = frozenset({"loader"})
        case _:
            more["moment"] = Moment(who, flushing=dice.uniform(0, 0.01))
    trial.told.append((kind, sorted(who), more))
    outcome = trial.run(**more, at_page=trial.at_page)
    return outcome, " and ".join(sorted(who, reverse=True))


@each_form
def test_nothing_is_lost_or_doubled_when_tap_and_loader_are_killed(
    form: Form, worlds: Lives, tally: Tally
) -> None:
    for trial, many in worlds.each(6):
        with trial.living():
            killed = 0
            while killed < many:
                trial.prepare()
                outcome, who = kill(trial)
                was_killed = -signal.SIGKILL in {outcome.tap, outcome.loader}
                assert was_killed or outcome.is_good
                killed += was_killed
                tally(f"SIGKILLs, {form} into SQLite: {who}", was_killed)
                tally("of these over three connections", was_killed and trial.is_many)
                tally("of these with windows side by side", was_killed and trial.has_windows)
                if trial.dice.random() < A_CALM:
                    trial.assert_whole()


@each_form
def test_nothing_is_lost_or_doubled_when_the_loader_dies(
    form: Form, worlds: Lives, tally: Tally
) -> None:
    for trial, many in worlds.each(3):
        with trial.living():
            died = 0
            while died < many:
                trial.prepare()
                most = trial.requests * MESSAGES[form]
                death = trial.dice.randint(0, most), trial.dice.choice(DEATHS)
                trial.told.append(death)
                outcome = trial.run(death=death)
                died += outcome.has_died
                tally(f"loaders that died, {form}", outcome.has_died)
                if outcome.tap:
                    (error,) = outcome.errors
                    assert CLOSED in error
                if trial.dice.random() < A_CALM:
                    trial.assert_whole()


WAREHOUSE, FILES, OUTPUT = "the loader's warehouse", "the tap's batch files", "the tap's output"
DISKS = {"RECORD": (WAREHOUSE, OUTPUT), "Parquet": (WAREHOUSE, FILES)}


def run_on_full_disk(trial: PairTrial, whose: str) -> Outcome:
    """Run with a disk that is full after a while."""
    folder = {WAREHOUSE: trial.file.parent, FILES: trial.files, OUTPUT: trial.out}[whose]
    room = trial.dice.randrange(1, 120_000)
    environment = {victims.DISK: f"{room}:{folder}"}
    trial.told.append((whose, room))
    if whose == OUTPUT:
        return trial.run_by_file(environment)
    if whose == WAREHOUSE:
        return trial.run(of_loader=environment)
    return trial.run(of_tap=environment)


@each_form
def test_nothing_is_lost_or_doubled_when_a_disk_is_full(
    form: Form, worlds: Lives, tally: Tally
) -> None:
    how = "a tmpfs" if victims.can_mount() else "RLIMIT_FSIZE"
    for trial, many in worlds.each(3):
        with trial.living():
            full = 0
            while full < many:
                trial.prepare()
                whose = trial.dice.choice(DISKS[form])
                outcome = run_on_full_disk(trial, whose)
                full += not outcome.is_good
                tally(f"full disks ({how}): {whose}", not outcome.is_good)
                if outcome.tap:
                    (error,) = outcome.errors
                    assert CLOSED in error or "No space left" in error or "too large" in error, (
                        error
                    )
                if full == many or trial.dice.random() < A_CALM:
                    trial.assert_whole()


@each_form
def test_nothing_is_lost_or_doubled_when_the_clock_jumps(
    form: Form, worlds: Lives, tmp_path: Path, tally: Tally
) -> None:
    clock = tmp_path / "clock"
    for trial, many in worlds.each(4):
        with trial.living():
            before = 0.0
            trial.sandbox.settings.date = trial.dice.random() < 0.6
            trial.environment = {victims.CLOCK: str(clock)}
            for _ in range(many):
                trial.prepare()
                after = before + trial.dice.choice(HOURS) * 3600
                page = trial.dice.choice([0, trial.dice.randint(1, trial.requests)])
                trial.told.append((before, after, page))
                victims.set_clock(clock, before if page else after)

                def at_page(number: int, page: int = page, after: float = after) -> None:
                    if number == page:
                        victims.set_clock(clock, after)

                assert trial.run(at_page=at_page).is_good
                victims.set_clock(clock, after)
                before = after
                tally(
                    f"clocks that jumped: {'within a run' if page else 'between runs'}, {form}", 1
                )
                trial.assert_whole()
