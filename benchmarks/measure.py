"""What a command takes, as the operating system accounts for it once it has ended.

`python -m benchmarks.measure COMMAND ...` runs it from a process that is small itself, because a
process begins with the peak memory of the one that starts it.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cost:
    """What one command took.

    Attributes:
        wall: Seconds from its start to its end.
        cpu: Seconds of processor time, of all its threads, user and system.
        peak: The most memory it held at once, in MiB.
    """

    wall: float
    cpu: float
    peak: float


def cost_of(command: Sequence[str]) -> Cost:
    """Run a command to its end, with its output thrown away.

    Raises:
        RuntimeError: It failed; the text is the last line that it wrote to standard error.
    """
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure", *command],
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
    )
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip().rpartition("\n")[2] or f"exit {ended.returncode}")
    return Cost(**json.loads(ended.stdout))


def main() -> int:
    """Run a command and write what it took as JSON. The exit code is the command's."""
    started = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    cost = Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    sys.stdout.write(json.dumps(asdict(cost)))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
