"""Timestamps in a fixed form, `2026-11-23T14:33:08.123456Z`, in which text order is time order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

LAST = "9999-12-31T23:59:59.999999Z"
"""The last instant that there is."""
EVER = "2000-01-01T00:00:00.000000Z"
"""Before anything that LlamaCloud has."""
A_TICK = 1e-6
"""Seconds: the smallest that two instants can be apart."""
_FIXED_SHAPE = re.compile(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9]T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
).fullmatch
_FIXED_ZEROS = b"0000-00-00T00:00:00.000000Z"
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")


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


def to_day(text: str) -> str | None:
    """Bring a day into the form `2026-11-23`; of an instant, its day in UTC. Else as `to_fixed`."""
    fixed = to_fixed(text)
    return fixed and fixed[: len("2026-11-23")]


def all_fixed(texts: Sequence[str]) -> bool:
    """Return whether texts are in the fixed form already, all of them; faster than one by one."""
    together = "".join(texts)
    try:
        shapes = together.encode().translate(_DIGITS_TO_ZERO)
        if shapes != _FIXED_ZEROS * len(texts) or not {*map(len, texts)} <= {27}:
            return False
        for _ in map(datetime.fromisoformat, texts):
            pass
    except ValueError:
        return False
    # Python 3.13 takes hour 24 for the next day's first.
    return "T24:" not in together


def from_datetime(moment: datetime) -> str:
    """Write a datetime in the fixed form; one without a zone is taken as UTC.

    Raises:
        OverflowError: In UTC it falls outside the years 1 to 9999.
    """
    in_utc = moment if moment.tzinfo in {None, UTC} else moment.astimezone(UTC)
    return in_utc.isoformat(timespec="microseconds")[: len("2026-11-23T14:33:08.123456")] + "Z"


def to_datetime(fixed: str) -> datetime:
    """Read a timestamp that is in the fixed form."""
    return datetime.fromisoformat(fixed)


def whole_second(fixed: str) -> str:
    """Take the fraction off a timestamp that is in the fixed form."""
    return f"{fixed[: len('2026-11-23T14:33:08')]}.000000Z"


def moved(fixed: str, seconds: float) -> str | None:
    """Move a timestamp that is in the fixed form; None when that leads out of the calendar."""
    try:
        return from_datetime(to_datetime(fixed) + timedelta(seconds=seconds))
    except OverflowError:
        return None
