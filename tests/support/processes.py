"""The tap in a process that a test can signal."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.builders import Output, parse
from tests.support.commands import COMMAND, words_of


@contextmanager
def started(
    folder: Path,
    *arguments: Any,
    env: Mapping[str, str] | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command and leave it running, its output in the files `stdout` and `stderr`.

    It goes elsewhere if told so. Dictionaries become files. The command is killed at the end,
    should it still be running.
    """
    words = words_of(arguments, folder, "started ")
    with (
        (folder / "stdout").open("wb") as out,
        (folder / "stderr").open("wb") as err,
        subprocess.Popen(
            [COMMAND, *words],
            stdout=stdout or out,
            stderr=stderr or err,
            env=os.environ | (env or {}),
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def whole_lines(folder: Path) -> Output:
    """Read the lines that a command has written to their end."""
    return parse((folder / "stdout").read_bytes().rpartition(b"\n")[0].decode())
