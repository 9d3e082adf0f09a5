"""What a tap or a loader meets in a process that is forked for it: a clock that jumps, a full disk.

All of it comes by the environment; see `Fork`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import Any

from typing_extensions import override

from tap_llamaclassify import __main__
from tap_llamaclassify.airbyte import command
from tap_llamaclassify.http.pacing import Clock
from tap_llamaclassify.replication import window_plan, windows
from tap_llamaclassify.singer import batches, storage, writers
from tests.support import small_loader
from tests.support.windows import LOOKS, PLAN

CLOCK = "TRIAL_CLOCK"
"""The file that says by how many seconds the machine's clock is wrong."""
DISK = "TRIAL_DISK"
"""A folder on a disk that is full after so many bytes: `bytes:folder`."""
OUTPUT = "TRIAL_OUTPUT"
"""The file, on that disk, that standard output is to go to."""
PAGE = 4096
_NEW_NAMESPACE, _PRIVATE = 0x00020000, 1 << 18 | 1 << 14


def tap(_: list[str]) -> None:
    """Run the tap, with windows that a few jobs fill."""
    _have_small_windows()
    if path := os.environ.get(CLOCK):
        _go_by(Path(path))
    with _small_disk():
        __main__.main()


def source(words: list[str]) -> int:
    """Run the Airbyte source, with such windows."""
    _have_small_windows()
    return command.main(words)


def _have_small_windows() -> None:
    for name, value in PLAN.items():
        setattr(window_plan, name, value)
    for name in LOOKS:
        setattr(windows, name, 1)


def loader(words: list[str]) -> int:
    """Run the loader."""
    with _small_disk():
        return small_loader.main(words)


def set_clock(path: Path, seconds: float) -> None:
    """Let a machine's clock be wrong by so much from now on."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    # In one piece, for others read it meanwhile.
    os.pwrite(file, struct.pack("d", seconds), 0)
    os.close(file)


def _go_by(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)

    def wrong_by() -> float:
        seconds: float = struct.unpack("d", os.pread(file, 8, 0))[0]
        return seconds

    class Wrong(datetime):
        """What the machine's clock says."""

        @classmethod
        @override
        def now(cls, tz: tzinfo | None = None) -> Wrong:
            return super().now(tz) + timedelta(seconds=wrong_by())

    class WrongTime:
        time = staticmethod(lambda: time.time() + wrong_by())

    def now(_: Clock) -> datetime:
        return Wrong.now(UTC)

    changes: dict[Any, dict[str, Any]] = {
        Clock: {"now": now},
        batches: {"datetime": Wrong},
        writers: {"datetime": Wrong},
        storage: {"time": WrongTime},
    }
    for owner, its in changes.items():
        for name, value in its.items():
            setattr(owner, name, value)


@cache
def can_mount() -> bool:
    """Return whether a process may have a disk of its own; else its files may not grow."""
    if sys.platform != "linux" or os.geteuid():
        return False
    words = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/tmp"]  # noqa: S108 - its own
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


@contextmanager
def _small_disk() -> Iterator[None]:
    room, _, folder = os.environ.get(DISK, "").partition(":")
    if not folder:
        yield
    elif can_mount():
        with _mounted(int(room), Path(folder)):
            yield
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), int(room)))
        _write_to_file()
        yield


@contextmanager
def _mounted(room: int, folder: Path) -> Iterator[None]:
    """Have a disk of so many bytes over a folder, which has at the end what was on it."""
    libc = ctypes.CDLL(None, use_errno=True)
    below = Path(f"/proc/self/fd/{os.open(folder, os.O_RDONLY | os.O_DIRECTORY)}")
    # What is there takes whole pages, and a little for each file.
    size = room + sum(path.stat().st_size // PAGE * PAGE + 2 * PAGE for path in folder.iterdir())
    options = f"size={size}".encode()
    for failed in (
        libc.unshare(_NEW_NAMESPACE),
        libc.mount(b"none", b"/", None, _PRIVATE, None),
        libc.mount(b"none", os.fsencode(folder), b"tmpfs", 0, options),
    ):
        if failed:
            raise OSError(ctypes.get_errno(), "no disk of its own")
    _copy(below, folder)
    _write_to_file()
    try:
        yield
    finally:
        for path in below.iterdir():
            path.unlink()
        _copy(folder, below)


def _copy(source: Path, target: Path) -> None:
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)


def _write_to_file() -> None:
    if path := os.environ.get(OUTPUT):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
