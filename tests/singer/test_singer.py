"""singer-sdk's own suite, and whole outputs compared with golden files.

`UPDATE_GOLDEN=1 pytest tests/singer/test_singer.py` writes the golden files anew; read
the difference.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from singer_sdk.testing import get_tap_test_class

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import Clock
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.singer.tap import TapLlamaClassify
from tests.support.builders import ALL_STREAMS, catalog_with, job
from tests.support.commands import ROOT, Command
from tests.support.runs import config_of, select

GOLDEN = ROOT / "tests" / "golden"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


PORT = _free_port()
"""The suite wants its configuration when its class is made, before there is a server."""


@pytest.fixture(scope="module")
def _suite_sandbox() -> Iterator[None]:
    with Sandbox(World(History(jobs=120, v2_jobs=120)), port=PORT) as sandbox:
        rule = {"type": "invoice", "description": "has a number", "weight": 1}
        config = {"lang": "en", "max_pages": 1, "target_pages": [0], "ocr": True}
        sandbox.world.put(job("new", rules=[rule], parsing_configuration=config, priority=1))
        yield


@pytest.mark.usefixtures("_suite_sandbox")
class TestStandardSuite(
    get_tap_test_class(  # type: ignore[misc] # made when it is called
        TapLlamaClassify,
        config={
            "api_url": f"http://127.0.0.1:{PORT}",
            "api_key": "llx-sandbox-1",
            "fetch_results": True,
            "fetch_usage": True,
        },
    )
):
    """Every stream, none excused."""


def steady(output: str) -> str:
    """Take away what differs between runs: when rows were extracted and read, and the version."""
    output = re.sub(r'"time_extracted":"[^"]*"', '"time_extracted":"…"', output)
    output = re.sub(r'"last_read_at":"[^"]*"', '"last_read_at":"…"', output)
    return re.sub(r'"version":\d+', '"version":0', output)


def by_name(catalog: str) -> str:
    """Bring each entry's parts, but not what is in them, into an order of their own."""
    entries = json.loads(catalog)["streams"]
    return json.dumps([dict(sorted(entry.items())) for entry in entries], indent=1)


def compare(name: str, output: str, of: Callable[[str], str] = str) -> None:
    path = GOLDEN / name
    if "UPDATE_GOLDEN" in os.environ:
        path.write_text(steady(output), encoding="utf-8")
    assert of(steady(output)) == of(path.read_text(encoding="utf-8"))


@pytest.fixture
def seeded() -> Iterator[Sandbox]:
    """Run an API whose jobs are the same every time."""
    world = World(History(seed=7, jobs=8, days=3, unknown_fields=0.3), clock=Clock(NEW_YEAR))
    with Sandbox(world) as sandbox:
        yield sandbox


def test_catalog_is_the_golden_one(command: Command) -> None:
    compare("catalog.json", command("--discover").stdout, of=by_name)


def test_first_and_incremental_syncs_are_the_golden_ones(seeded: Sandbox, command: Command) -> None:
    first = command("--config", config_of(seeded, page_size=3))
    compare("first_sync.jsonl", first.stdout)
    seeded.world.advance(12 * 3600)
    second = command("--config", config_of(seeded, page_size=3), "--state", first.output.state)
    compare("incremental_sync.jsonl", second.stdout)


def test_full_table_sync_is_the_golden_one(seeded: Sandbox, command: Command) -> None:
    catalog = json.loads(command("--discover").stdout)
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"
    config = config_of(seeded, page_size=3, emit_activate_version_messages=True)
    compare("full_table_sync.jsonl", command("--config", config, "--catalog", catalog).stdout)


def test_odd_jobs_sync_is_the_golden_one(sandbox: Sandbox, command: Command) -> None:
    sandbox.settings.order = "oldest"
    odd: list[dict[str, Any]] = [
        {"id": "bare"},
        job("nulls", **dict.fromkeys(["rules", "parsing_configuration", "status", "created_at"])),
        job("empty", rules=[], parsing_configuration={}),
        job("new words", status="PAUSED", mode="SLOW", parsing_configuration={"lang": "tlh"}),
        job("misfits", created_at="soon", mode=5, rules=["text", {"type": 1, "weight": 2}]),
        job("more misfits", parsing_configuration={"max_pages": "ten", "target_pages": [1, "a"]}),
        job("wrong shapes", rules="text", parsing_configuration="fast"),
        job("offset", updated_at="2026-11-01T09:00:00+02:00"),
        job("unknown", priority={"level": 2**70}, tags=["a"]),
    ]
    for each in odd:
        sandbox.world.put_raw(each | {"project_id": "p"})
    compare("odd_jobs_sync.jsonl", command("--config", config_of(sandbox, page_size=3)).stdout)


def test_sync_of_every_stream_is_the_golden_one(command: Command) -> None:
    history = History(seed=7, jobs=4, v2_jobs=6, days=3, unknown_fields=0.3)
    with Sandbox(World(history, clock=Clock(NEW_YEAR))) as sandbox:
        catalog = select(sandbox, *ALL_STREAMS)
        config = config_of(sandbox, page_size=3, fetch_results=True, fetch_usage=True)
        first = command("--config", config, "--catalog", catalog)
        compare("every_stream_first_sync.jsonl", first.stdout)
        sandbox.world.advance(2 * 24 * 3600)
        second = command("--config", config, "--catalog", catalog, "--state", first.output.state)
        compare("every_stream_incremental_sync.jsonl", second.stdout)


def test_sync_of_two_connections_is_the_golden_one(command: Command) -> None:
    history = History(seed=7, jobs=9, v2_jobs=9, days=3)
    with Sandbox(World(history, clock=Clock(NEW_YEAR))) as sandbox:
        catalog = catalog_with(sandbox, classify_v2_jobs={"selected": True})
        one, other, _ = sandbox.keys.values()
        config = {
            "api_url": sandbox.url,
            "connections": [{"name": "emea", "api_key": one}, {"name": "apac", "api_key": other}],
            # Side by side, lines come in another order each time.
            "parallel_connections": 1,
        }
        ended = command("--config", config, "--catalog", catalog)
    compare("two_connections_sync.jsonl", ended.stdout)
