"""Reads the jobs of the v1 API, which has no filter: all of them, and what is due of them."""

from __future__ import annotations

from collections.abc import Iterator

from tap_llamaclassify.api.endpoints import V1_JOBS
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.listing_bookmarks import ListingBookmarks, Wanted
from tap_llamaclassify.replication.results import Results
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.tables.tables import RESULTS


class V1Reader:
    """One listing for all tables of the v1 API.

    The order of the listing is unknown, so bookmarks move only when it is at its end; but those
    of results, which are fetched in the order of the bookmark.

    Args:
        client: Asks.
        settings: What the user set.
        wanted: The tables.
        limit: Read no further when there are so many jobs, and keep nothing.
    """

    def __init__(
        self, client: Client, settings: Settings, wanted: Wanted, limit: int | None = None
    ) -> None:
        label = client.connection.label
        self._listing = Paginator(client, V1_JOBS)
        of_results = {name: kept for name, kept in wanted.items() if name == RESULTS.name}
        of_jobs = {name: kept for name, kept in wanted.items() if name != RESULTS.name}
        self._of_results = ListingBookmarks(of_results, settings, client.clock, label)
        self._of_jobs = ListingBookmarks(of_jobs, settings, client.clock, label)
        kept = wanted.get(RESULTS.name)
        self._results = Results(client, settings.parallel_requests, kept, label)
        self._limit = limit

    def steps(self) -> Iterator[Step]:
        """Read the listing, then the results of its jobs, if they are wanted."""
        jobs = 0
        for page in self._listing.pages(ahead=self._limit is None):
            jobs += len(page.items)
            yield self._step(page)
            # Let go of this page before the next one comes in.
            del page
            if self._limit is not None and jobs >= self._limit:
                break
        if self._limit is None and (kept := self._of_jobs.after()):
            yield Step(kept=kept)
        bookmark = self._of_results.bookmarks_by_table.get(RESULTS.name)
        newest = self._of_results.sure(self._of_results.newest)
        yield from self._results.steps(bookmark, newest, self._limit)

    def _step(self, page: Page) -> Step:
        for due in self._of_results.due_of(page).values():
            self._results.note(due, page.items)
        return Step(self._of_jobs.due_of(page), pages=[page])
