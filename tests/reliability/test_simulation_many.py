"""The promises on many projects and on results: kills, faults and keys that fail, side by side.

`HISTORIES` and `SEED` say how many histories are made up, and from which seed on. Where threads
race, a seed repeats the history, and not always their order.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar

import pytest
from hypothesis.stateful import initialize
from typing_extensions import override

from tests.support import simulated
from tests.support.builders import STREAMS, V2_STREAMS, seconds_after
from tests.support.histories import AT_A_TIME, SEED, SEEDS, Histories, Place, Plan, simulate
from tests.support.simulated import Event, Key, Life, Loader, Row, Tables, V2Life, fixed
from tests.support.tally import Tally
from tests.support.windows import small_windows

A_FEW = 12
MANY = int(os.environ.get("HISTORIES", "200"))
RESULTS = "classify_job_results"
NAMES = ("emea", "apac", "latam")


@pytest.fixture(autouse=True)
def _results_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(simulated.KEYS, RESULTS, ("id",))
    # Each job is a step.
    monkeypatch.setattr("tap_llamaclassify.replication.results.JOBS_A_STEP", 1)


def result_rows(job: Row, results: Collection[Row]) -> dict[Key, Row]:
    """Work out the rows of a job's results."""
    rows: dict[Key, Row] = {}
    for each in results:
        found = each["result"] or {}
        times = {name: each[name] for name in ("created_at", "updated_at")}
        row = {name: found.get(name) for name in ("type", "confidence", "reasoning")}
        row |= {"id": each["id"], "file_id": each["file_id"], "job_id": job["id"]}
        row |= {"project_id": job["project_id"], "job_updated_at": fixed(job["updated_at"])}
        row |= {name: fixed(text) for name, text in times.items()}
        misfits = {name: text for name, text in times.items() if text == "soon"}
        rows[each["id"],] = row | {"additional_fields": misfits or None}
    return rows


@dataclass
class ManyLife(Life):
    """What happens to the jobs of several projects; server and tap may let it happen at once."""

    projects: Sequence[str] = ()
    turn: Any = field(default_factory=threading.RLock)

    @override
    def jobs(self) -> dict[str, Row]:
        return self.sandbox.world.entries()

    @override
    def expected(self) -> Tables:
        world = self.sandbox.world
        rows = [result_rows(each, world.results(id_)) for id_, each in self.jobs().items()]
        of_results = {key: row for some in rows for key, row in some.items()}
        return super().expected() | {RESULTS: of_results}

    @override
    def let(self, event: Event) -> None:
        with self.turn:
            super().let(event)

    @override
    def pass_time(self, seconds: float) -> None:
        with self.turn:
            super().pass_time(seconds)

    @override
    def made(self, event: Event) -> Row:
        return super().made(event) | {"project_id": self.projects[event.pick % len(self.projects)]}


@dataclass
class ManyV2Life(ManyLife, V2Life):
    """What happens to the v2 jobs of several projects."""

    @override
    def jobs(self) -> dict[str, Row]:
        of_each = map(self.sandbox.world.v2_entries, self.projects)
        return {id_: job for jobs in of_each for id_, job in jobs.items()}

    @override
    def expected(self) -> Tables:
        return V2Life.expected(self) | {RESULTS: {}}


class ManyLoader(Loader):
    """A loader whose state may be of connections."""

    def kept(self, stream: str, name: str) -> dict[str, Any]:
        """Return what is kept of a connection; the first goes on from the single one's."""
        entry = (self.state or {}).get("bookmarks", {}).get(stream, {})
        kept = {p["context"]["connection"]: p for p in entry.get("partitions", [])}
        first = entry if name == NAMES[0] else {}
        found: dict[str, Any] = kept.get(name, first)
        return found

    @override
    def differences(self, life: Life, streams: Collection[str] = STREAMS) -> list[tuple[str, Key]]:
        own = [stream for stream in streams if stream != RESULTS]
        return super().differences(life, own) + [
            (RESULTS, key) for key in self._other_results(life) if RESULTS in streams
        ]

    def _other_results(self, life: Life) -> list[Key]:
        wanted, held = life.expected()[RESULTS], self.tables[RESULTS]
        # What a job came to that is no longer finished, or no longer there, nobody can ask.
        jobs = {id_ for id_, each in life.jobs().items() if each["status"] != "PENDING"}
        rows = wanted | held
        return [
            key for key in rows if rows[key]["job_id"] in jobs and held.get(key) != wanted.get(key)
        ]


