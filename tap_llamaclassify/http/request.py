"""One request, tried until its reply is whole or there is no more point in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from tap_llamaclassify.errors import (
    AccessError,
    ApiError,
    CutShortError,
    GoneError,
    ItemError,
    PageTokenError,
    RefusedError,
    ReplyError,
)
from tap_llamaclassify.http import outcomes
from tap_llamaclassify.http.client import Client, Params, Reply
from tap_llamaclassify.http.failures import Failure, place_of
from tap_llamaclassify.http.outcomes import Verdict
from tap_llamaclassify.http.pacing import RetryBudget

PAUSE = 10.0
"""Seconds before the one further try of what was allowed a page before."""
LONG_WAIT = 30.0
"""Seconds that a request may wait in all before that is worth a warning, once."""

_T = TypeVar("_T")


class Request(Generic[_T]):
    """One request, tried until its reply is whole.

    Sending and reading are two steps, because a reply is waited for in a thread of its own, and
    read where it is needed: reading takes the processor, and threads take it from each other.

    Args:
        path: Below the API's address, with a leading slash.
        params: Query parameters; values of any characters.
        read: Makes of a reply what was asked for; raises ReplyError.
        later: Whether it asks for a page after the first of a listing.
        shown: What metrics call the path; by default the path.
        retry_seconds: For how long it may be tried again, if not for as long as others.
    """

    def __init__(  # noqa: PLR0913 - what there is to say of a request
        self,
        client: Client,
        path: str,
        *,
        params: Params,
        read: Callable[[Reply], _T],
        later: bool = False,
        shown: str | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._shown = shown or path
        self._params = params
        self._read = read
        self._later = later
        self._was_refused = False
        self._waited = 0.0
        self._number = 0
        longest = client.connection.retry_seconds
        self._longest = longest if retry_seconds is None else min(longest, retry_seconds)
        self._patience = RetryBudget(self._longest, client.clock)
        # Other pages may be worked on before it is sent.
        self._patience.rest()
        self._reply: Reply | None = None

    def send(self) -> None:
        """Wait until the API has answered.

        Raises:
            GoneError: There is no such thing at the API, or no longer.
            AccessError: The key may not have it.
            ItemError: This one thing cannot be had.
            PageTokenError: The API no longer takes a page token.
            CancelledError: The client was cancelled.
            ApiError: The API refuses, or was not reached in the time given.
        """
        self._patience.go_on()
        while self._reply is None:
            try:
                departure = self._client.turn(self._patience)
                self._number = departure.number
                self._reply = self._client.exchange(
                    departure, self._path, self._params, later=self._later, shown=self._shown
                )
            except Failure as failure:
                self._wait_after(failure)
        # It may be read much later.
        self._patience.rest()

    def answer(self) -> _T:
        """Return what the API has answered, and ask once more when that was cut short.

        Raises:
            ApiError: As `send` does, or the reply cannot be read.
        """
        while True:
            self.send()
            assert self._reply is not None  # noqa: S101 - send does not end before
            reply, self._reply = self._reply, None
            self._patience.go_on()
            try:
                return self._read(reply)
            except CutShortError:
                self._wait_after(Failure("the reply was cut short", outcomes.CUT_SHORT))
            except ReplyError as error:
                raise error.reworded(f"{self._where()} {error}") from None

    def _wait_after(self, failure: Failure) -> None:
        wait = self._wait(failure)
        if wait is None:
            raise self._given_up(failure) from None
        if wait == failure.retry_after:
            self._client.hold_all(wait)
        before, self._waited = self._waited, self._waited + wait
        level = logging.WARNING if before <= LONG_WAIT < self._waited else logging.INFO
        if wait:
            self._client.hold(wait, f"{failure.what}; try {self._patience.tries}", level=level)

    def _wait(self, failure: Failure) -> float | None:
        match failure.outcome.verdict:
            # Each of several requests in turn finds out: together they try for no longer.
            case Verdict.RETRY if (failure.refused_for or 0) <= self._longest:
                return self._patience.wait(failure.retry_after, failure.held_for)
            case Verdict.RETRY_ONCE if not self._was_refused:
                self._was_refused = True
                return self._patience.wait(PAUSE)
            case _:
                return None

    def _given_up(self, failure: Failure) -> ApiError:
        text = f"{self._where()} {failure.what}"
        if failure.outcome.verdict is Verdict.START_AGAIN:
            return PageTokenError(f"{text}: {failure.outcome.advice}")
        if self._patience.tries > 1 or failure.outcome.verdict is Verdict.RETRY:
            text += f" (try {self._patience.tries})"
            if failure.retry_after:
                text += f" and asks to wait {failure.retry_after:,.0f} s"
        return _error_of(failure, f"{text}: {failure.outcome.advice}")

    def _where(self) -> str:
        connection = self._client.connection
        host = urlsplit(connection.api_url).netloc
        place = place_of(self._path, self._shown, connection.api_key)
        return f"GET {place} at {host}, request {self._number:,},"


def _error_of(failure: Failure, text: str) -> ApiError:
    outcome = failure.outcome
    kinds: dict[type[ApiError], bool] = {RefusedError: outcome.is_refusal}
    kinds |= {GoneError: outcome.is_gone, AccessError: outcome.is_of_access}
    kinds |= {ItemError: outcome.is_of_item, ApiError: True}
    error = next(kind for kind, is_it in kinds.items() if is_it)(text)
    error.is_transient = outcome.verdict is Verdict.RETRY
    if isinstance(error, RefusedError):
        error.parameters = failure.parameters
    return error
