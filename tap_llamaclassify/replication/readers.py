"""Everything of one connection: a reader for each API that something is wanted of, one by one."""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tap_llamaclassify.api.endpoints import PROJECTS, apis, endpoint_of, successors, tables_of
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.errors import ApiError, GoneError, SetAsideError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.allowance import Allowance
from tap_llamaclassify.replication.files import Files
from tap_llamaclassify.replication.listing_bookmarks import Wanted
from tap_llamaclassify.replication.organizations import Organizations
from tap_llamaclassify.replication.snapshot import SnapshotReader
from tap_llamaclassify.replication.steps import Reader, Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.replication.timings import TimingsReader
from tap_llamaclassify.replication.usage_metrics import UsageReader
from tap_llamaclassify.replication.v1 import V1Reader
from tap_llamaclassify.replication.v2 import V2Reader
from tap_llamaclassify.tables.tables import FILES, V2_JOBS


@dataclass(frozen=True)
class Failed:
    """What kept something from being read.

    Attributes:
        error: What happened, and what to do.
        names: The tables that lack its rows.
        absent: What happened when there is no such thing for this key, and nothing of it was read
            before that in this run either, or it is a beta; None for any other failure.
    """

    error: ApiError
    names: Sequence[str] = ()
    absent: str | None = None

    @property
    def is_beta(self) -> bool:
        """Whether nobody is to rely on what is missing."""
        return bool(self.names) and _is_beta(self.names)


class ConnectionReader:
    """Everything that is wanted of one connection.

    What is not there for the key, or from which something could not be had, does not keep all else
    from being read; any other failure does.

    Args:
        client: Asks, and no more when all is read.
        settings: What the user set.
        wanted: The tables.
        limit: Read no further in an API when there are so many items, and keep nothing.
        allowance: Begin no more windows when it is used; None to read all.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        wanted: Wanted,
        limit: int | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._wanted = wanted
        self._limit = limit
        self._allowance = allowance
        self._files = Files(client) if FILES.name in wanted else None
        self._organizations = Organizations(client)

    def steps(self) -> Iterator[Step | Failed]:
        """Read it.

        At the end, however it comes, requests that are still under way are cancelled.
        """
        try:
            wanted = {
                api: some
                for api in apis()
                if (some := {n: self._wanted[n] for n in tables_of(api) if n in self._wanted})
            }
            while wanted:
                some = wanted.pop(next(iter(wanted)))
                rest = [name for its in wanted.values() for name in its]
                if (yield from self._of_api(some, rest)):
                    return
        finally:
            self._client.cancel()

    def _of_api(self, wanted: Wanted, rest: Sequence[str]) -> Generator[Step | Failed, None, bool]:
        """Read some tables of one API; returns whether the rest is in vain."""
        is_absent = True
        try:
            for step in self._steps_of(wanted):
                is_absent = False
                yield step
                # Let go of it before the next one comes in.
                del step
        except SetAsideError as error:
            yield Failed(error, [*wanted])
        except ApiError as error:
            if PROJECTS.api in {endpoint_of(name).api for name in wanted}:
                self._organizations.error = error
            is_gone = isinstance(error, GoneError)
            if not (is_gone or (error.is_unavailable and not _lists_jobs(wanted))):
                yield Failed(error, [*wanted, *rest])
                return True
            text = f"{error}, or {instead([*wanted], self._wanted)}"
            is_absent = is_absent or _is_beta(wanted)
            yield Failed(error.reworded(text), [*wanted], str(error) if is_absent else None)
        return False

    def _steps_of(self, wanted: Wanted) -> Iterator[Step]:
        client, settings, limit = self._client, self._settings, self._limit
        endpoint = endpoint_of(next(iter(wanted)))
        match endpoint.api:
            case "v1":
                yield from self._with_files(V1Reader(client, settings, wanted, limit))
            case "v2":
                reader = V2Reader(client, settings, wanted, limit, self._allowance)
                yield from self._with_files(reader)
            case "files":
                yield from self._of_files()
            case "timings":
                yield from TimingsReader(client, settings, wanted, limit).steps()
            case "usage":
                of = self._organizations
                yield from UsageReader(client, settings, wanted, of, limit).steps()
            case _:
                for step in SnapshotReader(client, endpoint, limit).steps():
                    if endpoint is PROJECTS:
                        self._organizations.note(step.pages[0])
                    yield step

    def _with_files(self, reader: Reader) -> Iterator[Step]:
        if self._files is None:
            yield from reader.steps()
            return
        set_aside: SetAsideError | None = None
        try:
            yield from self._files.before(reader.steps())
        except SetAsideError as error:
            set_aside = error
        yield from self._files.rest()
        if set_aside:
            raise set_aside

    def _of_files(self) -> Iterator[Step]:
        """Tell why there are none; they came with the jobs."""
        if self._files and self._files.error:
            raise self._files.error
        yield from ()


def _is_beta(names: Iterable[str]) -> bool:
    return all(endpoint_of(name).is_beta for name in names)


def _lists_jobs(names: Iterable[str]) -> bool:
    return any((each := endpoint_of(name)).lists_jobs or each.is_of_one for name in names)


def not_missed(
    failures: Sequence[Failed], wanted: Wanted, *, require_all: bool = False
) -> list[Failed]:
    """Return those of a connection's failures that leave out nothing that anybody relies on.

    An API that is gone is not missed when for each of its tables the one that takes its place is
    wanted, too, and is there: nobody has chosen it by name alone. Nor is what is a beta.

    Args:
        failures: All that the connection has.
        wanted: The tables, and what the state keeps of each.
        require_all: Whether all is missed.
    """
    if require_all:
        return []
    absent = {name for failed in failures if failed.absent for name in failed.names}
    there = wanted.keys() - absent
    return [
        failed
        for failed in failures
        if failed.absent
        and (failed.is_beta or all(successors().get(name) in there for name in failed.names))
    ]


def named_by(table: str) -> Sequence[str]:
    """Return the tables without which one stays empty, for they name what is in it."""
    return [V2_JOBS.name] if table == FILES.name else []


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