class HistoriesOfMany(Histories):
    """One history of several projects, read with one key and then with many.

    Attributes:
        is_single: Whether only the first key is known yet.
        failing: The connections whose keys are wrong in this run.
        known: The connections that are set in this run.
    """

    streams: ClassVar[Sequence[str]] = (*STREAMS, RESULTS)
    life_of: ClassVar[type[Life]] = ManyLife
    life: ManyLife
    loader: ManyLoader

    def __init__(self) -> None:
        super().__init__()
        self.life.projects = [*self.sandbox.keys][: len(NAMES)]
        self.loader = ManyLoader()
        self.dice = Random(0)  # noqa: S311 - histories repeat
        self.is_single = False
        self.is_last = False
        self.known: Sequence[str] = NAMES
        self.failing: Collection[str] = ()

    @initialize(seed=SEEDS)
    def chooses(self, seed: int) -> None:
        """Choose what it begins with."""
        self.dice = Random(seed)  # noqa: S311 - histories repeat
        self.is_single = self.dice.random() < 1 / 3
        for pick in range(self.dice.randint(0, 12)):
            self.life.let(Event("create", pick))

    @override
    def run(self, plan: Plan) -> None:
        dice = self.dice
        self.is_single = self.is_single and not self.is_last and dice.random() < 3 / 4
        some = dice.sample(NAMES, dice.randint(1, len(NAMES)))
        self.known = NAMES if self.is_last else dice.choice([NAMES, NAMES, some])
        fails = [name for name in self.known if dice.random() < 1 / 8]
        self.failing = [] if self.is_last or self.is_single else fails
        self.tried["runs of many connections"] += not self.is_single
        self.tried["connections that failed"] += len(self.failing)
        is_cut = not self.is_last and dice.random() < 1 / 4
        super().run(replace(plan, received=dice.uniform(0.5, 1)) if is_cut else plan)

    @override
    def more_config(self) -> dict[str, Any]:
        at_once = {
            "parallel_requests": self.dice.choice([1, 2, 4]),
            "parallel_connections": self.dice.choice([1, 2, 3]),
            "fetch_results": True,
        }
        if self.is_single:
            return at_once
        keys = dict(zip(NAMES, self.sandbox.keys.values(), strict=False))
        wrong = dict.fromkeys(self.failing, "llx-wrong")
        connections = [{"name": name, "api_key": (keys | wrong)[name]} for name in self.known]
        adopts = NAMES[0] if NAMES[0] in self.known else None
        return at_once | {"api_key": None, "connections": connections, "adopt_state": adopts}

    @override
    def ahead(self) -> list[Place]:
        jobs = self.life.jobs()
        names = dict(zip(self.life.projects, NAMES, strict=True))
        return [
            (stream, key)
            for stream, key in self.loader.differences(self.life, self.streams)
            if (job := jobs[self.job_of(stream, key)])
            and (kept := self.loader.kept(stream, names[job["project_id"]]))
            and (bookmark := kept.get("replication_key_value"))
            and (updated := fixed(job["updated_at"]))
            and updated < seconds_after(bookmark, -self.lookback)
            # Those are asked for again in the next run.
            and self.job_of(stream, key) not in kept.get("set_aside", ())
        ]

    def job_of(self, stream: str, key: Key) -> str:
        """Return the id of the job that a row is of."""
        if stream != RESULTS:
            return str(key[0])
        rows = self.life.expected()[RESULTS] | self.loader.tables[RESULTS]
        return str(rows[key]["job_id"])

    @override
    def teardown(self) -> None:
        self.is_last = True
        super().teardown()


class HistoriesOfManyV2(HistoriesOfMany):
    """The same for v2 jobs, several windows of each project side by side."""

    streams: ClassVar[Sequence[str]] = V2_STREAMS
    life_of: ClassVar[type[Life]] = ManyV2Life

    @override
    def more_config(self) -> dict[str, Any]:
        windows = {"parallel_windows": self.dice.choice([1, 2, 8]), "reconcile_days": 0}
        return super().more_config() | windows | {"fetch_results": False}


def test_warehouse_holds_every_project_and_its_results_after_any_history(tally: Tally) -> None:
    simulate(HistoriesOfMany, tally, seed=SEED, histories=A_FEW)


@pytest.fixture
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    small_windows(monkeypatch)
    # What is given up after 30 days is a limit, tested elsewhere.
    monkeypatch.setattr("tap_llamaclassify.replication.unfinished.DAYS", 3650)


@pytest.mark.usefixtures("_small_windows")
def test_warehouse_holds_the_v2_jobs_of_every_project_whose_windows_are_read_side_by_side(
    tally: Tally,
) -> None:
    simulate(HistoriesOfManyV2, tally, seed=SEED, histories=A_FEW)


@pytest.mark.heavy
@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("seed", range(SEED, SEED + -(-MANY // AT_A_TIME)))
def test_warehouse_holds_the_v2_jobs_of_every_project_after_many_histories(
    seed: int, tally: Tally
) -> None:
    simulate(HistoriesOfManyV2, tally, seed=seed, histories=min(MANY, AT_A_TIME) // 3)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(SEED, SEED + -(-MANY // AT_A_TIME)))
def test_warehouse_holds_every_project_after_many_histories(seed: int, tally: Tally) -> None:
    simulate(HistoriesOfMany, tally, seed=seed, histories=min(MANY, AT_A_TIME))
