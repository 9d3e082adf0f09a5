"""One HTTP session with the API: auth, timeouts, pace, bounds; it knows no jobs and no Singer."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

import requests
import urllib3

from tap_llamaclassify.config.connections import Connection
from tap_llamaclassify.errors import CancelledError
from tap_llamaclassify.http import outcomes
from tap_llamaclassify.http.failures import Failure, failure_of, redirect_target, refused_parameters
from tap_llamaclassify.http.pacing import Clock, RateLimiter, RetryBudget, http_date, retry_after
from tap_llamaclassify.http.rate_limit import Departure, LearnedLimit
from tap_llamaclassify.http.session import Session

CONNECT_TIMEOUT = 5
"""Seconds that connecting may take."""
LONGEST_BODY = 64 * 2**20
"""Bytes of a reply, decompressed; a page of 500 jobs takes some 500 kB."""
LONGEST_ERROR_BODY = 2**20
"""Bytes of a reply of another status than 200 that are read."""
AT_ONCE = 2**20
"""Bytes that are read at once: most pages, and not so many that tiny chunks fill the memory."""

Params: TypeAlias = Mapping[str, str | Sequence[str]]
"""Query parameters; one with several values is sent several times."""

_logger = logging.getLogger(__name__)


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

    def __add__(self, other: Activity) -> Activity:
        """Add what another client has done."""
        return Activity(
            self.pages + other.pages,
            self.jobs + other.jobs,
            self.requests + other.requests,
            self.waits + other.waits,
        )

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
class Reply:
    """A reply of status 200.

    Attributes:
        asked_at: The server's clock when the request left, or shortly before: what was
            committed later may be missing from the body.
        is_server_clock: Whether that is so; else the reply shows no time, and it is this
            machine's clock, which may be wrong.
    """

    body: bytes
    asked_at: datetime
    is_server_clock: bool = True


class Client:
    """Sends GET requests, each once, at one pace, from whatever thread."""

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
        self._pace = RateLimiter(connection.requests_per_minute, self.clock)
        self._limit = LearnedLimit(self.clock)
        self._gate = threading.Lock()
        self._session = Session(connection)
        self._cancelled = threading.Event()

    def spend(self, requests: int) -> None:
        """Count so many requests against `requests_per_minute`: others send them by this key."""
        with self._gate:
            for _ in range(requests):
                self._pace.note()

    @property
    def spent(self) -> int:
        """How many requests count against `requests_per_minute` now; 0 where there is none."""
        with self._gate:
            return self._pace.in_last_minute

    def cancel(self) -> None:
        """Let what is under way in threads come to nothing: no try, no wait, no line in the log."""
        self._cancelled.set()
        self._limit.end()

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError("cancelled")

    def turn(self, patience: RetryBudget) -> Departure:
        """Wait until another request may leave; it leaves now.

        Raises:
            CancelledError: It may leave no more.
        """
        came_at = self.clock.monotonic()
        with self._gate:
            if due_in := self._pace.due_in():
                self.hold(due_in, "requests_per_minute")
            departure = None
            while departure is None:
                self._limit.await_scout()
                if wait := self._limit.due_in():
                    self.hold(wait, self._limit.reason)
                self._stop_if_cancelled()
                departure = self._limit.leave(self.activity.requests + 1)
            self._pace.note()
            self.activity.requests += 1
        patience.extend(self.clock.monotonic() - came_at)
        return departure

    def exchange(
        self, departure: Departure, path: str, params: Params, *, later: bool, shown: str
    ) -> Reply:
        """Send one request, whose turn it is; metrics call its path as shown.

        Raises:
            Failure: It brought nothing.
            CancelledError: Nobody waits for what it brought.
        """
        left_at = self.clock.now()
        held_for = None
        try:
            response = self._send(path, params)
            after = retry_after(response.headers, self.clock.now())
            # Others wait to know it, so before the body is read.
            if response.status_code == requests.codes.too_many_requests:
                held_for = self._limit.refused(departure, after)
            else:
                self._limit.answered(departure)
        except BaseException:
            self._limit.lost(departure)
            raise
        with _told():
            body = _body_of(response)
        self._stop_if_cancelled()
        if self._on_exchange:
            seconds = response.elapsed.total_seconds()
            self._on_exchange(Exchange(shown, response.status_code, seconds))
        if response.status_code != requests.codes.ok:
            failure = self._refusal(response, body, params, later=later)
            failure.retry_after, failure.held_for = after, held_for
            failure.refused_for = self._limit.refused_for
            raise failure
        return _reply_of(response, body, left_at)

    def hold_all(self, seconds: float) -> None:
        """Let no request leave for so long: what the server asks of one it asks of the key."""
        self._limit.hold(seconds)

    def hold(self, seconds: float, reason: str, *, level: int = logging.INFO) -> None:
        """Let time pass before a request, and say why.

        Raises:
            CancelledError: It is waited for no more.
        """
        self._stop_if_cancelled()
        self.activity.waits += 1
        level = level if seconds >= 1 else logging.DEBUG
        _logger.log(level, "Waiting %.1f s (%s); so far %s", seconds, reason, str(self.activity))
        self.clock.wait(seconds, self._cancelled)
        self._stop_if_cancelled()

    def _send(self, path: str, params: Params) -> requests.Response:
        timeout = self.connection.timeout
        with _told():
            return self._session.get(
                self.connection.api_url + path,
                params=params,
                timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
                allow_redirects=False,
                stream=True,
            )

    def _refusal(
        self, response: requests.Response, body: bytes, params: Params, *, later: bool
    ) -> Failure:
        outcome = outcomes.outcome_of(response.status_code, later=later)
        what = f"answered {outcomes.status_text(response.status_code)}"
        values = [[value] if isinstance(value, str) else value for value in params.values()]
        sent = [self.connection.api_key, *itertools.chain.from_iterable(values)]
        if response.is_redirect:
            what += f", a redirect to {redirect_target(response, sent)}"
        failure = Failure(what, outcome)
        if response.status_code == requests.codes.unprocessable:
            return refused_parameters(body, sent, failure)
        return failure


@contextmanager
def _told() -> Iterator[None]:
    """Make a Failure of what libraries raise."""
    try:
        yield
    # A proxy's address without a host is a TypeError of requests.
    except (OSError, TypeError, ValueError, urllib3.exceptions.HTTPError) as error:
        # Their texts hold the whole URL, so the cause is named, and the chain cut.
        raise failure_of(error) from None


def _body_of(response: requests.Response) -> bytes:
    """Read a reply's body.

    requests would read 10 kB at a time, and ask for the processor each time.
    """
    is_ok = response.status_code == requests.codes.ok
    most = LONGEST_BODY if is_ok else LONGEST_ERROR_BODY
    parts: list[bytes] = []
    left = most + 1
    while left > 0 and (part := response.raw.read(min(left, AT_ONCE), decode_content=True)):
        parts.append(part)
        left -= len(part)
    if left <= 0:
        # What is left of it would be in the way of the next request.
        response.close()
        if is_ok:
            raise Failure(f"answered more than {LONGEST_BODY // 2**20} MiB", outcomes.TOO_LARGE)
    return b"".join(parts)


def _reply_of(response: requests.Response, body: bytes, left_at: datetime) -> Reply:
    """Return a reply with the time at which it was asked for, the server's where it shows one.

    `Date` is made after the server looked at its jobs, so the time the reply took is taken off.
    """
    date = http_date(response.headers.get("Date", ""))
    if date is None:
        return Reply(body, left_at, is_server_clock=False)
    return Reply(body, date - response.elapsed)
