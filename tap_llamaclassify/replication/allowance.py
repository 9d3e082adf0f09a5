"""How many jobs a run is to read, of a history that is read in parts."""

from __future__ import annotations

import threading


class Allowance:
    """Jobs that windows may bring, whatever connection they are of.

    Attributes:
        is_cut: Whether windows were left to the next run.
    """

    def __init__(self, jobs: int) -> None:
        self._left = jobs
        self._lock = threading.Lock()
        self.is_cut = False

    def take(self, jobs: int) -> None:
        """Take note of jobs that came."""
        with self._lock:
            self._left -= jobs

    @property
    def is_used(self) -> bool:
        """Whether so many have come."""
        return self._left <= 0
