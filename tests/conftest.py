"""A sandbox to read from, and the command line in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builders import Output, parse
from sandbox.server import Sandbox
from sandbox.world import World

ROOT = Path(__file__).parent.parent
TALLY = pytest.StashKey[Counter[str]]()
COMMAND = shutil.which("tap-llamaclassify", path=Path(sys.executable).parent) or ""


Tally = Callable[[str, int], None]


@pytest.fixture
def tally(pytestconfig: pytest.Config) -> Tally:
    """Count what was tried, for the figures at the end: `tally("inputs fuzzed", 1)`."""

    def count(what: str, times: int) -> None:
        pytestconfig.stash[TALLY][what] += times

    return count


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = Counter()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures, and write them where RELIABILITY says."""
    tally = dict(config.stash[TALLY])
    if not tally:
        return
    tally["divergences"] = sum(
        len(terminalreporter.stats.get(outcome, ())) for outcome in ("failed", "error")
    )
    terminalreporter.section("tried")
    for what, times in tally.items():
        terminalreporter.write_line(f"{what:40} {times:>12,}")
    if path := os.environ.get("RELIABILITY"):
        Path(path).write_text(json.dumps(tally, indent=2) + "\n", encoding="utf-8")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run an API whose world is empty and whose clock stands still."""
    with Sandbox(World.empty()) as running:
        yield running


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(
            ("LLAMA_", "TAP_LLAMACLASSIFY_", "SINGER_SDK_", "LOGLEVEL", "PYTHONUNB")
        ):
            monkeypatch.delenv(name)
    # The sandbox is on this machine; no proxy is to come between.
    monkeypatch.setenv("NO_PROXY", "*")


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> Output:
        """The Singer messages that it wrote."""
        return parse(self.stdout)

    @property
    def errors(self) -> list[str]:
        """The texts of its ERROR lines."""
        return [line.split("|", 3)[3].strip() for line in self.lines("ERROR")]

    def lines(self, level: str) -> list[str]:
        """Answer the log lines of a level."""
        return [line for line in self.stderr.splitlines() if f"| {level}" in line]


Command = Callable[..., Ended]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `tap-llamaclassify` in a process of its own; dictionaries become files."""

    def run(*arguments: Any, env: dict[str, str] | None = None, timeout: float = 60) -> Ended:
        words = [_word(argument, tmp_path / f"{i}.json") for i, argument in enumerate(arguments)]
        ended = subprocess.run(
            [COMMAND, *words],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            encoding="utf-8",
            env=os.environ | (env or {}),
            stdin=subprocess.DEVNULL,
            timeout=timeout,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


def _word(argument: Any, path: Path) -> str:
    if isinstance(argument, dict | list):
        path.write_text(json.dumps(argument), encoding="utf-8")
        return str(path)
    return str(argument)


@pytest.fixture
def config(sandbox: Sandbox) -> dict[str, Any]:
    """Settings for the sandbox, without retries."""
    return {"api_url": sandbox.url, "api_key": sandbox.key, "retry_seconds": 0}
