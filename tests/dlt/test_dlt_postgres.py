"""The dlt source into a PostgreSQL of the test's own: what lands is what the API shows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import dlt
import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.dlt_source import llamaclassify
from tests.support.api_rows import ALL_KEYS, api_shows
from tests.support.builders import ALL_STREAMS
from tests.support.loaders import AWKWARD, AWKWARD_V2, EVERYTHING, ODD, check_two_runs, put_awkward
from tests.support.postgres import HOST, USER, running_server, tables_of
from tests.support.runs import config_of

pytestmark = pytest.mark.heavy


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run an API that has v1 and v2 jobs, awkward ones among them."""
    history = History(jobs=400, v2_jobs=400, days=30, unknown_fields=0.2)
    with Sandbox(World(history)) as running:
        put_awkward(running, AWKWARD, ODD, v2=AWKWARD_V2)
        yield running


@pytest.mark.usefixtures("_own_folder")
def test_all_tables_equal_the_api_cell_by_cell_after_each_of_two_runs(sandbox: Sandbox) -> None:
    with running_server() as server:
        address = f"postgresql://{USER}:none@{HOST}:{server.port}/{USER}"
        pipeline = dlt.pipeline(
            "llamaclassify",
            destination=dlt.destinations.postgres(address),
            dataset_name="llamacloud",
        )

        def run() -> None:
            source = llamaclassify(**config_of(sandbox), **EVERYTHING)
            pipeline.run(source.with_resources(*ALL_STREAMS))

        landed = partial(tables_of, server, USER, ALL_KEYS)
        check_two_runs(sandbox, run, landed, partial(api_shows, sandbox), said="—\\N")
