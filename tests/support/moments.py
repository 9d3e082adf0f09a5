"""Moments around those of the jobs, and how long a test waits for one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

PATIENCE = 30
"""Seconds that a test waits for what must come, before it fails."""
START = datetime(2026, 11, 1, tzinfo=UTC)


def at(seconds: float) -> str:
    """Write so many seconds after the first job's update."""
    return f"{START + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%fZ}"
