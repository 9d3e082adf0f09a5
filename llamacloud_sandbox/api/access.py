"""Who may read what: one key a project, which may be revoked; knows no jobs."""

from fastapi import HTTPException, Request

from llamacloud_sandbox.api.uuids import check_uuid
from llamacloud_sandbox.world.world import World


class Access:
    """The keys of a world's projects, and what a request may ask with one."""

    def __init__(self, world: World) -> None:
        ids = enumerate(world.project_ids, start=1)
        self.keys = {id_: f"llx-sandbox-{number}" for number, id_ in ids}
        self._organization_id = world.organization_id
        self._projects = {bearer(key): project_id for project_id, key in self.keys.items()}

    def revoke(self, key: str) -> None:
        """Refuse a key from now on. ValueError: there is none such, or no longer."""
        if self._projects.pop(bearer(key), None) is None:
            message = "no project has this key"
            raise ValueError(message)

    async def project_of(self, request: Request) -> str:
        """The project that a request is about.

        HTTPException: it may not ask that. RequestValidationError: it names one by no UUID.
        """
        own = self._projects.get(request.headers.get("authorization", ""))
        if own is None:
            raise HTTPException(401, "Invalid API key: missing, revoked, or of another region")
        project_id = request.query_params.get("project_id", own)
        if project_id != own:
            check_uuid(project_id, "query", "project_id")
            raise HTTPException(401, "Invalid API key: it belongs to another project")
        organization_id = request.query_params.get("organization_id", self._organization_id)
        if organization_id != self._organization_id:
            check_uuid(organization_id, "query", "organization_id")
            raise HTTPException(403, "No access to this organization")
        return own


def bearer(key: str) -> str:
    """The header's text for a key."""
    return f"Bearer {key}"
