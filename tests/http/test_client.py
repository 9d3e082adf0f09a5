"""Requests over real HTTP: what is retried, how long, with which key, and what errors may say."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import Any, Literal
from unittest import mock
from urllib.parse import quote, quote_plus, urlsplit

import msgspec
import pytest
import trustme
import urllib3
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.api.endpoints import V1_JOBS
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.api.pagination import page_of
from tap_llamaclassify.errors import ApiError, CancelledError, GoneError
from tap_llamaclassify.http import outcomes, replies
from tap_llamaclassify.http.client import (
    LONGEST_BODY,
    LONGEST_ERROR_BODY,
    Activity,
    Client,
    Exchange,
)
from tap_llamaclassify.http.rate_limit import Departure, LearnedLimit
from tap_llamaclassify.http.request import Request
from tests.support.builders import SimulatedClock, cases, connection, job

PAGE = {"items": [job("a")], "next_page_token": None}
PAGE_BYTES = msgspec.json.encode(PAGE)
CONTENT = [job("a")]
READ = partial(page_of, endpoint=V1_JOBS)

TRY_LATER = "the API is busy or down; run again later, or raise retry_seconds"
NO_ANSWER = "this is no answer of the API's; check api_url"
NO_REDIRECTS = (
    "redirects are not followed, because the key would go along; "
    "set api_url to the address that is meant"
)
LOWER_PAGE_SIZE = "lower page_size, and check any proxy"
NO_CONNECTION = "check api_url, the network and any proxy"
RETRIED = {408, 425, 429, *range(500, 600)}


class Wire:
    """A TCP server that answers each connection with the very bytes a test gives it."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self._script: list[tuple[bytes, bytes, str]] = []
        self._tls = tls
        self._stopping = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.address[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def answer_next(
        self,
        reply: bytes,
        *,
        drip: bytes = b"",
        end: Literal["close", "hang", "keep"] = "close",
    ) -> None:
        """Send these bytes next, and slowly, one by one, those that are to drip.

        Then close, wait for the client to go, or for its next request.
        """
        self._script.append((reply, drip, end))

    def stop(self) -> None:
        """Stop listening, and wait until nobody is served any more."""
        self._stopping = True
        with suppress(OSError):
            socket.create_connection(self.address).close()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while not self._stopping:
            accepted, _ = self._listener.accept()
            with accepted, suppress(OSError):
                peer = self._tls.wrap_socket(accepted, True) if self._tls else accepted  # noqa: FBT003 - server_side
                with peer:
                    while self._answer(peer):
                        pass

    def _answer(self, peer: socket.socket) -> bool:
        """Return a request; return whether the client may send another one."""
        request = b""
        # The first words of TLS have no end that a plain server would know.
        while b"\r\n\r\n" not in request and not request.startswith(b"\x16"):
            if not (chunk := peer.recv(65536)):
                return False
            request += chunk
        self.requests.append(request)
        whole = (reply_of(PAGE_BYTES), b"", "close")
        reply, drip, end = self._script.pop(0) if self._script else whole
        peer.sendall(reply)
        for byte in drip:
            peer.settimeout(0.02)
            with suppress(TimeoutError):
                if not peer.recv(1):
                    return False
            peer.sendall(bytes([byte]))
        peer.settimeout(None)
        if end == "keep":
            return True
        if end == "hang":
            peer.recv(1)
        peer.close()
        return False


def reply_of(body: bytes, *headers: str, status: str = "200 OK", length: bool = True) -> bytes:
    """Write a reply, with its length unless a header or the end of the connection tells it."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    lines += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Run a server that answers with bytes."""
    running = Wire()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def statuses() -> Iterator[Sandbox]:
    """Run one API for all statuses, because they are many."""
    with Sandbox(World.empty()) as running:
        yield running


def client_of(
    api: Sandbox | str, on_exchange: Callable[[Exchange], None] | None = None, **changes: Any
) -> Client:
    """Make a client of a sandbox or an address, by a clock on which waits cost nothing."""
    asked = (
        connection(api_url=api, **changes) if isinstance(api, str) else connection(api, **changes)
    )
    return Client(asked, clock=SimulatedClock(), on_exchange=on_exchange)


def naps(client: Client) -> list[float]:
    """Return for how long a client waited each time."""
    assert isinstance(client.clock, SimulatedClock)
    return client.clock.naps


def ask(client: Client, **params: str) -> Page:
    """Ask for a page."""
    return Request(client, V1_JOBS.path, params=params, read=READ).answer()


def refusal_of(client: Client, **params: str) -> str:
    """Ask for a page that cannot be had; return what the error says."""
    with pytest.raises(ApiError) as caught:
        ask(client, **params)
    return str(caught.value)


def where(url: str, *, request: int = 1) -> str:
    """Say where an error happened, as errors do."""
    return f"GET {V1_JOBS.path} at {urlsplit(url).netloc}, request {request},"


# What is sent.


def test_request_is_a_get_with_the_key_and_its_parameters(sandbox: Sandbox) -> None:
    sandbox.answer_next(200, PAGE)
    answer = ask(client_of(sandbox), page_size="7", project_id="p")

    (request,) = sandbox.requests
    assert answer.items == CONTENT
    assert (request.method, request.path) == ("GET", V1_JOBS.path)
    assert request.query == {"page_size": "7", "project_id": "p"}
    sent = {name: request.headers[name] for name in ("authorization", "user-agent", "accept")}
    assert sent == {
        "authorization": f"Bearer {sandbox.key}",
        "user-agent": "test",
        "accept": "application/json",
    }


def test_request_goes_below_the_path_of_api_url(sandbox: Sandbox) -> None:
    sandbox.answer_next(200, PAGE)
    ask(client_of(sandbox, api_url=f"{sandbox.url}/llama/cloud"))

    assert sandbox.requests[0].path == f"/llama/cloud{V1_JOBS.path}"


@cases(
    "value",
    {
        "base64": "+//+==",
        "space": "a b",
        "separators": "a&b=c",
        "other separators": "a#b?c",
        "escape": "%2B",
        "Unicode": "\u00e9\u4e2d\U0001f600",
        "control": "\x00\r\n",
        "dots": "../..",
        "long": "x" * 4000,
    },
)
def test_parameter_may_hold_any_character(sandbox: Sandbox, value: str) -> None:
    sandbox.answer_next(200, PAGE)
    ask(client_of(sandbox), page_token=value, page_size="7")

    assert sandbox.requests[0].query == {"page_token": value, "page_size": "7"}


def test_key_goes_with_every_try_in_spite_of_netrc(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text(
        "machine 127.0.0.1 login netrc password mine\ndefault login netrc password x\n"
    )
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    sandbox.answer_next(503)
    sandbox.answer_next(401)
    refusal_of(client_of(sandbox))

    keys = [request.headers["authorization"] for request in sandbox.requests]
    assert keys == [f"Bearer {sandbox.key}"] * 2


@pytest.mark.parametrize(
    "spelling",
    ["http://LOCALHOST:{port}", "http://LocalHost:0{port}"],
    ids=["upper case", "a port with a zero before it"],
)
def test_key_goes_to_the_host_however_it_is_spelled(sandbox: Sandbox, spelling: str) -> None:
    url = spelling.format(port=urlsplit(sandbox.url).port)
    sandbox.answer_next(200, PAGE)
    ask(client_of(sandbox, api_url=url))

    assert sandbox.requests[0].headers.get("authorization") == f"Bearer {sandbox.key}"


@pytest.mark.parametrize("kept", ["", "; Path=/; Max-Age=9", "; Domain=127.0.0.1"], ids=repr)
def test_cookies_are_not_sent_back_however_often_they_come(sandbox: Sandbox, kept: str) -> None:
    client = client_of(sandbox)
    for number, status in enumerate([503, 200, 200]):
        sandbox.answer_next(status, PAGE, headers={"Set-Cookie": f"c{number}={'x' * 3900}{kept}"})
    for _ in range(3):
        ask(client)

    assert len(sandbox.requests) == 4
    assert [request.headers.get("cookie") for request in sandbox.requests] == [None] * 4


# Redirects.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed_but_named(sandbox: Sandbox, status: int) -> None:
    with Sandbox(World.empty()) as target:
        to = f"{target.url}/elsewhere"
        sandbox.answer_next(status, headers={"Location": f"{to}?page_token=secret#secret"})
        client = client_of(sandbox)
        text = refusal_of(client)

        assert target.requests == []
    name = f"{status} {HTTPStatus(status).phrase}"
    said = f"answered {name}, a redirect to {target.url}: {NO_REDIRECTS}"
    assert text == f"{where(sandbox.url)} {said}"
    assert (len(sandbox.requests), naps(client)) == (1, [])


@cases(
    "location, named",
    {
        "path alone": ("/login/Jane%20Doe?next=secret", "another path of the same host"),
        "user and password": (
            "https://user:secret@host.example:8443/secret",
            "https://host.example:8443",
        ),
        "host alone": ("HTTPS://Host.example", "https://Host.example"),
        "no scheme": ("//host.example/secret", "another host"),
        "IPv6": ("https://[::1]:80/secret", "https://[::1]:80"),
        "an escape": ("https://secret%41.example/", "another host"),
        "no host": ("https://secret \xe9.example/", "another host"),
        "another scheme": ("secret://host.example", "another host"),
        "the key": ("https://llx-token_4567.example", "another host"),
        "a part of the key in another case": ("https://x.TOKEN_4567.example", "another host"),
        "half a bracket": ("http://[secret/x", "no address"),
        "invalid UTF-8": ("/secret\xff", "another path of the same host"),
        "a port that is no number": ("http://host.example:secret/x", "another host"),
    },
)
def test_redirect_is_named_by_its_host_alone(wire: Wire, location: str, named: str) -> None:
    wire.answer_next(reply_of(b"", f"Location: {location}", status="302 Found"))
    text = refusal_of(client_of(wire.url, api_key="llx-token_4567/89"))

    assert text == f"{where(wire.url)} answered 302 Found, a redirect to {named}: {NO_REDIRECTS}"


# What is retried.


@pytest.mark.parametrize("status", range(201, 600))
def test_status_is_retried_or_ends_the_run_at_once(statuses: Sandbox, status: int) -> None:
    statuses.clear_requests()
    statuses.answer_next(status)
    statuses.answer_next(200, PAGE)
    client = client_of(statuses)
    if status in RETRIED:
        assert ask(client).items == CONTENT
        assert statuses.unanswered == 0
    else:
        assert f" request 1, answered {status}" in refusal_of(client)
        assert ask(client).items == CONTENT
    tried = [status, 200]
    assert [request.status for request in statuses.requests] == tried
    assert naps(client) == ([1.0] if status in RETRIED else [])


@pytest.mark.parametrize("status", ["101 Switching Protocols", "199 Nothing", "600 Odd", "999 Odd"])
def test_status_of_no_class_ends_the_run_at_once(wire: Wire, status: str) -> None:
    wire.answer_next(reply_of(b"", status=status))
    client = client_of(wire.url)
    text = refusal_of(client)

    assert text.startswith(f"{where(wire.url)} answered {status[:3]}")
    assert text.endswith(f": {NO_ANSWER}")
    assert (len(wire.requests), naps(client)) == (1, [])


GZIPPED = gzip.compress(PAGE_BYTES)
NO_GZIP = GZIPPED[:30] + b"wrong" + GZIPPED[35:]
CHUNKED = "Transfer-Encoding: chunked"
BROKEN = f"failed: the connection broke (try 2): {NO_CONNECTION}"
GARBLED = f"failed: the reply was cut short or garbled (try 2): {LOWER_PAGE_SIZE}"
CUT_SHORT = f"the reply was cut short (try 2): {LOWER_PAGE_SIZE}"


@cases(
    "reply, what",
    {
        "closed": (b"", BROKEN),
        "closed in the status line": (reply_of(PAGE_BYTES)[:10], BROKEN),
        "closed in the headers": (reply_of(PAGE_BYTES)[:20], CUT_SHORT),
        "closed before JSON of no length": (reply_of(b"", length=False), CUT_SHORT),
        "closed inside JSON of no length": (reply_of(PAGE_BYTES[:-30], length=False), CUT_SHORT),
        "cut by length": (reply_of(PAGE_BYTES)[:-30], GARBLED),
        "no content": (reply_of(b""), CUT_SHORT),
        "chunks that are none": (reply_of(b"zz\r\nabc", CHUNKED, length=False), GARBLED),
        "garbled gzip": (reply_of(NO_GZIP, "Content-Encoding: gzip"), GARBLED),
        "no deflate": (reply_of(PAGE_BYTES, "Content-Encoding: deflate"), GARBLED),
        "no HTTP": (b"who are you?\r\n", BROKEN),
        "too many headers": (reply_of(PAGE_BYTES, *["X: y"] * 200), BROKEN),
    },
)
def test_reply_that_is_not_whole_is_asked_for_again_and_named(
    wire: Wire, reply: bytes, what: str
) -> None:
    for _ in range(2):
        wire.answer_next(reply)
    client = client_of(wire.url, retry_seconds=1)

    assert refusal_of(client) == f"{where(wire.url, request=2)} {what}"
    assert (len(wire.requests), naps(client)) == (2, [1.0])
    assert client.activity == Activity(requests=2, waits=1)
    assert ask(client).items == CONTENT


@pytest.mark.parametrize(
    "reply", [b"", reply_of(PAGE_BYTES)[:-30]], ids=["before the reply", "inside the reply"]
)
def test_silence_is_a_timeout_and_asked_again(wire: Wire, reply: bytes) -> None:
    what = "timed out (try 2): raise request_timeout_seconds, or lower page_size"
    for _ in range(2):
        wire.answer_next(reply, end="hang")
    client = client_of(wire.url, timeout=0.2, retry_seconds=1)

    assert refusal_of(client) == f"{where(wire.url, request=2)} {what}"
    assert naps(client) == [1.0]


HEAD = b"HTTP/1.1 200 OK\r\n"
KEPT = reply_of(PAGE_BYTES).replace(b"Connection: close\r\n", b"")
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(PAGE_BYTES), PAGE_BYTES)
DRIPS: dict[str, tuple[bytes, bytes]] = {
    "status line": (b"", b"HTTP/1.1 200 " + b"O" * 99),
    "headers": (HEAD, b"X: " + b"y" * 99),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 4),
    "body": (reply_of(PAGE_BYTES)[:-99], PAGE_BYTES[-99:]),
    "trailer": (HEAD + IN_CHUNKS, b"X: y\r\n" * 16 + b"\r\n"),
    "body of a refusal": (reply_of(b"x" * 99, status="500 Error")[:-99], b"x" * 99),
}
"""What comes at once of a reply, and what comes a byte now and then, for some two seconds."""


