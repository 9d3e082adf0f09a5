"""Whether a connection works: each key tried once, and each API that it is for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tap_llamaclassify.command.error_lines import one_line
from tap_llamaclassify.config.connections import resolve_connections
from tap_llamaclassify.config.settings import parse_settings
from tap_llamaclassify.errors import TapError
from tap_llamaclassify.replication.check import check
from tap_llamaclassify.tables.tables import BY_DEFAULT


def status_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Try every connection; what is there of v2 and v1 decides."""
    try:
        settings = parse_settings(config)
        connections = resolve_connections(settings, os.environ)
    except TapError as error:
        return _failed(str(error))
    checked = check(connections, settings.parallel_connections)
    texts = [
        text
        for each in checked
        for text in each.unreadable(BY_DEFAULT, require_all=settings.require_all)[0]
    ]
    if texts:
        return _failed("; ".join(texts))
    return {"status": "SUCCEEDED"}


def _failed(text: str) -> dict[str, str]:
    return {"status": "FAILED", "message": one_line(text)}
