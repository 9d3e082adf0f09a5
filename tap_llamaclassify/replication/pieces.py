"""A piece of a table that one of several readers reads alone, each item once; it holds no key.

Pieces of one plan have no job in common, and may be read in any order, and again. What a piece was
to have is settled when it is planned: it says the same to whoever reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from tap_llamaclassify.api.endpoints import TIMINGS_HOURS, V2_JOBS
from tap_llamaclassify.api.models import Json, Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.config.settings import A_DAY, Settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.listing_bookmarks import Wanted
from tap_llamaclassify.replication.readers import named_by
from tap_llamaclassify.replication.reading import read_parts
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.replication.summary import Part
from tap_llamaclassify.replication.unfinished import batches_of_ids
from tap_llamaclassify.replication.usage import Usage
from tap_llamaclassify.replication.windows import Window
from tap_llamaclassify.tables.rows import due
from tap_llamaclassify.tables.tables import FILES, TIMINGS, Table
from tap_llamaclassify.tables.tables import V2_JOBS as V2_JOBS_TABLE
from tap_llamaclassify.timestamps import LAST, from_datetime, moved


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What one reader reads of a table of one connection. Instants are in the fixed form.

    Attributes:
        connection: Which of the connections, by its place among them.
        begin: The first instant of a window of `created_at`; None for none.
        end: The first instant after it, or after all that there is.
        ids: Jobs of v2 that are asked for by their ids, unless the window has shown them.
        is_all: Whether it is whatever the connection has, and no window.
        since: What was last updated before it is left out, and of what is no window that less the
            lookback; None for nothing.
        until: What was updated after it is left out, and left to a later piece; None for nothing.
        status: The only status of v2 jobs that is asked for; None for any.
        pages: How many pages it has, as far as that is known.
    """

    connection: int = 0
    begin: str | None = None
    end: str | None = None
    ids: Sequence[str] = ()
    is_all: bool = False
    since: str | None = None
    until: str | None = None
    status: str | None = None
    pages: float = 1.0

    @property
    def as_json(self) -> dict[str, Any]:
        """What `of_json` takes."""
        return {**asdict(self), "ids": [*self.ids]}

    @classmethod
    def of_json(cls, fields: Mapping[str, Any]) -> Self:
        """Make it of what `as_json` was."""
        return cls(**fields)


def items_of(
    client: Client, settings: Settings, table: Table, piece: Piece
) -> Iterator[Sequence[Json]]:
    """Read a piece, a page at a time; two pages are held at most, and the ids of all before.

    Each item comes once, as it was when it was first seen.

    Raises:
        ApiError: Something of it cannot be read.
    """
    try:
        read = _all if piece.is_all else _jobs
        seen: set[str] = set()
        for items in read(client, settings, table, piece):
            new = {item["id"]: item for item in items if item["id"] not in seen}
            seen |= new.keys()
            yield [*new.values()]
            # Let go of them before the next ones come in.
            del items, new
    finally:
        client.cancel()


def _jobs(
    client: Client, settings: Settings, table: Table, piece: Piece
) -> Iterator[Sequence[Json]]:
    """Read a window of v2 jobs, then those of the ids that it has not shown."""
    is_filled = settings.fetch_usage and table.name == V2_JOBS_TABLE.name
    usage = Usage(client, settings.parallel_requests) if is_filled else None
    for jobs in _jobs_of_window(client, piece):
        fresh = due(jobs, settings.start_date)
        if usage:
            usage.fill(fresh)
        yield fresh
        del jobs, fresh


def _jobs_of_window(client: Client, piece: Piece) -> Iterator[Sequence[Json]]:
    missing = {*piece.ids}
    if piece.begin or piece.end or not missing:
        filters = Window(piece.begin, piece.end).filters
        if piece.status:
            filters["status"] = piece.status
        for page in Paginator(client, V2_JOBS, filters).pages():
            missing.difference_update(job["id"] for job in page.items)
            inside = [
                job
                for job in page.items
                if is_between(job.get("created_at"), piece.begin, piece.end)
            ]
            yield due(inside, piece.since)
            del page, inside
    for ids in batches_of_ids(missing):
        for page in Paginator(client, V2_JOBS, {"job_ids": ids}).pages():
            # Should the API list others, what was asked for is among all of them.
            yield [job for job in page.items if job["id"] in missing]


def is_between(created: str | None, begin: str | None, end: str | None) -> bool:
    """Return whether an instant is in a window; none is in one without bounds only."""
    if created is None:
        return not (begin or end)
    return (begin or "") <= created < (end or LAST)


def _all(
    client: Client, settings: Settings, table: Table, piece: Piece
) -> Iterator[Sequence[Json]]:
    """Read whatever there is; or what was updated since, as a run does that goes on."""
    part = Part(client, _wanted(table, piece))
    settings = settings.model_copy(update={"reconcile_days": _days_again(table, settings)})
    until = piece.until if table.replication_key == "updated_at" else None
    for _, step in read_parts([part], settings):
        items = step.items.get(table.name, ())
        if piece.end:
            items = [item for item in items if (item.get("created_at") or "") < piece.end]
        yield _until(items, until, step.pages)
        del step, items
    if part.failures:
        # Of a beta, too: what comes next begins where this ends.
        raise part.failures[0].error


def _days_again(table: Table, settings: Settings) -> int:
    """Return how far before "since" it is looked for what was created then."""
    days: int = settings.reconcile_days
    if table.name == FILES.name:
        # A job names its file from the first.
        return 0
    if table.name == TIMINGS.name:
        # Which jobs were unfinished is not known.
        return max(days, TIMINGS_HOURS // 24)
    return days


def _wanted(table: Table, piece: Piece) -> Wanted:
    if piece.since is None:
        return dict.fromkeys([table.name, *named_by(table.name)])
    # Which jobs were unfinished is not known, so that of v2 all are listed.
    kept = StreamState(piece.since, unfinished=None if table.endpoint is V2_JOBS else {})
    return {
        table.name: kept if table.replication_key else None,
        **dict.fromkeys(named_by(table.name), StreamState(piece.since)),
    }


def _until(items: Sequence[Json], until: str | None, pages: Sequence[Page]) -> Sequence[Json]:
    """Leave out what has changed since an instant; what the future has changed stays."""
    if until is None or not pages:
        return items
    # No later than that is "since": a listing takes less.
    now = moved(from_datetime(max(page.asked_at for page in pages)), A_DAY) or LAST
    return [item for item in items if not until < (item.get("updated_at") or "") <= now]
