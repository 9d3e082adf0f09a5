"""What is new of a table of one connection, planned look by look before any of it is read.

Of v2 jobs: windows of `created_at` since the last look, and by their ids those that were unfinished
then and have changed. Of anything else: all there is, or what was updated since. An increment says
the same whenever it is read; what changes after it was planned is part of a later one, for a job
that can change is unfinished, and the look has seen it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from tap_llamaclassify.api.endpoints import PROJECTS, V1_JOBS, V1_RESULTS, V2_JOBS, Endpoint
from tap_llamaclassify.api.models import Json, Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.config.settings import A_DAY, Settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.json_text import encoder
from tap_llamaclassify.replication.bookmarks import CLOCK_SKEW_SECONDS
from tap_llamaclassify.replication.cuts import earliest, windows_of
from tap_llamaclassify.replication.pieces import Piece, is_between
from tap_llamaclassify.replication.reached import Reached
from tap_llamaclassify.replication.unfinished import (
    MOST,
    MOST_A_REQUEST,
    batches_of_ids,
    is_finished,
)
from tap_llamaclassify.replication.window_survey import SKEW, Survey, end_of
from tap_llamaclassify.tables.tables import FILES, Table
from tap_llamaclassify.timestamps import from_datetime, moved

_logger = logging.getLogger(__name__)


class Increments:
    """Looks for what is new of a table of one connection.

    Args:
        client: Asks.
        settings: What the user set.
        table: What is read.
    """

    def __init__(self, client: Client, settings: Settings, table: Table) -> None:
        self._client = client
        self._settings = settings
        self._table = table
        self._survey = Survey(client, settings)
        self._target: str | None = None

    def stop_at_now(self) -> None:
        """Let no later look bring what is new after this moment.

        Raises:
            ApiError: As `look` does.
        """
        page = self._ask_for_clock()
        self._target = from_datetime(page.asked_at) if page.is_server_clock else None

    def look(self, start: Reached) -> Reached:
        """Ask what is new since; what is to be read is left, and there is none where nothing is.

        Raises:
            ApiError: The API refuses, or cannot be reached.
        """
        if start.start_date and (self._settings.start_date or "") < start.start_date:
            _logger.warning(
                "%s%s was last read with start_date %s, and is read anew now, from %s",
                self._client.connection.label,
                self._table.name,
                start.start_date,
                self._settings.start_date or "its beginning",
            )
            start = Reached(number=start.number)
        if self._table.endpoint is not V2_JOBS or start.is_whole:
            return self._whole(start, self._ask_for_clock())
        page = self._survey.first(self._begin(start))
        if start.until and start.until > (moved(_clock(page), CLOCK_SKEW_SECONDS) or ""):
            _logger.warning(
                "%sThe offset is later than the server's clock, which cannot be right: %s is read "
                "from its beginning",
                self._client.connection.label,
                self._table.name,
            )
            return self.look(Reached(number=start.number))
        return self._jobs(start, page)

    def _jobs(self, start: Reached, page: Page) -> Reached:
        clock, end = self._end(start, page)
        is_known = {job["id"] for job in page.items} <= {*(start.recent or ())}
        is_quiet = start.until is not None and page.is_last and is_known
        is_due = self._is_reconciled_at(start, clock)
        if is_quiet and not start.unfinished and not is_due:
            return start
        begun = self._survey.begun(clock)
        keeps_bounds = not page.items or self._survey.keeps_bounds(page.items)
        if begun is None or not keeps_bounds:
            return self._whole(start, page)
        unfinished = self._unfinished(start, [*begun.values(), *page.items])
        if is_quiet and unfinished == start.unfinished and not is_due:
            return start
        return Reached(
            number=start.number + 1,
            until=clock,
            unfinished=unfinished,
            recent=self._recent(clock, end, page),
            reconciled=clock if is_due or start.reconciled is None else start.reconciled,
            start_date=self._settings.start_date,
            left=[
                *_of_ids(
                    [id_ for id_, at in start.unfinished.items() if unfinished.get(id_) != at]
                ),
                *self._windows(start, page, end, is_due=is_due),
            ],
        )

    def _unfinished(self, start: Reached, seen: Sequence[Json]) -> dict[str, str]:
        """Return the jobs that may change after this look, and which version each is of.

        One that was unfinished before and is not shown as begun has another status; which ones
        there are the API may yet add to.
        """
        jobs = {job["id"]: job for job in seen}
        for ids in batches_of_ids(start.unfinished.keys() - jobs.keys()):
            for page in Paginator(self._client, V2_JOBS, {"job_ids": ids}).pages(ahead=False):
                jobs |= {job["id"]: job for job in page.items if job["id"] in ids}
        young = [job for job in jobs.values() if not is_finished(job)]
        young.sort(key=lambda job: job.get("created_at") or "", reverse=True)
        return {job["id"]: _version(job) for job in young[:MOST]}

    def _windows(self, start: Reached, page: Page, end: str, *, is_due: bool) -> list[Piece]:
        begin, since = self._begin(start), None
        if is_due and start.reconciled:
            reach = self._settings.reconcile_days * A_DAY
            begin = min(begin or "", moved(start.reconciled, -reach) or "")
            since = moved(start.reconciled, -self._settings.lookback_seconds)
            page = self._survey.first(begin)
        windows = windows_of(self._survey, page, begin, end, is_first=start.until is None)
        return [replace(each, since=each.since or since) for each in windows]

    def _whole(self, start: Reached, page: Page) -> Reached:
        """Read whatever there is, less what was last updated before the last look."""
        clock, end = self._end(start, page)
        until = clock if page.is_server_clock else None
        is_of_jobs = self._table.endpoint is V2_JOBS
        piece = Piece(
            is_all=True,
            since=start.until,
            until=until and moved(until, SKEW),
            end=end if is_of_jobs else None,
        )
        # Once it was so it stays so: which jobs were unfinished is not known any more.
        return Reached(
            number=start.number + 1,
            until=until,
            start_date=self._settings.start_date,
            is_whole=is_of_jobs,
            left=[piece],
        )

    def _begin(self, start: Reached) -> str | None:
        if start.until:
            return moved(start.until, -self._settings.lookback_seconds)
        return earliest(self._settings)

    def _end(self, start: Reached, page: Page) -> tuple[str, str]:
        """Return until when jobs are known after this look, and the first instant after them."""
        clock, end = end_of(page)
        if not page.is_server_clock:
            # This machine's may be ahead: what is sure is what was seen.
            clock = min(clock, max([start.until or "", *_created(page.items)]) or clock)
        if self._target:
            clock = min(clock, self._target)
            end = min(end, moved(self._target, SKEW) or end)
        return clock, end

    def _recent(self, clock: str, end: str, page: Page) -> Sequence[str] | None:
        """Return the ids of those that the next look will see once more; None for many."""
        if not page.is_last:
            return None
        since = moved(clock, -self._settings.lookback_seconds - 1)
        return sorted(
            job["id"] for job in page.items if is_between(job.get("created_at"), since, end)
        )

    def _is_reconciled_at(self, start: Reached, clock: str) -> bool:
        """Return whether finished jobs are looked at again: once a day, for some may change."""
        is_wanted = start.reconciled is not None and self._settings.reconcile_days > 0
        return is_wanted and clock >= (moved(start.reconciled or "", A_DAY) or "")

    def _ask_for_clock(self) -> Page:
        endpoint = _CLOCKS.get(self._table.name, self._table.endpoint)
        filters = {"page_size": "1"} if endpoint.is_paged else {}
        return Paginator(self._client, endpoint, filters).next()


_CLOCKS: Mapping[str, Endpoint] = {
    FILES.name: V2_JOBS,
    "classify_usage": PROJECTS,
    **dict.fromkeys(V1_RESULTS.tables, V1_JOBS),
}
"""What is asked for the server's clock, where it is not the table's own list."""


def admit(reached: Reached, pages: float, most: int) -> Reached:
    """Begin what is left.

    Args:
        reached: Has it.
        pages: How many are to be read at most; one piece is begun all the same.
        most: How many pieces are begun at most.
    """
    taken: list[Piece] = []
    for piece in reached.left[:most]:
        pages -= piece.pages
        if taken and pages < 0:
            break
        taken.append(piece)
    return replace(reached, pieces=taken, left=reached.left[len(taken) :])


def _of_ids(ids: Sequence[str]) -> list[Piece]:
    pages = -(-len(ids) // MOST_A_REQUEST)
    return [Piece(ids=sorted(ids), pages=pages)] if ids else []


def _version(job: Json) -> str:
    """Tell a job from what it becomes: by when it was updated, if that can be read."""
    updated: str | None = job.get("updated_at")
    return updated or blake2b(encoder.encode(job), digest_size=8).hexdigest()


def _clock(page: Page) -> str:
    return from_datetime(page.asked_at)


def _created(jobs: Sequence[Json]) -> list[str]:
    return [at for job in jobs if (at := job.get("created_at"))]