@pytest.mark.parametrize(("begin", "drip"), DRIPS.values(), ids=DRIPS)
def test_reply_that_drips_is_a_timeout_and_asked_again(
    wire: Wire,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    begin: bytes,
    drip: bytes,
) -> None:
    monkeypatch.setattr(replies, "MOST_SILENCES", 1)
    caplog.set_level(logging.INFO)
    # The second one comes over the connection of the first.
    wire.answer_next(KEPT, end="keep")
    wire.answer_next(begin, drip=drip)
    client = client_of(wire.url, timeout=0.2)
    ask(client)

    assert ask(client).items == CONTENT
    assert (len(wire.requests), naps(client)) == (3, [1.0])
    assert "(timed out; try 2)" in caplog.text


def closed_port() -> int:
    """Find a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("size", ["-1", "-ffffffffffff"], ids=str)
def test_chunk_of_a_size_that_is_none_garbles_the_reply_and_is_not_read(
    wire: Wire, caplog: pytest.LogCaptureFixture, size: str
) -> None:
    caplog.set_level(logging.INFO)
    wire.answer_next(HEAD + f"Transfer-Encoding: chunked\r\n\r\n{size}\r\nx".encode(), end="hang")
    client = client_of(wire.url)

    assert ask(client).items == CONTENT
    assert naps(client) == [1.0]
    assert "(failed: the reply was cut short or garbled; try 2)" in caplog.text


@cases(
    "url, trouble",
    {
        "refused": ("http://127.0.0.1:{closed}", "the connection was refused"),
        "unknown host": ("http://host.invalid", "the host is unknown"),
        "plain HTTP": ("https://127.0.0.1:{plain}", "no TLS connection could be made"),
    },
)
def test_connection_that_cannot_be_made_is_tried_again_and_named(
    wire: Wire, url: str, trouble: str
) -> None:
    url = url.format(closed=closed_port(), plain=wire.address[1])
    client = client_of(url, retry_seconds=1)

    assert refusal_of(client) == (
        f"{where(url, request=2)} failed: {trouble} (try 2): {NO_CONNECTION}"
    )
    assert naps(client) == [1.0]


def test_proxy_that_cannot_be_reached_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", f"http://user:secret@127.0.0.1:{closed_port()}")
    url = "http://host.invalid"
    client = client_of(url, retry_seconds=1)
    text = refusal_of(client)

    assert text == (
        f"{where(url, request=2)} failed: the proxy cannot be reached or refuses "
        f"(try 2): {NO_CONNECTION}"
    )
    assert naps(client) == [1.0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_key_goes_through_no_proxy_to_this_machine(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    sandbox.answer_next(200, PAGE)
    with Sandbox(World.empty()) as proxy:
        monkeypatch.delenv("NO_PROXY")
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        url = sandbox.url.replace("127.0.0.1", host)
        assert ask(client_of(url)).items == CONTENT

        assert proxy.requests == []


@cases(
    "url, trouble",
    {
        "empty label": ("http://a..b", "the address cannot be used"),
        "long label": (f"http://{'a' * 64}.example", "the address cannot be used"),
        "no certificates": ("https://127.0.0.1:1", "the file with trusted certificates is missing"),
    },
)
def test_host_or_certificates_that_cannot_be_are_an_api_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, trouble: str
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    client = client_of(url)

    assert refusal_of(client).startswith(f"{where(url)} failed: {trouble}: ")
    assert naps(client) == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Make a certificate authority that no machine knows."""
    return trustme.CA()


