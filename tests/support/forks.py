"""Processes that begin as forks of one that has imported all they need, and can be killed.

To start such a process takes a hundredth of what it takes to start the command, so that hundreds
can be killed in minutes. What a kill hits while modules are imported is tested by the commands.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tests.support.commands import ROOT

A_LOOK = 0.05
"""Seconds until who waits for a process looks again, for another thread may have seen its end."""

_SERVER = """
import json, os, socket, sys, traceback

control = socket.socket(fileno=int(sys.argv[1]))
{prelude}
control.sendall(b"0\\n")
while True:
    text, files, *_ = socket.recv_fds(control, 1 << 20, 3)
    if not text:
        break
    words, environment = json.loads(text)
    child = os.fork()
    if not child:
        code = 1
        try:
            control.close()
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            os.environ.clear()
            os.environ.update(environment)
            sys.argv[1:] = words
            code = main(words) or 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except OSError:
                    code = code or 1
            os._exit(code)
    for file in files:
        os.close(file)
    control.sendall(b"%d\\n" % child)
    control.sendall(b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


class Fork:
    """A process that runs, as far as `subprocess.Popen` would tell of it."""

    def __init__(
        self, replies: socket.SocketIO, stdin: IO[bytes] | None, stdout: IO[bytes] | None
    ) -> None:
        self._replies = replies
        self.pid = int(replies.readline())
        self.stdin, self.stdout = stdin, stdout
        self.returncode: int | None = None
        # Whoever kills it may be another thread than who waits for it.
        self._turn = threading.Lock()

    def poll(self) -> int | None:
        """Return the exit code, a signal's being negative; None while it runs."""
        with self._turn:
            if self.returncode is None and select.select([self._replies], [], [], 0)[0]:
                self.returncode = int(self._replies.readline())
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code.

        Raises:
            subprocess.TimeoutExpired: It goes on.
        """
        end = time.monotonic() + (math.inf if timeout is None else timeout)
        while (code := self.poll()) is None:
            if (left := end - time.monotonic()) <= 0:
                raise subprocess.TimeoutExpired("a fork", timeout or 0)
            select.select([self._replies], [], [], min(left, A_LOOK))
        return code

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.poll() is None:
            # It may end on its own this very moment.
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Forks:
    """A process that forks: one child at a time."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        # Without a buffer: whether there is more is asked of the socket.
        self.replies = control.makefile("rb", buffering=0)
        assert self.replies.readline() == b"0\n"

    def start(
        self,
        words: Sequence[str],
        *,
        stderr: Path,
        stdout: Path | None = None,
        takes_input: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Fork:
        """Fork; the child runs `main` with words.

        Args:
            words: Its arguments.
            stderr: The file for what it says.
            stdout: The file for what it writes; None for a pipe.
            takes_input: Whether its input is a pipe; else there is none.
            environment: What is added to the environment, which is this process's of now.
        """
        given, its_input = os.pipe() if takes_input else (os.open(os.devnull, os.O_RDONLY), None)
        its_output = None
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        if stdout is None:
            its_output, out = os.pipe()
        else:
            out = os.open(stdout, flags)
        files = [given, out, os.open(stderr, flags)]
        told = json.dumps([[*words], {**os.environ, **(environment or {})}])
        socket.send_fds(self._control, [told.encode()], files)
        for file in files:
            os.close(file)
        return Fork(
            self.replies,
            os.fdopen(its_input, "wb") if its_input is not None else None,
            os.fdopen(its_output, "rb") if its_output is not None else None,
        )


@contextmanager
def forking(prelude: str, folder: Path) -> Iterator[Forks]:
    """Start a process that forks.

    Args:
        prelude: Python that imports all that is needed, and defines `main(words)`.
        folder: Where it works.
    """
    ours, theirs = socket.socketpair()
    code = _SERVER.replace("{prelude}", prelude)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        ours,
        subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno())],
            cwd=folder,
            env=environment,
            pass_fds=[theirs.fileno()],
        ) as process,
    ):
        theirs.close()
        try:
            forks = Forks(ours)
            with forks.replies:
                yield forks
        finally:
            process.kill()
