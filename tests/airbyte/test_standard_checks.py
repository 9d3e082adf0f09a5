"""The five checks that Airbyte's own suite makes of every source, and what it counts as passed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.airbyte import configured, source
from tests.support.builders import ALL_STREAMS
from tests.support.runs import config_of


@pytest.fixture(scope="module")
def config() -> Any:
    """Run an API with jobs of both versions; return the settings for it."""
    with Sandbox(World(History(jobs=10, v2_jobs=20))) as sandbox:
        yield config_of(sandbox, fetch_results=True)


def test_spec_is_one_message_and_the_command_ends_well(tmp_path: Path) -> None:
    said = source(tmp_path, "spec")
    assert ([message["type"] for message in said.messages], said.code) == (["SPEC"], 0)


def test_check_is_one_status_and_the_command_ends_well(config: Any, tmp_path: Path) -> None:
    said = source(tmp_path, "check", config=config)
    assert said.of_type("CONNECTION_STATUS") == [{"status": "SUCCEEDED"}]
    assert said.code == 0


def test_discover_is_one_catalog_with_streams(config: Any, tmp_path: Path) -> None:
    said = source(tmp_path, "discover", config=config)
    (catalog,) = said.of_type("CATALOG")
    assert said.code == 0
    assert len(catalog["streams"]) == len(ALL_STREAMS)


def test_full_refresh_of_all_that_is_discovered_brings_records_of_every_stream(
    config: Any, tmp_path: Path
) -> None:
    (catalog,) = source(tmp_path, "discover", config=config).of_type("CATALOG")
    asked = {
        "streams": [
            {
                "stream": stream,
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append",
            }
            for stream in catalog["streams"]
        ]
    }
    said = source(tmp_path, "read", config=config, catalog=asked)
    assert said.code == 0
    assert [name for name in ALL_STREAMS if not said.rows(name)] == []


def test_stream_that_is_not_there_is_an_error_trace_and_no_record(
    config: Any, tmp_path: Path
) -> None:
    catalog = configured("__AIRBYTE__stream_that_does_not_exist", mode="incremental")
    said = source(tmp_path, "read", config=config, catalog=catalog)
    assert said.error["message"].startswith("catalog: there is no stream")
    assert said.of_type("RECORD") == []
