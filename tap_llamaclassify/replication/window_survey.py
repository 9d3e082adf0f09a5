"""Where to cut a v2 history before any of it is read: by counting, with few requests.

Nothing that is read hangs on the counts: they only make windows even. What does hang on the API is
whether it keeps to the bounds of a window and shows all jobs within some: that is tried first, and
where it is not so there are no windows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tap_llamaclassify.api.endpoints import V2_JOBS, V2_LARGEST_PAGE
from tap_llamaclassify.api.models import Json, Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.concurrency import in_order
from tap_llamaclassify.config.settings import A_DAY, Settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.unfinished import BEGUN, DAYS, MOST
from tap_llamaclassify.replication.window_plan import AIM_AT_ONCE, LEAST_AIM, TOO_LONG
from tap_llamaclassify.replication.windows import OVERLAP, Window
from tap_llamaclassify.timestamps import (
    A_TICK,
    EVER,
    LAST,
    from_datetime,
    moved,
    to_datetime,
    whole_second,
)

SHARES = 4
"""Windows that a short history is cut into."""
MOST_PARTS = 8
"""Into how many parts one is cut at once."""
FARTHER = 4
"""How many times as far back each look goes as the one before it."""
SHARE = 0.1
"""Requests that counting may take, as a share of the pages that there are."""
FEW = 16
"""The same where those are few."""
MOST_TRIES = 3
"""How often jobs are counted whose number changes meanwhile."""
SKEW = 2
"""Seconds after the server's clock until which jobs are read."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Surveyed:
    """A window, and how many jobs it has, as far as that is known."""

    window: Window
    jobs: int

    @property
    def seconds(self) -> float:
        """How long it is; 0 where it has no beginning."""
        begin, end = self.window.begin, self.window.end or LAST
        return (to_datetime(end) - to_datetime(begin)).total_seconds() if begin else 0


