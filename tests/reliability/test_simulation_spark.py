"""The promises through Spark's plans: tasks tried again, drivers killed at any row, tables whole.

`HISTORIES` and `SEED` say how many histories are made up, and from which seed on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from random import Random
from typing import Any
from unittest import mock

import pytest
from typing_extensions import override

from tap_llamaclassify.errors import TapError
from tests.reliability.test_simulation_v2 import HistoriesOfV2
from tests.support.histories import AT_A_TIME, SEED, Histories, Plan, simulate
from tests.support.simulated import KEYS, STATUSES, ClientClock, Row
from tests.support.spark_runs import KilledError, Query, batch
from tests.support.tally import Tally

A_FEW = 8
MANY = int(os.environ.get("HISTORIES", "60"))


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    survey = "tap_llamaclassify.replication.window_survey"
    for name, value in {"AIM_AT_ONCE": 2, "LEAST_AIM": 1, "FARTHER": 2}.items():
        monkeypatch.setattr(f"{survey}.{name}", value)
    # What is given up after 30 days is a limit, tested elsewhere.
    for module in ("window_survey", "cuts"):
        monkeypatch.setattr(f"tap_llamaclassify.replication.{module}.DAYS", 3650)
    # A status that nobody knows is seen by another look at finished jobs only.
    monkeypatch.setattr("tests.support.simulated.STATUSES", (*STATUSES[:-1], "RUNNING"))


class OfSpark(Histories):
    """One history that streams read, each with its own checkpoint, and now and then a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = {table: Query(table, self.taking(table)) for table in KEYS}

    def taking(self, table: str) -> Any:
        """Return what upserts a row into a table."""

        def take(row: Row) -> None:
            self.loader.tables[table][tuple(row[key] for key in KEYS[table])] = row

        return take

    @override
    def written(self, plan: Plan, config: Mapping[str, Any]) -> tuple[str, TapError | None]:
        dice = Random(plan.received + plan.loaded + plan.page_size)  # noqa: S311 - histories repeat
        error = None
        settings = {"api_url": self.sandbox.url, "api_key": self.sandbox.key, **config}
        clock = ClientClock(self.life, self.wrong_by)
        is_last = plan == Plan(frozenset(self.streams))
        with mock.patch("tap_llamaclassify.http.client.Clock", return_value=clock):
            for table in sorted(plan.selected):
                try:
                    if plan.full and not is_last:
                        self.read_batch(table, settings)
                    self.read_stream(table, settings, dice, is_last=is_last)
                except TapError as failure:
                    error = failure
        return "", error

    def read_batch(self, table: str, settings: Mapping[str, Any]) -> None:
        """Read a table at once: no key comes twice, whatever happens meanwhile."""
        rows = batch(table, settings)
        assert len({tuple(row[key] for key in KEYS[table]) for row in rows}) == len(rows)

    def read_stream(
        self, table: str, settings: Mapping[str, Any], dice: Random, *, is_last: bool
    ) -> None:
        """Run a stream until it ends, or is killed."""
        is_killed = not is_last and dice.random() < 0.4
        try:
            self.queries[table].run(
                settings,
                pages=dice.choice([1, 3, 1000]),
                dice=dice,
                rows_left=dice.randrange(8) if is_killed else 10**9,
            )
        except KilledError:
            self.tried["drivers of Spark killed"] += 1


class HistoriesOfSpark(OfSpark, HistoriesOfV2):
    """v2 jobs."""


class HistoriesOfSparkV1(OfSpark):
    """v1 jobs."""


@pytest.mark.parametrize("histories", [HistoriesOfSpark, HistoriesOfSparkV1], ids=["v2", "v1"])
def test_tables_hold_all_jobs_after_any_history(histories: type[Histories], tally: Tally) -> None:
    simulate(histories, tally, seed=SEED, histories=A_FEW)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(SEED, SEED + -(-MANY // AT_A_TIME)))
def test_tables_hold_all_v2_jobs_after_many_histories(seed: int, tally: Tally) -> None:
    simulate(HistoriesOfSpark, tally, seed=seed, histories=min(MANY, AT_A_TIME))
