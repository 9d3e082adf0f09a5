"""What can be told of a job that may say anything; knows no HTTP."""

from datetime import UTC, datetime
from typing import Any

from llamacloud_sandbox.world.clock import instant

_ENDS = {
    "SUCCESS": "completed",
    "PARTIAL_SUCCESS": "completed",
    "COMPLETED": "completed",
    "ERROR": "failed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}
_EXACT = 2**53
"""Below which numbers can be reckoned with."""


def moment_of(value: Any) -> datetime | None:
    """The instant that a text says, in UTC; None if it says none."""
    try:
        return instant(value).astimezone(UTC)
    except (OverflowError, TypeError, ValueError):
        return None


def number_of(value: Any) -> float | None:
    """A number that can be reckoned with; None if it is none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < _EXACT else None


def text_of(value: Any) -> str | None:
    """A text that is not empty; None if it is none."""
    return value if isinstance(value, str) and value else None


def state_of(job: dict[str, Any]) -> str | None:
    """A job's status in the words that both versions have in common; None if it has none."""
    status = text_of(job.get("status"))
    return _ENDS.get(status, status.lower()) if status else None
