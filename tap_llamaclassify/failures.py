"""What a try that brought nothing tells the user: words of our own, and no value that was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

import requests
import urllib3

from tap_llamaclassify import errors
from tap_llamaclassify.errors import Outcome, Verdict

LONGEST_TEXT = 200
"""How much of a server's words is shown."""
_SHORT = 6
"""Values of up to so many characters are masked only where they stand as a word."""


@dataclass(eq=False)
class Failure(Exception):  # noqa: N818 - it never leaves the client
    """A try that brought nothing."""

    what: str
    outcome: Outcome
    retry_after: float | None = None


_GARBLED = (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError)
_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, Outcome], ...] = (
    ((requests.Timeout, urllib3.exceptions.TimeoutError), "timed out", errors.TIMEOUT),
    (_GARBLED, "failed: the reply was cut short or garbled", errors.CUT_SHORT),
    (
        requests.exceptions.ProxyError,
        "failed: the proxy cannot be reached or refuses",
        errors.NO_CONNECTION,
    ),
    (requests.ConnectionError, "failed: {trouble}", errors.NO_CONNECTION),
    (
        urllib3.exceptions.LocationValueError,
        "failed: the address cannot be used",
        errors.UNKNOWN_STATUS,
    ),
    (urllib3.exceptions.HTTPError, "failed: {trouble}", errors.NO_CONNECTION),
    (requests.RequestException, "failed: the address cannot be used", errors.UNKNOWN_STATUS),
    (OSError, "failed: the file with trusted certificates is missing", errors.NO_TRUST),
)
"""What a try's error means: the first row that it is an instance of, for they overlap."""


def failure_of(error: Exception) -> Failure:
    """Name what kept a request from being answered; its own text holds the whole URL."""
    causes = _causes(error)
    if "CERTIFICATE_VERIFY_FAILED" in causes:
        return Failure("failed: its certificate is not trusted", errors.NO_TRUST)
    for kind, what, outcome in _FAILURES:
        if isinstance(error, kind):
            return Failure(what.format(trouble=_connection_trouble(causes)), outcome)
    return Failure("failed: the address cannot be used", errors.UNKNOWN_STATUS)


def _connection_trouble(causes: str) -> str:
    for mark, trouble in (
        ("NameResolution", "the host is unknown"),
        ("Connection refused", "the connection was refused"),
        ("SSL", "no TLS connection could be made"),
    ):
        if mark in causes:
            return trouble
    return "the connection broke"


def _causes(error: BaseException) -> str:
    """Write out an error for looking into it, never for showing it."""
    return repr(error) + repr(error.__context__)


def redirect_target(response: requests.Response, sent: Iterable[str]) -> str:
    """Say where a redirect points: scheme, host, port and path, less every value that was sent."""
    try:
        parts = urlsplit(response.headers["Location"])
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "no address"
    host = f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else ""
    return _presentable(host + parts.path, sent)


def refused_parameters(body: bytes, sent: Iterable[str], outcome: Outcome) -> tuple[str, Outcome]:
    """Say which parameters a 422 is about, in the API's words less every value that was sent.

    Args:
        body: The reply's.
        sent: The values.
        outcome: What follows if the reply does not say which.
    """
    try:
        detail: Any = json.loads(body).get("detail")
    except (ValueError, AttributeError, RecursionError):
        return "", outcome
    if not isinstance(detail, list):
        return "", outcome
    reasons = "; ".join(_problem(problem) for problem in detail if isinstance(problem, dict))
    if not reasons:
        return "", outcome
    if "page_token" not in reasons:
        advice = errors.STATUSES[requests.codes.unprocessable].advice
        if "page_size" in reasons:
            advice = "change the setting page_size"
        outcome = Outcome(Verdict.STOP, advice)
    return f" ({_presentable(reasons, sent)})", outcome


def _problem(problem: Mapping[str, Any]) -> str:
    place = problem.get("loc")
    where = ".".join(map(str, place)) if isinstance(place, list) else "?"
    return f"{where}: {problem.get('msg')}"


def _presentable(text: str, sent: Iterable[str]) -> str:
    """Make a text of the server's fit to be shown: masked, printable, on one line, and short.

    A short value is masked only where it stands as a word, not inside another.
    """
    values = {encode(value) for value in sent for encode in (str, quote, quote_plus, _quote_all)}
    for value in sorted(values, key=len, reverse=True):
        literal = re.escape(value)
        text = re.sub(literal if len(value) > _SHORT else rf"(?<!\w){literal}(?!\w)", "***", text)
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:LONGEST_TEXT]


def _quote_all(value: str) -> str:
    return quote(value, safe="")
