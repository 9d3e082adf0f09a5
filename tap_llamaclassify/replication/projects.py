"""Reads the projects that a key can see: one request, one list."""

from __future__ import annotations

from collections.abc import Iterator

from tap_llamaclassify.api.parsing import read_projects
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.http.request import Request
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.tables.tables import PROJECTS

PROJECTS_PATH = "/api/v1/projects"


class ProjectsReader:
    """The list of projects; it is always read in full.

    Args:
        client: Asks.
        limit: Take so many projects at most.
    """

    def __init__(self, client: Client, limit: int | None = None) -> None:
        self._limit = limit
        scope = client.connection.scope
        self._request = Request(
            client,
            PROJECTS_PATH,
            params={name: scope[name] for name in ("organization_id",) if name in scope},
            read=read_projects,
        )

    def steps(self) -> Iterator[Step]:
        """Read the list."""
        page = self._request.answer().content
        yield Step(
            {PROJECTS.name: page.items[: self._limit]},
            replaced=page.replaced,
            has_misfits=page.has_misfits,
        )
