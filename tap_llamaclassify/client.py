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


@dataclass(frozen=True)
class Reply:
    """A reply of status 200; `asked_at` is as in Answer."""

    body: bytes
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
        self.connection = connection
        self.clock = clock or Clock()
        self._on_exchange = on_exchange
        self._pace = Pace(connection.requests_per_minute, self.clock)
        self._session = Session(connection)

    def get(
        self, path: str, *, params: Mapping[str, str], read: Callable[[bytes], _T]
    ) -> Answer[_T]:
        """Ask for one resource, and wait for it; see Request."""
        return Request(self, path, params=params, read=read).answer()

    def exchange(self, path: str, params: Mapping[str, str], patience: Patience) -> Reply:
        """Send one request, as soon as the pace allows.

        Raises:
            Failure: It brought nothing.
        """
        if due_in := self._pace.due_in():
            self.hold(due_in, "requests_per_minute")
            patience.extend(due_in)
        self._pace.note()
        self.activity.requests += 1
        left_at = self.clock.now()
        response, body = self._send(path, params)
        if self._on_exchange:
            seconds = response.elapsed.total_seconds()
            self._on_exchange(Exchange(path, response.status_code, seconds))
        if response.status_code != requests.codes.ok:
            self._refuse(response, body, params)
        return Reply(body, _asked_at(response, left_at))

    def hold(self, seconds: float, reason: str) -> None:
        """Let time pass before the next request, and say why."""
        self.activity.waits += 1
        _logger.info("Waiting %.1f s (%s); so far %s", seconds, reason, str(self.activity))
        self.clock.sleep(seconds)

    def _send(self, path: str, params: Mapping[str, str]) -> tuple[requests.Response, bytes]:
        timeout = self.connection.timeout
        try:
            response = self._session.get(
                self.connection.api_url + path,
                params=params,
                timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                allow_redirects=False,
                stream=True,
            )
            # In one go: requests would read 10 kB at a time, and ask for the processor each time.
            return response, response.raw.read(decode_content=True)
        except (OSError, UnicodeError, urllib3.exceptions.HTTPError) as error:
            # Their texts hold the whole URL, so the cause is named, and the chain cut.
            raise failure_of(error) from None

    def _refuse(
        self, response: requests.Response, body: bytes, params: Mapping[str, str]
    ) -> NoReturn:
        outcome = errors.outcome_of(response.status_code)
        what = f"answered {errors.status_text(response.status_code)}"
        sent = [self.connection.api_key, *params.values()]
        if response.is_redirect:
            what += f", a redirect to {redirect_target(response, sent)}"
        if response.status_code == requests.codes.unprocessable:
            reasons, outcome = refused_parameters(body, sent)
            what += reasons
        raise Failure(what, outcome, retry_after(response.headers, self.clock.now()))


class Request(Generic[_T]):
    """One request, tried until its reply is whole.

    Sending and reading are two steps, because a reply is waited for in a thread of its own, and
    read where it is needed: reading takes the processor, and threads take it from each other.

    Args:
        path: Below the API's address, with a leading slash.
        params: Query parameters; values of any characters.
        read: Turns a reply's body into content; raises ReplyError.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        *,
        params: Mapping[str, str],
        read: Callable[[bytes], _T],
    ) -> None:
        self._client = client
        self._path = path
        self._params = params
        self._read = read
        self._patience = Patience(client.connection.retry_seconds, client.clock)
        self._reply: Reply | None = None

    def send(self) -> None:
        """Wait until the API has answered.

        Raises:
            ApiError: The API refuses, or was not reached in the time given.
        """
        while self._reply is None:
            try:
                self._reply = self._client.exchange(self._path, self._params, self._patience)
            except Failure as failure:
                self._wait_after(failure)

    def answer(self) -> Answer[_T]:
        """Read what the API has answered, and ask once more when that was cut short.

        Raises:
            ApiError: As `send` does, or the reply cannot be read.
        """
        while True:
            self.send()
            assert self._reply is not None  # noqa: S101 - send does not end before
            body, asked_at = self._reply.body, self._reply.asked_at
            self._reply = None
            try:
                return Answer(self._read(body), asked_at)
            except CutShortError:
                self._wait_after(Failure("the reply was cut short", errors.CUT_SHORT))
            except errors.ReplyError as error:
                raise type(error)(f"{self._where()} {error}") from None

    def _wait_after(self, failure: Failure) -> None:
        wait = None
        if failure.outcome.verdict is Verdict.RETRY:
            wait = self._patience.wait(failure.retry_after)
        if wait is None:
            raise self._given_up(failure) from None
        self._client.hold(wait, f"{failure.what}; try {self._patience.tries}")

    def _given_up(self, failure: Failure) -> ApiError:
        text = f"{self._where()} {failure.what}"
        if failure.outcome.verdict is Verdict.RETRY:
            text += f" (try {self._patience.tries})"
            if failure.retry_after:
                text += f" and asks to wait {failure.retry_after:,.0f} s"
        return ApiError(f"{text}: {failure.outcome.advice}")

    def _where(self) -> str:
        host = urlsplit(self._client.connection.api_url).netloc
        return f"GET {self._path} at {host}, request {self._client.activity.requests:,},"


def _asked_at(response: requests.Response, left_at: datetime) -> datetime:
    """Answer when the request left, by the server's clock where the reply shows it.

    `Date` is made after the server looked at its jobs, so the time the reply took is taken off.
    """
    date = http_date(response.headers.get("Date", ""))
    if date is None:
        return left_at
    return date - response.elapsed
