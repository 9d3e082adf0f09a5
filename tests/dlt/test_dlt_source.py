"""The dlt source into DuckDB: what lands is what the API shows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import api_shows
from tests.support.dlt_pipelines import Warehouse, stay_in
from tests.support.loaders import AWKWARD_V2, check_two_runs, put_awkward
from tests.support.loaders import AWKWARD

NUL = AWKWARD | {"rules": [{"type": "nul", "description": "\x00"}, *AWKWARD["rules"]]}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    history = History(jobs=400, v2_jobs=400, days=30, unknown_fields=0.2)
    with Sandbox(World(history)) as running:
        put_awkward(running, NUL, v2=AWKWARD_V2)
        yield running


@pytest.fixture
def warehouse(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    stay_in(tmp_path, monkeypatch)
    return Warehouse(sandbox, tmp_path)


def test_all_tables_equal_the_api_cell_by_cell_after_each_of_two_runs(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    check_two_runs(sandbox, warehouse.run_all, warehouse.tables, partial(api_shows, sandbox))
