"""uvicorn in a daemon thread that starts and stops at once; knows nothing of what it serves."""

import asyncio
import socket
from threading import Event, Thread

import uvicorn
from starlette.types import ASGIApp
from typing_extensions import override

READY_WITHIN = 10.0


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


class _Server(uvicorn.Server):
    # uvicorn looks every 0.1 s whether to stop, and then waits another 0.1 s: too long for
    # a test suite that starts a server in every other test.

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = Event()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)

    @override
    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        self.ready.set()
        await self._stopping.wait()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listening in self.servers:
            listening.close()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self.server_state.connections):
            # Not `close`: it would wait for a client that has stopped reading.
            connection.transport.abort()
        for listening in self.servers:
            await listening.wait_closed()
