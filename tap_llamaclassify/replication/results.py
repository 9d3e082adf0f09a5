"""What v1 jobs came to: one request a finished job, in the order in which the jobs were updated."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from tap_llamaclassify.api.endpoints import V1_RESULTS
from tap_llamaclassify.api.models import JOB, Json, Page
from tap_llamaclassify.api.pagination import page_of, scope_of
from tap_llamaclassify.concurrency import in_order
from tap_llamaclassify.errors import (
    ApiError,
    GoneError,
    ItemError,
    RefusedError,
    ReplyError,
    SetAsideError,
)
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.http.request import Request
from tap_llamaclassify.replication.bookmarks import Bookmark
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.tables.tables import RESULTS
from tap_llamaclassify.timestamps import LAST

PENDING = "PENDING"
"""The one status of the v1 API in which a job has no results yet."""
JOBS_A_STEP = 100
"""Jobs after which the state may move."""
MOST_SET_ASIDE = 100
"""Jobs whose results may be had later; when there are more, it is not the jobs that are wrong."""
LATER_RETRY_SECONDS = 60
"""For how long a job's results are tried for when those of another were in vain."""
MOST_NAMED = 5
LONGEST_ID = 64

_logger = logging.getLogger(__name__)


class Results:
    """The results of the jobs that a listing has shown.

    A job whose results cannot be had is set aside, so that it does not keep those of later jobs
    from coming: the state keeps its id, and each run asks for it once more.

    Args:
        client: Asks.
        at_once: How many requests may be under way.
        kept: What the last run left.
        label: What stands before log lines.
    """

    def __init__(
        self, client: Client, at_once: int, kept: StreamState | None = None, label: str = ""
    ) -> None:
        self._client = client
        self._at_once = at_once
        self._label = label
        self._jobs: dict[str, Json] = {}
        self._known_aside = frozenset(kept.set_aside if kept else ())
        self._to_ask_again: set[str] = set()
        self._set_aside: dict[str, ApiError] = {}
        self._expired = 0

    def note(self, jobs: Sequence[Json], listed: Sequence[Json] = ()) -> None:
        """Remember the finished ones of a page's jobs that are due.

        Args:
            jobs: Those that are due.
            listed: All of the page, for one may have been set aside.
        """
        again = [job for job in listed if job["id"] in self._known_aside]
        for job in (*jobs, *again):
            if job.get("status") != PENDING:
                kept = {name: job.get(name) for name in ("id", "project_id", "updated_at")}
                self._jobs[job["id"]] = kept

    def steps(
        self, bookmark: Bookmark | None, newest: str | None, limit: int | None = None
    ) -> Iterator[Step]:
        """Fetch the results, those of the job first that was updated first.

        The bookmark moves with the jobs; those without `updated_at` come last.

        Args:
            bookmark: None for a table that is read in full.
            newest: How far the bookmark may go at most.
            limit: Fetch those of so many jobs at most, and keep nothing.

        Raises:
            SetAsideError: Those of some jobs cannot be had; all others were fetched.
            ApiError: The API refuses, or cannot be reached.
        """
        bookmark = bookmark if limit is None else None
        jobs = sorted(self._jobs.values(), key=lambda job: job["updated_at"] or "~")[:limit]
        self._to_ask_again = {*self._known_aside} & self._jobs.keys()
        self._jobs.clear()
        fetched = in_order([partial(self._fetch, job) for job in jobs], self._at_once)
        for begin in range(0, len(jobs), JOBS_A_STEP):
            some = jobs[begin : begin + JOBS_A_STEP]
            pages = self._take(some, fetched)
            if begin == 0 and not pages and limit is None:
                self._refuse_nothing(some, jobs[-1], bookmark)
            updates = [
                min(update, newest or update) for job in some if (update := job["updated_at"])
            ]
            kept = bookmark.meanwhile(max(updates)) if bookmark and updates else None
            yield Step(
                {RESULTS.name: [item for page in pages for item in page.items]},
                self._kept(kept),
                pages,
            )
        if bookmark:
            # Jobs may have been passed over. To fetch all results again costs a request a job.
            yield Step(kept=self._kept(bookmark.after(newest, shifted=False)))
        self._report()

    def _take(self, jobs: Sequence[Json], fetched: Iterator[Page | ApiError | None]) -> list[Page]:
        pages = []
        for job in jobs:
            self._to_ask_again.discard(job["id"])
            match next(fetched):
                case Page() as page:
                    pages.append(page)
                case ApiError() as error:
                    self._set_aside[job["id"]] = error
                    if len(self._set_aside) > MOST_SET_ASIDE:
                        raise error
                case None:
                    self._expired += 1
        return pages

    def _refuse_nothing(
        self, first: Sequence[Json], newest: Json, bookmark: Bookmark | None
    ) -> None:
        """Make sure that results are there at all, where the first jobs have none.

        Jobs whose results have expired come first. But when the newest job's are not there either,
        the call may be gone, and a bookmark that moved on would leave them all out for good.

        Raises:
            SetAsideError: Nothing is there.
        """
        known = (bookmark and bookmark.kept.bookmark) or ""
        is_new = any((job["updated_at"] or LAST) > known for job in first)
        if self._set_aside or not is_new:
            return
        if newest in first or self._fetch(newest) is None:
            raise SetAsideError(
                f"GET {V1_RESULTS.path}: none of {len(first)} jobs has results (404 or 410), nor "
                "has the newest: the call is gone, or all have expired; check api_url, or deselect "
                f"{RESULTS.name}"
            )

    def _kept(self, kept: StreamState | None) -> dict[str, StreamState]:
        set_aside = tuple(sorted(self._set_aside.keys() | self._to_ask_again))
        return {RESULTS.name: replace(kept, set_aside=set_aside)} if kept else {}

    def _report(self) -> None:
        if self._expired:
            what = "%sThe results of %d jobs are gone: the API keeps them for a time only"
            _logger.warning(what, self._label, self._expired)
        if self._set_aside:
            raise SetAsideError(_text_of(self._set_aside))

    def _fetch(self, job: Json) -> Page | ApiError | None:
        """Ask for a job's results; None when they are gone, an error when they cannot be had."""
        request = Request(
            self._client,
            V1_RESULTS.path_of(job["id"]),
            params=scope_of(self._client, V1_RESULTS),
            read=partial(page_of, endpoint=V1_RESULTS),
            shown=V1_RESULTS.path,
            retry_seconds=self._retry_seconds(job["id"]),
        )
        try:
            page = request.answer()
        except GoneError:
            return None
        except (ItemError, ReplyError) as error:
            if isinstance(error, RefusedError) and error.parameters:
                # It is not the job that is wrong.
                raise
            return error
        for item in page.items:
            item[JOB] = job
        return page

    def _retry_seconds(self, id_: str) -> int | None:
        if id_ in self._known_aside:
            return 0
        return LATER_RETRY_SECONDS if self._set_aside else None


def _text_of(set_aside: dict[str, ApiError]) -> str:
    names = [id_[:LONGEST_ID] for id_ in set_aside]
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    jobs = "1 job" if len(names) == 1 else f"{len(names):,} jobs"
    first = next(iter(set_aside.values()))
    return (
        f"the results of {jobs} cannot be had ({', '.join(names[:MOST_NAMED])}{more}): all others "
        f"are synced, and the next run asks for these again. The first: {first}"
    )
