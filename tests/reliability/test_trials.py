"""Kills, dead loaders, full disks and wrong clocks, after which a warehouse equals the API.

`TRIALS` and `SEED` say how many trials there are, and from which seed on.
"""

from __future__ import annotations

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


def kill(trial: PairTrial) -> Outcome:
    """Kill somebody at some moment, or the loader at the end; return what became of it."""
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
        case _:
            more["moment"] = Moment(who, flushing=dice.uniform(0, 0.01))
    trial.told.append((kind, sorted(who), more))
    return trial.run(**more, at_page=trial.at_page)


@each_form
def test_warehouse_equals_the_api_when_tap_and_loader_are_killed(
    form: Form, worlds: Lives, tally: Tally
) -> None:
    for trial, many in worlds.each(6):
        with trial.living():
            killed = 0
            while killed < many:
                trial.prepare()
                outcome = kill(trial)
                assert outcome.killed or outcome.is_good, outcome
                if outcome.killed:
                    killed += 1
                    tally(f"SIGKILLs, {form} into SQLite: {outcome.killed}", 1)
                    of_these = "of the SIGKILLs into SQLite, "
                    tally(f"{of_these}over three connections", trial.is_many)
                    tally(f"{of_these}with windows side by side", trial.has_windows)
                if trial.dice.random() < A_CALM:
                    trial.assert_whole()


@each_form
def test_warehouse_equals_the_api_when_the_loader_dies(
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
NO_ROOM = ("No space left on device", "database or disk is full")
NO_GROWTH = ("File too large", "disk I/O error")
"""What is said where a file may not grow; SQLite has no words for that."""
ROOM = {WAREHOUSE: 120_000, FILES: 20_000, OUTPUT: 60_000}
"""At most so many bytes, so that most disks are full before a run's end."""
DISKS = {"RECORD": (WAREHOUSE, OUTPUT), "Parquet": (WAREHOUSE, FILES)}


def run_on_full_disk(trial: PairTrial, whose: str) -> Outcome:
    """Run with a disk that is full after a while."""
    folder = {WAREHOUSE: trial.file.parent, FILES: trial.files, OUTPUT: trial.out}[whose]
    room = trial.dice.randrange(1, ROOM[whose])
    environment = {victims.DISK: f"{room}:{folder}"}
    trial.told.append((whose, room))
    if whose == WAREHOUSE:
        return trial.run(of_loader=environment)
    # What the tap writes onto a disk of its own, nobody else sees until it has ended.
    return trial.run_by_file(environment)


def is_full(outcome: Outcome, whose: str) -> bool:
    """Return whether a run failed; make sure that it was for want of room, and whose."""
    if outcome.is_good:
        return False
    said = [outcome.log] if whose == WAREHOUSE else outcome.errors
    wanted = NO_ROOM if victims.can_mount() else NO_GROWTH
    assert any(words in text for words in wanted for text in said), (whose, outcome)
    return True


@each_form
def test_warehouse_equals_the_api_when_a_disk_is_full(
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
                if is_full(outcome, whose):
                    full += 1
                    tally(f"full disks ({how}): {whose}", 1)
                if outcome.tap and whose == WAREHOUSE:
                    (error,) = outcome.errors
                    assert CLOSED in error
                if full == many or trial.dice.random() < A_CALM:
                    trial.assert_whole()


def run_with_jump(
    trial: PairTrial, clock: Path, before: float, after: float
) -> tuple[Outcome, str]:
    """Let a clock jump at some page or about a run, which may be killed; return when it did."""
    dice = trial.dice
    page, last = (dice.choice([0, dice.randint(1, trial.requests)]) for _ in range(2))
    who = dice.choice(VICTIMS)
    trial.told.append((before, after, page, sorted(who), last))
    jumps: list[str] = []

    def at_page(number: int) -> None:
        if number == page:
            victims.set_clock(clock, after)
            jumps.append("within a run")

    victims.set_clock(clock, before if page else after)
    killing: dict[str, Any] = {"moment": Moment(who), "page": last} if last else {}
    outcome = trial.run(at_page=at_page, **killing)
    victims.set_clock(clock, after)
    # A run may end before that page.
    return outcome, jumps[0] if jumps else "between runs"


@each_form
def test_warehouse_equals_the_api_when_the_clock_jumps(
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
                outcome, jumped = run_with_jump(trial, clock, before, after)
                assert outcome.is_good or outcome.killed, outcome
                before = after
                tally(f"clocks that jumped: {jumped}, {form}", 1)
                if outcome.killed:
                    tally(f"SIGKILLs, {form} into SQLite, clocks jump: {outcome.killed}", 1)
                trial.assert_whole()
