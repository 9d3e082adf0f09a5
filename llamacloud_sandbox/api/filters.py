"""What a listing of v2 jobs may be narrowed to; knows no HTTP."""

from datetime import datetime
from typing import Any

import msgspec

from llamacloud_sandbox.world.clock import instant


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which items a listing has; the bounds of `created_at` are both inclusive.

    An item without a readable `created_at` is out of sight of a listing with such a bound.
    """

    job_ids: frozenset[str] = frozenset()
    status: str | None = None
    configuration_id: str | None = None
    on_or_after: datetime | None = None
    on_or_before: datetime | None = None

    def passes(self, item: Any) -> bool:
        """Whether the listing has this item."""
        if not isinstance(item, dict):
            return self == EVERYTHING
        # A tuple, for what an item says may be anything, a list for one.
        return (
            self._is_asked_for(item.get("id"))
            and self.status in (None, item.get("status"))
            and self.configuration_id in (None, item.get("configuration_id"))
            and self._is_in_window(item.get("created_at"))
        )

    def _is_asked_for(self, job_id: Any) -> bool:
        return not self.job_ids or (isinstance(job_id, str) and job_id in self.job_ids)

    def _is_in_window(self, created_at: Any) -> bool:
        if self.on_or_after is None and self.on_or_before is None:
            return True
        try:
            created = instant(created_at)
        except (TypeError, ValueError):
            return False
        return (self.on_or_after is None or self.on_or_after <= created) and (
            self.on_or_before is None or created <= self.on_or_before
        )


EVERYTHING = Filter()
