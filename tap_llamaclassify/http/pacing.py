"""When the next request may leave: the pace, the wait before another try, and `Retry-After`."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT = 1.0
"""Seconds: the most that the first wait before another try takes; each further one, twice that."""
LONGEST_WAIT = 60.0
"""Seconds: the most that any such wait takes."""
LONGEST_RETRY_AFTER = 300.0
"""Seconds: a server that asks for more than this is not waited for."""

_IS_SECONDS = re.compile(r"[0-9]{1,300}(?:\.[0-9]{1,9})?").fullmatch


class Clock:
    """This machine's clocks, its patience and its dice; a simulation brings its own."""

    def now(self) -> datetime:
        """Return the wall clock, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some moment, never going back."""
        return time.monotonic()

    def wait(self, seconds: float, end: threading.Event) -> None:
        """Let time pass, until the event at the latest."""
        end.wait(seconds)

    def up_to(self, seconds: float) -> float:
        """Return a random wait between none and that many seconds."""
        return random.uniform(0, seconds)  # noqa: S311 - spreads retries, guards nothing


class RateLimiter:
    """At most so many requests in any minute.

    The first of a run need not be spread out.
    """

    def __init__(self, requests_per_minute: int | None, clock: Clock) -> None:
        self._clock = clock
        self._starts: deque[float] | None = (
            deque(maxlen=requests_per_minute) if requests_per_minute else None
        )

    def due_in(self) -> float:
        """Return the seconds until another request may leave."""
        if self._starts is None or len(self._starts) < (self._starts.maxlen or 0):
            return 0.0
        return max(0.0, self._starts[0] + 60 - self._clock.monotonic())

    @property
    def in_last_minute(self) -> int:
        """How many have left in the last minute, as far as there is a limit."""
        since = self._clock.monotonic() - 60
        return sum(start > since for start in self._starts or ())

    def note(self) -> None:
        """Take down that a request leaves now."""
        if self._starts is not None:
            self._starts.append(self._clock.monotonic())


class RetryBudget:
    """How long one request goes on being tried: exponential waits with full jitter."""

    def __init__(self, retry_seconds: float, clock: Clock) -> None:
        self._clock = clock
        self._left: float = retry_seconds
        self._since: float | None = clock.monotonic()
        self.tries = 1

    def rest(self) -> None:
        """Let the time not count from now on: nobody tries."""
        self._left, self._since = self.left(), None

    def go_on(self) -> None:
        """Let the time count."""
        if self._since is None:
            self._since = self._clock.monotonic()

    def extend(self, seconds: float) -> None:
        """Leave so much more time: a request that is held back has not been tried meanwhile."""
        self._left += seconds

    def left(self) -> float:
        """Return the seconds that are left for further tries."""
        since = self._since
        return self._left if since is None else self._left - (self._clock.monotonic() - since)

    def wait(self, retry_after: float | None, held_for: float | None = None) -> float | None:
        """Return the seconds to wait before the next try; None when there shall be none.

        Args:
            retry_after: Seconds that the server asks for. None, or nothing to wait for,
                leaves the choice to the dice.
            held_for: Seconds for which no request leaves, if all are held back.
        """
        left = self.left()
        if left <= 0:
            return None
        if retry_after:
            wait = retry_after
            if wait > min(left, LONGEST_RETRY_AFTER):
                return None
        elif held_for is not None:
            wait = min(left, held_for)
        else:
            ceiling = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self.tries - 1, 16))
            wait = min(left, self._clock.up_to(ceiling))
        self.tries += 1
        return wait


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Read `Retry-After` as seconds from now; None when there is none or it says nothing.

    A date is read against the reply's own `Date`, so that the two clocks need not agree.
    """
    text = headers.get("Retry-After", "").strip()
    if _IS_SECONDS(text):
        return float(text)
    moment = http_date(text)
    if moment is None:
        return None
    return max(0.0, (moment - (http_date(headers.get("Date", "")) or now)).total_seconds())


def http_date(text: str) -> datetime | None:
    """Read an HTTP date, UTC; None when it is none."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
