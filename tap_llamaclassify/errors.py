"""The tree of errors; every text is fit for a user's eyes.

TapError                what a user can cause or can act on: one line, no traceback
├── SettingsError       a setting is missing, unknown or wrong
├── StateError          the state handed in cannot be read
├── CatalogError        the catalog handed in asks for what the streams cannot do
├── CheckError          a stream that is selected cannot be read
├── OutputError         what was read cannot be written
│   └── LoaderGoneError      whoever reads standard output has closed it
└── ApiError            the API refuses, cannot be reached, or answers what cannot be read
    ├── GoneError       there is no such thing at the API, or no longer
    ├── AccessError     the key may not have it
    ├── ItemError       this one thing cannot be had; others may be
    │   └── RefusedError     the API refuses what was asked, or does not understand it
    ├── SetAsideError   some things could not be had, and were left out; all others were read
    ├── PageTokenError  the API no longer takes a page token that it gave
    ├── CancelledError  nobody waits for the answer any more
    └── ReplyError      a reply of status 200 that is not what was asked for
        └── CutShortError    a reply that ends in the middle: worth another try
"""

from __future__ import annotations

import copy
from typing import Self

from typing_extensions import override

_SCOPE = {"organization_id", "project_id"}


class TapError(Exception):
    """Its text says what happened, where, and what to do; it never holds a value of the user's."""


class SettingsError(TapError):
    """A setting is missing, unknown or wrong."""


class StateError(TapError):
    """The state handed in cannot be read."""


class CatalogError(TapError):
    """The catalog handed in asks for what the streams cannot do."""


class CheckError(TapError):
    """A stream that is selected cannot be read."""


class OutputError(TapError):
    """What was read cannot be written."""


class LoaderGoneError(OutputError):
    """Whoever reads standard output has closed it."""


class ApiError(TapError):
    """The API refuses, cannot be reached, or answers what cannot be read.

    Attributes:
        is_transient: Whether another try may bring it, without anybody doing anything.
    """

    is_transient: bool = False

    @property
    def is_unavailable(self) -> bool:
        """Whether it says that what was asked for is not there for this key."""
        return False

    def reworded(self, text: str) -> Self:
        """Return the same error with another text."""
        error = copy.copy(self)
        error.args = (text,)
        return error.with_traceback(self.__traceback__)


class GoneError(ApiError):
    """There is no such thing at the API, or no longer."""

    @property
    @override
    def is_unavailable(self) -> bool:
        return True


class AccessError(ApiError):
    """The key may not have it."""

    @property
    @override
    def is_unavailable(self) -> bool:
        return True


class ItemError(ApiError):
    """This one thing cannot be had; others may be."""


class RefusedError(ItemError):
    """The API refuses what was asked, or does not understand it.

    Attributes:
        parameters: The names of the parameters that it is about, as far as it says.
    """

    parameters: frozenset[str] = frozenset()

    @property
    @override
    def is_unavailable(self) -> bool:
        # Nothing but the scope is the key's affair.
        return _SCOPE.issuperset(self.parameters)


class SetAsideError(ApiError):
    """Some things could not be had, and were left out; all others were read."""


class PageTokenError(ApiError):
    """The API no longer takes a page token that it gave."""


class CancelledError(ApiError):
    """Nobody waits for the answer any more."""


class ReplyError(ApiError):
    """A reply of status 200 that is not what was asked for."""


class CutShortError(ReplyError):
    """A reply that ends in the middle."""
