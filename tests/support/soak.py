"""`make soak`: every simulation and trial of every front, round after round, each with new seeds.

One file tells what was tried, from which seed on, and on what; docs/reliability.md shows it. The
first divergence ends it, with the command that shows it again.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from subprocess import Popen
from typing import Any

from tests.support.commands import ROOT
from tests.support.commit import checkout_commit
from tests.support.tally import DIVERGENCES

FILE = ROOT / "docs" / "reliability.json"
SPARK = Path(os.environ.get("WITH_SPARK", ".venvs/spark-4.3.0")) / "bin" / "python"
A_ROUND = 1_000
"""Seeds that a round may use."""
KILLS = "SIGKILLs"


@dataclass(frozen=True)
class Part:
    """Some tests, and how much of each there is in a round.

    Attributes:
        tests: What pytest is given.
        trials: How many trials.
        histories: How many histories.
        is_of_spark: Whether it needs the environment that has Spark.
    """

    tests: Sequence[str]
    trials: int = 0
    histories: int = 0
    is_of_spark: bool = False

    def command(self, folder: Path) -> list[str]:
        """Return what runs it, with a folder for what it makes."""
        python = str(SPARK) if self.is_of_spark else sys.executable
        options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}"]
        return [python, "-m", "pytest", *options, *self.tests]

    def numbers(self, seed: int) -> dict[str, str]:
        """Return what the environment tells it."""
        numbers = {"SEED": seed, "TRIALS": self.trials, "HISTORIES": self.histories}
        return {name: str(number) for name, number in numbers.items() if number}


RELIABILITY, HEAVY = "tests/reliability", ("-m", "heavy")
TRIALS = f"{RELIABILITY}/test_trials.py"
STREAM = "tests/spark_local/test_spark_stream_local.py"
WORKERS = ("tests/spark_local/test_spark_batch.py", STREAM, "-k", "worker_that_is_killed")

SEEDED = (
    Part((f"{RELIABILITY}/test_kills.py",), trials=4),
    Part((STREAM, "-k", "killed_driver"), trials=1, is_of_spark=True),
    Part(WORKERS, trials=4, is_of_spark=True),
    Part(("tests/airbyte/test_pyairbyte.py", "-k", "kills"), trials=2),
    Part(("tests/dlt/test_dlt_kills.py",), trials=24),
    Part((TRIALS, "-k", "are_killed"), trials=96),
    Part(("tests/airbyte/test_airbyte_kills.py",), trials=48),
    Part((TRIALS, "-k", "loader_dies"), trials=28),
    Part((TRIALS, "-k", "disk_is_full"), trials=28),
    Part((TRIALS, "-k", "clock_jumps"), trials=16),
    Part((f"{RELIABILITY}/test_simulation.py", *HEAVY), histories=48),
    Part((f"{RELIABILITY}/test_simulation_v2.py", *HEAVY), histories=12),
    Part((f"{RELIABILITY}/test_simulation_many.py", *HEAVY), histories=16),
    Part((f"{RELIABILITY}/test_simulation_context.py", *HEAVY), histories=16),
    Part((f"{RELIABILITY}/test_simulation_python.py", *HEAVY), histories=12),
    Part((f"{RELIABILITY}/test_simulation_airbyte.py", *HEAVY), histories=12),
    Part((f"{RELIABILITY}/test_simulation_dlt.py", *HEAVY), histories=5),
    Part((f"{RELIABILITY}/test_simulation_spark.py", *HEAVY), histories=12),
    Part(("tests/singer/test_batches.py", "-k", "killed_at_any_moment"), trials=6),
)
"""What each round tries from another seed on; what takes long is first."""
ONCE = (
    Part((f"{RELIABILITY}/test_positions.py",)),
    Part((f"{RELIABILITY}/test_faults.py",)),
    Part((f"{RELIABILITY}/test_hostile.py", "-k", "whatever_comes_in")),
)
"""What knows no seeds."""


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
        running: What runs now.
        is_over: Whether a part has failed.
    """

    seed: int
    hours: float
    commit: str
    tried: dict[Part, Counter[str]] = field(default_factory=dict)
    rounds: int = 0
    began: float = field(default_factory=time.monotonic)
    running: list[Popen[str]] = field(default_factory=list)
    is_over: bool = False

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
            tempfile.TemporaryDirectory() as folder,
            ThreadPoolExecutor(os.cpu_count()) as workers,
        ):
            ways = (self._way_of(part, seed, Path(folder)) for part in parts)
            futures = [workers.submit(way.run) for way in ways]
            done, others = wait(futures, return_when=FIRST_EXCEPTION)
            for other in others:
                other.cancel()
            self.end()
            for future in done:
                future.result()
        self.rounds += 1

    def end(self) -> None:
        """End what runs still, because a part has failed."""
        self.is_over = bool(self.running)
        for process in self.running:
            process.terminate()

    def _way_of(self, part: Part, seed: int, folder: Path) -> Way:
        return Way(self, part, seed, folder / str(abs(hash(part))))

    def write(self) -> None:
        """Write the file."""
        tried: Counter[str] = Counter()
        for part in (*SEEDED, *ONCE):
            tried.update(self.tried.get(part, {}))
        divergences = tried.pop(DIVERGENCES, 0)
        kills = sum(times for what, times in tried.items() if what.startswith(KILLS))
        told = {
            "seed": self.seed,
            "commit": self.commit,
            "hours": round((time.monotonic() - self.began) / 3_600, 2),
            "rounds": self.rounds,
            "cores": os.cpu_count(),
            "machine": f"{platform.system()}, Python {platform.python_version()}",
            "tried": {f"{KILLS}, all": kills, **tried, DIVERGENCES: divergences},
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
        tally = self.folder.with_suffix(".json")
        numbers = self.part.numbers(self.seed)
        command, began = self.part.command(self.folder), time.monotonic()
        with Popen(
            command,
            cwd=ROOT,
            env=os.environ | numbers | {"RELIABILITY": str(tally)},
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            self.soak.running.append(process)
            said, _ = process.communicate()
            self.soak.running.remove(process)
        if self.soak.is_over:
            return
        tried = json.loads(tally.read_bytes()) if tally.exists() else {}
        if process.returncode:
            tried[DIVERGENCES] = max(1, tried.get(DIVERGENCES, 0))
        self.soak.tried.setdefault(self.part, Counter()).update(tried)
        if process.returncode:
            sys.stdout.write(said)
            shown = shlex.join([*(f"{n}={v}" for n, v in numbers.items()), *command])
            message = f"this does not hold: {shown}"
            raise DivergedError(message)
        took = time.monotonic() - began
        sys.stdout.write(f"{took:6.0f} s  {_summary(self.part, self.seed, tried)}\n")
        sys.stdout.flush()


def _summary(part: Part, seed: int, tried: Mapping[str, Any]) -> str:
    counted = ", ".join(f"{times:,} {what}" for what, times in tried.items() if times)
    return f"{' '.join(part.tests)} from {seed} on: {counted}"


def commit() -> str:
    """Return the checkout's commit, and whether it has been changed since."""
    return checkout_commit()


def main() -> int:
    """Soak for as many hours as the words say; the exit code is 1 after a divergence."""
    seed = int(os.environ.get("SEED") or f"{datetime.now(UTC):%Y%m%d}")
    try:
        Soak(seed, float(sys.argv[1]), commit()).run()
    except DivergedError as error:
        sys.stderr.write(f"soak: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
