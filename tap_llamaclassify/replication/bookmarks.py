"""How far each stream has come: where a run begins, and where the next one will.

Every instant here is a text in the fixed form, so that comparing texts compares instants.
"""

from __future__ import annotations

from dataclasses import replace

from tap_llamaclassify.replication.read_spans import Spans
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.timestamps import moved

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

    def __init__(
        self, kept: StreamState, *, clock: str, floor: str | None, lookback_seconds: int
    ) -> None:
        ahead = moved(clock, min(CLOCK_SKEW_SECONDS, lookback_seconds)) or clock
        self.is_trusted = kept.bookmark is None or kept.bookmark <= ahead
        self.kept = kept
        self._last = kept.bookmark if self.is_trusted else None
        is_past = all(
            instant <= ahead
            for instant in (
                kept.reading_began_at or ahead,
                *(end for _, end in kept.created_at_read),
            )
        )
        begun = (
            kept.reading_began_at if self.is_trusted and is_past and kept.created_at_read else None
        )
        # Meltano may merge what an older run left into the state of a full refresh.
        self.is_under_way = begun is not None and begun >= (kept.bookmark or begun)
        # What the run read that was broken off, it read when it had begun.
        self._clock = min(clock, begun) if begun and self.is_under_way else clock
        self._floor = floor
        self._lookback_seconds = lookback_seconds

    @property
    def read(self) -> Spans:
        """What a run that was broken off has read, by creation."""
        return self.kept.created_at_read if self.is_under_way else ()

    @property
    def begin(self) -> str | None:
        """The instant that all jobs updated before are known from; None when there is none."""
        if self._last and self.kept.shifts:
            return self.kept.previous_bookmark and min(self.kept.previous_bookmark, self._last)
        return self._last

    def since(self) -> str | None:
        """Return the instant before which jobs are left out; None to leave out none."""
        behind = self.begin and moved(self.begin, -self._lookback_seconds)
        return max(behind, self._floor or behind) if behind else self._floor

    def meanwhile(self, newest: str | None = None, *, shifted: bool = False) -> StreamState:
        """Return what to keep when all that was updated until then is written, and more is to come.

        Args:
            newest: None leaves the bookmark where it is.
            shifted: Whether jobs were seen to move from page to page.
        """
        shifts = self.kept.shifts or shifted
        kept = replace(self.kept, bookmark=self._up_to(newest), shifts=shifts)
        return (
            kept if self.is_under_way else replace(kept, created_at_read=(), reading_began_at=None)
        )

    def after(self, newest: str | None, *, shifted: bool) -> StreamState:
        """Return what to keep once all was written.

        The bookmark is the newest update listed, within the server's clock. It never goes back,
        but for one that could not be right.

        Args:
            newest: The newest update listed.
            shifted: Whether jobs were seen to move from page to page. When that is new, the next
                run begins at the beginning: earlier ones may have passed over jobs, too.
        """
        # It may have been new in the run that was broken off.
        is_new = not self.kept.shifts or (self.is_under_way and self.kept.previous_bookmark is None)
        previous = None if is_new else self._last
        return StreamState(self._up_to(newest), self.kept.shifts or shifted, previous)

    def _up_to(self, newest: str | None) -> str | None:
        return self._last if newest is None else max(min(newest, self._clock), self._last or "")
