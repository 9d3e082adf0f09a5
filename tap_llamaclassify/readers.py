"""Everything of one connection: a reader for each API that something is wanted of, one by one."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from tap_llamaclassify.client import Client
from tap_llamaclassify.errors import ApiError, GoneError
from tap_llamaclassify.marks import Wanted
from tap_llamaclassify.projects import ProjectsReader
from tap_llamaclassify.settings import Settings
from tap_llamaclassify.steps import Reader, Step
from tap_llamaclassify.tables import TABLES, Source
from tap_llamaclassify.v1_reader import V1Reader
from tap_llamaclassify.v2_reader import V2Reader


@dataclass(frozen=True)
class Failed:
    """What kept an API from being read."""

    error: ApiError


def steps_of(
    client: Client, settings: Settings, wanted: Wanted, limit: int | None = None
) -> Iterator[Step | Failed]:
    """Read all that is wanted of one connection.

    An API that is gone does not keep the others from being read; any other failure does. At the
    end, however it comes, requests that are still under way are cancelled.

    Args:
        client: Asks, and no more when all is read.
        settings: What the user set.
        wanted: The tables.
        limit: Read no further in an API when there are so many items, and keep nothing.
    """
    try:
        yield from _steps_of(client, settings, wanted, limit)
    finally:
        client.cancel()


def _steps_of(
    client: Client, settings: Settings, wanted: Wanted, limit: int | None
) -> Iterator[Step | Failed]:
    for sources in ({Source.V1, Source.RESULTS}, {Source.V2}, {Source.PROJECTS}):
        names = {table.name for table in TABLES if table.source in sources}
        some = {name: kept for name, kept in wanted.items() if name in names}
        if not some:
            continue
        try:
            yield from _reader(client, settings, some, limit, sources).steps()
        except GoneError as error:
            yield Failed(_named(error, f"{error}, or {instead(some, sources)}"))
        except ApiError as error:
            yield Failed(error)
            return


def _reader(
    client: Client, settings: Settings, wanted: Wanted, limit: int | None, sources: set[Source]
) -> Reader:
    if Source.PROJECTS in sources:
        return ProjectsReader(client, limit)
    return (V2Reader if Source.V2 in sources else V1Reader)(client, settings, wanted, limit)


def instead(names: Iterable[str], sources: Container[Source]) -> str:
    """Say what to select where the API is gone that holds these sources.

    Args:
        names: The tables that are selected.
        sources: What the API holds.
    """
    text = f"deselect {', '.join(names)}"
    if Source.PROJECTS in sources:
        return text
    source = Source.V1 if Source.V2 in sources else Source.V2
    others = [table.name for table in TABLES if table.source is source]
    return f"{text} and select {', '.join(others)} instead"


def _named(error: ApiError, text: str) -> ApiError:
    return type(error)(text).with_traceback(error.__traceback__)
