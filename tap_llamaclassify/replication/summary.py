"""What a sync came to, in words: its rows, requests and seconds; what failed, and what is empty."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tap_llamaclassify.api.endpoints import ENDPOINTS, endpoint_of
from tap_llamaclassify.config.connections import Connection
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.errors import ApiError, ReplyError
from tap_llamaclassify.http.client import Activity, Client
from tap_llamaclassify.http.pacing import Clock
from tap_llamaclassify.replication.listing_bookmarks import Wanted
from tap_llamaclassify.replication.readers import Failed, not_missed, was_read
from tap_llamaclassify.tables.tables import FILES, RESULTS, V2_JOBS

_logger = logging.getLogger(__name__)


@dataclass
class Part:
    """One connection's part in a sync.

    Attributes:
        wanted: The tables, and what the state kept of each before.
        failures: What could not be read.
        is_over: Whether no more of it is to be read, for what it brought cannot be written.
        require_all: Whether it is an error when anything is not there for the key.
        relied_on: The tables of which it is, because what was loaded of them before is dropped.
    """

    client: Client
    wanted: Wanted
    failures: list[Failed] = field(default_factory=list)
    is_over: bool = False
    require_all: bool = False
    relied_on: Collection[str] = ()

    def goes_on(self, table: str) -> bool:
        """Return whether a table is read by its changes, and not in full."""
        return self.wanted[table] is not None

    @property
    def not_missed(self) -> list[Failed]:
        """The failures that do not fail the run."""
        forgiven = not_missed(self.failures, self.wanted, require_all=self.require_all)
        return [failed for failed in forgiven if not {*failed.names} & {*self.relied_on}]

    @property
    def errors(self) -> list[ApiError]:
        """Those that do."""
        return [failed.error for failed in self.failures if failed not in self.not_missed]

    @property
    def errors_where_named(self) -> list[ApiError]:
        """Those of tables that somebody has named, and so relies on; a beta only where in full."""
        return [
            failed.error
            for failed in self.failures
            if not (failed.absent and failed.is_beta and all(map(self.goes_on, failed.names)))
        ]

    @property
    def unread(self) -> set[str]:
        """The tables that lack rows."""
        return {name for failed in self.failures for name in failed.names}

    @property
    def missed(self) -> set[str]:
        """Those of them whose lack fails the run."""
        unmissed = self.not_missed
        return {name for each in self.failures if each not in unmissed for name in each.names}

    @property
    def has_none(self) -> bool:
        """Whether no job is there, nor ever was, in anything that is wanted and could be asked."""
        kept = [self.wanted[table] for table in self._jobs]
        return bool(kept) and not self.client.activity.jobs and not any(map(was_read, kept))

    @property
    def asked(self) -> str:
        """Say what was asked: API, host and scope; no value of the scope."""
        apis = sorted({endpoint_of(table).api for table in self._jobs}, reverse=True)
        connection = self.client.connection
        scope = " and ".join(sorted(connection.scope)) or "the key's own project"
        host = urlsplit(connection.api_url).netloc
        return f"{connection.label}{' and '.join(apis)} at {host} for {scope}"

    @property
    def _jobs(self) -> list[str]:
        return [
            name
            for endpoint in ENDPOINTS
            for name in endpoint.tables
            if (endpoint.lists_jobs or endpoint.is_of_one)
            and name in self.wanted.keys() - self.unread
        ]


def activity_of(parts: Sequence[Part]) -> Activity:
    """Add up what was done."""
    return sum((part.client.activity for part in parts), Activity())


def error_of(parts: Sequence[Part], others: str = "synced") -> ApiError | None:
    """Make one error of what could not be read; None when all could.

    Args:
        parts: All there are.
        others: What those have become that could be read.
    """
    by_text: dict[str, list[str]] = {}
    for part in parts:
        for error in part.errors:
            by_text.setdefault(str(error), []).append(part.client.connection.name or "")
    if parts[0].client.connection.name is None:
        errors = parts[0].errors
        return _joined("; ".join(by_text), parts) if len(errors) > 1 else next(iter(errors), None)
    failed = [part.client.connection.name or "" for part in parts if part.errors]
    if not failed:
        return None
    all_others = f", all others are {others}" if len(failed) < len(parts) else ""
    texts = [f"{', '.join(names)}: {text}" for text, names in by_text.items()]
    text = f"{len(failed)} of {len(parts)} connections failed ({', '.join(failed)}){all_others}: "
    return _joined(f"{text}{'; '.join(texts)}", parts)


def _joined(text: str, parts: Sequence[Part]) -> ApiError:
    errors = [each for part in parts for each in part.errors]
    is_of_replies = all(isinstance(each, ReplyError) for each in errors)
    error = ReplyError(text) if is_of_replies else ApiError(text)
    error.is_transient = all(each.is_transient for each in errors)
    return error


def warn_of_insecure(connections: Iterable[Connection]) -> None:
    """Say which keys travel unencrypted."""
    for connection in connections:
        if connection.insecure:
            what = "%sallow_insecure_http: the key travels unencrypted over the network"
            _logger.warning(what, connection.label)


def warn_of_the_unmissed(parts: Sequence[Part]) -> None:
    """Say once of what is not there which tables are left out, and why that is no error."""
    by_names: dict[str, list[tuple[str | None, Failed]]] = {}
    for part in parts:
        for failed in part.not_missed:
            names = ", ".join(failed.names)
            by_names.setdefault(names, []).append((part.client.connection.name, failed))
    for names, unmissed in by_names.items():
        connections = ", ".join(name for name, _ in unmissed if name)
        failed = unmissed[0][1]
        _logger.warning(
            _BETA if failed.is_beta else _REPLACED,
            f"{connections}: " if connections else "",
            failed.absent,
            names,
        )


_REPLACED = (
    "%s%s. %s are left out, their v2 tables are read, and what was loaded before stays; deselect "
    "them, and this warning goes"
)
_BETA = (
    "%s%s. Rows of %s are left out, for LlamaCloud does not offer them to this key, or no longer; "
    "deselect it, and this warning goes, or set require_all to make it an error"
)


def warn_of_nothing(parts: Sequence[Part], settings: Settings) -> None:
    """Say once who was asked and has no job at all, so that an empty table is no riddle.

    And that nothing names files, where it is so.
    """
    if asked := [part.asked for part in parts if part.has_none]:
        since = f" since start_date ({settings.start_date})" if settings.start_date else ""
        _logger.warning(
            "No jobs%s: asked were %s. --check shows what else there is", since, "; ".join(asked)
        )
    wanted = parts[0].wanted.keys()
    if FILES.name in wanted and not {*V2_JOBS.endpoint.tables, RESULTS.name} & wanted:
        _logger.warning(
            "%s is selected, and no stream that names files: select %s or %s with it",
            FILES.name,
            V2_JOBS.name,
            RESULTS.name,
        )


@contextmanager
def summed_up(parts: Sequence[Part], rows: Mapping[str, int], clock: Clock) -> Iterator[None]:
    """Log at the end, good or bad, how many rows of each stream were written, and what it took.

    Args:
        parts: May come in the meantime.
        rows: Counts them; may go up in the meantime.
        clock: Tells how long it took.
    """
    began_at = clock.monotonic()
    how = "Broken off after"
    try:
        yield
        how = "Done in"
    finally:
        _logger.info(
            "%s %.1f s. Rows: %s. %s",
            how,
            clock.monotonic() - began_at,
            ", ".join(f"{stream} {count:,}" for stream, count in rows.items()) or "none",
            str(activity_of(parts)),
        )
