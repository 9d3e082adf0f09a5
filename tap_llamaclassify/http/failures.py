"""What a try that brought nothing tells the user: words of our own, and no value that was sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from tap_llamaclassify.http import outcomes
from tap_llamaclassify.http.outcomes import Outcome

LONGEST_TEXT = 200
"""How much of a server's words is shown."""
SHORT = 6
"""Characters of a piece that may stand inside a word by chance."""
MOST_ITEMS = 10**6
"""A number beyond it is taken for data."""
LONGEST_ID = 64
"""How much of an id is shown."""
HIDDEN = "?"
_WHERE = {"query", HIDDEN}

_pieces = re.compile(r"\W+").split
_is_name = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}").fullmatch
_is_host = re.compile(r"([A-Za-z0-9._-]{1,100}|\[[0-9A-Fa-f:.]{1,50}\])(:[0-9]{1,5})?").fullmatch


@dataclass(eq=False)
class Failure(Exception):  # noqa: N818 - it never leaves the client
    """A try that brought nothing.

    Attributes:
        retry_after: Seconds that the API asks to wait.
        held_for: Seconds for which no request leaves, if all are held back.
        refused_for: Seconds for which all requests have been refused, if they are.
        parameters: The names of the parameters that it is about, as far as they are known.
    """

    what: str
    outcome: Outcome
    retry_after: float | None = None
    held_for: float | None = None
    refused_for: float | None = None
    parameters: frozenset[str] = frozenset()


_GARBLED = (urllib3.exceptions.ProtocolError, urllib3.exceptions.DecodeError)
_FAILURES: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str, Outcome], ...] = (
    ((requests.Timeout, urllib3.exceptions.TimeoutError), "timed out", outcomes.TIMEOUT),
    (_GARBLED, "failed: the reply was cut short or garbled", outcomes.CUT_SHORT),
    (
        requests.exceptions.ProxyError,
        "failed: the proxy cannot be reached or refuses",
        outcomes.NO_CONNECTION,
    ),
    (requests.ConnectionError, "failed: {trouble}", outcomes.NO_CONNECTION),
    (
        urllib3.exceptions.LocationValueError,
        "failed: the address cannot be used",
        outcomes.UNKNOWN_STATUS,
    ),
    (urllib3.exceptions.HTTPError, "failed: {trouble}", outcomes.NO_CONNECTION),
    (requests.RequestException, "failed: the address cannot be used", outcomes.UNKNOWN_STATUS),
    (OSError, "failed: the file with trusted certificates is missing", outcomes.NO_TRUST),
)
"""What a try's error means: the first row that it is an instance of, for they overlap."""


def failure_of(error: Exception) -> Failure:
    """Name what kept a request from being answered; its own text holds the whole URL."""
    causes = _causes(error)
    if "CERTIFICATE_VERIFY_FAILED" in causes:
        return Failure("failed: its certificate is not trusted", outcomes.NO_TRUST)
    for kind, what, outcome in _FAILURES:
        if isinstance(error, kind):
            return Failure(what.format(trouble=_connection_trouble(causes)), outcome)
    return Failure("failed: the address cannot be used", outcomes.UNKNOWN_STATUS)


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


def place_of(path: str, template: str, key: str) -> str:
    """Say which path was asked for, with the id in it, but for a long one's end.

    Args:
        path: What was asked for.
        template: What to say instead, should the id hold the key.
        key: The key.
    """
    if tells(path, [key]):
        return template
    parts = path.split("/")
    return "/".join(f"{p[:LONGEST_ID]}..." if len(p) > LONGEST_ID else p for p in parts)


def redirect_target(response: requests.Response, sent: Iterable[str]) -> str:
    """Say where a redirect points: scheme, host and port, unless a value that was sent is there."""
    try:
        parts = urlsplit(response.headers["Location"])
    except ValueError:
        return "no address"
    host = parts.netloc.rpartition("@")[2]
    if not host:
        return "another path of the same host"
    if parts.scheme not in {"http", "https"} or not _is_host(host) or tells(host, sent):
        return "another host"
    return f"{parts.scheme}://{host}"


def refused_parameters(body: bytes, sent: Iterable[str], refusal: Failure) -> Failure:
    """Say which parameters a 422 is about: their names, for the rest may be anybody's text.

    Args:
        body: The reply's.
        sent: The values that were sent, the key among them.
        refusal: What is known so far; it stays so if the reply does not say which.
    """
    places = list(_places_in(body, [*sent]))
    if not places:
        return refusal
    names = {part for place in places for part in place}
    outcome = refusal.outcome
    if "page_token" not in names:
        outcome = outcomes.STATUSES[requests.codes.unprocessable]
        if "page_size" in names:
            outcome = replace(outcome, advice="change the setting page_size")
    text = ", ".join(dict.fromkeys(".".join(place) for place in places))
    what = f"{refusal.what} ({text[:LONGEST_TEXT]})"
    return Failure(what, outcome, parameters=frozenset(names) - _WHERE)


def _places_in(body: bytes, sent: Sequence[str]) -> Iterator[list[str]]:
    """Read where a 422's problems are, such as `query`, `page_size`; what may be data is `?`."""
    try:
        detail: Any = json.loads(body).get("detail")
    except (ValueError, AttributeError, RecursionError):
        return
    for problem in detail if isinstance(detail, list) else []:
        place = problem.get("loc") if isinstance(problem, dict) else None
        parts = [_shown(part, sent) for part in place] if isinstance(place, list) else []
        if any(part != HIDDEN for part in parts):
            yield parts


def _shown(part: Any, sent: Sequence[str]) -> str:
    match part:
        case str() if _is_name(part) and not tells(part, sent):
            return part
        case int() if type(part) is int and 0 <= part < MOST_ITEMS:
            return str(part)
        case _:
            return HIDDEN


def tells(text: str, sent: Iterable[str]) -> bool:
    """Return whether a text has a value that was sent in it, or a piece of one that is long."""
    text = text.casefold()
    for value in map(str.casefold, sent):
        if value == text:
            return True
        if any(len(part) > SHORT and part in text for part in (value, *_pieces(value))):
            return True
    return False
