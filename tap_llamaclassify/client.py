"""One HTTP session with the API: auth, timeouts, retries, pace; it knows no jobs and no Singer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NoReturn, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from tap_llamaclassify import errors
from tap_llamaclassify.connection import Connection
from tap_llamaclassify.errors import ApiError, CutShortError, Verdict
from tap_llamaclassify.failures import Failure, failure_of, redirect_target, refused_parameters
from tap_llamaclassify.session import Session
from tap_llamaclassify.waits import Clock, Pace, Patience, http_date, retry_after

CONNECT_TIMEOUT = 5
"""Seconds that connecting may take."""

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass
class Activity:
    """What has been done so far, for the log.

    Attributes:
        requests: Requests sent, repeated ones among them.
        waits: Times that a request was held back.
    """

    pages: int = 0
    jobs: int = 0
    requests: int = 0
    waits: int = 0

    def __str__(self) -> str:
        """Write it as part of a log line."""
        return (
            f"{self.pages:,} pages, {self.jobs:,} jobs, "
            f"{self.requests:,} requests, {self.waits:,} waits"
        )


@dataclass(frozen=True)
class Exchange:
    """One request and the status it was answered with, for metrics.

    Attributes:
        seconds: From sending the request to having read the reply's headers.
    """

    path: str
    status: int
    seconds: float


@dataclass(frozen=True)
class Answer(Generic[_T]):
    """What a request brought.

    Attributes:
        asked_at: The server's clock when the request left, or shortly before: what was
            committed later may be missing from the content.
    """

    content: _T
    asked_at: datetime


class Client:
    """Sends GET requests, one at a time, and tries again what is worth it."""

    def __init__(
        self,
        connection: Connection,
        *,
        clock: Clock | None = None,
        on_exchange: Callable[[Exchange], None] | None = None,
    ) -> None:
        self.activity = Activity()
        self._connection = connection
        self._clock = clock or Clock()
        self._on_exchange = on_exchange
        self._pace = Pace(connection.requests_per_minute, self._clock)
        self._session = Session(connection)

    def get(
        self, path: str, *, params: Mapping[str, str], read: Callable[[bytes], _T]
    ) -> Answer[_T]:
        """Ask for one resource.

        Args:
            path: Below the API's address, with a leading slash.
            params: Query parameters; values of any characters.
            read: Turns the reply's body into content; raises ReplyError.

        Raises:
            ApiError: The API refuses, or was not reached in the time given.
        """
        patience = Patience(self._connection.retry_seconds, self._clock)
        while True:
            self._keep_pace(patience)
            try:
                return self._try(path, params, read)
            except Failure as failure:
                wait = self._wait_after(failure, patience)
                if wait is None:
                    self._give_up(path, failure, patience)
                self._hold(wait, f"{failure.what}; try {patience.tries}")

    def _try(self, path: str, params: Mapping[str, str], read: Callable[[bytes], _T]) -> Answer[_T]:
        self._pace.note()
        self.activity.requests += 1
        left_at = self._clock.now()
        response = self._send(path, params)
        if self._on_exchange:
            seconds = response.elapsed.total_seconds()
            self._on_exchange(Exchange(path, response.status_code, seconds))
        if response.status_code != requests.codes.ok:
            self._refuse(response, params)
        try:
            content = read(response.content)
        except CutShortError:
            raise Failure("the reply was cut short", errors.CUT_SHORT) from None
        except errors.ReplyError as error:
            raise type(error)(f"{self._where(path)} {error}") from None
        return Answer(content, _asked_at(response, left_at))

    def _send(self, path: str, params: Mapping[str, str]) -> requests.Response:
        timeout = self._connection.timeout
        try:
            return self._session.get(
                self._connection.api_url + path,
                params=params,
                timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                allow_redirects=False,
            )
        except (OSError, UnicodeError, urllib3.exceptions.HTTPError) as error:
            # Their texts hold the whole URL, so the cause is named, and the chain cut.
            raise failure_of(error) from None

    def _refuse(self, response: requests.Response, params: Mapping[str, str]) -> NoReturn:
        outcome = errors.outcome_of(response.status_code)
        what = f"answered {errors.status_text(response.status_code)}"
        sent = [self._connection.api_key, *params.values()]
        if response.is_redirect:
            what += f", a redirect to {redirect_target(response, sent)}"
        if response.status_code == requests.codes.unprocessable:
            reasons, outcome = refused_parameters(response, sent)
            what += reasons
        raise Failure(what, outcome, retry_after(response.headers, self._clock.now()))

    def _wait_after(self, failure: Failure, patience: Patience) -> float | None:
        if failure.outcome.verdict is Verdict.STOP:
            return None
        return patience.wait(failure.retry_after)

    def _give_up(self, path: str, failure: Failure, patience: Patience) -> NoReturn:
        text = f"{self._where(path)} {failure.what}"
        if failure.outcome.verdict is Verdict.RETRY:
            text += f" (try {patience.tries})"
            if failure.retry_after:
                text += f" and asks to wait {failure.retry_after:,.0f} s"
        raise ApiError(f"{text}: {failure.outcome.advice}") from None

    def _where(self, path: str) -> str:
        host = urlsplit(self._connection.api_url).netloc
        return f"GET {path} at {host}, request {self.activity.requests:,},"

    def _keep_pace(self, patience: Patience) -> None:
        if due_in := self._pace.due_in():
            self._hold(due_in, "requests_per_minute")
            patience.extend(due_in)

    def _hold(self, seconds: float, reason: str) -> None:
        self.activity.waits += 1
        _logger.info("Waiting %.1f s (%s); so far %s", seconds, reason, str(self.activity))
        self._clock.sleep(seconds)


def _asked_at(response: requests.Response, left_at: datetime) -> datetime:
    """Answer when the request left, by the server's clock where the reply shows it.

    `Date` is made after the server looked at its jobs, so the time the reply took is taken off.
    """
    date = http_date(response.headers.get("Date", ""))
    if date is None:
        return left_at
    return date - response.elapsed
