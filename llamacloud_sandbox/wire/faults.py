"""What can go wrong on the wire, as one table by name; it decides nothing and sends nothing."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from llamacloud_sandbox.wire.replies import Broken, Canned, Ending, Flood, Reply, answer

LARGE = 100 * 1024 * 1024
"""Bytes of a reply that is too large, once it is decompressed."""
AFTER_SECONDS = 3
"""What an honest Retry-After asks for."""
ABSURD_SECONDS = 10**12

RETRIED = (408, 425, 429, *range(500, 505), *range(520, 525))
WITH_RETRY_AFTER = (408, 425, 429, 503)

_BEGIN, _END = b'{"items": [], "next_page_token": null, "padding": "', b'"}'
_CHUNK = b"x" * 65_536


@dataclass(frozen=True, slots=True)
class Asked:
    """What a fault needs to know of the request: its path with the query, host, world's time."""

    target: str
    host: str
    now: datetime


Make = Callable[[Asked, Canned], Reply]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """How something goes wrong.

    make: what is sent, given the reply that it spoils (an empty one unless `spoils`).
    outlasted: whether asking again, and again, brings the reply in the end.
    spoils: whether the API makes its reply first.
    token: whether only a request with a page token can meet it.
    refuses: whether the listener is closed, so that the next connection is refused.
    """

    make: Make
    outlasted: bool = True
    spoils: bool = False
    token: bool = False
    refuses: bool = False


def _status(status: int, after: str = "") -> Fault:
    def make(asked: Asked, _: Canned) -> Reply:
        headers = {"retry_after": _retry_after(after, asked.now)} if after else {}
        return answer(status, _body_of(status), **headers)

    return Fault(make=make, outlasted=after != "absurd")


def _body_of(status: int) -> object:
    # From 502 on it is a proxy that answers, and not the API.
    if status > HTTPStatus.NOT_IMPLEMENTED:
        return f"<html><body><h1>{status}</h1><hr>proxy</body></html>"
    return {"detail": HTTPStatus(status).phrase}


def _retry_after(form: str, now: datetime) -> str:
    forms = {
        "seconds": str(AFTER_SECONDS),
        "date": _http_date(now + timedelta(seconds=AFTER_SECONDS)),
        "past": _http_date(now - timedelta(hours=1)),
        "absurd": str(ABSURD_SECONDS),
    }
    return forms[form]


