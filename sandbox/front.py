"""What stands before the API: notes each request, sets the Date, gives canned and ready replies."""

import asyncio
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.settings import Settings
from sandbox.world import World

JSON_TYPE = {"content-type": "application/json"}

Pairs = Iterable[tuple[str, str]]


@dataclass(slots=True)
class Request:
    """One request as it came, and the status it was answered with (None: not yet, or never)."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    target: str
    status: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Canned:
    """A reply made beforehand; `cut` closes the connection in the middle of its body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    date: bool = True
    cut: bool = False
    delay_ms: float = 0.0


def canned_body(body: Any, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Bytes as they are, a text in UTF-8, anything else as JSON; and the lower-cased headers."""
    lowered = {name.lower(): value for name, value in headers.items()}
    if isinstance(body, bytes):
        return body, lowered
    if isinstance(body, str):
        return body.encode(), lowered
    return json.dumps(body).encode(), {**JSON_TYPE, **lowered}


class Front:
    """An ASGI application around another one.

    `ready` holds whole replies by what `ready_key` makes of a request; `failures` what the
    inner application raised.
    """

    def __init__(self, app: ASGIApp, world: World, *, settings: Settings) -> None:
        self.requests: list[Request] = []
        self.canned: deque[Canned] = deque()
        self.ready: dict[Any, Canned] = {}
        self.failures: list[Exception] = []
        self._app = app
        self._world = world
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: canned, else ready-made, else by the application."""
        request = _request_of(scope)
        self.requests.append(request)
        reply = self.canned.popleft() if self.canned else None
        if reply is not None:
            await self._reply(reply, request, send)
            return
        if self._settings.latency_ms:
            await asyncio.sleep(self._settings.latency_ms / 1000)
        if self.ready and (reply := self.ready.get(_key_of(request))):
            await self._reply(reply, request, send)
            return
        try:
            await self._app(scope, receive, self._noting(request, send))
        except Exception as error:  # noqa: BLE001 - shown to the test when the sandbox closes
            self.failures.append(error)

    async def _reply(self, reply: Canned, request: Request, send: Send) -> None:
        await asyncio.sleep(reply.delay_ms / 1000)
        body, length = reply.body, len(reply.body)
        if reply.cut:
            body, length = body[: length // 2], max(length, 1)
        headers = {"content-length": str(length), **reply.headers}
        start = {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        await self._noting(request, send, date=reply.date)(start)
        await send({"type": "http.response.body", "body": body, "more_body": reply.cut})

    def _noting(self, request: Request, send: Send, *, date: bool = True) -> Send:
        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                headers = message["headers"]
                if date and not any(name.lower() == b"date" for name, _ in headers):
                    now = format_datetime(self._world.now(), usegmt=True)
                    message = {**message, "headers": [*headers, (b"date", now.encode())]}
            await send(message)

        return note


def ready_key(path: str, authorization: str, query: Pairs) -> Any:
    """What makes two requests the same: path, key and parameters, in whatever order."""
    return path, authorization, tuple(sorted(query))


def _key_of(request: Request) -> Any:
    return ready_key(request.path, request.headers.get("authorization", ""), request.query.items())


def _request_of(scope: Scope) -> Request:
    query = scope["query_string"].decode("latin-1")
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={
            name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]
        },
        target=f"{scope['path']}?{query}" if query else scope["path"],
    )
