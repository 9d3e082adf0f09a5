"""Tries each key and each API once, before a schedule does, and shows what came of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlsplit

from tap_llamaclassify.api.models import PageOfItems
from tap_llamaclassify.api.pagination import V1_JOBS_PATH, V2_JOBS_PATH
from tap_llamaclassify.api.parsing import read_jobs, read_projects, read_v2_jobs
from tap_llamaclassify.concurrency import in_order
from tap_llamaclassify.config.connections import Connection
from tap_llamaclassify.errors import ApiError, GoneError, status_text
from tap_llamaclassify.http.client import Client, Exchange
from tap_llamaclassify.http.request import Request
from tap_llamaclassify.replication.projects import PROJECTS_PATH
from tap_llamaclassify.replication.readers import Failed, instead, not_missed
from tap_llamaclassify.tables.tables import TABLES, Source, Table

OK = 200
UNAUTHORIZED = 401
HEADER = ("connection", "host", "key", "API", "readable", "first job seen", "total")


@dataclass(frozen=True)
class Api:
    """One of the APIs: what it is called, where it is, and the sources that it holds."""

    name: str
    path: str
    read: Callable[[bytes], PageOfItems]
    sources: frozenset[Source]


APIS = (
    Api("v1", V1_JOBS_PATH, read_jobs, frozenset({Source.V1, Source.RESULTS})),
    Api("v2", V2_JOBS_PATH, read_v2_jobs, frozenset({Source.V2})),
    Api("projects", PROJECTS_PATH, read_projects, frozenset({Source.PROJECTS})),
)


@dataclass(frozen=True)
class Finding:
    """What came of asking an API.

    Attributes:
        first: When the first job that it showed was created, in the fixed form.
        total: How many items there are, in words; empty when nobody can know.
        error: Why it cannot be read; None when it can.
        answer: The status it answered with, in words; empty when it did not.
    """

    api: Api
    first: str | None = None
    total: str = ""
    error: ApiError | None = None
    answer: str = ""


@dataclass(frozen=True)
class Checked:
    """What came of trying a connection.

    Attributes:
        key: Whether the key was accepted; "?" where nobody said so.
        findings: One for each API.
    """

    connection: Connection
    key: str
    findings: Sequence[Finding]

    def unreadable(self, tables: Collection[Table]) -> tuple[list[str], list[str]]:
        """Name the tables that cannot be read, and why not.

        Returns:
            Those without which a sync fails; and those that it would leave out, had it never read
            them before.
        """
        failures = [failed for each in self.findings if (failed := _failed(each, tables))]
        minor = not_missed(failures, {table.name: None for table in tables})
        texts: tuple[list[str], list[str]] = [], []
        for failed in failures:
            text = f"{self.connection.label}{', '.join(failed.names)}: {failed.error}"
            texts[failed in minor].append(text)
        return texts


def _failed(finding: Finding, tables: Collection[Table]) -> Failed | None:
    """Return what a sync would meet in an API; None for nothing."""
    names = [t.name for t in TABLES if t in tables and t.source in finding.api.sources]
    if finding.error is None or not names:
        return None
    if not isinstance(finding.error, GoneError):
        return Failed(finding.error, names)
    way_out = instead(names, finding.api.sources, {table.name for table in tables})
    return Failed(ApiError(f"{finding.error}, or {way_out}"), names, str(finding.error))


def check(connections: Sequence[Connection], at_once: int) -> list[Checked]:
    """Ask each API of each connection once, for one job.

    Args:
        connections: Where to ask, and as whom.
        at_once: How many connections are tried side by side.
    """
    return list(in_order([partial(_check_one, each) for each in connections], at_once))


def _check_one(connection: Connection) -> Checked:
    exchanges: list[Exchange] = []
    client = Client(replace(connection, retry_seconds=0), on_exchange=exchanges.append)
    findings = []
    for api in APIS:
        before = len(exchanges)
        finding = _ask(client, api)
        answers = [status_text(exchange.status) for exchange in exchanges[before:]]
        findings.append(replace(finding, answer=", ".join(answers)))
    statuses = {exchange.status for exchange in exchanges}
    key = "accepted" if OK in statuses else "refused" if UNAUTHORIZED in statuses else "?"
    return Checked(connection, key, findings)


def _ask(client: Client, api: Api) -> Finding:
    scope = client.connection.scope
    is_paged = Source.PROJECTS not in api.sources
    params = (
        {**scope, "page_size": "1"}
        if is_paged
        else {name: value for name, value in scope.items() if name == "organization_id"}
    )
    try:
        page = Request(client, api.path, params=params, read=api.read).answer().content
    except ApiError as error:
        return Finding(api, error=error)
    if not is_paged:
        return Finding(api, total=f"{len(page.items):,}")
    return Finding(api, page.items[0].get("created_at") if page.items else None, _total(page))


def _total(page: PageOfItems) -> str:
    """Say how many items a listing has of which a page was asked for that holds one."""
    if page.total_size is not None:
        return f"{page.total_size:,}"
    if page.next_page_token is None:
        return str(len(page.items))
    return "1 or more" if page.items else ""


def table_of(checked: Sequence[Checked]) -> str:
    """Lay out what came of it, a line for each API of each connection, without empty columns."""
    lines = [HEADER, *(_line(each, finding) for each in checked for finding in each.findings)]
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return "".join(
        "  ".join(map(str.ljust, line, widths)).rstrip() + "\n"
        for line in zip(*columns, strict=True)
    )


def _line(checked: Checked, finding: Finding) -> tuple[str, ...]:
    return (
        checked.connection.name or "",
        urlsplit(checked.connection.api_url).netloc,
        checked.key,
        finding.api.name,
        f"no: {finding.answer or 'no answer'}" if finding.error else "yes",
        finding.first or "",
        finding.total,
    )
