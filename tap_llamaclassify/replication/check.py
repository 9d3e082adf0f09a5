"""Tries each key and each API once, before a schedule does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tap_llamaclassify.api.endpoints import ENDPOINTS, PROJECTS, Endpoint, tables_of
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.api.pagination import page_of, scope_of
from tap_llamaclassify.concurrency import in_order
from tap_llamaclassify.config.connections import Connection
from tap_llamaclassify.errors import ApiError, GoneError
from tap_llamaclassify.http.client import Client, Exchange
from tap_llamaclassify.http.outcomes import status_text
from tap_llamaclassify.http.request import Request
from tap_llamaclassify.replication.organizations import Organizations
from tap_llamaclassify.replication.readers import Failed, instead, not_missed
from tap_llamaclassify.tables.tables import Table

OK = 200
UNAUTHORIZED = 401


CHECKED = [endpoint for endpoint in ENDPOINTS if endpoint.tables and not endpoint.is_of_one]
"""What is asked: each list, for one item."""


@dataclass(frozen=True)
class Finding:
    """What came of asking an API.

    Attributes:
        first: When the first job that it showed was created, in the fixed form.
        total: How many items there are, in words; empty when nobody can know.
        error: Why it cannot be read; None when it can.
        answer: The status it answered with, in words; empty when it did not.
    """

    endpoint: Endpoint
    first: str | None = None
    total: str = ""
    error: ApiError | None = None
    answer: str = ""

    @property
    def of_projects(self) -> bool:
        """Whether it is the list of projects, which names the organization of other lists."""
        return self.endpoint is PROJECTS


@dataclass(frozen=True)
class Checked:
    """What came of trying a connection.

    Attributes:
        key: Whether the key was accepted; "?" where nobody said so.
        findings: One for each list of the API's.
    """

    connection: Connection
    key: str
    findings: Sequence[Finding]

    def unreadable(
        self, tables: Collection[Table], *, require_all: bool
    ) -> tuple[list[str], list[str]]:
        """Name the tables that cannot be read, and why not.

        Returns:
            Those without which a sync fails; and those that it would leave out.
        """
        failures = [failed for each in self.findings if (failed := _failed(each, tables))]
        wanted = {table.name: None for table in tables}
        minor = not_missed(failures, wanted, require_all=require_all)
        texts: tuple[list[str], list[str]] = [], []
        for failed in failures:
            text = f"{self.connection.label}{', '.join(failed.names)}: {failed.error}"
            texts[failed in minor].append(text)
        return texts


def _failed(finding: Finding, tables: Collection[Table]) -> Failed | None:
    """Return what a sync would meet in an API; None for nothing."""
    selected = {table.name for table in tables}
    names = [name for name in tables_of(finding.endpoint.api) if name in selected]
    if finding.error is None or not names:
        return None
    if not finding.error.is_unavailable or (
        finding.endpoint.lists_jobs and not isinstance(finding.error, GoneError)
    ):
        return Failed(finding.error, names)
    way_out = instead(names, selected)
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
    findings: list[Finding] = []
    organizations = Organizations(client)
    for endpoint in CHECKED:
        before = len(exchanges)
        finding = _ask(client, endpoint, organizations)
        answers = [status_text(exchange.status) for exchange in exchanges[before:]]
        # Where no organization is known, it is that of the projects.
        answer = ", ".join(answers) or next((f.answer for f in findings if f.of_projects), "")
        findings.append(replace(finding, answer=answer))
    statuses = {exchange.status for exchange in exchanges}
    key = "accepted" if OK in statuses else "refused" if UNAUTHORIZED in statuses else "?"
    return Checked(connection, key, findings)


def _ask(client: Client, endpoint: Endpoint, organizations: Organizations) -> Finding:
    try:
        page = _page_of(client, endpoint, organizations)
    except ApiError as error:
        if endpoint is PROJECTS:
            organizations.error = error
        return Finding(endpoint, error=error)
    if endpoint is PROJECTS:
        organizations.note(page)
    first = page.items[0].get("created_at") if page.items and endpoint.lists_jobs else None
    return Finding(endpoint, first, _total(page))


def _page_of(client: Client, endpoint: Endpoint, organizations: Organizations) -> Page:
    """Ask for one item, of the first organization that the key may ask for."""
    params: dict[str, str] = {**scope_of(client, endpoint), **endpoint.filters}
    if endpoint.is_paged:
        params["page_size"] = "1"
    read = partial(page_of, endpoint=endpoint)
    if not endpoint.of_organization:
        return Request(client, endpoint.path, params=params, read=read).answer()
    refused: ApiError | None = None
    for id_ in organizations.ids():
        try:
            of_one = {**params, "organization_id": id_}
            return Request(client, endpoint.path, params=of_one, read=read).answer()
        except ApiError as error:
            if not error.is_unavailable:
                raise
            refused = refused or error
    assert refused is not None  # noqa: S101 - there is an organization
    raise refused


def _total(page: Page) -> str:
    """Say how many items a listing has of which a page was asked for that holds one."""
    if page.total_size is not None:
        return f"{page.total_size:,}"
    if page.next_page_token is None:
        return str(len(page.items))
    return "1 or more" if page.items else ""
