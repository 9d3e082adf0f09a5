"""Processes that are known by a mark in their environment, whoever of them started whom."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def marked(mark: str) -> list[int]:
    """Return the ids of the processes that run and have `NAME=value` in their environment.

    Where there is no `/proc`, none is found.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        # It may have ended meanwhile, or be somebody else's.
        with suppress(OSError):
            if os.fsencode(mark) in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def end_marked(mark: str) -> None:
    """Send SIGKILL to such processes until there are none, for they may begin others meanwhile."""
    while found := marked(mark):
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
