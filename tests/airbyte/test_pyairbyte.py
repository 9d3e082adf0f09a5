"""A real PyAirbyte runs the source into its DuckDB cache; Airbyte's models read its messages."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.airbyte import configured, source
from tests.support.builders import ALL_STREAMS
from tests.support.commands import ROOT, ran
from tests.support.loaders import installed
from tests.support.runs import config_of

pytestmark = pytest.mark.heavy

PYAIRBYTE = "airbyte==0.71.0"
MODELS = "airbyte-protocol-models-dataclasses==0.18.0 serpyco-rs==1.23.0"
SOURCE = Path(sys.executable).with_name("source-llamaclassify")
STREAMS = ("classify_v2_jobs", "classify_jobs", "classify_projects", "classify_usage")

SYNC = """
import json, sys
import airbyte
from airbyte.caches import DuckDBCache

executable, config, file, streams = sys.argv[1:]
source = airbyte.get_source(
    "source-llamaclassify", config=json.loads(config), local_executable=executable
)
source.check()
source.select_streams(json.loads(streams))
print(source.read(cache=DuckDBCache(db_path=file, schema_name="llamacloud")).processed_records)
"""

READ = """
import json, sys
from airbyte_protocol_dataclasses.models import AirbyteMessage
from serpyco_rs import Serializer

serializer = Serializer(AirbyteMessage, omit_none=True)
lines = open(sys.argv[1], "rb").read().splitlines()
print(len([serializer.load(json.loads(line)) for line in lines]))
"""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run an API with a history of both versions that goes on."""
    with Sandbox(World(History(jobs=60, v2_jobs=150, unknown_fields=0.2))) as running:
        yield running


def test_pyairbyte_fills_its_cache_and_goes_on_from_its_state(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    python = installed("pyairbyte", PYAIRBYTE) / "bin" / "python"
    file = tmp_path / "cache.duckdb"
    config = json.dumps(config_of(sandbox))
    quiet = os.environ | {"DO_NOT_TRACK": "1", "AIRBYTE_OFFLINE_MODE": "1"}
    moved = []
    for _ in range(2):
        said = ran(
            [python, "-c", SYNC, SOURCE, config, file, json.dumps(STREAMS)], cwd=tmp_path, env=quiet
        )
        moved.append(int(said.split()[-1]))
        world, project = sandbox.world, sandbox.project_id
        shown = {
            "classify_v2_jobs": {job["id"]: job["status"] for job in world.v2_jobs(project)},
            "classify_jobs": {job["id"]: job["status"] for job in world.jobs(project)},
        }
        with duckdb.connect(str(file), read_only=True) as cache:
            for table, rows in shown.items():
                found = cache.table(f"llamacloud.{table}").project("id, status").fetchall()
                assert len(found) == len(rows)
                assert dict(found) == rows
        world.advance(86_400)
    assert moved[1] < moved[0] / 3


def test_airbytes_own_models_take_every_message(sandbox: Sandbox, tmp_path: Path) -> None:
    config = config_of(sandbox, fetch_results=True)
    python = installed("airbyte-models", MODELS) / "bin" / "python"
    for words in (("spec",), ("check",), ("discover",), ("read",)):
        files: dict[str, Any] = {"config": config} if words != ("spec",) else {}
        if words == ("read",):
            files |= {"catalog": configured(*ALL_STREAMS), "state": []}
        said = source(tmp_path, *words, **files)
        assert said.code == 0
        lines = tmp_path / "messages.jsonl"
        lines.write_text("\n".join(json.dumps(message) for message in said.messages))
        assert ran([python, "-c", READ, lines], cwd=ROOT).strip() == str(len(said.messages))
