"""How a signal ends the process: one line, the right exit code, and nothing that could hang."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT = 128
"""What a shell adds to the number of the signal that ended a command."""
GRACE = 3.0
"""How many seconds a run has after a signal to remove what it has not finished."""

_once = threading.Lock()


def obey() -> None:
    """Let signals end the process from now on, wherever it is."""
    watch()
    for number in SIGNALS:
        signal.signal(number, _end)


def _end(number: int, _: FrameType | None) -> None:
    end(number)


def end(number: int) -> NoReturn:
    """End the process because of a signal, and say so.

    No other thread and no lock is waited for, nothing is flushed, and logging is left alone: any of
    them may be held by what the signal has interrupted.
    """
    if _once.acquire(blocking=False):
        name = signal.Signals(number).name
        _say(f"ERROR: stopped by {name}; run again to go on from the last STATE\n".encode())
    os._exit(EXIT + number)


def _say(line: bytes) -> None:
    """Write a line to standard error, unless nobody reads it."""
    # A pipe that takes anything takes a line whole.
    with suppress(OSError, ValueError):
        _, is_free, _ = select.select([], [sys.__stderr__], [], 0)
        if is_free and sys.__stderr__:
            os.write(sys.__stderr__.fileno(), line)


def watch() -> None:
    """End the process some time after a signal, even where its handler cannot.

    Python runs a handler in the main thread. A signal that comes just before that thread waits for
    a lock does not wake it, and what the handler raises may leave a lock held that the end needs.
    """
    told, tell = socket.socketpair()
    tell.setblocking(False)  # noqa: FBT003 - named by nobody
    signal.set_wakeup_fd(tell.detach(), warn_on_full_buffer=False)

    def wait() -> None:
        while (number := told.recv(1)[0]) not in SIGNALS:
            pass
        time.sleep(GRACE)
        end(number)

    threading.Thread(target=wait, name="signals", daemon=True).start()
