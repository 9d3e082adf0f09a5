"""The one line that a user is told of an error, whatever it is; no key is in it."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from tap_llamaclassify.command.standard_output import LOADER_GONE
from tap_llamaclassify.errors import TapError

LONGEST_LINE = 1000
_KEY = re.compile(r"llx-\S+")
"""What a LlamaCloud key looks like: it may stand where the name of a setting should."""


def text_of(error: Exception) -> str:
    """Say what happened."""
    match error:
        case TapError():
            return str(error)
        case BrokenPipeError():
            return LOADER_GONE
        case OSError():
            return f"cannot read or write a file: {error.strerror}"
    # Its own text may hold anything, a document's among it.
    at = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(at.filename).name}, line {at.lineno}"
    return f"this is a defect of the tap: {type(error).__name__} in {where}"


def one_line(text: str) -> str:
    """Make one line of a text, not too long, and without a key."""
    return _KEY.sub("llx-***", " ".join(text.split()))[:LONGEST_LINE]
