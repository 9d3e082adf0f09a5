"""What v1 jobs came to: one request a finished job, in the order in which the jobs were updated."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from urllib.parse import quote

from tap_llamaclassify.bookmarks import Bookmark
from tap_llamaclassify.client import Client
from tap_llamaclassify.door import read_results
from tap_llamaclassify.errors import GoneError
from tap_llamaclassify.listing import V1_JOBS_PATH
from tap_llamaclassify.models import JOB, Json, PageOfItems
from tap_llamaclassify.parallel import in_order
from tap_llamaclassify.request import Request
from tap_llamaclassify.steps import Step
from tap_llamaclassify.tables import RESULTS

PENDING = "PENDING"
"""The one status of the v1 API in which a job has no results yet."""
JOBS_A_STEP = 100
"""Jobs after which the state may move."""

_logger = logging.getLogger(__name__)


class Results:
    """The results of the jobs that a listing has shown.

    Args:
        client: Asks.
        at_once: How many requests may be under way.
        label: What stands before log lines.
    """

    def __init__(self, client: Client, at_once: int, label: str = "") -> None:
        self._client = client
        self._at_once = at_once
        self._label = label
        self._jobs: dict[str, Json] = {}

    def note(self, jobs: Sequence[Json]) -> None:
        """Remember the finished ones of a page's jobs that are due."""
        for job in jobs:
            if job.get("status") != PENDING:
                kept = {name: job.get(name) for name in ("id", "project_id", "updated_at")}
                self._jobs[job["id"]] = kept

    def steps(
        self, bookmark: Bookmark | None, sure: str | None, limit: int | None = None
    ) -> Iterator[Step]:
        """Fetch the results, those of the job first that was updated first.

        The bookmark moves with the jobs; those without `updated_at` come last.

        Args:
            bookmark: None for one that is read in full.
            sure: How far the bookmark may go at most.
            limit: Fetch those of so many jobs at most, and keep nothing.

        Raises:
            ApiError: The API refuses, or cannot be reached.
        """
        jobs = sorted(self._jobs.values(), key=lambda job: job["updated_at"] or "~")[:limit]
        self._jobs.clear()
        expired = 0
        fetched = in_order([partial(self._fetch, job) for job in jobs], self._at_once)
        for begin in range(0, len(jobs), JOBS_A_STEP):
            some = jobs[begin : begin + JOBS_A_STEP]
            pages = [page for _ in some if (page := next(fetched))]
            expired += len(some) - len(pages)
            updates = [update for job in some if (update := job["updated_at"])]
            done = bookmark and updates and limit is None
            yield Step(
                {RESULTS.name: [item for page in pages for item in page.items]},
                {RESULTS.name: bookmark.meanwhile(min(updates[-1], sure or updates[-1]))}
                if bookmark and done
                else {},
                replaced=sum(page.replaced for page in pages),
                has_misfits=any(page.has_misfits for page in pages),
            )
        if expired:
            what = "%sThe results of %d jobs are gone: the API keeps them for a time only"
            _logger.warning(what, self._label, expired)

    def _fetch(self, job: Json) -> PageOfItems | None:
        """Ask for a job's results; None when they are gone."""
        request = Request(
            self._client,
            f"{V1_JOBS_PATH}/{quote(job['id'], safe='')}/results",
            params=self._client.connection.scope,
            read=read_results,
            shown=f"{V1_JOBS_PATH}/{{id}}/results",
        )
        try:
            page = request.answer().content
        except GoneError:
            return None
        for item in page.items:
            item[JOB] = job
        return page
