"""What can go wrong and what follows from it, as one table; every text is fit for a user's eyes.

TapError                what a user can cause or can act on: one line, no traceback
├── SettingsError       a setting is missing, unknown or wrong
├── StateError          the state handed in cannot be read
├── CatalogError        the catalog handed in asks for what the streams cannot do
├── OutputError         what was read cannot be written
│   └── LoaderGoneError      whoever reads standard output has closed it
└── ApiError            the API refuses, cannot be reached, or answers what cannot be read
    └── ReplyError      a reply of status 200 that is not a page of jobs
        └── CutShortError    a reply that ends in the middle: worth another try
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus


class TapError(Exception):
    """Its text says what happened, where, and what to do; it never holds a value of the user's."""


class SettingsError(TapError):
    """A setting is missing, unknown or wrong."""


class StateError(TapError):
    """The state handed in cannot be read."""


class CatalogError(TapError):
    """The catalog handed in asks for what the streams cannot do."""


class OutputError(TapError):
    """What was read cannot be written."""


class LoaderGoneError(OutputError):
    """Whoever reads standard output has closed it."""


class ApiError(TapError):
    """The API refuses, cannot be reached, or answers what cannot be read."""


class ReplyError(ApiError):
    """A reply of status 200 that is not a page of jobs."""


class CutShortError(ReplyError):
    """A reply that ends in the middle."""


class Verdict(Enum):
    """What follows from an answer."""

    RETRY = "retried"
    STOP = "stops the run"


@dataclass(frozen=True)
class Outcome:
    """What one kind of answer means.

    Attributes:
        verdict: Whether the same request is tried again.
        advice: What the user can do when the run stops over it.
    """

    verdict: Verdict
    advice: str


_TRY_LATER = "the API is busy or down; run again later, or raise retry_seconds"
_GONE = "this API is not, or no longer, at this host; check api_url"

STATUSES: dict[int, Outcome] = {
    400: Outcome(Verdict.STOP, "the API does not understand the request; check api_url"),
    401: Outcome(
        Verdict.STOP,
        "check api_key: it is wrong or revoked, or belongs to another region (api_url) "
        "or another project (project_id)",
    ),
    402: Outcome(Verdict.STOP, "the organization is out of credits"),
    403: Outcome(
        Verdict.STOP,
        "api_key has no access there; check project_id and organization_id",
    ),
    404: Outcome(Verdict.STOP, _GONE),
    408: Outcome(Verdict.RETRY, _TRY_LATER),
    410: Outcome(Verdict.STOP, _GONE),
    422: Outcome(Verdict.STOP, "the API refuses a parameter"),
    425: Outcome(Verdict.RETRY, _TRY_LATER),
    429: Outcome(Verdict.RETRY, "the rate limit is used up; set requests_per_minute"),
}
"""What follows from a status that has a meaning of its own."""

CLASSES: dict[int, Outcome] = {
    3: Outcome(
        Verdict.STOP,
        "redirects are not followed, because the key would go along; "
        "set api_url to the address that is meant",
    ),
    4: Outcome(Verdict.STOP, "the API refuses the request"),
    5: Outcome(Verdict.RETRY, _TRY_LATER),
}
"""What follows from any other status, by its first digit."""

UNKNOWN_STATUS = Outcome(Verdict.STOP, "this is no answer of the API's; check api_url")
NO_CONNECTION = Outcome(Verdict.RETRY, "check api_url, the network and any proxy")
NO_TRUST = Outcome(
    Verdict.STOP,
    "check api_url; for a certificate authority of your own set REQUESTS_CA_BUNDLE",
)
TIMEOUT = Outcome(Verdict.RETRY, "raise request_timeout_seconds, or lower page_size")
CUT_SHORT = Outcome(Verdict.RETRY, "lower page_size, and check any proxy")
"""What follows when there is no whole reply."""


def outcome_of(status: int) -> Outcome:
    """Look up what follows from a status other than 200."""
    return STATUSES.get(status) or CLASSES.get(status // 100) or UNKNOWN_STATUS


def status_text(status: int) -> str:
    """Name a status in words of our own, such as `429 Too Many Requests`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
