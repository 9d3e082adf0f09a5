"""Messages of Airbyte's protocol on standard output, a line each."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from typing_extensions import override

from tap_llamaclassify.command import standard_output
from tap_llamaclassify.errors import OutputError
from tap_llamaclassify.json_text import encoder

LEVELS = {"CRITICAL": "FATAL", "WARNING": "WARN"}
"""What Airbyte calls levels that Python calls otherwise."""
NO_CURSOR = {"__ab_no_cursor_state_message": True}
"""What a stream's state is when nothing goes on from it: the platform counts by it all the same."""


def write(*messages: Mapping[str, Any]) -> None:
    """Write messages, all at once.

    Raises:
        OutputError: Nobody takes them.
    """
    standard_output.write(encoder.encode_lines(messages))


def records(stream: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make a RECORD message of each row."""
    now = milliseconds()
    return [
        {"type": "RECORD", "record": {"stream": stream, "data": row, "emitted_at": now}}
        for row in rows
    ]


def state(stream: str, kept: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Make a STATE message of one stream, with how many records came since its last one."""
    return {
        "type": "STATE",
        "state": {
            "type": "STREAM",
            "stream": {"stream_descriptor": {"name": stream}, "stream_state": kept},
            "sourceStats": {"recordCount": float(count)},
        },
    }


def status(stream: str, how: str) -> dict[str, Any]:
    """Make a trace of what has become of a stream: STARTED, RUNNING, COMPLETE or INCOMPLETE."""
    told = {"stream_descriptor": {"name": stream}, "status": how}
    return _trace("STREAM_STATUS", stream_status=told)


def error(text: str, failure_type: str) -> dict[str, Any]:
    """Make a trace of an error, with what a user can do about it in its one line."""
    told = {"message": text, "internal_message": text, "failure_type": failure_type}
    return _trace("ERROR", error=told)


def _trace(kind: str, **told: Any) -> dict[str, Any]:
    return {"type": "TRACE", "trace": {"type": kind, "emitted_at": float(milliseconds()), **told}}


def milliseconds() -> int:
    """Return the time of this machine since 1970."""
    return time.time_ns() // 1_000_000


class LogHandler(logging.Handler):
    """Writes log lines as LOG messages."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        level = LEVELS.get(record.levelname, record.levelname)
        # Whoever writes rows says that nobody takes them.
        with suppress(OutputError):
            write({"type": "LOG", "log": {"level": level, "message": record.getMessage()}})
