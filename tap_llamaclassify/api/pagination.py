"""One scope (a key and its project) read page by page, one page ahead of whoever works on them."""

from __future__ import annotations

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
            **endpoint.filters,
            **(paging if endpoint.is_paged else {}),
            **(filters or {}),
        }
        self._began: tuple[datetime, bool] | None = None
        self._restarts = 0
        self._start()

    def _start(self) -> None:
        self._seen: set[int] = set()
        self._ids: set[str] = set()
        self._listed = 0
        self._number = 0
        self._request: Request[Page] | None = self._request_of(None)
        self._sent: Callable[[], None] | None = None

    @property
    def activity(self) -> Activity:
        """What has been read so far, pages that are only fetched left out."""
        return self._client.activity

    @property
    def is_over(self) -> bool:
        """Whether the last page was read: its token is absent, null or empty."""
        return self._request is None

    def fetch(self, then: Callable[[], None] | None = None) -> None:
        """Ask for the next page, and do not wait for it.

        Args:
            then: Called, in the thread that has asked, when `next` need not wait any more.
        """
        if self._request and self._sent is None:
            self._sent = start_in_thread(self._request.send, then)

    def next(self) -> Page:
        """Return the next page; there must be one.

        Should the API no longer take a page token that it gave, the listing starts again from the
        top, so that jobs may come twice.

        Raises:
            ApiError: It cannot be had, or a token comes twice and there would be no end.
        """
        while True:
            try:
                return self._next()
            except PageTokenError as error:
                self._restarts += 1
                if self._restarts > MOST_RESTARTS:
                    raise
                what = "%s. Starting again from the top, for time %d of %d at most"
                _logger.warning(what, error, self._restarts, MOST_RESTARTS)
                self._start()

    def pages(self, *, ahead: bool = True) -> Iterator[Page]:
        """Read the listing from its top to its end; raises as `next` does.

        Args:
            ahead: Fetch the next page while one is worked on. Two pages are held at most.
        """
        self._began, self._restarts = None, 0
        self._start()
        while not self.is_over:
            page = self.next()
            if ahead:
                self.fetch()
            yield page
            # Let go of this page before the next one comes in.
            del page

    def _next(self) -> Page:
        number = self._number + 1
        page = self._receive(number)
        token = page.next_page_token
        _guard(token, self._seen, number)
        self._number = number
        self._request, self._sent = self._request_of(token) if token else None, None
        self._listed += len(page.items)
        ids_before, self._ids = self._ids, {item["id"] for item in page.items} or self._ids
        # When the listing starts again, it still began when it first did.
        self._began = self._began or (page.asked_at, page.is_server_clock)
        page.asked_at, page.is_server_clock = self._began
        page.overlaps = bool(page.items) and not self._ids.isdisjoint(ids_before)
        page.listed = self._listed
        self.activity.pages += 1
        self.activity.jobs += len(page.items) if self._endpoint.lists_jobs else 0
        return page

    def _receive(self, number: int) -> Page:
        assert self._request is not None  # noqa: S101 - it is not over
        request, sent = self._request, self._sent or self._request.send
        try:
            sent()
            return request.answer()
        except ApiError as error:
            place = f"page {number:,}: " if self._endpoint.is_paged else ""
            raise error.reworded(f"{place}{error}") from None

    def _request_of(self, token: str | None) -> Request[Page]:
        return Request(
            self._client,
            self._endpoint.path,
            params=self._params if token is None else {**self._params, "page_token": token},
            read=partial(page_of, endpoint=self._endpoint),
            later=token is not None,
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
