"""The Airbyte source, killed at any moment under a platform that keeps each stream's last state."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.airbyte import Message, configured, states_of
from tests.support.api_rows import ALL_KEYS, Row, Tables
from tests.support.builders import DEFAULT_STREAMS
from tests.support.forks import Forks, forking
from tests.support.pipe import PATIENCE
from tests.support.tally import Tally
from tests.support.trials import Trial, lives

pytestmark = pytest.mark.heavy

PROGRAM = """
import tap_llamaclassify.airbyte.source
from tests.support import victims
main = victims.source
"""


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    """A process that has imported the source, and runs it in forks."""
    with forking(PROGRAM, tmp_path) as running:
        yield running


@dataclass
class Platform(Trial):
    """A platform that upserts rows, and keeps a state once it has the rows before it.

    Attributes:
        rows: What it has.
        kept: The last state of each stream.
    """

    rows: Tables = field(default_factory=lambda: {name: {} for name in DEFAULT_STREAMS})
    kept: Row = field(default_factory=dict)

    def sync(self, forks: Forks, page: int | None = None, share: float = 1) -> int:
        """Run the source; return its exit code.

        Args:
            forks: What runs it.
            page: The page before which it is killed.
            share: Which part of the lines the platform takes before it is killed, too.
        """
        words = ["read"]
        files: dict[str, object] = {
            "config": self.settings(),
            "catalog": configured(*DEFAULT_STREAMS),
            "state": states_of(self.kept),
        }
        for name, content in files.items():
            path = self.folder / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            words += [f"--{name}", str(path)]
        out = self.folder / "messages"
        process = forks.start(words, stdout=out, stderr=self.folder / "log")
        pages = 0

        def before_page(_: int) -> None:
            nonlocal pages
            pages += 1
            if pages == page:
                process.kill()

        self.sandbox.before_page = before_page
        try:
            code = process.wait(PATIENCE)
        finally:
            self.sandbox.before_page = None
            process.kill()
        lines = out.read_bytes().split(b"\n")[:-1]
        for line in lines[: round(share * len(lines))]:
            self._take(json.loads(line))
        if code == 0:
            self.requests = max(4, pages)
        return code

    def _take(self, message: Message) -> None:
        match message:
            case {"type": "RECORD", "record": {"stream": stream, "data": row}}:
                self.rows[stream][tuple(row[key] for key in ALL_KEYS[stream])] = row
            case {"type": "STATE", "state": {"stream": its}}:
                self.kept[its["stream_descriptor"]["name"]] = its["stream_state"]


def test_rows_equal_the_api_when_the_source_is_killed(
    forks: Forks, tmp_path: Path, tally: Tally
) -> None:
    for seed, many in lives(8):
        platform = Platform(tmp_path / f"{seed}", seed)
        dice, killed = platform.dice, 0
        with platform.noted():
            while killed < many:
                platform.prepare()
                page, share = dice.randint(1, platform.requests), dice.choice([1, 1, dice.random()])
                platform.told.append((page, share))
                code = platform.sync(forks, page, share)
                # One that came to its end too early for that is not counted.
                assert code in {0, -signal.SIGKILL}
                killed += code != 0
                if killed == many or dice.random() < 0.4:
                    assert platform.sync(forks) == 0
                    platform.assert_shown(platform.rows)
        tally("SIGKILLs of source-llamaclassify", killed)
