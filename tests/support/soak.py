"""`make soak`: every simulation and trial of every front, round after round, each with new seeds.

One file tells what was tried, from which seed on, and on what; docs/reliability.md shows it. The
first divergence ends it, with the command that shows it again; so does whoever interrupts it. What
its finished parts counted is written then, too.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

from tests.support.commands import ROOT
from tests.support.commit import checkout_commit
from tests.support.marked import end_marked
from tests.support.soak_parts import ONCE, SEEDED, Part
from tests.support.tally import DIVERGENCES

FILE = ROOT / "docs" / "reliability.json"
A_ROUND = 1_000
"""Seeds that a round may use."""
KILLS = "SIGKILLs"
TALLY = "RELIABILITY"
"""The variable of the environment that names the file in which tests count."""
PATIENCE = 1_800
"""Seconds that a part may take, many times what the longest does; else it hangs."""


class DivergedError(Exception):
    """A part has failed."""


@dataclass
class Soak:
    """Rounds, until the time is over.

    Attributes:
        seed: Of the first round.
        hours: Until when a further round begins.
        commit: What is tried.
        tried: What each part has counted.
        rounds: How many were run to their end.
        running: What marks the processes of each part that runs now.
        is_over: Whether a part has failed, or somebody has had enough.
        turn: Who begins a part, or ends all.
    """

    seed: int
    hours: float
    commit: str
    tried: dict[Part, Counter[str]] = field(default_factory=dict)
    rounds: int = 0
    began: float = field(default_factory=time.monotonic)
    running: set[str] = field(default_factory=set)
    is_over: bool = False
    turn: threading.Lock = field(default_factory=threading.Lock)

    @property
    def has_time(self) -> bool:
        """Whether there is time for more."""
        return time.monotonic() - self.began < self.hours * 3_600

    def run(self) -> None:
        """Run all parts once, then those with seeds again and again.

        Raises:
            DivergedError: One has failed.
        """
        try:
            self._round((*SEEDED, *ONCE))
            while self.has_time:
                self._round(SEEDED)
        finally:
            self.write()

    def _round(self, parts: Iterable[Part]) -> None:
        seed = self.seed + self.rounds * A_ROUND
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            ThreadPoolExecutor(os.cpu_count()) as workers,
        ):
            ways = (self._way_of(part, seed, Path(folder)) for part in parts)
            try:
                futures = [workers.submit(way.run) for way in ways]
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                self.end()
                raise
        self.rounds += 1

    def end(self) -> None:
        """Begin nothing more, and end what runs still."""
        with self.turn:
            self.is_over = True
            for mark in self.running:
                end_marked(mark)

    def _way_of(self, part: Part, seed: int, folder: Path) -> Way:
        return Way(self, part, seed, folder / str(abs(hash(part))))

    def write(self) -> None:
        """Write the file."""
        tried: Counter[str] = Counter()
        for part in (*SEEDED, *ONCE):
            tried.update(self.tried.get(part, {}))
        divergences = tried.pop(DIVERGENCES, 0)
        in_order = dict(sorted(tried.items(), key=lambda each: not each[0].startswith(KILLS)))
        kills = sum(times for what, times in tried.items() if what.startswith(KILLS))
        told = {
            "seed": self.seed,
            "commit": self.commit,
            "hours": round((time.monotonic() - self.began) / 3_600, 2),
            "rounds": self.rounds,
            "cores": os.cpu_count(),
            "machine": f"{platform.system()}, Python {platform.python_version()}",
            "tried": {f"{KILLS}, all": kills, **in_order, DIVERGENCES: divergences},
        }
        FILE.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


@dataclass
class Way:
    """One part, from one seed on."""

    soak: Soak
    part: Part
    seed: int
    folder: Path

    def run(self) -> None:
        """Run it, and count what it tried.

        Raises:
            DivergedError: It has failed.
        """
        tally, log = self.folder.with_suffix(".json"), self.folder.with_suffix(".log")
        began = time.monotonic()
        code = self._run(tally, log)
        if self.soak.is_over and code != 0:
            return
        tried = json.loads(tally.read_bytes()) if tally.exists() else {}
        if code != 0:
            tried[DIVERGENCES] = max(1, tried.get(DIVERGENCES, 0))
        self.soak.tried.setdefault(self.part, Counter()).update(tried)
        if code != 0:
            sys.stdout.write(log.read_text(encoding="utf-8", errors="replace"))
            how = f"has not ended in {PATIENCE} s" if code is None else "does not hold"
            message = f"this {how}: {self.shown}"
            raise DivergedError(message)
        took = time.monotonic() - began
        sys.stdout.write(f"{took:6.0f} s  {_summary(self.part, self.seed, tried)}\n")
        sys.stdout.flush()

    @property
    def shown(self) -> str:
        """The command, with what the environment tells it."""
        numbers = self.part.numbers(self.seed)
        return shlex.join([*(f"{n}={v}" for n, v in numbers.items()), *self._command])

    @property
    def _command(self) -> list[str]:
        return self.part.command(self.folder)

    def _run(self, tally: Path, log: Path) -> int | None:
        """Run the part; where it counts marks the environment of all that it starts.

        Returns:
            Its exit code; None if it did not end in time, or was not to begin.
        """
        mark = f"{TALLY}={tally}"
        environment = os.environ | self.part.numbers(self.seed) | {TALLY: str(tally)}
        with log.open("wb") as said, self.soak.turn:
            if self.soak.is_over:
                return None
            self.soak.running.add(mark)
            # Of a session of its own: who interrupts a soak does not interrupt a test.
            process = Popen(
                self._command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            return process.wait(PATIENCE)
        except TimeoutExpired:
            return None
        finally:
            end_marked(mark)
            process.wait()
            with self.soak.turn:
                self.soak.running.discard(mark)


def _summary(part: Part, seed: int, tried: Mapping[str, Any]) -> str:
    counted = ", ".join(f"{times:,} {what}" for what, times in tried.items() if times)
    return f"{' '.join(part.tests)} from {seed} on: {counted}"


def main() -> int:
    """Soak for as many hours as the words say.

    Returns:
        The exit code: 1 after a divergence, 130 if it was interrupted.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    seed = int(os.environ.get("SEED") or f"{datetime.now(UTC):%Y%m%d}")
    try:
        Soak(seed, float(sys.argv[1]), checkout_commit()).run()
    except DivergedError as error:
        sys.stderr.write(f"soak: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("soak: interrupted\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