class Survey:
    """What counting tells about the jobs of one connection.

    Args:
        client: Asks.
        settings: What the user set.
        filters: What else is asked for, such as a status.
    """

    def __init__(
        self, client: Client, settings: Settings, filters: Mapping[str, str] | None = None
    ) -> None:
        self._client = client
        self._at_once: int = settings.parallel_requests
        self._filters = dict(filters or {})
        self._page_size = min(client.connection.page_size, V2_LARGEST_PAGE)
        self._keeps_bounds: bool | None = None
        self._left = 0

    def first(self, begin: str | None) -> Page:
        """Return the first page of what was created since."""
        window = Window(begin).filters
        return Paginator(self._client, V2_JOBS, window | self._filters).next()

    def keeps_bounds(self, jobs: Sequence[Json]) -> bool:
        """Return whether the API shows a job in a window around it, and none from outside.

        Args:
            jobs: Some that it has shown; the one latest in its day tells most.
        """
        created = [at for job in jobs if (at := job.get("created_at"))]
        if self._keeps_bounds is None and created:
            at = max(created, key=lambda each: each[len("2026-11-23") :])
            window = Window(whole_second(at), moved(whole_second(at), OVERLAP))
            page = Paginator(self._client, V2_JOBS, window.filters | self._filters).next()
            is_there = any(job.get("created_at") == at for job in page.items)
            is_there |= not page.is_last
            self._keeps_bounds = is_there and not window.seconds_outside(page.items)
        return bool(self._keeps_bounds)

    def windows(self, begin: str | None, end: str, jobs: int) -> list[Surveyed]:
        """Cut what was created between two instants into windows of about as many pages each.

        Args:
            begin: None for the first job there is.
            end: The first instant after it.
            jobs: How many there are in all, as the API says.
        """
        pages = jobs / self._page_size
        aim = self._page_size * min(max(LEAST_AIM, pages / SHARES), AIM_AT_ONCE)
        self._left = FEW + int(SHARE * pages)
        windows = [*self._back(begin, end, jobs, aim)]
        windows.reverse()
        while parted := self._parted(windows, aim):
            windows = parted
        return _joined(windows, aim)

    def pages(self, jobs: int) -> float:
        """Return how many pages so many jobs take."""
        return max(1, jobs / self._page_size)

    def has_undated(self) -> bool:
        """Return whether there may be jobs that are in no window, for they have no `created_at`."""
        for _ in range(MOST_TRIES):
            dated = self._asked(Window(EVER))
            if (whole := self._asked(Window())) <= dated:
                return False
            # They may have come meanwhile.
            if whole > self._asked(Window(EVER)):
                return True
        return True

    def begun(self, clock: str) -> Mapping[str, Json] | None:
        """Return the jobs that are not finished, by id; None where the API cannot choose them.

        Args:
            clock: The server's; what was created long before is left out.
        """
        since = Window(moved(clock, -DAYS * A_DAY)).filters
        found: dict[str, Json] = {}
        for status in BEGUN:
            jobs = 0
            # All at once as far as can be, so that none can move.
            filters = {**since, "status": status, "page_size": str(V2_LARGEST_PAGE)}
            for page in Paginator(self._client, V2_JOBS, filters).pages(ahead=False):
                if any(job.get("status") != status for job in page.items):
                    return None
                found |= {job["id"]: job for job in page.items}
                jobs += len(page.items)
                if jobs >= MOST:
                    break
        newest = sorted(found.values(), key=lambda job: job.get("created_at") or "", reverse=True)
        if len(newest) > MOST:
            _logger.warning(
                "%sMore than %d jobs are unfinished: how the oldest of them end is seen by a full "
                "refresh only",
                self._client.connection.label,
                MOST,
            )
        return {job["id"]: job for job in newest[:MOST]}

    def _back(self, begin: str | None, end: str, jobs: int, aim: float) -> Iterator[Surveyed]:
        """Look back from the end, each time farther, until all jobs were met."""
        until, length, left = end, float(A_DAY), jobs
        while left > aim and self._left > 0:
            at = moved(whole_second(end), -length)
            if at is None or (begin is not None and at <= begin):
                break
            window = Window(at, until)
            count = self._asked(window)
            self._left -= 1
            yield Surveyed(window, count)
            until, length, left = at, length * FARTHER, left - count
        yield Surveyed(Window(begin, until), max(left, 0))

    def _parted(self, windows: Sequence[Surveyed], aim: float) -> list[Surveyed]:
        """Cut those that are too long; none where none is, or no more requests are left."""
        parts: list[Surveyed] = []
        for each in windows:
            cut = _cut(each, aim) if self._left > 0 else [each.window]
            if len(cut) == 1:
                parts.append(each)
                continue
            self._left -= len(cut) - 1
            # What the last one has is what the others leave.
            works = [partial(self._asked, window) for window in cut[:-1]]
            counts = [*in_order(works, self._at_once)]
            counts.append(max(each.jobs - sum(counts), 0))
            parts += [Surveyed(w, jobs) for w, jobs in zip(cut, counts, strict=True)]
        return parts if len(parts) > len(windows) else []

    def _asked(self, window: Window) -> int:
        """Ask how many jobs there are; what the API does not say is none."""
        filters = {"page_size": "1", **self._filters}
        if window.begin:
            filters["created_at_on_or_after"] = window.begin
        if window.end:
            filters["created_at_on_or_before"] = moved(window.end, -A_TICK) or window.end
        return Paginator(self._client, V2_JOBS, filters).next().total_size or 0


def _cut(each: Surveyed, aim: float) -> list[Window]:
    """Cut a window that is too long into parts of one length."""
    wanted = min(round(each.jobs / aim), MOST_PARTS)
    begin = each.window.begin
    if each.jobs <= TOO_LONG * aim or begin is None or each.seconds <= wanted:
        return [each.window]
    length = each.seconds / wanted
    edges = [moved(begin, length * number) for number in range(1, wanted)]
    return each.window.cut([edge for edge in edges if edge])


def _joined(windows: Sequence[Surveyed], aim: float) -> list[Surveyed]:
    """Make one of neighbours that are short."""
    made: list[Surveyed] = []
    for each in windows:
        if made and _is_short(made[-1].jobs, each.jobs, aim):
            last = made.pop()
            joined = Window(last.window.begin, each.window.end)
            made.append(Surveyed(joined, last.jobs + each.jobs))
        else:
            made.append(each)
    return made


def _is_short(first: int, second: int, aim: float) -> bool:
    most = TOO_LONG * aim if min(first, second) <= aim / MOST_PARTS else aim
    return first + second <= most


def end_of(page: Page) -> tuple[str, str]:
    """Return the server's clock by a first page, and the first instant after what is read of it.

    Clocks of servers differ, and jobs may have been made in the meantime, or by a clock that is
    ahead.
    """
    clock = from_datetime(page.asked_at)
    created = [at for job in page.items if (at := job.get("created_at"))]
    return clock, moved(whole_second(max([clock, *created])), SKEW) or LAST
