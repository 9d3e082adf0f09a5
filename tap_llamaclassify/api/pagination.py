"""One scope (a key and its project) read page by page, one page ahead of whoever works on them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from tap_llamaclassify.api.models import Json, PageOfItems
from tap_llamaclassify.api.parsing import read_jobs
from tap_llamaclassify.concurrency import begin
from tap_llamaclassify.errors import ApiError, PageTokenError
from tap_llamaclassify.http.client import Activity, Client, Params
from tap_llamaclassify.http.request import Answer, Request

V1_JOBS_PATH = "/api/v1/classifier/jobs"
V2_JOBS_PATH = "/api/v2/classify"
MOST_RESTARTS = 2
"""How often a listing starts again from the top because a page token is no longer taken."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """A page of the listing.

    Attributes:
        asked_at: The server's clock when the listing began: a job that changed later may have
            been listed as it was before.
        is_server_clock: Whether that is so; else it is this machine's clock.
        overlaps: Whether a job of the page before is listed again: jobs move from page to page
            while they are listed, so others may have been passed over.
        total_size: How many items the API says there are, if it does; an estimate.
        replaced: How many characters of the page could not be read.
        has_misfits: Whether any of its values did not fit.
        is_last: Whether the listing ends with it.
        listed: How many items the listing has shown so far, those of this page among them.
    """

    items: Sequence[Json]
    asked_at: datetime
    total_size: int | None
    replaced: int
    has_misfits: bool = False
    overlaps: bool = False
    is_last: bool = True
    is_server_clock: bool = True
    listed: int = 0


class Listing:
    """The jobs of one scope, in whatever order the API lists them.

    Args:
        client: Asks.
        path: Of the API that lists.
        read: Reads a page.
        most: The largest page size that the API takes, if it says so.
        filters: Query parameters that choose among the jobs.
    """

    def __init__(
        self,
        client: Client,
        path: str = V1_JOBS_PATH,
        *,
        read: Callable[[bytes], PageOfItems] = read_jobs,
        most: int | None = None,
        filters: Params | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._read = read
        size = client.connection.page_size
        self._params: Params = {
            **client.connection.scope,
            "page_size": str(min(size, most or size)),
            **(filters or {}),
        }
        self._asked_at: datetime | None = None
        self._is_server_clock = True

    @property
    def activity(self) -> Activity:
        """What has been read so far, pages that are only fetched left out."""
        return self._client.activity

    def pages(self, *, ahead: bool = True, tentative: bool = False) -> Iterator[Page]:
        """Read the listing to its end: a token that is absent, null or empty.

        Args:
            ahead: Fetch the next page while one is worked on. Two pages are held at most.
            tentative: Wait with that until the first page was worked on: it may be the only one
                that is wanted.

        Should the API no longer take a page token that it gave, the listing starts again from the
        top, so that jobs may come twice.

        Raises:
            ApiError: A page cannot be had, or a token comes twice and there would be no end.
        """
        self._asked_at = None
        for restarts in itertools.count(1):
            try:
                yield from self._pages(ahead=ahead, tentative=tentative)
            except PageTokenError as error:
                if restarts > MOST_RESTARTS:
                    raise
                what = "%s. Starting again from the top, for time %d of %d at most"
                _logger.warning(what, error, restarts, MOST_RESTARTS)
            else:
                return

    def _pages(self, *, ahead: bool, tentative: bool) -> Iterator[Page]:
        following: Callable[[], Answer[PageOfItems]] | None = self._follow(None, 1, ahead=False)
        seen: set[int] = set()
        ids: set[str] = set()
        listed = 0
        for number in itertools.count(1):
            if following is None:
                return
            answer = following()
            # When the listing starts again, it still began when it first did.
            if self._asked_at is None:
                self._asked_at, self._is_server_clock = answer.asked_at, answer.is_server_clock
            content = answer.content
            token = content.next_page_token
            _guard(token, seen, number)
            is_sure = number > 1 or not tentative
            following = self._follow(token, number + 1, ahead=ahead and is_sure) if token else None
            self.activity.pages += 1
            self.activity.jobs += len(content.items)
            listed += len(content.items)
            ids_before, ids = ids, {job["id"] for job in content.items} or ids
            yield Page(
                content.items,
                self._asked_at,
                content.total_size,
                content.replaced,
                content.has_misfits,
                overlaps=bool(content.items) and not ids.isdisjoint(ids_before),
                is_last=token is None,
                is_server_clock=self._is_server_clock,
                listed=listed,
            )
            # Let go of this page before the next one comes in.
            del answer, content

    def _follow(
        self, token: str | None, number: int, *, ahead: bool
    ) -> Callable[[], Answer[PageOfItems]]:
        params = self._params if token is None else {**self._params, "page_token": token}
        request = Request(
            self._client, self._path, params=params, read=self._read, later=token is not None
        )
        return partial(_receive, begin(request.send) if ahead else request.send, request, number)


def _receive(
    sent: Callable[[], None], request: Request[PageOfItems], number: int
) -> Answer[PageOfItems]:
    try:
        sent()
        return request.answer()
    except ApiError as error:
        named = type(error)(f"page {number:,}: {error}")
        raise named.with_traceback(error.__traceback__) from None


def _guard(token: str | None, seen: set[int], number: int) -> None:
    if token is None:
        return
    if hash(token) in seen:
        raise ApiError(
            f"page {number:,}: the API handed out a page token for the second time, so the "
            "listing has no end; run again, and tell LlamaCloud if it stays so"
        )
    # Hashes, because a long history has many tokens and a token may be long.
    seen.add(hash(token))
