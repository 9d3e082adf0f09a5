"""Reads what was counted and billed, for each organization: what is new since the bookmark.

The order of a listing is unknown, so the bookmark moves only when all are at their end.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tap_llamaclassify.api.endpoints import USAGE_METRICS
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.config.settings import A_DAY, Settings
from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.bookmarks import Bookmark
from tap_llamaclassify.replication.listing_bookmarks import Wanted
from tap_llamaclassify.replication.organizations import Organizations
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.tables.tables import USAGE
from tap_llamaclassify.timestamps import LAST, from_datetime, to_fixed

DAYS_AGAIN = 3
"""Days before the bookmark that are read again."""
_DAY = len("2026-11-23")

_logger = logging.getLogger(__name__)


class UsageReader:
    """A listing for each organization; two where it was not asked for all event types before.

    Args:
        client: Asks.
        settings: What the user set.
        wanted: The one table.
        organizations: Whose usage.
        limit: Read no further when there are so many, and keep nothing.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        wanted: Wanted,
        organizations: Organizations,
        limit: int | None = None,
    ) -> None:
        self._client = client
        self._types: Sequence[str] = [*dict.fromkeys(settings.usage_event_types)]
        self._floor = settings.start_date and settings.start_date[:_DAY]
        self._kept = wanted[USAGE.name]
        self._organizations = organizations
        self._limit = limit
        self._metrics = 0
        self._bookmark: Bookmark | None = None
        self._newest: str | None = None
        self._has_shifted = False

    def steps(self) -> Iterator[Step]:
        """Read the listings.

        Raises:
            ApiError: Those of an organization cannot be read; of any that the key may not ask for,
                all others were.
        """
        try:
            yield from self._steps()
        except _UntrustedError:
            self._kept, self._bookmark = StreamState(), None
            yield from self._steps()

    def _steps(self) -> Iterator[Step]:
        organizations = self._organizations.ids()
        read: list[str] = []
        refused: ApiError | None = None
        for organization in organizations:
            try:
                yield from self._of(organization)
            except ApiError as error:
                if not error.is_unavailable:
                    raise
                refused = error
            else:
                read.append(organization)
            if self._is_enough:
                return
        if read and self._bookmark and self._limit is None:
            yield Step(kept={USAGE.name: self._after(self._bookmark, read)})
        if refused:
            some = f", for {len(organizations) - len(read)} of {len(organizations)} organizations"
            raise refused.reworded(f"{refused}{some if len(organizations) > 1 else ''}")

    @property
    def _is_enough(self) -> bool:
        return self._limit is not None and self._metrics >= self._limit

    def _of(self, organization: str) -> Iterator[Step]:
        for since, types in self._spans(organization):
            for page in self._pages(organization, since, types):
                self._metrics += len(page.items)
                yield self._step(page, since)
                # Let go of this page before the next one comes in.
                del page
                if self._is_enough:
                    return

    def _pages(self, organization: str, since: str | None, types: Sequence[str]) -> Iterator[Page]:
        filters: dict[str, str | Sequence[str]] = {
            "organization_id": organization,
            "event_types": types,
        }
        if since:
            filters["day_on_or_after"] = since
        listing = Paginator(self._client, USAGE_METRICS, filters)
        yield from listing.pages(ahead=self._limit is None)

    def _spans(self, organization: str) -> Iterator[tuple[str | None, Sequence[str]]]:
        """Yield the first day to read of some event types, for all of them; None for any day."""
        kept = self._kept or StreamState()
        # That it is not later than the server's clock is seen when that has told its time.
        since = _bookmark_at(kept, LAST).since()
        first = max(filter(None, (since and since[:_DAY], self._floor)), default=None)
        known = [name for name in self._types if _name_of(organization, name) in kept.covers]
        new = [name for name in self._types if name not in known]
        if first == self._floor:
            known, new = [], [*self._types]
        if known:
            yield first, known
        if new:
            yield self._floor, new

    def _step(self, page: Page, since: str | None) -> Step:
        if self._kept is not None and self._bookmark is None:
            self._bookmark = _bookmark_at(self._kept, from_datetime(page.asked_at))
            self._trust(self._bookmark)
        self._has_shifted |= page.overlaps
        days = [day for metric in page.items if (day := metric.get("day"))]
        self._newest = max([*days, self._newest or ""]) or None
        due = [m for m in page.items if not since or (m.get("day") or since) >= since]
        return Step({USAGE.name: due}, pages=[page])

    def _trust(self, bookmark: Bookmark) -> None:
        if not bookmark.is_trusted:
            _logger.warning(
                "%sThe bookmark of %s is later than the server's clock, which cannot be right: it "
                "is read from %s",
                self._client.connection.label,
                USAGE.name,
                self._floor or "its beginning",
            )
            raise _UntrustedError

    def _after(self, bookmark: Bookmark, organizations: Sequence[str]) -> StreamState:
        newest = self._newest and to_fixed(self._newest)
        kept = bookmark.after(newest, shifted=self._has_shifted)
        # Of what was not read this time, the bookmark says nothing any more.
        names = [_name_of(each, name) for each in organizations for name in self._types]
        return replace(kept, covers=sorted(names))


class _UntrustedError(Exception):
    """The bookmark cannot be right, as the first reply shows."""


def _bookmark_at(kept: StreamState, clock: str) -> Bookmark:
    return Bookmark(kept, clock=clock, floor=None, lookback_seconds=DAYS_AGAIN * A_DAY)


def _name_of(organization: str, event_type: str) -> str:
    return f"{organization} {event_type}"
