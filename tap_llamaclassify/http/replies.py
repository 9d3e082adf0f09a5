"""Replies that come to an end: in time, however slowly they come, and chunk by chunk.

It knows sockets, and nothing of the API.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

import requests.adapters
from typing_extensions import override

MOST_SILENCES = 10
"""How many times as long as the silence that is allowed, a whole reply may take."""


class _InTime(io.RawIOBase):
    """What comes from a socket until a deadline.

    The socket's own timeout bounds each silence, but not a reply of which a byte comes now and
    then: status line, headers, body or trailer, none of which whoever waits has seen an end of.
    """

    def __init__(self, raw: io.RawIOBase, connected: socket.socket) -> None:
        self._raw = raw
        self._socket = connected
        self._silence = connected.gettimeout() or 0.0
        self._deadline = time.monotonic() + MOST_SILENCES * self._silence

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int | None:
        if (left := self._deadline - time.monotonic()) < self._silence:
            if left <= 0:
                raise TimeoutError
            # It is set anew before the next request.
            self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _Reply(http.client.HTTPResponse):
    """A reply as Python's library reads it, but within a deadline, and with chunks of a size."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp: Any = io.BufferedReader(_InTime(self.fp.detach(), sock))

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc] # private, but called
        if size < 0:
            # All that comes would be read, however much.
            raise ValueError
        return size


class TimelyAdapter(requests.adapters.HTTPAdapter):
    """Sends requests over connections, kept ones among them, whose replies end in time."""

    @override
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        _make_timely(self.poolmanager)

    @override
    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        is_new = proxy not in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if is_new:
            _make_timely(manager)
        return manager


def _make_timely(manager: Any) -> None:
    """Let a manager's pools, of whatever kind, make connections that read such replies."""
    manager.pool_classes_by_scheme = {
        scheme: type(pool.__name__, (pool,), {"ConnectionCls": _timely(pool.ConnectionCls)})
        for scheme, pool in manager.pool_classes_by_scheme.items()
    }


def _timely(connection: type) -> type:
    return type(connection.__name__, (connection,), {"response_class": _Reply})
