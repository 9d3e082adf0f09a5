"""Lines on standard output: written whole and at once, so that none can overtake another."""

from __future__ import annotations

import os
import sys

from tap_llamaclassify.errors import LoaderGoneError, OutputError

LOADER_GONE = "the loader has closed the pipe: see what it says of that, and run again"


def write(lines: bytes) -> None:
    """Write lines.

    Raises:
        OutputError: Nobody takes them.
    """
    if sys.stdout is None:
        raise OutputError("standard output is closed")
    try:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise LoaderGoneError(LOADER_GONE) from None
    except OSError as error:
        raise OutputError(f"cannot write to standard output: {error.strerror}") from None


def let_go() -> None:
    """Where nobody takes what is left, let the interpreter flush it into nothing when it ends."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
