"""The JSON Schema of each stream: the file that bears its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_PACKAGE = Path(__file__).parents[1]


def schema_of(stream: str) -> dict[str, Any]:
    """Read a stream's JSON Schema."""
    schema: dict[str, Any] = json.loads((schema_folder() / f"{stream}.json").read_bytes())
    return schema


def schema_folder() -> Path:
    """Find the schemas: inside the package when it was installed, beside it in a checkout."""
    packaged = _PACKAGE / "schemas"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "schemas"
