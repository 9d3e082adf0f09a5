"""The rate limit that nobody told us of: learned from what is refused, and tried again by and by.

While requests are refused, one at a time finds out whether they still are. When one is let through,
what was let through before and how long it took to recover tell the limit.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from tap_llamaclassify.http.pacing import LONGEST_RETRY_AFTER, LONGEST_WAIT, Clock

MINUTE = 60.0
"""Seconds: what most limits count in."""
WAITS = (1.0, 4.0, 15.0)
"""Seconds before a request finds out; then whatever is left of a minute, or `LONGEST_WAIT`."""
MARGIN = 1.0
"""Seconds after that minute at most."""
FEW = 10
"""Requests from which on one refusal, after which the API says how long to wait, tells a limit."""
CALM = 3
"""Periods without a refusal after which more is tried."""

_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Departure:
    """A request that left.

    Attributes:
        number: Among all of a client, the first of which is 1.
        at: When it left, in seconds of the monotonic clock.
    """

    number: int
    at: float


@dataclass
class _Refusal:
    """What is known since requests are refused.

    Attributes:
        since: When the first one left that was, in seconds of the monotonic clock.
        tries: How many times a wait was set.
        asked_for: The longest wait that the API has asked for, in seconds.
    """

    since: float
    tries: int = 0
    asked_for: float = 0.0


class LearnedLimit:
    """So many requests in any period, once the API has refused some; from whatever thread.

    One that is refused may be chance: it holds all of them back for a moment, and teaches nothing.
    A limit that was learned is widened each time that nothing was refused for a while, at first by
    a tenth, then by four times as much as before.

    Args:
        clock: Tells seconds, and throws the dice.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._let_through: deque[Departure] = deque()
        self._held_until = clock.monotonic()
        # So many requests in so many seconds, and how many more the next time.
        self._limit: int | None = None
        self._period = MINUTE
        self._step = 1
        self._calm_since = clock.monotonic()
        self._refusal: _Refusal | None = None
        self._refused_at: float | None = None
        self._scout: Departure | None = None
        self._last_scout = 0
        self._is_over = False

    def await_scout(self) -> None:
        """Wait while another request finds out whether there is any use."""
        with self._changed:
            self._changed.wait_for(lambda: self._scout is None or self._is_over)

    def due_in(self) -> float:
        """Return the seconds until another request may leave, to the millisecond.

        A limit that has held for long is widened first.
        """
        with self._changed:
            now = self._clock.monotonic()
            earliest = self._held_until
            self._widen(now)
            if self._limit and len(self._let_through) >= self._limit:
                earliest = max(earliest, self._let_through[-self._limit].at + self._period)
            return max(0.0, round(earliest - now, 3))

    def hold(self, seconds: float) -> None:
        """Let no request leave for so long."""
        with self._changed:
            self._held_until = max(self._held_until, self._clock.monotonic() + seconds)

    def leave(self, number: int) -> Departure | None:
        """Take down that a request leaves now; None when it may not, since a moment ago.

        Args:
            number: Among all of the client, the first of which is 1.
        """
        with self._changed:
            departure = Departure(number, self._clock.monotonic())
            if self._scout or round(self._held_until - departure.at, 3) > 0:
                return None
            since = self._refusal.since if self._refusal else departure.at
            oldest = since - max(MINUTE, self._period)
            while self._let_through and self._let_through[0].at < oldest:
                self._let_through.popleft()
            self._let_through.append(departure)
            if self._refusal:
                self._scout = departure
            return departure

    def answered(self, departure: Departure) -> None:
        """Take down that one was let through."""
        with self._changed:
            if departure is self._scout and self._refusal:
                self._learn(self._refusal, departure)
                self._refusal, self._last_scout = None, departure.number
            self._back(departure)

    def lost(self, departure: Departure) -> None:
        """Take down that nobody knows whether one was let through."""
        with self._changed:
            self._back(departure)

    def refused(self, departure: Departure, retry_after: float | None) -> float:
        """Take down that one was refused; return the seconds for which no request is to leave.

        Args:
            departure: The request.
            retry_after: Seconds that the API asks for.
        """
        with self._changed:
            now = self._clock.monotonic()
            if departure in self._let_through:
                self._let_through.remove(departure)
            # Those that left before the last wait was set, or before all was well again, tell
            # nothing new.
            is_new = self._refusal is None and departure.number > self._last_scout
            if is_new:
                self._refusal = _Refusal(departure.at)
            wait = retry_after or 0.0
            if self._refusal and (is_new or departure is self._scout):
                self._refusal.tries += 1
                self._refusal.asked_for = max(self._refusal.asked_for, wait)
                wait = wait or self._wait(self._refusal, now)
            self._held_until = max(self._held_until, now + min(wait, LONGEST_RETRY_AFTER))
            self._back(departure)
            return max(0.0, self._held_until - now)

    @property
    def refused_for(self) -> float | None:
        """For how many seconds requests have been refused; None when they are not."""
        refusal = self._refusal
        return None if refusal is None else self._clock.monotonic() - refusal.since

    @property
    def reason(self) -> str:
        """Say what a request waits for."""
        if self._limit is None or self._refusal:
            return "the rate limit, as other requests met it"
        return f"the rate limit, which seems to be {self._limit:,} in {self._period:.0f} s"

    def end(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def _back(self, departure: Departure) -> None:
        if departure is self._scout:
            self._scout = None
            self._changed.notify_all()

    def _wait(self, refusal: _Refusal, now: float) -> float:
        number = refusal.tries - 1
        if number < len(WAITS):
            # Others may use the same key, and wait for the same moment.
            return WAITS[number] / 2 + self._clock.up_to(WAITS[number] / 2)
        begun = next((each.at for each in self._before(refusal, MINUTE)), refusal.since)
        left = begun + MINUTE - now
        if number == len(WAITS) and left > 0:
            return left + self._clock.up_to(MARGIN)
        return LONGEST_WAIT / 2 + self._clock.up_to(LONGEST_WAIT / 2)

    def _before(self, refusal: _Refusal, seconds: float) -> list[Departure]:
        """Return those that were let through in the time before a refusal."""
        since = refusal.since - seconds
        return [each for each in self._let_through if since < each.at <= refusal.since]

    def _learn(self, refusal: _Refusal, scout: Departure) -> None:
        """Learn from a refusal that is over, since a request was let through."""
        before, self._refused_at = self._refused_at, refusal.since
        self._calm_since, self._step = scout.at, 1
        # A limit that recovers in a second is one that counts seconds.
        took = min(max(scout.at - refusal.since, 1), MINUTE)
        counted = [each for each in self._before(refusal, took) if each is not scout]
        is_first = before is None or refusal.since - before > MINUTE
        is_told = refusal.asked_for and len(counted) >= FEW
        if not counted or (is_first and refusal.tries == 1 and not is_told):
            return
        longest = max(MINUTE, refusal.asked_for) + MARGIN
        self._limit = len(counted)
        self._period = min(max(1.0, scout.at - counted[0].at), longest)
        self._step = max(1, self._limit // 10)
        _logger.info("The rate limit seems to be %d requests in %.0f s", self._limit, self._period)

    def _widen(self, now: float) -> None:
        if self._limit and not self._refusal and now - self._calm_since > CALM * self._period:
            self._limit += self._step
            self._step *= 4
            self._calm_since = now
