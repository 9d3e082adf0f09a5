"""Plans what tasks read, so that all tasks of a connection together keep to its rate limit.

A task may send its share of `requests_per_minute` in any minute, less what was spent by this key
just before; one that is tried again waits first, for nobody knows what the try before it has sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from tap_llamaclassify.concurrency import in_order
from tap_llamaclassify.config.connections import Connection
from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.cuts import cut
from tap_llamaclassify.replication.pieces import Piece
from tap_llamaclassify.replication.summary import warn_of_insecure
from tap_llamaclassify.spark.conditions import Condition, may_have, narrowed
from tap_llamaclassify.spark.request import Request


@dataclass(frozen=True)
class Task:
    """What one task reads.

    Attributes:
        requests_per_minute: Its share; None for no limit.
        spent: How much of it is spent when it begins.
    """

    piece: Piece
    requests_per_minute: int | None = None
    spent: int = 0

    def client(self, connections: Sequence[Connection], attempt: int) -> Client:
        """Return what asks for it.

        Args:
            connections: All there are.
            attempt: How often it was tried before.
        """
        share = self.requests_per_minute
        connection = replace(connections[self.piece.connection], requests_per_minute=share)
        client = Client(connection)
        if share:
            client.spend(share if attempt else self.spent)
        return client


def shared_out(pieces: Sequence[Piece], connection: int, client: Client) -> list[Task]:
    """Give each piece of a connection its share of the requests.

    Args:
        pieces: No more than the connection has requests a minute.
        connection: The place of the connection among all.
        client: Has planned them, and knows what is spent.
    """
    own = [replace(piece, connection=connection) for piece in pieces]
    most = client.connection.requests_per_minute
    if not (own and most):
        return [Task(piece) for piece in own]
    share = most // len(own)
    spent = min(share, -(-client.spent // len(own)))
    return [Task(piece, share, spent) for piece in own]


def batch(request: Request, conditions: Sequence[Condition]) -> list[Task]:
    """Plan to read a table from its beginning, each connection beside the others.

    Raises:
        ApiError: The API refuses, or cannot be reached.
    """
    warn_of_insecure(request.connections)
    works = [
        partial(_batch_of, request, conditions, number, connection)
        for number, connection in enumerate(request.connections)
        if may_have(connection, conditions)
    ]
    tasks = in_order(works, request.settings.parallel_connections)
    return [task for some in tasks for task in some]


def _batch_of(
    request: Request, conditions: Sequence[Condition], number: int, connection: Connection
) -> list[Task]:
    client = Client(connection)
    with told_by(connection):
        try:
            pieces = cut(client, request.settings, request.table, narrowed(conditions))
            return shared_out(pieces, number, client)
        finally:
            client.cancel()


@contextmanager
def told_by(connection: Connection) -> Iterator[None]:
    """Let errors name the connection, and leave out the frames of what was asked, and how."""
    try:
        yield
    except ApiError as error:
        raise error.reworded(f"{connection.label}{error}").with_traceback(None) from None
