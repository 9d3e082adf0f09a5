"""The world's clock, how instants are written and read; knows nothing of jobs or of HTTP."""

import time
from datetime import UTC, datetime, timedelta

DEFAULT_START = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Clock:
    """A clock that starts where it is told, and runs at its own speed.

    `speed` is in world seconds per real second; at 0 only `advance` moves it.
    It never goes back, which is what lets the world settle its jobs for good.
    """

    def __init__(self, start: datetime = DEFAULT_START, *, speed: float = 0.0) -> None:
        if start.tzinfo is None:
            message = f"the clock's start needs a time zone: {start.isoformat()}"
            raise ValueError(message)
        if speed < 0:
            message = f"the clock cannot run backwards: speed {speed}"
            raise ValueError(message)
        self.start = start.astimezone(UTC)
        self.speed = speed
        self._advanced = timedelta()
        self._began = time.monotonic()

    def now(self) -> datetime:
        """The world's present instant, in UTC."""
        run = timedelta(seconds=(time.monotonic() - self._began) * self.speed)
        return self.start + self._advanced + run

    def advance(self, seconds: float) -> None:
        """Move the clock forward by so many world seconds."""
        if seconds < 0:
            message = f"the clock cannot go back: advance({seconds})"
            raise ValueError(message)
        self._advanced += timedelta(seconds=seconds)


def stamp(moment: datetime) -> str:
    """Write an instant as the API's stack prints it: `2026-11-23T14:33:08.123456Z`.

    Always six digits, so that the texts sort as the instants do.
    """
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def instant(text: str) -> datetime:
    """Read an instant in any ISO form; without a zone it is in UTC. ValueError: it is none."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