def _http_date(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


def _always(reply: Reply, *, outlasted: bool = False, token: bool = False) -> Fault:
    return Fault(make=lambda _asked, _reply: reply, outlasted=outlasted, token=token)


def _head(reply: Canned, *lines: str) -> bytes:
    # Written by hand, because a server's library sends nothing that is not whole.
    headers = [f"{name}: {value}" for name, value in reply.headers.items() if name != LENGTH]
    first = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"
    return "\r\n".join([first, *headers, *lines, "", ""]).encode("latin-1")


LENGTH = "content-length"


def _half(reply: Canned, end: Ending) -> Broken:
    head = _head(reply, f"{LENGTH}: {len(reply.body)}")
    return Broken(head + reply.body[: len(reply.body) // 2], end, reply.status)


def _half_in_chunks(_: Asked, reply: Canned) -> Reply:
    half = reply.body[: len(reply.body) // 2]
    chunk = b"%x\r\n%s\r\n" % (len(half), half)
    return Broken(_head(reply, "transfer-encoding: chunked") + chunk, "close", reply.status)


def _half_until_close(_: Asked, reply: Canned) -> Reply:
    half = reply.body[: len(reply.body) // 2]
    return Broken(_head(reply, "connection: close") + half, "close", reply.status)


def _gzip(body: bytes, reply: Canned) -> Reply:
    kept = {name: value for name, value in reply.headers.items() if name != LENGTH}
    headers = {**kept, "content-encoding": "gzip"}
    return Canned(status=reply.status, body=body, headers=headers)


def _truncated_gzip(_: Asked, reply: Canned) -> Reply:
    whole = gzip.compress(reply.body, mtime=0)
    return _gzip(whole[: len(whole) // 2], reply)


def _redirect_here(asked: Asked, _: Canned) -> Reply:
    return answer(307, b"", location=f"/moved{asked.target}")


def _redirect_elsewhere(asked: Asked, _: Canned) -> Reply:
    # Another host, and yet one that shows whether a client follows: the same server by its name.
    port = urlsplit(f"//{asked.host}").port
    return answer(307, b"", location=f"http://localhost:{port}{asked.target}")


def large_body() -> Iterator[bytes]:
    """Make a page of LARGE bytes, piece by piece."""
    yield _BEGIN
    left = LARGE - len(_BEGIN) - len(_END)
    for begin in range(0, left, len(_CHUNK)):
        yield _CHUNK[: left - begin]
    yield _END


def _compressed() -> Iterator[bytes]:
    packer = zlib.compressobj(level=1, wbits=31)
    for chunk in large_body():
        yield packer.compress(chunk)
    yield packer.flush()


def _flood(chunks: Callable[[], Iterator[bytes]], **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return _always(Flood({"content-type": "application/json", **named}, chunks))


_UNREADABLE_TOKEN = {
    "loc": ["query", "page_token"],
    "msg": "Value error, page_token is not known",
    "type": "value_error",
}

FAULTS: dict[str, Fault] = {
    **{str(status): _status(status) for status in RETRIED},
    **{
        f"{status}-after-{form}": _status(status, form)
        for status in WITH_RETRY_AFTER
        for form in ("seconds", "date", "past", "absurd")
    },
    "refused": Fault(make=lambda _, reply: reply, spoils=True, refuses=True),
    "closed-before": _always(Broken(b"", "close"), outlasted=True),
    "reset-before": _always(Broken(b"", "reset"), outlasted=True),
    "reset-inside": Fault(make=lambda _, reply: _half(reply, "reset"), spoils=True),
    "cut-length": Fault(make=lambda _, reply: _half(reply, "close"), spoils=True),
    "cut-chunked": Fault(make=_half_in_chunks, spoils=True),
    "cut-close": Fault(make=_half_until_close, spoils=True),
    "stalled-before": _always(Broken(b"", "stall"), outlasted=True),
    "stalled-inside": Fault(make=lambda _, reply: _half(reply, "stall"), spoils=True),
    "gzip-truncated": Fault(make=_truncated_gzip, spoils=True),
    "gzip-wrong": Fault(make=lambda _, reply: _gzip(reply.body, reply), spoils=True),
    "html-200": _always(
        answer(200, "<!doctype html><title>Sign in</title>", content_type="text/html")
    ),
    "empty-object": _always(answer(200, {})),
    "items-null": _always(answer(200, {"items": None, "next_page_token": None})),
    "token-400": _always(answer(400, {"detail": "page_token has expired"}), token=True),
    "token-404": _always(answer(404, {"detail": "Not Found"}), token=True),
    "token-410": _always(answer(410, {"detail": "Gone"}), token=True),
    "token-422": _always(answer(422, {"detail": [_UNREADABLE_TOKEN]}), token=True),
    "401": _always(answer(401, {"detail": "Invalid API key"})),
    "403": _always(answer(403, {"detail": "No access to this project"})),
    "redirect-same-host": Fault(make=_redirect_here, outlasted=False),
    "redirect-other-host": Fault(make=_redirect_elsewhere, outlasted=False),
    "large": _flood(large_body, content_length=str(LARGE)),
    "large-chunked": _flood(large_body),
    "large-gzip": _flood(_compressed, content_encoding="gzip"),
}

OUTLASTABLE = tuple(name for name, fault in FAULTS.items() if fault.outlasted)


def fault_named(name: str) -> Fault:
    """Look a fault up. ValueError: there is none of this name."""
    try:
        return FAULTS[name]
    except KeyError:
        message = f"no such fault: {name!r}; there are {', '.join(FAULTS)}"
        raise ValueError(message) from None
