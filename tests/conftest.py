"""A sandbox to read from, the command line in a process of its own, and a net for secrets."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.command import standard_output
from tests.support.builders import job
from tests.support.commands import COMMAND, ROOT, Command, Ended, ended, words_of
from tests.support.forks import Forks, forking
from tests.support.runs import config_of, put
from tests.support.tally import DIVERGENCES, Tally

collect_ignore = [] if importlib.util.find_spec("pyspark") else ["spark_local"]
"""What needs Spark has an environment of its own, in which `make test-spark` runs it."""
TALLY = pytest.StashKey[Counter[str]]()


@pytest.fixture
def tally(pytestconfig: pytest.Config) -> Tally:
    """Count what was tried, for the figures at the end: `tally("inputs fuzzed", 1)`."""

    def count(what: str, times: int) -> None:
        pytestconfig.stash[TALLY][what] += times

    return count


IS_KEY = re.compile(r"llx-\w[-\w]*")
"""What every key of the sandbox and of the tests looks like, and nothing that the tap writes."""


def refuse_key(text: str | bytes | None, where: str) -> None:
    """Fail when a key stands in what was written.

    Raises:
        AssertionError: Says where.
    """
    written = text.decode(errors="replace") if isinstance(text, bytes) else text or ""
    if found := IS_KEY.search(written):
        around = written[max(0, found.start() - 100) : found.end() + 20]
        raise AssertionError(f"a key stands in {where}: {around!r}")


@pytest.fixture(autouse=True, scope="session")
def _net() -> Iterator[None]:
    """Look for keys in whatever any tap writes in this process, and in what processes write.

    The sandbox prints its keys: that is how they come to its users.
    """
    write, communicate = standard_output.write, subprocess.Popen.communicate

    def watched_write(lines: bytes) -> None:
        refuse_key(lines, "standard output")
        write(lines)

    def watched_communicate(process: Any, *arguments: Any, **options: Any) -> Any:
        texts = communicate(process, *arguments, **options)
        words = [process.args] if isinstance(process.args, str) else [*map(str, process.args)]
        if not {"llamacloud_sandbox", "demo"} & {*words}:
            for text in texts:
                refuse_key(text, f"the output of {words}")
        return texts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standard_output, "write", watched_write)
        patch.setattr(subprocess.Popen, "communicate", watched_communicate)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look for keys in what pytest captured of a test: its output, its log."""
    report = yield
    try:
        for name, text in report.sections:
            if name.endswith(call.when):
                refuse_key(text, name)
    except AssertionError as error:
        report.outcome, report.longrepr = "failed", str(error)
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let what takes minutes begin first, so that no process is alone with it at the end."""
    items.sort(key=lambda item: not item.path.name.startswith("test_simulation"))


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TALLY] = Counter()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand a process's figures to the one that shows them."""
    tally: Counter[str] = session.config.stash[TALLY]
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tally"] = dict(tally)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the figures of a process that has ended."""
    node.config.stash[TALLY].update(getattr(node, "workeroutput", {}).get("tally", {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures, and write them where RELIABILITY says."""
    counted = config.stash[TALLY]
    tally = dict(counted)
    if not tally:
        return
    if DIVERGENCES in tally:
        tally[DIVERGENCES] = tally.pop(DIVERGENCES)
    terminalreporter.section("tried")
    for what, times in tally.items():
        terminalreporter.write_line(f"{what:40} {times:>12,}")
    if path := os.environ.get("RELIABILITY"):
        Path(path).write_text(json.dumps(tally, indent=2) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def _meltano_to_itself() -> Iterator[None]:
    """Let only one process of tests use the checkout's Meltano, which keeps catalogs in files."""
    folder = ROOT / ".venvs"
    folder.mkdir(exist_ok=True)
    with (folder / "meltano.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


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


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this machine's clock show New York's time."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run `tap-llamaclassify` in a process of its own; dictionaries become files."""

    def run(*arguments: Any, env: dict[str, str] | None = None, timeout: float = 60) -> Ended:
        words = [COMMAND, *words_of(arguments, tmp_path)]
        return ended(words, cwd=tmp_path, env=os.environ | (env or {}), timeout=timeout)

    return run


@pytest.fixture(scope="session")
def _forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    imports = """
import tap_llamaclassify.singer.sync, tap_llamaclassify.singer.tap
from tap_llamaclassify.__main__ import main as command

def main(words):
    command()
"""
    with forking(imports, tmp_path_factory.mktemp("forking")) as forks:
        yield forks


@pytest.fixture
def quick_command(_forks: Forks, tmp_path: Path) -> Command:
    """Run `tap-llamaclassify` as `command` does, in a fork of a process that has imported it."""
    files = [tmp_path / "fork's stdout", tmp_path / "fork's stderr"]

    def run(*arguments: Any, env: dict[str, str] | None = None) -> Ended:
        words = words_of(arguments, tmp_path)
        stdout, stderr = files
        code = _forks.start(words, stdout=stdout, stderr=stderr, environment=env).wait()
        texts = [file.read_bytes().decode() for file in files]
        for text in texts:
            refuse_key(text, f"the output of {words}")
        return Ended(code, *texts)

    return run


@pytest.fixture
def config(sandbox: Sandbox) -> dict[str, Any]:
    """Settings for the sandbox, without retries."""
    return config_of(sandbox)


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """Run an API with unknown fields, misfits, texts of all kinds and jobs without this or that."""
    with Sandbox(World(History(jobs=60, unknown_fields=0.2))) as sandbox:
        put(
            sandbox,
            job("nulls", **dict.fromkeys(["rules", "parsing_configuration", "status"])),
            job("misfits", created_at="soon", mode=5, rules=["text", {"type": 1}]),
            job("config", parsing_configuration={"target_pages": [], "ocr": {"deep": [1, {}]}}),
            job("texts", error_message='quote " \\ 日本 🦙 \x00\n', extra={"": [None, 1.5, True]}),
        )
        yield sandbox
