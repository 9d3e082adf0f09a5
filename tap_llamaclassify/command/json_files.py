"""Files that a command line names: they are read as JSON, or one line says why they cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.nesting import is_too_deep


def read_text(option: str, path: str) -> str:
    """Read a file.

    Raises:
        SettingsError: It is missing, or cannot be read.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{option}: cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise SettingsError(f"{option}: {path} is no text") from None


def parsed(option: str, text: str) -> Any:
    """Read a file's text as JSON.

    Raises:
        SettingsError: It is none.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise SettingsError(f"{option}: the file is no JSON{where}") from None
    except RecursionError:
        raise SettingsError(f"{option}: the file is nested too deeply") from None
    if is_too_deep(content):
        raise SettingsError(f"{option}: the file is nested too deeply")
    return content


def json_object(option: str, text: str) -> dict[str, Any]:
    """Read a file's text as a JSON object.

    Raises:
        SettingsError: It holds something else.
    """
    content = parsed(option, text)
    if not isinstance(content, dict):
        raise SettingsError(f"{option}: the file holds no JSON object")
    return content
