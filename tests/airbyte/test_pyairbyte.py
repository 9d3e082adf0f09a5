"""A real PyAirbyte runs the source into its DuckDB cache; Airbyte's models read its messages."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
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
from tests.support.tally import Tally
from tests.support.trials import SEED, trials

pytestmark = pytest.mark.heavy

PYAIRBYTE = "airbyte==0.71.0"
MODELS = "airbyte-protocol-models-dataclasses==0.18.0 serpyco-rs==1.23.0"
SOURCE = Path(sys.executable).with_name("source-llamaclassify")
PATIENCE = 300
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


class PyAirbyte:
    """PyAirbyte in an environment of its own, with a cache in a file."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self._folder = folder
        self._python = installed("pyairbyte", PYAIRBYTE) / "bin" / "python"
        self._cache = folder / "cache.duckdb"

    def start(self) -> subprocess.Popen[str]:
        """Begin a sync, in a group of processes of its own."""
        return subprocess.Popen(
            [
                *(self._python, "-c", SYNC, SOURCE, json.dumps(config_of(self._sandbox))),
                *(self._cache, json.dumps(STREAMS)),
            ],
            cwd=self._folder,
            env=os.environ | {"DO_NOT_TRACK": "1", "AIRBYTE_OFFLINE_MODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )

    def run(self) -> int:
        """Sync; return how many records that took."""
        with self.start() as process:
            said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, said
        return int(said.split()[-1])

    def is_killed(self, *, at_page: int, whole: bool) -> bool:
        """Sync, and kill the source before it gets a page, or PyAirbyte with it."""
        pages = itertools.count()
        process = self.start()

        def kill(_: int) -> None:
            if next(pages) == at_page:
                if whole:
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    kill_those_below(process.pid, SOURCE.name)

        self._sandbox.before_page = kill
        with process:
            process.communicate(timeout=PATIENCE)
        self._sandbox.before_page = None
        return process.returncode != 0 and next(pages) > at_page

    def assert_equals_the_world(self) -> None:
        """Make sure that the cache has each job once, as the API shows it."""
        world, project = self._sandbox.world, self._sandbox.project_id
        shown = {
            "classify_v2_jobs": {job["id"]: job["status"] for job in world.v2_jobs(project)},
            "classify_jobs": {job["id"]: job["status"] for job in world.jobs(project)},
        }
        with duckdb.connect(str(self._cache), read_only=True) as cache:
            for table, rows in shown.items():
                found = cache.table(f"llamacloud.{table}").project("id, status").fetchall()
                assert len(found) == len(rows)
                assert dict(found) == rows


def kill_those_below(parent: int, command: str) -> None:
    """Kill a process's children that run a command."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_text()
            its = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if its == parent and command in words:
                os.kill(int(path.name), signal.SIGKILL)


@pytest.fixture
def pyairbyte(sandbox: Sandbox, tmp_path: Path) -> PyAirbyte:
    """Install PyAirbyte; return it with an empty cache."""
    return PyAirbyte(sandbox, tmp_path)


def test_pyairbyte_fills_its_cache_and_goes_on_from_its_last_state_also_after_kills(
    sandbox: Sandbox, pyairbyte: PyAirbyte, tally: Tally
) -> None:
    dice, kills = Random(SEED), trials(2)  # noqa: S311 - it is to repeat
    ways = dice.sample([True, False], 2)
    assert kills >= len(ways), "TRIALS must be 2 or more, so that both are killed"
    first = 0
    for kill in range(kills):
        page, whole = dice.randint(1, 4), ways[kill % 2]
        assert pyairbyte.is_killed(at_page=page, whole=whole), (page, whole)
        if not kill:
            first = pyairbyte.run()
            pyairbyte.assert_equals_the_world()
        sandbox.world.advance(86_400)
    tally("SIGKILLs of PyAirbyte, or of its source", kills)
    sandbox.world.advance(3600)
    assert pyairbyte.run() < first / 3
    pyairbyte.assert_equals_the_world()


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
