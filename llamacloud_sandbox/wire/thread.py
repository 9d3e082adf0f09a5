"""uvicorn in a daemon thread that starts and stops at once; knows nothing of what it serves."""

import asyncio
import socket
import struct
from collections.abc import Callable
from threading import Event, Thread, get_ident
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

READY_WITHIN = 10.0
STEPS_OF_ACCEPTING = 3
"""Turns of the loop until a connection that was just accepted is known, and can be closed."""


class ServerThread:
    """Serves an application on a listening socket, which it then owns, until `stop`."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        # No log: a test that hangs up, or a hook that raises, is no news for the terminal.
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            date_header=False,
            server_header=False,
            # A client is known by the address of its connection, whatever it says it is.
            proxy_headers=False,
        )
        self._server = _Server(config)
        self._thread = Thread(
            target=self._server.run, args=([listener],), name="sandbox", daemon=True
        )

    def start(self) -> None:
        """Serve, and return once it does."""
        self._thread.start()
        if not self._server.ready.wait(READY_WITHIN):
            message = f"the sandbox's server did not start within {READY_WITHIN:.0f} s"
            raise TimeoutError(message)

    def stop(self) -> None:
        """Drop what is not answered yet, close every connection, and wait for the thread."""
        self._server.stop()
        self._thread.join()

    @property
    def is_shut(self) -> bool:
        """Whether connections are refused."""
        return self._server.reserved is not None

    def refuse(self, seconds: float | None = None) -> None:
        """Refuse connections until `accept`, or so many real seconds; end those that idle."""
        self._in_loop(lambda: self._server.refuse(seconds))

    def accept(self) -> None:
        """Accept connections again, at the same port."""
        self._in_loop(self._server.accept)

    def transport_of(self, client: tuple[str, int]) -> asyncio.Transport:
        """The connection with this address; to be called in the server's thread."""
        connections: Any = self._server.server_state.connections
        transport: asyncio.Transport = next(
            connection.transport for connection in connections if connection.client == client
        )
        return transport

    def reset(self, client: tuple[str, int]) -> None:
        """Break this connection off without a goodbye; to be called in the server's thread."""
        transport = self.transport_of(client)
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def _in_loop(self, work: Callable[[], None]) -> None:
        if get_ident() == self._thread.ident:
            work()
            return

        async def call() -> None:
            work()
            await self._server.opened()

        asyncio.run_coroutine_threadsafe(call(), self._server.loop).result(READY_WITHIN)


class _Server(uvicorn.Server):
    # uvicorn looks every 0.1 s whether to stop, and then waits another 0.1 s: too long for
    # a test suite that starts a server in every other test.

    loop: asyncio.AbstractEventLoop

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = Event()
        self.reserved: socket.socket | None = None
        self._opening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._stopping.set)

    def refuse(self, seconds: float | None) -> None:
        if self.reserved is None:
            address = self.servers[0].sockets[0].getsockname()
            self.servers.pop().close()
            # Bound but not listening: nobody can connect, and nobody else can take the port.
            self.reserved = socket.socket()
            self.reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.reserved.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.reserved.bind(address)
            for connection in list(self.server_state.connections):
                connection.shutdown()
        if seconds is not None:
            self._timer = self.loop.call_later(seconds, self.accept)

    def accept(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self.reserved is not None:
            listener, self.reserved = self.reserved, None
            listener.listen()
            self._opening = self.loop.create_task(self._serve_on(listener))

    async def opened(self) -> None:
        """Wait until connections are accepted, if they are about to be."""
        if self._opening:
            await self._opening

    async def _serve_on(self, listener: socket.socket) -> None:
        self.servers.append(await self.loop.create_server(self._protocol, sock=listener))

    def _protocol(self) -> Any:
        protocol: Any = self.config.http_protocol_class
        return protocol(config=self.config, server_state=self.server_state, app_state={})

    @override
    async def main_loop(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.ready.set()
        await self._stopping.wait()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.opened()
        if self.reserved:
            self.reserved.close()
        for listening in self.servers:
            listening.close()
        for _ in range(STEPS_OF_ACCEPTING):
            await asyncio.sleep(0)
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self.server_state.connections):
            # Not `close`: it would wait for a client that has stopped reading.
            connection.transport.abort()
        for listening in self.servers:
            await listening.wait_closed()
