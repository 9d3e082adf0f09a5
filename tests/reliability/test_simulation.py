"""A world that moves, runs that fail and are killed: in the end the warehouse is the world.

`HISTORIES` and `SEED` say how many histories are made up, and from which seed on.
"""

from __future__ import annotations

import os

import pytest

from tests.support.histories import AT_A_TIME, SEED, Histories, HistoriesOfPositions, simulate
from tests.support.tally import Tally

A_FEW = 24
MANY = int(os.environ.get("HISTORIES", "600"))


def test_warehouse_holds_what_the_api_shows_after_any_history(tally: Tally) -> None:
    simulate(Histories, tally, seed=SEED, histories=A_FEW)


def test_nothing_but_jobs_that_shifting_pages_pass_over_can_be_missed(tally: Tally) -> None:
    simulate(HistoriesOfPositions, tally, seed=SEED, histories=A_FEW // 4)


def seeds(histories: int) -> range:
    """Return the seeds of as many tests as it takes."""
    return range(SEED, SEED + -(-histories // AT_A_TIME))


@pytest.mark.heavy
@pytest.mark.parametrize("seed", seeds(MANY))
def test_warehouse_holds_what_the_api_shows_after_many_histories(seed: int, tally: Tally) -> None:
    simulate(Histories, tally, seed=seed, histories=min(MANY, AT_A_TIME))


@pytest.mark.heavy
@pytest.mark.parametrize("seed", seeds(MANY // 4))
def test_nothing_but_passed_over_jobs_is_missed_in_many_histories(seed: int, tally: Tally) -> None:
    simulate(HistoriesOfPositions, tally, seed=seed, histories=min(MANY // 4, AT_A_TIME))
