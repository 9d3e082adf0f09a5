"""The promises on timings, usage and files beside v2 jobs: whatever happens, all there is comes.

`HISTORIES` and `SEED` say how many histories are made up, and from which seed on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from random import Random
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis.stateful import initialize, rule
from typing_extensions import override

from llamacloud_sandbox.api.more import DATA_POINTS_PATH, FILES_PATH, USAGE_METRICS_PATH
from tests.reliability.test_simulation_v2 import HistoriesOfV2
from tests.support import simulated
from tests.support.api_rows import ALL_KEYS, EVENT_TYPES, files_of, keyed_by, timing_row, usage_row
from tests.support.builders import V2_STREAMS, seconds_after
from tests.support.histories import (
    A_SHARE,
    AT_A_TIME,
    SEED,
    SEEDS,
    Place,
    Plan,
    a_plan,
    an_event,
    simulate,
)
from tests.support.simulated import Event, Life, Row, Tables, V2Life, fixed
from tests.support.tally import Tally
from tests.support.windows import contain, small_windows, spans_of

A_FEW = 8
MANY = int(os.environ.get("HISTORIES", "100"))
A_DAY = 86_400
DAYS_BETWEEN = (0, 0, 1, 4, 5)
DAYS_AGAIN = timedelta(days=3)
LATE_SHARE = 0.3
MOST_DAYS_LATE = 2
TIMINGS, USAGE, FILES = "classify_job_timings", "classify_usage", "classify_files"
CONTEXT = (TIMINGS, USAGE, FILES)
PATHS = (DATA_POINTS_PATH, USAGE_METRICS_PATH, FILES_PATH)
IDS = ("{uuid}", "dfl-{uuid}", "file/{number}?ä&")
"""Ways to call a file, the first of which is a UUID."""
HOW_FILES_ARE_LISTED = (("any", IDS), ("uuid", IDS[:1]), ("uuid", IDS), ("ignored", IDS))


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    small_windows(monkeypatch)
    # What is given up after 30 days is a limit, tested elsewhere.
    for module in ("unfinished", "v2"):
        monkeypatch.setattr(f"tap_llamaclassify.replication.{module}.DAYS", 3650)
    for stream in CONTEXT:
        monkeypatch.setitem(simulated.KEYS, stream, ALL_KEYS[stream])


@dataclass
class ContextLife(V2Life):
    """What happens to v2 jobs, and with them to their timings, their metrics and their files.

    Attributes:
        ids: How the files of new jobs are called.
        dice: Decide which metrics come late, and how late.
        late: Metrics that the API does not show yet, and when it will.
    """

    ids: Sequence[str] = IDS[:1]
    dice: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - histories repeat
    late: list[tuple[datetime, Row]] = field(default_factory=list)

    @override
    def expected(self) -> Tables:
        world, project = self.sandbox.world, self.sandbox.project_id
        rows = {
            TIMINGS: [timing_row(each, fixed) for each in world.data_points(project)],
            USAGE: [
                usage_row(each) | {"day": each["day"]}
                for each in world.usage_metrics(project)
                if each["event_type"] in EVENT_TYPES
            ],
            FILES: files_of(self.sandbox, [], self.jobs().values(), fixed),
        }
        return super().expected() | {
            name: keyed_by(ALL_KEYS[name], found) for name, found in rows.items()
        }

    @override
    def made(self, event: Event) -> Row:
        is_address, ids = event.pick % 7 == 0, self.ids
        id_ = ids[event.pick % len(ids)].format(uuid=UUID(int=self.born), number=self.born)
        return super().made(event) | {
            "document_input_type": "url" if is_address else "file_id",
            "file_input": f"https://example.com/{self.born}" if is_address else id_,
        }

    @override
    def put(self, row: Row) -> None:
        metrics = self.sandbox.world.more.usage_metrics
        before = {*metrics.entries()}
        super().put(row)
        for id_, metric in metrics.entries().items():
            if id_ not in before and self.dice.random() < LATE_SHARE:
                finished = datetime.fromisoformat(fixed(row["updated_at"]) or "")
                after = timedelta(days=self.dice.uniform(0, MOST_DAYS_LATE))
                self.late.append((finished + after, metric))
                metrics.delete(id_)

    @override
    def _show(self) -> None:
        super()._show()
        now = self.sandbox.world.now()
        shown = [each for each in self.late if each[0] <= now]
        for each in shown:
            self.late.remove(each)
            self.sandbox.world.put_usage_metric(each[1])

    @override
    def delete(self, id_: str) -> None:
        before = self._ids()
        super().delete(id_)
        self.deleted |= before - self._ids()

    def _ids(self) -> set[str]:
        more = self.sandbox.world.more
        return {*more.usage_metrics.entries(), *more.files.entries()}


def a_change(dice: Random) -> Event:
    """Make up a change of a job, shown at once."""
    return Event("update", pick=dice.randrange(1000), seconds=1)


class HistoriesOfContext(HistoriesOfV2):
    """One history of v2 jobs, and of what the API tells beside them.

    Attributes:
        always_files: Whether every run is to bring files.
        not_asked_for: The files of jobs that a run has read which was not to bring them.
        is_last: Whether this run is the one that brings all.
    """

    streams: ClassVar[Sequence[str]] = (*V2_STREAMS, *CONTEXT)
    life_of: ClassVar[type[Life]] = ContextLife
    reconciled: ClassVar[Sequence[int]] = (0, 1)
    life: ContextLife

    def __init__(self) -> None:
        super().__init__()
        self.sandbox.settings.data_points_reach = "bounds"
        self.dice = Random(0)  # noqa: S311 - histories repeat
        self.always_files = True
        self.not_asked_for: set[str] = set()
        self.is_last = False

    @override
    @initialize(seed=SEEDS)
    def chooses(self, seed: int) -> None:
        super().chooses(seed)
        # What it takes a request for each job to know is tested elsewhere.
        self.life.with_usage = self.sandbox.settings.usage_in_list = False
        self.dice = dice = Random(seed)  # noqa: S311 - histories repeat
        self.always_files = dice.choice([False, True, True])
        # In that order jobs move while they are listed.
        self.sandbox.settings.order = dice.choice([self.sandbox.settings.order, "updated"])
        how: Any = dice.choice(HOW_FILES_ARE_LISTED)
        self.sandbox.settings.file_ids, self.life.ids = how
        self.sandbox.settings.at_end = dice.choice(["null", "empty", "absent"])

    @rule(seed=SEEDS)
    def tap_runs_now_and_then(self, seed: int) -> None:
        """Run the tap some times, days apart or not."""
        dice = Random(seed)  # noqa: S311 - histories repeat
        for _ in range(2):
            self.life.pass_time(dice.choice(DAYS_BETWEEN) * A_DAY)
            self.run(a_plan(dice, self.latest, self.streams))

    @override
    def run(self, plan: Plan) -> None:
        super().run(self.widened(plan))

    def widened(self, plan: Plan) -> Plan:
        """Let a plan have what is read beside jobs, and what happens happen then, too."""
        dice, selected = self.dice, {*plan.selected}
        during, stride = plan.during, dice.choice([1, 3, 6])
        if not self.is_last and dice.random() < A_SHARE:
            selected = {dice.choice([TIMINGS, TIMINGS, USAGE])}
            # At each page a job may move to one that was read.
            during, stride = {n: [an_event(dice, 0), a_change(dice)] for n in range(9)}, 1
        if not selected & {*CONTEXT}:
            selected.add(dice.choice(CONTEXT))
        if self.always_files and selected & {*V2_STREAMS}:
            selected.add(FILES)
        if FILES in selected and not selected & {*V2_STREAMS}:
            selected.add(dice.choice(V2_STREAMS))
        return replace(
            plan,
            selected=frozenset(selected),
            during={page * stride: events for page, events in during.items()},
            faults={page * stride: fault for page, fault in plan.faults.items()},
        )

    @override
    def more_config(self) -> dict[str, Any]:
        some = self.dice.sample(EVENT_TYPES, self.dice.randint(1, len(EVENT_TYPES)))
        types = EVENT_TYPES if self.is_last else self.dice.choice([EVENT_TYPES, some])
        return super().more_config() | {"usage_event_types": [*types]}

    @override
    def lines_of(self, plan: Plan) -> list[str]:
        self.sandbox.clear_requests()
        is_away = not self.is_last and self.dice.random() < A_SHARE
        self.sandbox.settings.gone = {self.dice.choice(PATHS): 403} if is_away else {}
        lines = super().lines_of(plan)
        if not plan.full and FILES not in plan.selected:
            self.not_asked_for |= {job["file_input"] for job in self.life.jobs().values()}
        asked = [each for each in self.sandbox.requests if each.path == FILES_PATH]
        self.tried["runs that asked for files"] += bool(asked)
        return lines if self.is_last or self.dice.random() > A_SHARE else self.cut(lines)

    def cut(self, lines: list[str]) -> list[str]:
        """Let the tap be killed when it has written a state: nothing may have to come after it."""
        ends = [n for n, line in enumerate(lines, 1) if json.loads(line)["type"] == "STATE"]
        self.tried["runs killed at a state"] += bool(ends)
        return lines[: self.dice.choice(ends)] if ends else lines

    @override
    def ahead(self) -> list[Place]:
        timed = self.ahead_by_update((*V2_STREAMS, TIMINGS))
        return [*timed, *self.usage_ahead(), *self.files_ahead()]

    def usage_ahead(self) -> Iterator[Place]:
        """Name the metrics that are not read again, and not loaded all the same."""
        if bookmark := self.loader.bookmark(USAGE):
            again = (date.fromisoformat(bookmark) - DAYS_AGAIN).isoformat()
            metrics = self.life.expected()[USAGE]
            known = self.kept(USAGE)["covers"]
            for place in self.loader.differences(self.life, [USAGE]):
                metric = metrics[place[1]]
                name = f"{metric['organization_id']} {metric['event_type']}"
                if metric["day"] < again and name in known:
                    yield place

    def files_ahead(self) -> Iterator[Place]:
        """Name the files of jobs that are not emitted again, and not loaded all the same."""
        missing = {key[0] for _, key in self.loader.differences(self.life, [FILES])}
        jobs = [job for job in self.life.jobs().values() if job["file_input"] in missing]
        for job in jobs:
            if any(self.is_done_with(stream, job) for stream in V2_STREAMS):
                yield FILES, (job["file_input"],)

    def is_done_with(self, stream: str, job: Row) -> bool:
        """Return whether the state says that a job, as it is, need not be emitted again."""
        kept = self.kept(stream)
        created, updated = fixed(job["created_at"]) or "", fixed(job["updated_at"])
        if updated is None:
            return False
        since = seconds_after(updated, self.lookback)
        read = [(at, seconds_after(end, -self.lookback)) for at, end in spans_of(kept)]
        in_window = (
            contain((*read,), created)
            and since < kept["reading_began_at"]
            and job["id"] not in kept.get("unfinished", {})
        )
        return in_window or since < kept.get("replication_key_value", "")

    @override
    def excused(self, places: list[Place]) -> list[Place]:
        none = self.not_asked_for
        return [(stream, key) for stream, key in places if stream != FILES or key[0] not in none]

    @override
    def teardown(self) -> None:
        self.is_last = True
        super().teardown()


def test_timings_usage_and_files_are_all_there_after_any_history(tally: Tally) -> None:
    simulate(HistoriesOfContext, tally, seed=SEED, histories=A_FEW)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(SEED, SEED + -(-MANY // AT_A_TIME)))
def test_timings_usage_and_files_are_all_there_after_many_histories(
    seed: int, tally: Tally
) -> None:
    simulate(HistoriesOfContext, tally, seed=seed, histories=min(MANY, AT_A_TIME))
