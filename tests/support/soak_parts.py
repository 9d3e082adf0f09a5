"""What `make soak` runs: which tests, and how much of each there is in a round."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SPARK = Path(os.environ.get("WITH_SPARK", ".venvs/spark-4.3.0")) / "bin" / "python"


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
    Part((f"{RELIABILITY}/test_kills.py",), trials=6),
    Part((STREAM, "-k", "killed_driver"), trials=2, is_of_spark=True),
    Part(WORKERS, trials=4, is_of_spark=True),
    Part(("tests/airbyte/test_pyairbyte.py", "-k", "kills"), trials=3),
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
