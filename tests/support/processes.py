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
    folder: Path, *arguments: Any, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command and leave it running, its output in the files `stdout` and `stderr`.

    Dictionaries become files. It is killed at the end, should it still be.
    """
    words = words_of(arguments, folder, "started ")
    with (
        (folder / "stdout").open("wb") as stdout,
        (folder / "stderr").open("wb") as stderr,
        subprocess.Popen(
            [COMMAND, *words], stdout=stdout, stderr=stderr, env=os.environ | (env or {})
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def whole_lines(folder: Path) -> Output:
    """Read the lines that a command has written to their end."""
    return parse((folder / "stdout").read_bytes().rpartition(b"\n")[0].decode())
