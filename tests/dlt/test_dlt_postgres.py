"""The dlt source into a PostgreSQL of the test's own: what lands is what the API shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import dlt
import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.dlt_source import llamaclassify
from tests.support.api_rows import ALL_KEYS, Tables, api_shows
from tests.support.builders import ALL_STREAMS
from tests.support.loaders import AWKWARD, AWKWARD_V2, EVERYTHING, ODD, check_two_runs, put_awkward
from tests.support.postgres import HOST, USER, Server, running_server, tables_of
from tests.support.runs import config_of

pytestmark = pytest.mark.heavy


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run an API that has v1 and v2 jobs, awkward ones among them."""
    history = History(jobs=400, v2_jobs=400, days=30, unknown_fields=0.2)
    with Sandbox(World(history)) as running:
        running.settings.data_points_reach = "bounds"
        put_awkward(running, AWKWARD, ODD, v2=AWKWARD_V2)
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


def without_empty_texts(tables: Tables) -> Tables:
    """Put nulls in place of texts that are empty."""
    return {
        name: {
            key: {column: None if value == "" else value for column, value in row.items()}
            for key, row in rows.items()
        }
        for name, rows in tables.items()
    }


@pytest.mark.usefixtures("_own_folder")
@pytest.mark.parametrize(
    ("file_format", "as_landed"),
    # As CSV, which dlt prefers, empty texts become nulls.
    [(None, without_empty_texts), ("insert_values", dict)],
)
def test_all_tables_equal_the_api_cell_by_cell_after_each_of_two_runs(
    file_format: Any,
    as_landed: Callable[[Tables], Tables],
    sandbox: Sandbox,
    server: Server,
) -> None:
    database = f"of_{file_format}".lower()
    server.query(f"CREATE DATABASE {database}")
    pipeline = dlt.pipeline(
        "llamaclassify",
        destination=dlt.destinations.postgres(
            f"postgresql://{USER}:none@{HOST}:{server.port}/{database}"
        ),
        dataset_name="llamacloud",
    )

    def run() -> None:
        source = llamaclassify(**config_of(sandbox), **EVERYTHING).with_resources(*ALL_STREAMS)
        pipeline.run(source, loader_file_format=file_format)

    landed = partial(tables_of, server, database, ALL_KEYS)
    check_two_runs(sandbox, run, landed, lambda: as_landed(api_shows(sandbox)), said="—\\N")
