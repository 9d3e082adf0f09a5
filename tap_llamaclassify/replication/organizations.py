"""The organizations that a connection's key can see, asked for at most once."""

from __future__ import annotations

from collections.abc import Sequence

from tap_llamaclassify.api.endpoints import PROJECTS
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.http.client import Client

SETTING = "organization_id"


class Organizations:
    """Known by the setting; else by the projects, each of which names its own.

    Args:
        client: Asks, where nothing has brought the projects yet.

    Attributes:
        error: Why the projects cannot be listed, once that is known.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        own = client.connection.scope.get(SETTING)
        self._ids: Sequence[str] = [own] if own else []
        self.error: ApiError | None = None

    def note(self, page: Page) -> None:
        """Take them from a list of projects that was read for something else."""
        named = {id_ for project in page.items if (id_ := project.get(SETTING))}
        self._ids = self._ids or sorted(named)

    def ids(self) -> Sequence[str]:
        """Return their ids.

        Raises:
            ApiError: The projects cannot be listed, or name none.
        """
        if not self._ids:
            if self.error:
                raise self.error
            for page in Paginator(self._client, PROJECTS).pages(ahead=False):
                self.note(page)
        if not self._ids:
            raise ApiError(f"GET {PROJECTS.path}: no project names its organization; set {SETTING}")
        return self._ids
