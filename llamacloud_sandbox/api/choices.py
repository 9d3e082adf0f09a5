"""What the listings beside those of jobs may be narrowed to; knows no HTTP.

What is no object passes every choice: nothing can be told of it, and a reader is to meet it.
"""

from datetime import datetime
from typing import Any

import msgspec

from llamacloud_sandbox.world.reading import moment_of


class Points(msgspec.Struct, frozen=True, kw_only=True):
    """Which data points a listing has; both bounds of `created_at` are inclusive.

    One without a readable `created_at` is in sight, whatever the bounds.
    """

    statuses: frozenset[str] = frozenset()
    on_or_after: datetime | None = None
    on_or_before: datetime | None = None

    def passes(self, item: Any) -> bool:
        """Whether the listing has this item."""
        if not isinstance(item, dict):
            return True
        if self.statuses and not _is_among(item.get("status"), self.statuses):
            return False
        created = moment_of(item.get("created_at"))
        if created is None:
            return True
        after, before = self.on_or_after, self.on_or_before
        return (after is None or after <= created) and (before is None or created <= before)


class Fields(msgspec.Struct, frozen=True, kw_only=True):
    """Which items a listing has: by the texts that some fields may have, and by bounds."""

    values: tuple[tuple[str, frozenset[str]], ...] = ()
    day_on_or_after: str | None = None
    day_on_or_before: str | None = None
    credits_at_least: float | None = None

    def passes(self, item: Any) -> bool:
        """Whether the listing has this item."""
        if not isinstance(item, dict):
            return True
        return (
            self._is_in_days(item.get("day"))
            and self._are_enough(item.get("credits"))
            and all(_is_among(item.get(name), wanted) for name, wanted in self.values)
        )

    def _are_enough(self, spent: Any) -> bool:
        least = self.credits_at_least
        return least is None or (isinstance(spent, int | float) and spent >= least)

    def _is_in_days(self, day: Any) -> bool:
        after, before = self.day_on_or_after, self.day_on_or_before
        if after is None and before is None:
            return True
        return (
            isinstance(day, str)
            and (after is None or after <= day)
            and (before is None or day <= before)
        )


def fields(**wanted: tuple[str, ...] | str | None) -> Fields:
    """Narrow to items whose fields have one of some texts; None and none at all leave all."""
    texts = {name: (value,) if isinstance(value, str) else value for name, value in wanted.items()}
    return Fields(values=tuple((name, frozenset(each)) for name, each in texts.items() if each))


def _is_among(value: Any, wanted: frozenset[str]) -> bool:
    return isinstance(value, str) and value in wanted
