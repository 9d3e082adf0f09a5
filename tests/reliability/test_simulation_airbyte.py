"""The promises through the Airbyte source: killed at any line, what was loaded is the world.

`HISTORIES` and `SEED` say how many histories are made up, and from which seed on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from random import Random
from typing import Any
from unittest import mock

import pytest
from typing_extensions import override

from tap_llamaclassify.airbyte.catalog import configured
from tap_llamaclassify.airbyte.source import Read
from tap_llamaclassify.config.settings import parse_settings
from tap_llamaclassify.errors import TapError
from tests.reliability.test_simulation_v2 import HistoriesOfV2
from tests.support import airbyte
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


class HistoriesOfAirbyte(HistoriesOfV2):
    """One history of v2 jobs; the platform keeps the last state of each stream."""

    @override
    def written(self, plan: Plan, config: Mapping[str, Any]) -> tuple[str, TapError | None]:
        settings = parse_settings(
            {"api_url": self.sandbox.url, "api_key": self.sandbox.key, **config}
        )
        dice = Random(self.order_of_pages)  # noqa: S311 - histories repeat
        mode = "full_refresh" if plan.full else "incremental"
        more = dice.choice([{}, {"generation_id": 0}, {"generation_id": 1}])
        streams = configured(airbyte.configured(*plan.selected, mode=mode, **more))
        kept = {**(self.loader.state or {}).get("bookmarks", {})}
        clock, lines = ClientClock(self.life, self.wrong_by), list[bytes]()
        error = None
        with (
            mock.patch("tap_llamaclassify.http.client.Clock", return_value=clock),
            mock.patch("tap_llamaclassify.airbyte.source.Clock", return_value=clock),
            mock.patch("tap_llamaclassify.command.standard_output.write", lines.append),
        ):
            try:
                Read(settings, streams, airbyte.states_of(kept)).run()
            except TapError as failure:
                error = failure
        messages = [json.loads(line) for line in b"".join(lines).splitlines()]
        return "\n".join(json.dumps(_as_singer(each, kept)) for each in messages), error


def _as_singer(message: Row, kept: Row) -> Row:
    """Write a message as the loader of the simulation knows it."""
    match message:
        case {"type": "RECORD", "record": {"stream": stream, "data": row}}:
            return {"type": "RECORD", "stream": stream, "record": row}
        case {"type": "STATE", "state": {"stream": its}}:
            kept[its["stream_descriptor"]["name"]] = its["stream_state"]
            return {"type": "STATE", "value": {"bookmarks": {**kept}}}
        case _:
            return {"type": message["type"]}


def test_what_is_loaded_is_all_v2_jobs_after_any_history(tally: Tally) -> None:
    simulate(HistoriesOfAirbyte, tally, seed=SEED, histories=A_FEW)


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(SEED, SEED + -(-MANY // AT_A_TIME)))
def test_what_is_loaded_is_all_v2_jobs_after_many_histories(seed: int, tally: Tally) -> None:
    simulate(HistoriesOfAirbyte, tally, seed=seed, histories=min(MANY, AT_A_TIME))
