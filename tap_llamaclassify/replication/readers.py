"""Everything of one connection: a reader for each API that something is wanted of, one by one."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

from tap_llamaclassify.api.endpoints import apis, endpoint_of, successors, tables_of
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.errors import ApiError, GoneError, SetAsideError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.allowance import Allowance
from tap_llamaclassify.replication.listing_bookmarks import Wanted
from tap_llamaclassify.replication.snapshot import SnapshotReader
from tap_llamaclassify.replication.steps import Reader, Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.replication.v1 import V1Reader
from tap_llamaclassify.replication.v2 import V2Reader


@dataclass(frozen=True)
class Failed:
    """What kept an API from being read.

    Attributes:
        error: What happened, and what to do.
        names: The tables that lack its rows.
        gone: What happened when there is no such API, and nothing of it was read before that in
            this run either; None for any other failure.
    """

    error: ApiError
    names: Sequence[str] = ()
    gone: str | None = None


def steps_of(
    client: Client,
    settings: Settings,
    wanted: Wanted,
    limit: int | None = None,
    allowance: Allowance | None = None,
) -> Iterator[Step | Failed]:
    """Read all that is wanted of one connection.

    An API that is gone, or from which something could not be had, does not keep the others from
    being read; any other failure does. At the end, however it comes, requests that are still under
    way are cancelled.

    Args:
        client: Asks, and no more when all is read.
        settings: What the user set.
        wanted: The tables.
        limit: Read no further in an API when there are so many items, and keep nothing.
        allowance: Begin no more windows when it is used; None to read all.
    """
    try:
        yield from _steps_of(client, settings, wanted, limit, allowance)
    finally:
        client.cancel()


def _steps_of(
    client: Client,
    settings: Settings,
    wanted: Wanted,
    limit: int | None,
    allowance: Allowance | None,
) -> Iterator[Step | Failed]:
    for api in apis():
        some = {name: wanted[name] for name in tables_of(api) if name in wanted}
        if not some:
            continue
        pages = client.activity.pages
        try:
            yield from _reader(client, settings, some, limit, allowance).steps()
        except GoneError as error:
            text = f"{error}, or {instead([*some], wanted)}"
            is_absent = client.activity.pages == pages
            yield Failed(_named(error, text), [*some], str(error) if is_absent else None)
        except SetAsideError as error:
            yield Failed(error, [*some])
        except ApiError as error:
            yield Failed(error, [*some])
            return


def _reader(
    client: Client,
    settings: Settings,
    wanted: Wanted,
    limit: int | None,
    allowance: Allowance | None,
) -> Reader:
    """Make what reads some tables of one API."""
    endpoint = endpoint_of(next(iter(wanted)))
    match endpoint.api:
        case "v1":
            return V1Reader(client, settings, wanted, limit)
        case "v2":
            return V2Reader(client, settings, wanted, limit, allowance)
        case _:
            return SnapshotReader(client, endpoint, limit)


def not_missed(failures: Sequence[Failed], wanted: Wanted) -> list[Failed]:
    """Return those of a connection's failures that leave out nothing that anybody relies on.

    An API that is gone is not missed when for each of its tables the one that takes its place is
    wanted, too, and is there: nobody has chosen it by name alone.

    Args:
        failures: All that the connection has.
        wanted: The tables, and what the state keeps of each.
    """
    gone = {name for failed in failures if failed.gone for name in failed.names}
    there = wanted.keys() - gone
    return [
        failed
        for failed in failures
        if failed.gone and all(successors().get(name) in there for name in failed.names)
    ]


def was_read(kept: StreamState | None) -> bool:
    """Return whether what a state keeps of a table says that it was ever read."""
    return kept not in (None, StreamState())


def instead(names: Sequence[str], selected: Container[str]) -> str:
    """Say what to select where an API is gone.

    Args:
        names: The tables that are selected of it.
        selected: All tables that are selected.
    """
    text = f"deselect {', '.join(names)}"
    api = endpoint_of(names[0]).instead
    others = [name for name in tables_of(api or "") if endpoint_of(name).is_default]
    others = [name for name in others if name not in selected]
    return f"{text} and select {', '.join(others)} instead" if others else text


def _named(error: ApiError, text: str) -> ApiError:
    return type(error)(text).with_traceback(error.__traceback__)
