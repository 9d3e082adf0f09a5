"""What stands before the API: notes each request, sets the Date, lets things go wrong.

Canned replies come first, then the longest URL, then the rate limit, then faults, then what is
gone, then ready replies, then the API.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.wire.faults import FAULTS, Asked
from llamacloud_sandbox.wire.limit import Limit
from llamacloud_sandbox.wire.plan import Upcoming
from llamacloud_sandbox.wire.replies import Broken, Canned, Flood, answer
from llamacloud_sandbox.world.world import World

Pairs = Iterable[tuple[str, str]]


@dataclass(slots=True)
class Request:
    """One request as it came, and what became of it.

    query: the parameters; of one that came more than once, the last.
    status: what it was answered with; None: not yet, or never.
    fault: the name of the fault it met, if any.
    sent: how many bytes of a flood were handed to the network.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    target: str
    status: int | None = None
    fault: str | None = None
    sent: int = 0
    parameters: list[tuple[str, str]] = field(default_factory=list)

    def values(self, name: str) -> list[str]:
        """Every value of a parameter, in order; none if it did not come."""
        return [value for its_name, value in self.parameters if its_name == name]


class Door(Protocol):
    """Where connections come in."""

    @property
    def is_shut(self) -> bool:
        """Whether connections are refused."""

    def refuse(self, seconds: float | None = None) -> None:
        """Refuse connections from now on, for so many real seconds."""

    def transport_of(self, client: tuple[str, int]) -> asyncio.Transport:
        """The connection with this address."""

    def reset(self, client: tuple[str, int]) -> None:
        """Break this connection off."""


class Front:
    """An ASGI application around another one.

    `ready` holds whole replies by what `ready_key` makes of a request; `failures` what the
    inner application raised; `door` must be set before the first request.
    """

    door: Door

    def __init__(self, app: ASGIApp, world: World, *, settings: Settings) -> None:
        self.requests: list[Request] = []
        self.canned: deque[Canned] = deque()
        self.ready: dict[Any, Canned] = {}
        self.failures: list[Exception] = []
        self.faults = Upcoming()
        self._app = app
        self._world = world
        self._settings = settings
        self._limit = Limit(world, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Return one request, rightly or not."""
        request = _request_of(scope)
        self.requests.append(request)
        reply = self.canned.popleft() if self.canned else None
        if reply is None and self._is_too_long(scope):
            reply = answer(414, {"detail": HTTPStatus(414).phrase})
        if reply is None and self._settings.requests_per_minute:
            reply = self._limit.refusal()
        if reply is not None:
            await self._reply(reply, request, send)
            return
        if self._settings.latency_ms:
            await asyncio.sleep(self._settings.latency_ms / 1000)
        request.fault = self.faults.take(has_token="page_token" in request.query)
        if request.fault is None:
            await self._answer(request, scope, receive, send)
        else:
            await self._fail(request.fault, request, scope, receive, send)

    async def _answer(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        if status := self._gone(request.path):
            await self._reply(answer(status, {"detail": HTTPStatus(status).phrase}), request, send)
            return
        if self.ready and (reply := self.ready.get(_key_of(request))):
            await self._reply(reply, request, send)
            return
        try:
            await self._app(scope, receive, self._noting(request, send))
        except Exception as error:  # noqa: BLE001 - shown to the test when the sandbox closes
            self.failures.append(error)

    def _is_too_long(self, scope: Scope) -> bool:
        # As it was sent: a character that is encoded counts as it is written.
        query = scope["query_string"]
        length = len(scope["raw_path"]) + (len(query) + 1 if query else 0)
        return 0 < self._settings.longest_url < length

    def _gone(self, path: str) -> int | None:
        gone = self._settings.gone.items()
        return next((status for beginning, status in gone if path.startswith(beginning)), None)

    async def _fail(
        self, kind: str, request: Request, scope: Scope, receive: Receive, send: Send
    ) -> None:
        fault = FAULTS[kind]
        spoiled = _Collected()
        if fault.spoils:
            await self._answer(request, scope, receive, spoiled)
        if fault.refuses:
            self.door.refuse(self._settings.refuse_seconds)
        asked = Asked(request.target, request.headers.get("host", ""), self._world.now())
        reply = fault.make(asked, spoiled.reply())
        request.status = None
        if isinstance(reply, Broken):
            await self._break(reply, request, scope["client"], receive)
        elif isinstance(reply, Flood):
            await self._flood(reply, request, scope["client"], send)
        else:
            await self._reply(reply, request, send)

    async def _break(
        self, reply: Broken, request: Request, client: tuple[str, int], receive: Receive
    ) -> None:
        request.status = reply.status
        transport = self.door.transport_of(client)
        transport.write(reply.data)
        if reply.end == "close":
            transport.close()
        elif reply.end == "reset":
            self.door.reset(client)
        # The server would send a 500 if this returned while the connection is there.
        while (await receive())["type"] != "http.disconnect":
            pass

    async def _flood(
        self, reply: Flood, request: Request, client: tuple[str, int], send: Send
    ) -> None:
        transport = self.door.transport_of(client)
        await self._noting(request, send)(_start(200, reply.headers))
        for chunk in reply.chunks():
            if transport.is_closing():
                return
            # Before it is sent: who has read all of it may look.
            request.sent += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body"})

    async def _reply(self, reply: Canned, request: Request, send: Send) -> None:
        await asyncio.sleep(reply.delay_ms / 1000)
        body, length = reply.body, len(reply.body)
        if reply.cut:
            body, length = body[: length // 2], max(length, 1)
        start = _start(reply.status, {"content-length": str(length), **reply.headers})
        await self._noting(request, send, date=reply.date)(start)
        await send({"type": "http.response.body", "body": body, "more_body": reply.cut})

    def _noting(self, request: Request, send: Send, *, date: bool = True) -> Send:
        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                headers = list(message["headers"])
                if (
                    date
                    and self._settings.date
                    and not any(name.lower() == b"date" for name, _ in headers)
                ):
                    now = format_datetime(self._world.now(), usegmt=True)
                    headers.append((b"date", now.encode()))
                if self.door.is_shut:
                    # Else a client might send its next request before it sees the end.
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        return note


class _Collected:
    """Where the reply goes that a fault is to spoil."""

    def __init__(self) -> None:
        self._start: MutableMapping[str, Any] | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self._body += message.get("body", b"")

    def reply(self) -> Canned:
        if self._start is None:
            return Canned()
        headers = {name.decode(): value.decode() for name, value in self._start["headers"]}
        return Canned(status=self._start["status"], body=self._body, headers=headers)


def _start(status: int, headers: dict[str, str]) -> Message:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


def ready_key(path: str, authorization: str, query: Pairs) -> Any:
    """What makes two requests the same: path, key and parameters, in whatever order."""
    return path, authorization, tuple(sorted(query))


def _key_of(request: Request) -> Any:
    return ready_key(request.path, request.headers.get("authorization", ""), request.parameters)


def _request_of(scope: Scope) -> Request:
    query = scope["query_string"].decode("latin-1")
    parameters = parse_qsl(query, keep_blank_values=True)
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=dict(parameters),
        headers={
            name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]
        },
        target=f"{scope['path']}?{query}" if query else scope["path"],
        parameters=parameters,
    )
