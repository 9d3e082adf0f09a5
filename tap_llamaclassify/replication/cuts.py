"""Cuts what is to be read of a table of one connection into pieces for several readers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tap_llamaclassify.api.endpoints import V2_JOBS
from tap_llamaclassify.api.models import Json, Page
from tap_llamaclassify.config.settings import A_DAY, Settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.pieces import Piece, is_between
from tap_llamaclassify.replication.unfinished import DAYS, FINISHED
from tap_llamaclassify.replication.window_survey import Survey, end_of
from tap_llamaclassify.tables.tables import Table
from tap_llamaclassify.timestamps import moved

LEAST_SHARE = 60
"""Requests a minute below which a reader of several would only wait for its turn."""
MOST = 10_000
"""Pieces of one connection."""


@dataclass(frozen=True)
class Narrowed:
    """What of v2 jobs is asked for; whoever asks looks at each row himself as well.

    Attributes:
        begin: The first `created_at`, in the fixed form; None for any, or none.
        end: The first instant after the last one.
        status: The only status.
    """

    begin: str | None = None
    end: str | None = None
    status: str | None = None


def cut(client: Client, settings: Settings, table: Table, narrowed: Narrowed) -> list[Piece]:
    """Plan how to read a table from its beginning, as it is now.

    One that is not of v2 jobs is one piece, and so is a short one, and one that may be asked for in
    so few requests a minute that more readers would bring it no sooner.

    Args:
        client: Asks.
        settings: What the user set.
        table: What is read.
        narrowed: What of it is wanted.

    Raises:
        ApiError: The API refuses, or cannot be reached.
    """
    if table.endpoint is not V2_JOBS:
        return [Piece(is_all=True)]
    status = narrowed.status
    survey = Survey(client, settings, {"status": status} if status else {})
    begin = max(filter(None, (narrowed.begin, earliest(settings))), default=None)
    if begin and narrowed.end and begin >= narrowed.end:
        return []
    most = most_pieces(client.connection.requests_per_minute)
    # Without an end, of which the API may think otherwise.
    whole = Piece(
        begin=narrowed.begin and begin, status=status, is_all=not (narrowed.begin or status)
    )
    page = None if whole.is_all and most == 1 else survey.first(begin)
    if page is None or page.is_last:
        return [whole]
    clock, last = end_of(page)
    pieces = [whole]
    if most > 1 and survey.keeps_bounds(page.items):
        end = min(narrowed.end or last, last)
        is_first = not (narrowed.begin or narrowed.end)
        windows = windows_of(survey, page, begin, end, is_first=is_first)
        if not page.is_server_clock:
            # This machine's clock may be behind by days: there may be later ones.
            windows[-1] = replace(windows[-1], end=narrowed.end)
        pieces = [replace(each, status=status) for each in windows]
    if status not in FINISHED and not pieces[0].is_all:
        pieces = _expecting(pieces, survey.begun(clock) or {})
    return _few(pieces, most)


def windows_of(
    survey: Survey, page: Page, begin: str | None, end: str, *, is_first: bool
) -> list[Piece]:
    """Plan what to read of v2 jobs created between two instants.

    Args:
        survey: Counts.
        page: The first page of what was created since the beginning.
        begin: None for the first job there is.
        end: The first instant after it.
        is_first: Whether jobs without `created_at` are to be read, too.
    """
    if is_first and _may_be_undated(survey, page):
        return [Piece(is_all=True, end=end)]
    if page.total_size is None or page.is_last:
        return [Piece(begin=begin, end=end)]
    return [
        Piece(begin=each.window.begin, end=each.window.end, pages=survey.pages(each.jobs))
        for each in survey.windows(begin, end, page.total_size)
    ]


def most_pieces(requests_per_minute: int | None) -> int:
    """Return into how many pieces a connection may be cut so that each may go on."""
    return max(1, requests_per_minute // LEAST_SHARE) if requests_per_minute else MOST


def earliest(settings: Settings) -> str | None:
    """Return the first creation of interest: a job may be updated long after it; None for any."""
    return settings.start_date and moved(settings.start_date, -DAYS * A_DAY)


def _may_be_undated(survey: Survey, page: Page) -> bool:
    if page.is_last:
        return any(job.get("created_at") is None for job in page.items)
    return page.total_size is None or survey.has_undated()


def _expecting(pieces: Sequence[Piece], begun: Mapping[str, Json]) -> list[Piece]:
    """Let each window bring the jobs that may move while it is listed, and be passed over."""
    return [
        piece
        if piece.is_all
        else replace(
            piece,
            ids=[
                id_
                for id_, job in begun.items()
                if piece.status in {None, job.get("status")}
                and is_between(job.get("created_at") or "", piece.begin, piece.end)
            ],
        )
        for piece in pieces
    ]


def _few(pieces: Sequence[Piece], most: int) -> list[Piece]:
    """Make so many of them at most, of neighbours."""
    size = -(-len(pieces) // most)
    groups = [pieces[number : number + size] for number in range(0, len(pieces), size)]
    return [
        replace(
            group[0],
            end=group[-1].end,
            ids=[id_ for each in group for id_ in each.ids],
            pages=sum(each.pages for each in group),
        )
        for group in groups
    ]
