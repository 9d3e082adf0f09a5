"""Page tokens: opaque, awkward in a URL, and bound to the query that began the listing."""

import base64
import binascii
from collections.abc import Iterable
from hashlib import blake2b

import msgspec

# These three bytes come out as "+//+", and the padding below as "==": a client that does not
# encode a token for the URL, or cuts it at an "=", is found out on its second request.
MARK = b"\xfb\xff\xfe"

LONGEST = 1000
"""Characters of the values of a parameter that a token has as they are."""

Place = tuple[str, str] | int


class UnreadableTokenError(ValueError):
    """A page token this listing did not give; its text goes into the reply."""


class Query(msgspec.Struct, frozen=True, omit_defaults=True):
    """What must be asked again with each token: the path, and the parameters as they were sent.

    `others` is a digest of parameters that have no field here.
    """

    path: str
    project_id: str | None = None
    organization_id: str | None = None
    page_size: str | None = None
    status: str | None = None
    job_ids: tuple[str, ...] = ()
    configuration_id: str | None = None
    created_at_on_or_after: str | None = None
    created_at_on_or_before: str | None = None
    others: str | None = None


class Begun(msgspec.Struct, frozen=True):
    """When a listing began: by the world's clock, and by how many pages were made before."""

    seconds: float
    pages: int


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a listing stands: `page` replies are given, and it continues after `place`.

    A place is the sort key of the last job seen, or the number of jobs seen. `begun` is there
    if tokens expire.
    """

    query: Query
    order: str
    page: int
    place: Place
    begun: Begun | None = None


def digest(parameters: Iterable[object]) -> str:
    """Put any number of parameters into a short text, as a token that fits into a URL has it."""
    return blake2b(repr([*parameters]).encode(), digest_size=12).hexdigest()


def shortened(values: tuple[str, ...]) -> tuple[str, ...]:
    """Values as a token has them, or a digest of so many that a URL would be too long."""
    return values if sum(map(len, values)) <= LONGEST else (digest(values),)


def write(token: Token) -> str:
    """Put a token into standard base64, with the characters a URL must encode."""
    text = MARK + msgspec.json.encode(token)
    return base64.b64encode(text + b" " * ((1 - len(text)) % 3)).decode()


def read(text: str, query: Query, *, order: str, kind: str) -> Token:
    """Read a token back; UnreadableTokenError if it is none, or one of another listing."""
    try:
        raw = base64.b64decode(text, validate=True)
        token = msgspec.json.decode(raw.removeprefix(MARK), type=Token)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        message = f"page_token cannot be read: {error}"
        raise UnreadableTokenError(message) from error
    for name in Query.__struct_fields__:
        first, now = getattr(token.query, name), getattr(query, name)
        if first != now:
            message = f"page_token belongs to a listing with {name} {first!r}, not {now!r}"
            raise UnreadableTokenError(message)
    if token.order != order or (kind == "position") != isinstance(token.place, int):
        message = f"page_token belongs to a listing in another order than {order!r} by {kind}"
        raise UnreadableTokenError(message)
    return token
