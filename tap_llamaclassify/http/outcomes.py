"""What follows from each answer of the API, and from none: one table, with words for the user."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from http import HTTPStatus


class Verdict(Enum):
    """What follows from an answer."""

    RETRY = "retried"
    STOP = "stops the run"
    RETRY_ONCE = "retried once"
    START_AGAIN = "listed again from the top, at most twice"


@dataclass(frozen=True)
class Outcome:
    """What one kind of answer means.

    Attributes:
        verdict: Whether, and how, it is tried again.
        advice: What the user can do when the run stops over it.
        is_gone: Whether what was asked for is not there, or no longer.
        is_of_access: Whether the key may not have it.
        is_refusal: Whether what was asked is refused, or not understood.
        is_of_item: Whether something else may be had all the same.
    """

    verdict: Verdict
    advice: str
    is_gone: bool = False
    is_of_access: bool = False
    is_refusal: bool = False
    is_of_item: bool = False


_TRY_LATER = "the API is busy or down; run again later, or raise retry_seconds"
_GONE = Outcome(
    Verdict.STOP, "this API is not, or no longer, at this host; check api_url", is_gone=True
)
_KEY = Outcome(
    Verdict.STOP,
    "check api_key: it is wrong or revoked, or belongs to another region (api_url) "
    "or another project (project_id)",
)
_ACCESS = Outcome(
    Verdict.STOP,
    "api_key has no access there; check project_id and organization_id",
    is_of_access=True,
)
TOKEN_REJECTED = Outcome(
    Verdict.START_AGAIN,
    "the API no longer takes a page token that it gave; run again, and raise page_size, "
    "so that the listing is over sooner",
)

STATUSES: dict[int, Outcome] = {
    400: Outcome(
        Verdict.STOP, "the API does not understand the request; check api_url", is_refusal=True
    ),
    401: _KEY,
    402: Outcome(Verdict.STOP, "the organization is out of credits"),
    403: _ACCESS,
    404: _GONE,
    407: Outcome(Verdict.STOP, "the proxy wants other credentials; check HTTP_PROXY"),
    408: Outcome(Verdict.RETRY, _TRY_LATER),
    410: _GONE,
    422: Outcome(Verdict.STOP, "the API refuses a parameter", is_refusal=True),
    425: Outcome(Verdict.RETRY, _TRY_LATER),
    429: Outcome(Verdict.RETRY, "the rate limit is used up; set requests_per_minute"),
}
"""What follows from a status that has a meaning of its own."""

LATER_STATUSES: dict[int, Outcome] = {
    400: TOKEN_REJECTED,
    401: replace(_KEY, verdict=Verdict.RETRY_ONCE),
    403: replace(_ACCESS, verdict=Verdict.RETRY_ONCE),
    404: TOKEN_REJECTED,
    410: TOKEN_REJECTED,
    422: TOKEN_REJECTED,
}
"""What follows instead on a later page: the same question, but for the token, was just answered."""

CLASSES: dict[int, Outcome] = {
    3: Outcome(
        Verdict.STOP,
        "redirects are not followed, because the key would go along; "
        "set api_url to the address that is meant",
    ),
    4: Outcome(Verdict.STOP, "the API refuses the request", is_of_item=True),
    5: Outcome(Verdict.RETRY, _TRY_LATER, is_of_item=True),
}
"""What follows from any other status, by its first digit."""

UNKNOWN_STATUS = Outcome(Verdict.STOP, "this is no answer of the API's; check api_url")
NO_CONNECTION = Outcome(Verdict.RETRY, "check api_url, the network and any proxy")
NO_TRUST = Outcome(
    Verdict.STOP,
    "check api_url; for a certificate authority of your own set REQUESTS_CA_BUNDLE",
)
TIMEOUT = Outcome(
    Verdict.RETRY, "raise request_timeout_seconds, or lower page_size", is_of_item=True
)
CUT_SHORT = Outcome(Verdict.RETRY, "lower page_size, and check any proxy", is_of_item=True)
TOO_LARGE = Outcome(Verdict.STOP, "lower page_size", is_of_item=True)
"""What follows when there is no whole reply."""


def outcome_of(status: int, *, later: bool = False) -> Outcome:
    """Look up what follows from a status other than 200.

    Args:
        status: The HTTP status.
        later: Whether it answers a page after the first of a listing.
    """
    if later and status in LATER_STATUSES:
        return LATER_STATUSES[status]
    return STATUSES.get(status) or CLASSES.get(status // 100) or UNKNOWN_STATUS


# Python 3.13 has other words for these: what an error says must not hang on that.
_PHRASES = {
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}


def status_text(status: int) -> str:
    """Name a status in words of our own, such as `429 Too Many Requests`."""
    try:
        return f"{status} {_PHRASES.get(status) or HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
