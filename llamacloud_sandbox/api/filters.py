"""What a listing of v2 jobs may be narrowed to; knows no HTTP."""

from datetime import datetime
from typing import Any

import msgspec

from llamacloud_sandbox.settings import Bounds
from llamacloud_sandbox.world.clock import instant

_HOUR = {"minute": 0, "second": 0, "microsecond": 0}
_FORGOTTEN: dict[str, Any] = {
    "by the hour": _HOUR,
    "by the day": {"hour": 0, **_HOUR},
    "to the day": {"hour": 0, **_HOUR},
}


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which items a listing has; the bounds of `created_at` are both inclusive.

    An item without a readable `created_at` is out of sight of a listing with such a bound.
    """

    job_ids: frozenset[str] = frozenset()
    status: str | None = None
    configuration_id: str | None = None
    on_or_after: datetime | None = None
    on_or_before: datetime | None = None
    bounds: Bounds = "exact"

    def passes(self, item: Any) -> bool:
        """Whether the listing has this item."""
        if not isinstance(item, dict):
            return self == Filter(bounds=self.bounds)
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
        if self.bounds == "ignored":
            return True
        try:
            created = instant(created_at)
        except (TypeError, ValueError):
            return False
        after, before = (
            _cut(bound, self.bounds) for bound in (self.on_or_after, self.on_or_before)
        )
        if self.bounds == "exclusive":
            return created not in (after, before) and _is_between(created, after, before)
        its = created if self.bounds == "to the day" else _cut(created, self.bounds)
        return _is_between(its, after, before)


def _is_between(moment: Any, after: Any, before: Any) -> bool:
    return (after is None or after <= moment) and (before is None or moment <= before)


def _cut(moment: datetime | None, bounds: Bounds) -> datetime | None:
    parts = _FORGOTTEN.get(bounds)
    return moment.replace(**parts) if moment and parts else moment


EVERYTHING = Filter()
