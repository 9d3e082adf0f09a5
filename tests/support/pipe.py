"""A tap and a loader in processes of their own, and a pump between them that can kill either."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from subprocess import Popen, TimeoutExpired
from typing import IO

from tests.support.forks import Fork

CHUNK = 1 << 16
PATIENCE = 300
"""Seconds after which a run that has not ended never will."""

Victims = frozenset[str]


@dataclass(frozen=True)
class Moment:
    """When to kill whom: after so many bytes have gone through the pipe, or so many seconds.

    `flushing` is how many seconds into the loader's last flush, should the run get that far.
    """

    victims: Victims
    after_bytes: int | None = None
    after_seconds: float | None = None
    flushing: float = 0.0


@dataclass
class Pipe:
    """A tap and a loader at work, and what is pumped between them."""

    tap: Popen[bytes] | Fork
    loader: Popen[bytes] | Fork
    _shot: bool = False
    _is_stuck: bool = False

    @property
    def was_killed(self) -> bool:
        """Whether either did not come to its own end."""
        return -signal.SIGKILL in {self.tap.returncode, self.loader.returncode}

    def kill(self, victims: Victims) -> None:
        """Send SIGKILL to those of them that are still running."""
        for name in sorted(victims):
            process: Popen[bytes] | Fork = getattr(self, name)
            if process.poll() is None:
                process.kill()
                self._shot = True

    def run(self, moment: Moment | None) -> None:
        """Run to the end, kills included.

        Raises:
            AssertionError: There is none.
        """
        watch = threading.Timer(PATIENCE, self._give_up)
        watch.start()
        try:
            self._run(moment)
        finally:
            watch.cancel()
        assert not self._is_stuck, f"after {PATIENCE} s the tap or the loader was still at work"

    def _give_up(self) -> None:
        self._is_stuck = True
        self.kill(frozenset({"tap", "loader"}))

    def _run(self, moment: Moment | None) -> None:
        timer = threading.Timer(0, lambda: None)
        if moment and moment.after_seconds is not None:
            timer = threading.Timer(moment.after_seconds, self.kill, [moment.victims])
        timer.start()
        self._pump(moment.after_bytes if moment else None)
        if moment and moment.after_bytes is not None:
            self.kill(moment.victims)
        self._pump(None)
        for end in (self.tap.stdout, self.loader.stdin):
            close(end)
        timer.cancel()
        timer.join()
        self.tap.wait()
        if moment and not self._shot:
            self._kill_while_it_flushes(moment.flushing)
        self.loader.wait()

    def _kill_while_it_flushes(self, seconds: float) -> None:
        try:
            self.loader.wait(timeout=seconds)
        except TimeoutExpired:
            self.kill(frozenset({"loader"}))

    def _pump(self, limit: int | None) -> None:
        """Pass bytes on until there are none, nobody takes them, or so many have gone through."""
        source, sink = self.tap.stdout, self.loader.stdin
        assert source
        assert sink
        passed = 0
        try:
            while limit is None or passed < limit:
                room = CHUNK if limit is None else min(CHUNK, limit - passed)
                chunk = os.read(source.fileno(), room)
                if not chunk:
                    return
                sink.write(chunk)
                sink.flush()
                passed += len(chunk)
        except (BrokenPipeError, ValueError):
            # As the tap would see it without a pump: the loader's end is closed.
            source.close()


def close(end: IO[bytes] | None) -> None:
    """Close one end of a pipe, though nobody may be left at the other."""
    try:
        if end:
            end.close()
    except BrokenPipeError:
        pass
