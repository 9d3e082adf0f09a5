"""Work in forks of this process: a few at once, each with a folder and a time of its own."""

from __future__ import annotations

import math
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

TOO_LONG = -signal.SIGALRM
"""The exit code of work that was ended because its time was up."""
BROKEN = 70
"""The exit code of work that raised something."""


NOTHING = 0.1
"""Seconds of a processor that are no work, but a look at whether there is any."""


@dataclass(frozen=True)
class Work:
    """What is to be done in a fork.

    Attributes:
        name: Names the work.
        run: Does it; returns an exit code. What it says last, with the function that it is given,
            is known even if it is killed.
        seconds: It is killed after.
        idle: Or when it has waited that many seconds, and done nothing, on a system that tells.
    """

    name: str
    run: Callable[[Callable[[str], None]], int]
    seconds: float
    idle: float = math.inf


@dataclass(frozen=True)
class Done:
    """Work that has ended: its name, its exit code, less than 0 for a signal, and its last word."""

    name: str
    code: int
    said: str


def in_forks(works: Iterable[Work], at_once: int) -> Generator[Done]:
    """Run works, which are asked for when there is room for one; say which has ended."""
    running: dict[int, _Running] = {}
    try:
        for work in works:
            running.update([_begun(work)])
            while len(running) >= at_once:
                yield _ended(running)
        while running:
            yield _ended(running)
    finally:
        for number in running:
            os.kill(number, signal.SIGKILL)
        while running:
            _ended(running)


@dataclass
class _Running:
    work: Work
    folder: Path
    until: float
    is_late: bool = False
    used: float = 0.0
    since: float = field(default_factory=time.monotonic)

    def must_end(self, process: int) -> bool:
        """Tell whether its time is up, or it has waited for too long."""
        now, used = time.monotonic(), _processor_time(process)
        if used - self.used > NOTHING:
            self.used, self.since = used, now
        return now > min(self.until, self.since + self.work.idle)


def _begun(work: Work) -> tuple[int, _Running]:
    folder = Path(tempfile.mkdtemp(prefix="mutant-"))
    sys.stdout.flush()
    process = os.fork()
    if not process:
        # pytest's temporary folders, which nobody would remove.
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
        code = BROKEN
        try:
            code = work.run(lambda text: _say(folder, text))
        finally:
            os._exit(code)
    return process, _Running(work, folder, time.monotonic() + work.seconds)


def _processor_time(process: int) -> float:
    """Return the seconds that a process has kept a processor; only Linux tells."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return time.monotonic()
    # After the name, which may hold anything, and eleven others.
    user, system = stat.read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _say(folder: Path, text: str) -> None:
    (folder / "said").write_text(text, encoding="utf-8")


def _status(process: int) -> tuple[int, int] | None:
    """Return a process that has ended, and how; None while it runs."""
    # By its number, for this process may have other children.
    number, status = os.waitpid(process, os.WNOHANG)
    return (number, status) if number else None


def _ended(running: dict[int, _Running]) -> Done:
    while not (found := next(filter(None, map(_status, running)), None)):
        for number, each in running.items():
            if not each.is_late and each.must_end(number):
                each.is_late = True
                os.kill(number, signal.SIGKILL)
        time.sleep(0.02)
    process, status = found
    ended = running.pop(process)
    said = ended.folder / "said"
    text = said.read_text(encoding="utf-8") if said.exists() else ""
    shutil.rmtree(ended.folder, ignore_errors=True)
    code = TOO_LONG if ended.is_late else os.waitstatus_to_exitcode(status)
    return Done(ended.work.name, code, text)