@pytest.fixture
def secure_wire(authority: trustme.CA) -> Iterator[Wire]:
    """Run a server with a certificate of that authority's."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    running = Wire(tls)
    yield running
    running.stop()


def test_certificate_that_nobody_signed_ends_the_run_at_once(secure_wire: Wire) -> None:
    url = secure_wire.url
    client = client_of(url)
    text = refusal_of(client)

    assert text == (
        f"{where(url)} failed: its certificate is not trusted: check api_url; "
        "for a certificate authority of your own set REQUESTS_CA_BUNDLE"
    )
    assert (secure_wire.requests, naps(client)) == ([], [])


def test_reply_that_drips_over_tls_of_ones_own_authority_is_a_timeout(
    secure_wire: Wire, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "MOST_SILENCES", 1)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
    begin, drip = DRIPS["body"]
    secure_wire.answer_next(begin, drip=drip)
    client = client_of(secure_wire.url, timeout=0.3, retry_seconds=0)

    assert " request 1, timed out (try 1): " in refusal_of(client)


def test_proxy_whose_reply_drips_is_a_timeout(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "MOST_SILENCES", 1)
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTPS_PROXY", wire.url)
    wire.answer_next(HEAD, drip=b"X: y\r\n" * 16 + b"\r\n")
    client = client_of("https://host.invalid", timeout=0.3, retry_seconds=0)

    assert " request 1, timed out (try 1): " in refusal_of(client)


# How long is waited.


@cases(
    "retry_seconds, waits",
    {
        "no second try": (0, []),
        "one more": (1, [1]),
        "cut by the end": (10, [1, 2, 4, 3]),
        "up to a minute": (300, [1, 2, 4, 8, 16, 32, 60, 60, 60, 57]),
    },
)
def test_waits_double_up_to_a_minute_within_retry_seconds(
    sandbox: Sandbox, retry_seconds: int, waits: list[float]
) -> None:
    sandbox.answer_next(503, times=99)
    client = client_of(sandbox, retry_seconds=retry_seconds)
    text = refusal_of(client)

    tries = len(waits) + 1
    assert naps(client) == waits
    assert len(sandbox.requests) == tries
    assert text == (
        f"{where(sandbox.url, request=tries)} answered 503 Service Unavailable "
        f"(try {tries}): {TRY_LATER}"
    )


@cases(
    "headers, times, warned",
    {
        "many waits": ({}, 9, [16.0]),
        "few waits": ({}, 4, []),
        "second wait": ({"Retry-After": "30"}, 3, [30.0]),
        "long wait": ({"Retry-After": "31"}, 3, [31.0]),
        "one wait": ({"Retry-After": "30"}, 1, []),
    },
)
def test_waits_of_more_than_30_seconds_in_all_are_a_warning_once_a_request(
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
    times: int,
    warned: list[float],
) -> None:
    client = client_of(sandbox)
    for _ in range(2):
        sandbox.answer_next(503, headers=headers, times=times)
        ask(client)

    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [float(text.split()[1]) for text in warnings] == warned * 2


@cases(
    "status, headers, naps",
    {
        "429": (429, {"Retry-After": "7"}, [7, 7]),
        "503": (503, {"Retry-After": "7"}, [7, 7]),
        "date": (429, {"Retry-After": "Sun, 01 Nov 2026 12:00:07 GMT", "Date": "soon"}, [7, 7]),
        "nonsense": (429, {"Retry-After": "soon"}, [1, 1]),
        "nothing asked for": (429, {}, [1, 1]),
        "no wait asked for": (429, {"Retry-After": "0"}, [1, 1]),
    },
)
def test_retry_after_holds_every_request_of_the_connection(
    sandbox: Sandbox, status: int, headers: dict[str, str], naps: list[float]
) -> None:
    class BusyClock(SimulatedClock):
        """A clock by which another request is made while the first one waits."""

        others = 1

        @override
        def sleep(self, seconds: float) -> None:
            if self.others:
                self.others -= 1
                ask(client)
            super().sleep(seconds)

    clock = BusyClock()
    client = Client(connection(sandbox), clock=clock)
    sandbox.answer_next(status, headers=headers)
    sandbox.answer_next(200, PAGE, times=2)

    assert ask(client).items == CONTENT
    assert clock.naps == naps


def test_each_request_has_its_own_patience(sandbox: Sandbox) -> None:
    client = client_of(sandbox, retry_seconds=3)
    for _ in range(3):
        sandbox.answer_next(503, times=2)
        sandbox.answer_next(200, PAGE)
        assert ask(client).items == CONTENT

    assert naps(client) == [1, 2] * 3


def test_time_between_a_reply_and_its_reading_is_not_taken_off_retry_seconds(
    sandbox: Sandbox,
) -> None:
    clock = SimulatedClock()
    client = Client(connection(sandbox, retry_seconds=60), clock=clock)
    request = Request(client, V1_JOBS.path, params={}, read=READ)
    sandbox.answer_next(200, PAGE_BYTES[:-30])
    sandbox.answer_next(200, PAGE)
    request.send()
    clock.sleep(61)

    assert request.answer().items == CONTENT
    assert clock.naps == [61, 1]


@cases(
    "retry_after, retry_seconds, named",
    {
        "over five minutes": ("301", 600, "301"),
        "date": ("Mon, 23 Nov 2026 13:00:00 GMT", 600, "3,600"),
        "more than is left": ("11", 10, "11"),
    },
)
def test_retry_after_that_is_too_long_ends_the_run_at_once_and_is_named(
    sandbox: Sandbox, retry_after: str, retry_seconds: int, named: str
) -> None:
    sandbox.answer_next(429, headers={"Retry-After": retry_after})
    client = client_of(sandbox, retry_seconds=retry_seconds)
    text = refusal_of(client)

    assert text == (
        f"{where(sandbox.url)} answered 429 Too Many Requests (try 1) and asks to wait {named} s: "
        "the rate limit is used up; set requests_per_minute"
    )
    assert (len(sandbox.requests), naps(client)) == (1, [])


def test_requests_try_no_longer_together_than_one_does_alone(sandbox: Sandbox) -> None:
    client = client_of(sandbox, retry_seconds=60)
    sandbox.answer_next(429, times=50)
    assert "(try 1)" not in refusal_of(client)
    before = len(sandbox.requests)

    # All have been refused for as long as one may be.
    assert "answered 429 Too Many Requests (try 1)" in refusal_of(client)
    assert len(sandbox.requests) == before + 1


def test_limit_knows_of_an_answer_before_its_body_is_read(sandbox: Sandbox) -> None:
    happened: list[str] = []
    read, answered = urllib3.HTTPResponse.read, LearnedLimit.answered

    def reading(response: urllib3.HTTPResponse, *rest: Any, **options: Any) -> bytes:
        happened.append("read")
        return read(response, *rest, **options)

    def noting(limit: LearnedLimit, departure: Departure) -> None:
        happened.append("answered")
        answered(limit, departure)

    sandbox.answer_next(200, PAGE)
    with (
        mock.patch.object(urllib3.HTTPResponse, "read", reading),
        mock.patch.object(LearnedLimit, "answered", noting),
    ):
        assert ask(client_of(sandbox)).items == CONTENT
    assert happened[:2] == ["answered", "read"]


def test_requests_per_minute_holds_tries_back_too(sandbox: Sandbox) -> None:
    client = client_of(sandbox, requests_per_minute=3)
    begin = client.clock.monotonic()
    seconds: list[float] = []
    sandbox.before_page = lambda _: seconds.append(client.clock.monotonic() - begin)
    for _ in range(2):
        ask(client)
    sandbox.answer_next(503)
    for _ in range(5):
        ask(client)

    # The third was answered 503 at second 0, and its next try was due at second 1.
    assert seconds == [0, 0, 60, 60, 60, 120, 120]
    assert client.activity == Activity(requests=8, waits=3)


def test_pace_leaves_retry_seconds_untouched(sandbox: Sandbox) -> None:
    client = client_of(sandbox, requests_per_minute=1, retry_seconds=30)
    ask(client)
    sandbox.answer_next(503)
    sandbox.answer_next(200, PAGE)

    # Held back a minute by the pace, the request has not been tried for a second yet.
    assert ask(client).items == CONTENT


# What the log says.


def test_wait_is_logged_once_with_its_reason_and_the_counters(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sandbox.answer_next(503)
    sandbox.answer_next(200, PAGE_BYTES[:-9])
    sandbox.answer_next(429, headers={"Retry-After": "7"})
    sandbox.answer_next(200, PAGE, times=2)
    client = client_of(sandbox, requests_per_minute=4)
    client.activity.pages, client.activity.jobs = 1234, 123400
    ask(client, project_id="secret")
    ask(client, project_id="secret")

    so_far = "so far 1,234 pages, 123,400 jobs,"
    assert caplog.messages == [
        f"Waiting 1.0 s (answered 503 Service Unavailable; try 2); {so_far} 1 requests, 1 waits",
        f"Waiting 2.0 s (the reply was cut short; try 3); {so_far} 2 requests, 2 waits",
        f"Waiting 7.0 s (answered 429 Too Many Requests; try 4); {so_far} 3 requests, 3 waits",
        f"Waiting 50.0 s (requests_per_minute); {so_far} 4 requests, 4 waits",
    ]
    assert {record.levelno for record in caplog.records} == {logging.INFO}


def test_exchange_is_told_of_every_reply(sandbox: Sandbox) -> None:
    exchanges: list[Exchange] = []
    sandbox.answer_next(503)
    sandbox.answer_next(200, PAGE_BYTES[:-9])
    sandbox.answer_next(404)
    refusal_of(client_of(sandbox, on_exchange=exchanges.append))

    told = [(exchange.path, exchange.status) for exchange in exchanges]
    assert told == [(V1_JOBS.path, 503), (V1_JOBS.path, 200), (V1_JOBS.path, 404)]
    assert all(exchange.seconds > 0 for exchange in exchanges)


# What is cancelled.


@pytest.mark.parametrize("sent", [0, 1], ids=["before it is sent", "while it is under way"])
def test_request_that_is_cancelled_ends_without_a_trace(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, sent: int
) -> None:
    caplog.set_level(logging.INFO)
    exchanges: list[Exchange] = []
    client = client_of(sandbox, on_exchange=exchanges.append)
    sandbox.before_page = lambda _: client.cancel()
    if not sent:
        client.cancel()
    with pytest.raises(CancelledError):
        ask(client)

    assert (len(sandbox.requests), exchanges, naps(client), caplog.messages) == (sent, [], [], [])


# When it was asked.


def test_asked_at_is_the_servers_date_less_the_time_the_reply_took(sandbox: Sandbox) -> None:
    exchanges: list[Exchange] = []
    sandbox.answer_next(200, PAGE, headers={"Date": "Tue, 24 Nov 2026 14:00:00 +0200"})
    answer = ask(client_of(sandbox, on_exchange=exchanges.append))

    moment = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert answer.asked_at == moment - timedelta(seconds=exchanges[0].seconds)
    assert answer.is_server_clock


def test_asked_at_is_this_machines_clock_where_the_server_shows_none(sandbox: Sandbox) -> None:
    sandbox.answer_next(503)
    sandbox.answer_next(200, PAGE, date=False)
    answer = ask(client_of(sandbox))

    # One second after noon, for the first try does not count.
    assert answer.asked_at == datetime(2026, 11, 1, 12, 0, 1, tzinfo=UTC)
    assert not answer.is_server_clock


# What errors say.


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "400 Bad Request: the API does not understand the request; check api_url"),
        (
            401,
            (
                "401 Unauthorized: check api_key: it is wrong or revoked, or belongs to another "
                "region (api_url) or another project (project_id)"
            ),
        ),
        (402, "402 Payment Required: the organization is out of credits"),
        (
            403,
            "403 Forbidden: api_key has no access there; check project_id and organization_id",
        ),
        (404, "404 Not Found: this API is not, or no longer, at this host; check api_url"),
        (410, "410 Gone: this API is not, or no longer, at this host; check api_url"),
        (413, "413 Request Entity Too Large: the API refuses the request"),
        (414, "414 Request-URI Too Long: the API refuses the request"),
        (416, "416 Requested Range Not Satisfiable: the API refuses the request"),
        (418, "418 I'm a Teapot: the API refuses the request"),
        (499, "499: the API refuses the request"),
        (204, f"204 No Content: {NO_ANSWER}"),
        (302, f"302 Found: {NO_REDIRECTS}"),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>secret</html>", b'{"detail": "secret"}'], ids=repr)
def test_refusal_says_what_where_and_what_to_do(
    sandbox: Sandbox, status: int, text: str, body: bytes
) -> None:
    sandbox.answer_next(status, b"" if status == 204 else body)

    refusal = refusal_of(client_of(sandbox))
    assert refusal == f"{where(sandbox.url)} answered {text}"


def test_error_counts_the_request_that_failed_not_those_sent_meanwhile(sandbox: Sandbox) -> None:
    sandbox.answer_next(503)
    sandbox.answer_next(200, PAGE)
    sandbox.answer_next(418)

    def ask_another(exchange: Exchange) -> None:
        if exchange.status != 200:
            sandbox.answer_next(200, PAGE)
            ask(client)

    client = client_of(sandbox, ask_another, retry_seconds=1)
    assert " request 3, answered 418" in refusal_of(client)
    assert len(sandbox.requests) == 4


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_is_told_by_its_status_and_not_by_words(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    reworded = replace(outcomes.STATUSES[status], advice="look elsewhere")
    monkeypatch.setitem(outcomes.STATUSES, status, reworded)
    sandbox.answer_next(status)
    with pytest.raises(GoneError, match="look elsewhere"):
        ask(client_of(sandbox))


@pytest.mark.parametrize(
    ("identity", "named"),
    [
        ("182bd5e5-6e1a-4fe4-a799-aa6d9a6ab26e",) * 2,
        ("a/b?c d\u00e9\n", "a%2Fb%3Fc%20d%C3%A9%0A"),
        ("x" * 20_000, "x" * 64 + "..."),
        ("MARKED-llx-key", "{id}"),
        ("x-marked-LLX-KEY/", "{id}"),
    ],
    ids=["as it is", "quoted", "shortened", "holding the key", "in another case"],
)
def test_error_names_the_job_that_was_asked_for_and_metrics_do_not(
    sandbox: Sandbox, identity: str, named: str
) -> None:
    exchanges: list[Exchange] = []
    asked = connection(sandbox, api_key="llx-key", api_url=sandbox.url, retry_seconds=0)
    sandbox.answer_next(503)
    request = Request(
        Client(asked, on_exchange=exchanges.append),
        f"{V1_JOBS.path}/{quote(identity, safe='')}",
        params={},
        read=READ,
        shown=f"{V1_JOBS.path}/{{id}}",
    )
    with pytest.raises(ApiError, match="answered 503") as caught:
        request.answer()

    assert str(caught.value).startswith(f"GET {V1_JOBS.path}/{named} at ")
    assert [exchange.path for exchange in exchanges] == [f"{V1_JOBS.path}/{{id}}"]


def test_422_of_the_api_itself_names_the_setting_page_size(sandbox: Sandbox) -> None:
    text = refusal_of(client_of(sandbox), page_size="1000")

    assert text == (
        f"{where(sandbox.url)} answered 422 Unprocessable Entity (query.page_size): "
        "change the setting page_size"
    )


def problem(loc: Any) -> dict[str, Any]:
    """Write a 422 of one problem; the values that a real one repeats are in it, too."""
    shown = {"msg": "secret", "type": "secret", "input": "secret", "ctx": ["secret"]}
    return {"detail": [{"loc": loc} | shown]}


REFUSES = ": the API refuses a parameter"


@cases(
    "body, text",
    {
        "one problem": (problem(["query", "x"]), f" (query.x){REFUSES}"),
        "several problems": (
            {"detail": [*problem(["query", "a"])["detail"], 7, {"loc": ["b", 0]}]},
            f" (query.a, b.0){REFUSES}",
        ),
        "the same problem": (
            {"detail": problem(["query", "x"])["detail"] * 9},
            f" (query.x){REFUSES}",
        ),
        "a text among names": (problem(["body", "Jane Doe", "x"]), f" (body.?.x){REFUSES}"),
        "parts that are no names": (
            problem(["a-b", 1.5, True, -1, 10**6, None, {}, "", "\u00e9", "q"]),
            f" ({'?.' * 9}q){REFUSES}",
        ),
        "a long name": (problem(["x" * 64, "x" * 65]), f" ({'x' * 64}.?){REFUSES}"),
        "control characters": (problem(["\x1b[31m", "\ud800", "\u202e", "q\n"]), REFUSES),
        "place a text": (problem("secret"), REFUSES),
        "no place": (problem(None), REFUSES),
        "place an object": (problem({"secret": 1}), REFUSES),
        "long": (problem(["x"] * 1000), f" ({'x.' * 100}){REFUSES}"),
        "too long to be read": (problem(["x"]) | {"more": "x" * LONGEST_ERROR_BODY}, REFUSES),
        "nothing": ({"detail": [{}]}, REFUSES),
        "no problem": ({"detail": []}, REFUSES),
        "problems that are none": ({"detail": ["secret", None, 7]}, REFUSES),
        "detail a text": ({"detail": "secret"}, REFUSES),
        "detail an object": ({"detail": {"secret": 1}}, REFUSES),
        "detail null": ({"detail": None}, REFUSES),
        "no detail": ({}, REFUSES),
        "a list": (["secret"], REFUSES),
        "empty": (b"", REFUSES),
        "HTML": ("<html>secret</html>", REFUSES),
        "no text": (b"\xff\xfe\x00secret", REFUSES),
        "nested deeply": (b"[" * 100_000, REFUSES),
        "5,000 digits": (b'{"detail": ' + b"9" * 5000 + b"}", REFUSES),
        "a token that was sent": (problem(["q", "MARKED_0123"]), f" (q.?){REFUSES}"),
        "of another case": (problem(["q", "marked_0123"]), f" (q.?){REFUSES}"),
        "inside a name": (problem(["q", "x_MARKED_0123_x"]), f" (q.?){REFUSES}"),
        "a part of the key": (problem(["q", "secret_4567"]), f" (q.?){REFUSES}"),
        "short, and sent": (problem(["q", "p1"]), f" (q.?){REFUSES}"),
        "short, and by chance": (problem(["q", "xp1x"]), f" (q.xp1x){REFUSES}"),
    },
)
def test_422_shows_the_names_of_where_and_nothing_else(
    sandbox: Sandbox, body: Any, text: str
) -> None:
    sandbox.answer_next(422, body)
    client = client_of(sandbox, api_key="llx-secret_4567/89")

    refusal = refusal_of(client, page_token="+//MARKED_0123==", project_id="p1")
    assert refusal == f"{where(sandbox.url)} answered 422 Unprocessable Entity{text}"


# Replies without end.


def gzipped(body: bytes) -> bytes:
    """Make a whole reply of gzipped bytes."""
    return reply_of(gzip.compress(body, 1), "Content-Encoding: gzip")


def test_reply_of_the_longest_body_is_read(wire: Wire) -> None:
    wire.answer_next(gzipped(PAGE_BYTES + b" " * (LONGEST_BODY - len(PAGE_BYTES))))

    assert ask(client_of(wire.url)).items == CONTENT


@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_longer_reply_stops_the_run_and_names_page_size(wire: Wire, *, packed: bool) -> None:
    body = b" " * (LONGEST_BODY + 1)
    wire.answer_next(gzipped(body) if packed else reply_of(body))
    client = client_of(wire.url)
    text = refusal_of(client)

    assert text == f"{where(wire.url)} answered more than 64 MiB: lower page_size"
    assert naps(client) == []


def test_long_reply_to_a_refused_request_is_not_read_to_its_end(wire: Wire) -> None:
    wire.answer_next(reply_of(b" " * (LONGEST_ERROR_BODY + 1), status="500 Error"))

    assert ask(client_of(wire.url)).items == CONTENT


# What nobody may read.

KEY = "llx-MARKED-key"
TOKEN = "+//+MARKED-token=="
PROJECT = "MARKED-project"
ORGANIZATION = "MARKED organization"
BODY = "MARKED-body"
PARAMS = {"project_id": PROJECT, "organization_id": ORGANIZATION, "page_token": TOKEN}
MARKED_JOB = job(BODY, status=7)

MARKED_REPLIES = {
    "a page": reply_of(msgspec.json.encode({"items": [MARKED_JOB]})),
    "cut JSON": reply_of(f'{{"items": [{{"id": "{BODY}"'.encode()),
    "no JSON": reply_of(BODY.encode()),
    "a job without an id": reply_of(f'{{"items": [{{"{BODY}": "{BODY}"}}]}}'.encode()),
    "no gzip": reply_of(BODY.encode(), "Content-Encoding: gzip"),
    "cut by length": reply_of(BODY.encode() * 9)[:-5],
    "chunks that are none": reply_of(BODY.encode(), "Transfer-Encoding: chunked", length=False),
    "no HTTP": BODY.encode() + b"\r\n\r\n",
    "no reply": b"",
    "401": reply_of(BODY.encode(), status=f"401 {BODY}"),
    "500": reply_of(BODY.encode(), status=f"500 {BODY}"),
    "429": reply_of(BODY.encode(), f"Retry-After: {BODY}", status="429 Slow down"),
    "302": reply_of(
        BODY.encode(), f"Location: http://{BODY}@host.example/?{BODY}", status=f"302 {BODY}"
    ),
    "302 to what was asked for": reply_of(
        b"", f"Location: /login/{quote_plus(TOKEN)}/{PROJECT}", status="302 Found"
    ),
    "302 to nonsense": reply_of(b"", f"Location: http://[{BODY}", status="302 Found"),
    "422": reply_of(
        msgspec.json.encode({"detail": [{"loc": ["query", PROJECT], "msg": TOKEN, "input": BODY}]}),
        status=f"422 {BODY}",
    ),
    "422 in words": reply_of(f'{{"detail": "{BODY}"}}'.encode(), status="422 No"),
    "a header that is none": reply_of(b"{}", f"{BODY} without a colon"),
    "a date that is none": reply_of(
        PAGE_BYTES, f"Date: Mon, 23 Nov {'9' * 20} 12:00:00 GMT {BODY}"
    ),
}


def told(record: logging.LogRecord) -> str:
    """Write out all that a handler could show of a record."""
    return f"{logging.Formatter().format(record)} {record.args!r}"


@pytest.mark.parametrize("reply", MARKED_REPLIES.values(), ids=MARKED_REPLIES)
def test_nothing_that_was_sent_or_came_is_ever_told(
    wire: Wire, caplog: pytest.LogCaptureFixture, reply: bytes
) -> None:
    for logger in ("", "urllib3", "urllib3.connectionpool"):
        caplog.set_level(logging.DEBUG, logger)
    for _ in range(3):
        wire.answer_next(reply)
    client = client_of(wire.url, api_key=KEY, retry_seconds=3)
    texts = [repr(client.connection)]
    try:
        ask(client, **PARAMS)
    except Exception as error:  # noqa: BLE001 - whatever it is, it may not tell
        texts += [str(error), repr(error), *traceback.format_exception(error)]
    texts += [told(record) for record in caplog.records]

    assert wire.requests
    assert [text for text in texts if "MARKED" in text] == []
