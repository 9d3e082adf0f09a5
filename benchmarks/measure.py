"""What a command takes, as the operating system accounts for it once it has ended."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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


def cost_of(command: Sequence[str], env: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end, with its output thrown away.

    Raises:
        RuntimeError: It failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=os.environ | dict(env or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
