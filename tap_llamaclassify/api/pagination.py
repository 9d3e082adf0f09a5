"""One scope (a key and its project) read page by page, one page ahead of whoever works on them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial

from tap_llamaclassify.api.endpoints import Endpoint
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.concurrency import start_in_thread
from tap_llamaclassify.errors import ApiError, PageTokenError
from tap_llamaclassify.http.client import Activity, Client, Params, Reply
from tap_llamaclassify.http.request import Request

MOST_RESTARTS = 2
"""How often a listing starts again from the top because a page token is no longer taken."""

_logger = logging.getLogger(__name__)


class Paginator:
    """The items of one scope, in whatever order the API lists them.

    Args:
        client: Asks.
        endpoint: What is listed.
        filters: Query parameters that choose among the items.
    """

    def __init__(self, client: Client, endpoint: Endpoint, filters: Params | None = None) -> None:
        self._client = client
        self._endpoint = endpoint
        size = client.connection.page_size
        paging = {"page_size": str(min(size, endpoint.largest_page or size))}
        self._params: Params = {
            **scope_of(client, endpoint),
            **(paging if endpoint.is_paged else {}),
            **(filters or {}),
        }
        self._began: tuple[datetime, bool] | None = None

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
        self._began = None
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
        following: Callable[[], Page] | None = self._follow(None, 1, ahead=False)
        seen: set[int] = set()
        ids: set[str] = set()
        listed = 0
        for number in itertools.count(1):
            if following is None:
                return
            page = following()
            token = page.next_page_token
            _guard(token, seen, number)
            is_sure = number > 1 or not tentative
            following = self._follow(token, number + 1, ahead=ahead and is_sure) if token else None
            listed += len(page.items)
            ids_before, ids = ids, {item["id"] for item in page.items} or ids
            # When the listing starts again, it still began when it first did.
            self._began = self._began or (page.asked_at, page.is_server_clock)
            page.asked_at, page.is_server_clock = self._began
            page.overlaps = bool(page.items) and not ids.isdisjoint(ids_before)
            page.listed = listed
            self.activity.pages += 1
            self.activity.jobs += len(page.items) if self._endpoint.lists_jobs else 0
            yield page
            # Let go of this page before the next one comes in.
            del page

    def _follow(self, token: str | None, number: int, *, ahead: bool) -> Callable[[], Page]:
        params = self._params if token is None else {**self._params, "page_token": token}
        request = Request(
            self._client,
            self._endpoint.path,
            params=params,
            read=partial(page_of, endpoint=self._endpoint),
            later=token is not None,
        )
        place = f"page {number:,}: " if self._endpoint.is_paged else ""
        return partial(
            _receive, start_in_thread(request.send) if ahead else request.send, request, place
        )


def scope_of(client: Client, endpoint: Endpoint) -> dict[str, str]:
    """Return the query parameters that choose organization and project, as far as it takes them."""
    scope = client.connection.scope
    return {name: value for name, value in scope.items() if name in endpoint.scope}


def page_of(reply: Reply, endpoint: Endpoint) -> Page:
    """Parse a reply, and note when it was asked for; raises as `parse_page` does."""
    page = endpoint.parse(reply.body)
    page.asked_at, page.is_server_clock = reply.asked_at, reply.is_server_clock
    return page


def _receive(sent: Callable[[], None], request: Request[Page], place: str) -> Page:
    try:
        sent()
        return request.answer()
    except ApiError as error:
        raise type(error)(f"{place}{error}").with_traceback(error.__traceback__) from None


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
