"""The promises through the front for Python: killed at any batch, the tables are the world.

`HISTORIES` and `SEED` say how many histories are made up, and from which seed on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from unittest import mock

import pytest
from typing_extensions import override

from tap_llamaclassify import History, record_batches
from tap_llamaclassify.errors import TapError
from tap_llamaclassify.tables.columns import Kind, kind_of
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.timestamps import from_datetime
from tests.reliability.test_simulation_v2 import HistoriesOfV2
from tests.support.histories import AT_A_TIME, SEED, Plan, simulate
from tests.support.simulated import ClientClock, Row
from tests.support.tally import Tally
from tests.support.windows import small_windows

A_FEW = 20
MANY = int(os.environ.get("HISTORIES", "120"))


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    small_windows(monkeypatch)
    # What is given up after 30 days is a limit, tested elsewhere.
    monkeypatch.setattr("tap_llamaclassify.replication.unfinished.DAYS", 3650)


def sent(table: str, row: Row) -> Row:
    """Write a row as the tap writes it."""
    columns = schema_of(table)["properties"]
    kinds = {name: kind_of(columns[name]) for name in row}
    return {name: _sent(kinds[name], value) for name, value in row.items()}


def _sent(kind: Kind, value: Any) -> Any:
    if isinstance(value, datetime):
        return from_datetime(value)
    return json.loads(value) if kind is Kind.JSON and value is not None else value


class HistoriesOfPython(HistoriesOfV2):
    """One history of v2 jobs, read by `History`; what is worked on stays, and the state with it."""

    @override
    def written(self, plan: Plan, config: Mapping[str, Any]) -> tuple[str, TapError | None]:
        settings = {"api_url": self.sandbox.url, "api_key": self.sandbox.key, **config}
        tables, messages, error = [*plan.selected], [], None
        clock = ClientClock(self.life, self.wrong_by)
        with mock.patch("tap_llamaclassify.http.client.Clock", return_value=clock):
            # Some runs leave windows to the next; the last one does not.
            is_last = plan == Plan(frozenset(self.streams))
            max_jobs = None if is_last or self.order_of_pages % 2 else 4
            history = History(settings, tables=tables, state=self.loader.state, max_jobs=max_jobs)
            batches = record_batches(settings, tables=tables) if plan.full else iter(history)
            try:
                for table, batch in batches:
                    messages.append({"type": "STATE", "value": history.state})
                    messages += [
                        {"type": "RECORD", "stream": table, "record": sent(table, row)}
                        for row in batch.to_pylist()
                    ]
            except TapError as failure:
                error = failure
        messages.append({"type": "STATE", "value": history.state})
        return "\n".join(map(json.dumps, messages)), error


def test_tables_hold_all_v2_jobs_after_any_history(tally: Tally) -> None:
    simulate(HistoriesOfPython, tally, seed=SEED, histories=A_FEW)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(SEED, SEED + -(-MANY // AT_A_TIME)))
def test_tables_hold_all_v2_jobs_after_many_histories(seed: int, tally: Tally) -> None:
    simulate(HistoriesOfPython, tally, seed=seed, histories=min(MANY, AT_A_TIME))
