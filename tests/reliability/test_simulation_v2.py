"""The promises on v2 jobs: in windows, by ids, killed at any line, the warehouse is the world.

`HISTORIES` and `SEED` say how many histories are made up, and from which seed on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Any, ClassVar
from unittest import mock

import pytest
from hypothesis.stateful import initialize
from typing_extensions import override

from llamacloud_sandbox.settings import Tokens
from llamacloud_sandbox.world.clock import instant
from tap_llamaclassify.api.endpoints import Endpoint
from tap_llamaclassify.api.models import Page
from tests.support.builders import V2_STREAMS, seconds_after
from tests.support.histories import AT_A_TIME, SEED, SEEDS, Histories, Place, Plan, simulate
from tests.support.simulated import Life, Row, V2Life, fixed
from tests.support.tally import Tally
from tests.support.windows import contain, pages_in_any_order, small_windows, spans_of

A_FEW = 18
MANY = int(os.environ.get("HISTORIES", "400"))
A_DAY = 86_400


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    small_windows(monkeypatch)
    # What is given up after 30 days is a limit, tested elsewhere.
    monkeypatch.setattr("tap_llamaclassify.replication.unfinished.DAYS", 3650)


class HistoriesOfV2(Histories):
    """One history of v2 jobs, the finished ones of which do not change."""

    streams: ClassVar[Sequence[str]] = V2_STREAMS
    life_of: ClassVar[type[Life]] = V2Life
    reconciled: ClassVar[Sequence[int]] = (0, 0, 1, 7)
    life: V2Life

    def __init__(self) -> None:
        super().__init__()
        self.reconcile_days = self.reconciled[0]
        self.parallel_windows = 1
        self.order_of_pages = 0

    @initialize(seed=SEEDS)
    def chooses(self, seed: int) -> None:
        """Choose settings."""
        dice = Random(seed)  # noqa: S311 - histories repeat
        self.reconcile_days = dice.choice(self.reconciled)
        self.parallel_windows = dice.choice([1, 2, 8])
        self.order_of_pages = seed
        self.life.with_usage = dice.choice([False, False, True])
        self.sandbox.settings.total_size = dice.choice([False, True])
        self.sandbox.settings.usage_in_list = self.life.with_usage and dice.choice([False, True])

    @override
    def more_config(self) -> dict[str, Any]:
        return {
            "reconcile_days": self.reconcile_days,
            "fetch_usage": self.life.with_usage,
            "parallel_windows": self.parallel_windows,
        }

    @override
    def run(self, plan: Plan) -> None:
        self.order_of_pages += 1
        with pages_in_any_order(self.order_of_pages):
            super().run(plan)
        read = [stream for stream in self.streams if spans_of(self.kept(stream))]
        self.tried["windows that a run was to go on from"] += bool(read)
        assert self.excused(self.ahead_of_windows(read)) == [], "a window ran ahead of the rows"

    def kept(self, stream: str) -> Row:
        """Return what the state keeps of a stream."""
        kept: Row = (self.loader.state or {}).get("bookmarks", {}).get(stream, {})
        of_all = kept.get("unfinished_of")
        return kept | {"unfinished": self.kept(of_all)["unfinished"]} if of_all else kept

    def ahead_of_windows(self, streams: Sequence[str]) -> list[Place]:
        """Name what stands in windows that were read, and is not loaded nor to be asked for."""
        jobs = self.life.jobs()
        places = []
        for stream in streams:
            kept = self.kept(stream)
            read = [(at, seconds_after(end, -self.lookback)) for at, end in spans_of(kept)]
            begun = seconds_after(kept["reading_began_at"], -self.lookback)
            for _, key in self.loader.differences(self.life, [stream]):
                created, updated = (fixed(jobs[key[0]][name]) for name in TIMES)
                is_late = updated is None or updated >= begun
                is_asked_for = key[0] in kept.get("unfinished", {})
                if contain((*read,), created or "") and not is_late and not is_asked_for:
                    places.append((stream, key))
        return places


TIMES = ("created_at", "updated_at")


class HistoriesReconciled(HistoriesOfV2):
    """The same where finished jobs change, too, if they are not older than `reconcile_days`."""

    reconciled = (1, 7)

    @initialize()
    def lets_finished_jobs_change(self) -> None:
        """Let finished jobs change."""
        self.life.changing_seconds = min(self.reconciled) * A_DAY - 600

    @override
    def teardown(self) -> None:
        # What was broken off goes on behind the windows that were read: they come the next time.
        self.run(Plan(frozenset(self.streams)))
        super().teardown()


class HistoriesOfV2Positions(HistoriesOfV2):
    """The same where page tokens are positions: jobs can move to pages that were read already.

    Attributes:
        passed_over: Jobs that have not changed since a listing that should have them left them out.
    """

    tokens: ClassVar[Tokens] = "position"

    def __init__(self) -> None:
        super().__init__()
        self.passed_over: set[str] = set()
        self.life.on_change = self.passed_over.discard

    @override
    def lines_of(self, plan: Plan) -> list[str]:
        listed: set[str] = set()

        parse = Endpoint.parse

        def noting(endpoint: Endpoint, body: bytes) -> Page:
            page = parse(endpoint, body)
            listed.update(each["id"] for each in page.items)
            return page

        self.sandbox.clear_requests()
        with mock.patch.object(Endpoint, "parse", noting):
            lines = super().lines_of(plan)
        self.note_passed_over(listed)
        return lines

    def note_passed_over(self, listed: set[str]) -> None:
        """Take down the jobs that were asked for, and were not listed."""
        now = self.life.jobs()
        there = {name: row for name, row in self.present.items() if now.get(name) is row}
        left_out = {*self.asked_for(there)} - listed - self.passed_over
        self.tried["jobs passed over by shifting pages"] += len(left_out)
        self.passed_over |= left_out

    def asked_for(self, jobs: dict[str, Row]) -> Iterator[str]:
        """Return the ids of the jobs that any request had among those that it asked for."""
        listings = [each for each in self.sandbox.requests if each.path == "/api/v2/classify"]
        for request in listings:
            begin, end = (request.query.get(f"created_at_on_or_{side}") for side in SIDES)
            ids = {*request.values("job_ids")}
            for id_, row in jobs.items():
                created = instant(row["created_at"])
                if (
                    (not ids or id_ in ids)
                    and (not begin or datetime.fromisoformat(begin) <= created)
                    and (not end or created <= datetime.fromisoformat(end))
                ):
                    yield id_

    @override
    def excused(self, places: list[Place]) -> list[Place]:
        return [(stream, key) for stream, key in places if key[0] not in self.passed_over]


SIDES = ("after", "before")
KINDS: dict[str, type[HistoriesOfV2]] = {
    "finished jobs stay": HistoriesOfV2,
    "finished jobs change": HistoriesReconciled,
    "positions": HistoriesOfV2Positions,
}


def test_warehouse_holds_all_v2_jobs_after_any_history(tally: Tally) -> None:
    simulate(HistoriesOfV2, tally, seed=SEED, histories=A_FEW)


def test_changes_of_finished_jobs_are_seen_within_reconcile_days(tally: Tally) -> None:
    simulate(HistoriesReconciled, tally, seed=SEED, histories=A_FEW // 3)


def test_nothing_but_v2_jobs_that_shifting_pages_pass_over_is_missed(tally: Tally) -> None:
    simulate(HistoriesOfV2Positions, tally, seed=SEED, histories=A_FEW // 3)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(SEED, SEED + -(-MANY // AT_A_TIME)))
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_warehouse_holds_all_v2_jobs_after_many_histories(
    kind: type[HistoriesOfV2], seed: int, tally: Tally
) -> None:
    histories = min(MANY, AT_A_TIME)
    simulate(
        kind, tally, seed=seed, histories=histories if kind is HistoriesOfV2 else histories // 4
    )
