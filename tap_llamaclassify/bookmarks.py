"""How far each stream has come: where a run begins, and where the next one will.

Every instant here is a text in the fixed form, so that comparing texts compares instants.
"""

from __future__ import annotations

from datetime import timedelta

from tap_llamaclassify.state import Kept
from tap_llamaclassify.timestamps import from_datetime, to_datetime

CLOCK_SKEW_SECONDS = 10
"""How far the clocks of the servers behind one host may be apart; what is read again covers it."""


class Bookmark:
    """One stream's progress through one listing.

    A job that moves from a page not yet read to one that was is passed over. Where jobs were ever
    seen to move, each run therefore begins where the one before it began: a job must be passed
    over twice in a row to be missed.

    Args:
        kept: What the last run left.
        clock: The server's clock when the listing began: no bookmark goes beyond it.
        floor: The start date.
        lookback_seconds: How far before the bookmark jobs are read again.
    """

    def __init__(self, kept: Kept, *, clock: str, floor: str | None, lookback_seconds: int) -> None:
        ahead = _moved(clock, min(CLOCK_SKEW_SECONDS, lookback_seconds)) or clock
        self.is_trusted = kept.bookmark is None or kept.bookmark <= ahead
        self._kept = kept
        self._last = kept.bookmark if self.is_trusted else None
        self._clock = clock
        self._floor = floor
        self._lookback_seconds = lookback_seconds

    def since(self) -> str | None:
        """Answer the instant before which jobs are left out; None to leave out none."""
        begin = self._last
        if begin and self._kept.shifts:
            begin = self._kept.previous and min(self._kept.previous, begin)
        behind = begin and _moved(begin, -self._lookback_seconds)
        return max(behind, self._floor or behind) if behind else self._floor

    def after(self, newest: str | None, *, shifted: bool) -> Kept:
        """Answer what to keep once all was written.

        The bookmark is the newest update listed, within the server's clock. It never goes back,
        but for one that could not be right.

        Args:
            newest: The newest update listed.
            shifted: Whether jobs were seen to move from page to page. When that is new, the next
                run begins at the beginning: earlier ones may have passed over jobs, too.
        """
        moved = self._last if newest is None else max(min(newest, self._clock), self._last or "")
        previous = self._last if self._kept.shifts else None
        return Kept(moved, self._kept.shifts or shifted, previous)


def _moved(fixed: str, seconds: int) -> str | None:
    """Move an instant; None when that leads out of the calendar."""
    try:
        return from_datetime(to_datetime(fixed) + timedelta(seconds=seconds))
    except OverflowError:
        return None
