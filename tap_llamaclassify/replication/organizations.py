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
        self._own = client.connection.scope.get(SETTING)
        self._named: set[str] | None = None
        self.error: ApiError | None = None

    def note(self, page: Page) -> None:
        """Take them from a page of projects that was read for something else."""
        named = {id_ for project in page.items if (id_ := project.get(SETTING))}
        self._named = named | (self._named or set())

    def ids(self) -> Sequence[str]:
        """Return their ids, sorted.

        Raises:
            ApiError: The projects cannot be listed, or name none.
        """
        if self._own:
            return [self._own]
        try:
            if self.error:
                raise self.error
            if self._named is None:
                for page in Paginator(self._client, PROJECTS).pages(ahead=False):
                    self.note(page)
        except ApiError as error:
            self.error = error
            raise error.reworded(f"{error}, or set {SETTING}") from None
        if not self._named:
            raise ApiError(f"GET {PROJECTS.path}: no project names its organization; set {SETTING}")
        return sorted(self._named)
