"""Reads a list that knows no changes: all of it, each time."""

from __future__ import annotations

from collections.abc import Iterator

from tap_llamaclassify.api.endpoints import Endpoint
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.steps import Step


class SnapshotReader:
    """The list of an endpoint, in full.

    Args:
        client: Asks.
        endpoint: What is listed.
        limit: Take so many items at most.
    """

    def __init__(self, client: Client, endpoint: Endpoint, limit: int | None = None) -> None:
        self._listing = Paginator(client, endpoint)
        self._tables = [*endpoint.tables]
        self._left = limit

    def steps(self) -> Iterator[Step]:
        """Read the list."""
        for page in self._listing.pages(ahead=self._left is None):
            items = page.items[: self._left]
            yield Step(dict.fromkeys(self._tables, items), pages=[page])
            if self._left is not None:
                self._left -= len(items)
                if self._left <= 0:
                    return
