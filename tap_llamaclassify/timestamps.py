"""Timestamps in a fixed form, `2026-11-23T14:33:08.123456Z`, in which text order is time order."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_FIXED_SHAPE = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
).fullmatch


def to_fixed(text: str) -> str | None:
    """Bring an ISO 8601 timestamp into the fixed form.

    Takes `Z`, any offset, no zone (read as UTC), a date alone (midnight) and any number of
    fraction digits, of which six are kept. Answers None for what is no instant between the
    years 1 and 9999.
    """
    try:
        moment = datetime.fromisoformat(text.upper())
        return text if _FIXED_SHAPE(text) else from_datetime(moment)
    except (ValueError, OverflowError):
        return None


def from_datetime(moment: datetime) -> str:
    """Write a datetime in the fixed form; one without a zone is taken as UTC.

    Raises:
        OverflowError: In UTC it falls outside the years 1 to 9999.
    """
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def to_datetime(fixed: str) -> datetime:
    """Read a timestamp that is in the fixed form."""
    return datetime.fromisoformat(fixed)
