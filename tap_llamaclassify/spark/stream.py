"""Increments of a table of all connections: offsets as JSON, and the tasks between two of them.

An offset says of each connection how far it is read, and what the increment that ends there reads,
so that an increment is the same after a restart. It holds no key.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tap_llamaclassify.concurrency import in_order
from tap_llamaclassify.errors import StateError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.http.pacing import Clock
from tap_llamaclassify.replication.cuts import most_pieces
from tap_llamaclassify.replication.increments import Increments, admit
from tap_llamaclassify.replication.reached import Reached
from tap_llamaclassify.replication.summary import warn_of_insecure
from tap_llamaclassify.spark.plans import Task, shared_out, told_by
from tap_llamaclassify.spark.request import Request

Offset = dict[str, Any]

_logger = logging.getLogger(__name__)


class Stream:
    """Plans the increments of a stream, one after the other.

    Args:
        request: What is read.
        clock: Tells when to look again.
    """

    def __init__(self, request: Request, clock: Clock | None = None) -> None:
        self._request = request
        self._clock = clock or Clock()
        self._parts = [
            _Part(request, number, Client(connection), self._clock)
            for number, connection in enumerate(request.connections)
        ]
        self._is_frozen = False
        warn_of_insecure(request.connections)

    @property
    def beginning(self) -> Offset:
        """The offset before anything was read."""
        return {"table": self._request.table.name, "connections": {}}

    def freeze(self) -> None:
        """Let increments end with what there is now.

        Raises:
            ApiError: The API refuses, or cannot be reached.
        """
        self._is_frozen = True
        works = [part.freeze for part in self._parts]
        for _ in in_order(works, self._request.settings.parallel_connections):
            pass

    def latest(self, start: Offset, pages: float = math.inf) -> Offset:
        """Return the end of the next increment; the start itself, where there is nothing to read.

        Args:
            start: The end of the increment before, all of whose tasks have ended.
            pages: How many it has at most, but for one piece.

        Raises:
            ApiError: The API refuses, or cannot be reached.
            StateError: The offset is not of this table, or not understood.
        """
        entries = self._entries(start)
        works = [partial(part.looked, entries, self._is_frozen) for part in self._parts]
        looked = [*in_order(works, self._request.settings.parallel_connections)]
        ends: dict[str, Any] = {}
        for part, (reached, is_new) in zip(self._parts, looked, strict=True):
            most = most_pieces(part.client.connection.requests_per_minute) if pages > 0 else 0
            if reached.left and (most or is_new):
                reached = admit(reached, pages, most)  # noqa: PLW2901 - it goes on from there
                pages -= sum(piece.pages for piece in reached.pieces)
                ends[part.name] = reached.as_json
            elif is_new:
                ends[part.name] = replace(reached, pieces=()).as_json
        return {**start, "connections": {**entries, **ends}} if ends else start

    def tasks(self, start: Offset, end: Offset) -> list[Task]:
        """Return what an increment reads.

        Raises:
            StateError: As `latest` does.
        """
        before, after = self._entries(start), self._entries(end)
        for name in after.keys() - {part.name for part in self._parts}:
            if after[name] != before.get(name):
                _logger.warning(
                    "%sThe connection is gone, and the micro-batch that was to be read of it is "
                    "left out: should it come back, start with another checkpoint",
                    f"{name}: " if name else "",
                )
        return [
            task
            for part in self._parts
            if part.name in after and after[part.name] != before.get(part.name)
            for task in part.tasks(Reached.of_json(after[part.name]))
        ]

    def end(self) -> None:
        """Ask for nothing more."""
        for part in self._parts:
            part.client.cancel()

    def _entries(self, offset: Mapping[str, Any]) -> dict[str, Any]:
        entries, table = offset.get("connections"), offset.get("table")
        if not isinstance(entries, dict) or table != self._request.table.name:
            raise StateError(
                f"the offset is not one of {self._request.table.name}: start with another "
                "checkpoint, for each table has one of its own"
            )
        return entries


class _Part:
    """One connection's part in a stream."""

    def __init__(self, request: Request, number: int, client: Client, clock: Clock) -> None:
        self.client = client
        self.name = client.connection.name or ""
        self.increments = Increments(client, request.settings, request.table)
        self._number = number
        self._clock = clock
        self._poll_seconds = request.poll_seconds
        self._looked_at: float | None = None
        self._found: tuple[Reached, Reached] | None = None
        self._has_tasks = False

    def looked(self, entries: Mapping[str, Any], is_frozen: bool) -> tuple[Reached, bool]:  # noqa: FBT001 - partial hands it over
        """Return how far it is, and whether that is news."""
        if self._has_tasks and (most := self.client.connection.requests_per_minute):
            # Nobody knows how many requests they have sent, and when.
            self.client.spend(most)
        self._has_tasks = False
        entry = entries.get(self.name)
        start = Reached() if entry is None else Reached.of_json(entry)
        if start.left:
            return start, False
        if self._found is None or self._may_look(is_frozen=is_frozen):
            now = self._clock.monotonic()
            with told_by(self.client.connection):
                self._found = start, self.increments.look(start)
            self._looked_at = now
        # Whoever asks from there once more has not read what was found.
        since, end = self._found
        return (end, end is not since) if start == since else (start, False)

    def freeze(self) -> None:
        """Let no later look bring what is new from now on."""
        with told_by(self.client.connection):
            self.increments.stop_at_now()

    def tasks(self, reached: Reached) -> list[Task]:
        self._has_tasks = bool(reached.pieces)
        return shared_out(reached.pieces, self._number, self.client)

    def _may_look(self, *, is_frozen: bool) -> bool:
        if self._looked_at is None:
            return True
        due_at = self._looked_at + self._poll_seconds
        return not is_frozen and self._clock.monotonic() >= due_at
