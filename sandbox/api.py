"""The classify API's list call as a FastAPI application around a world; knows no sockets."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError

from sandbox import tokens
from sandbox.listing import Listings
from sandbox.settings import Settings
from sandbox.world import World

PATH = "/api/v1/classifier/jobs"
DEFAULT_PAGE_SIZE = 100


def keys_of(world: World) -> dict[str, str]:
    """The one key of each project, by the project's id."""
    return {id_: f"llx-sandbox-{number}" for number, id_ in enumerate(world.project_ids, start=1)}


def create_app(
    world: World,
    settings: Settings,
    *,
    listings: Listings,
    before_page: Callable[[int], None],
) -> FastAPI:
    """Build the application; `before_page` is called with a page's number before it is made."""
    app = FastAPI(openapi_url=None)
    limit = settings.page_size_limit
    projects = {f"Bearer {key}": project_id for project_id, key in keys_of(world).items()}

    def authorized(request: Request) -> str:
        return _authorize(request, projects, organization_id=world.organization_id)

    @app.get(PATH)
    async def list_jobs(
        request: Request,
        project_id: Annotated[str, Depends(authorized)],
        page_size: Annotated[int, Query(ge=1, le=limit)] = min(DEFAULT_PAGE_SIZE, limit),
        page_token: str | None = None,
    ) -> Response:
        query = _query_of(request)
        token = _read_token(page_token, query, settings) if page_token is not None else None
        if token and listings.lifetime.is_over(token):
            raise HTTPException(400, "page_token has expired")
        before_page(token.page + 1 if token else 1)
        body, _ = listings.page(project_id, query, size=page_size, token=token)
        return Response(body, media_type="application/json")

    return app


def _authorize(request: Request, projects: dict[str, str], *, organization_id: str) -> str:
    own = projects.get(request.headers.get("authorization", ""))
    if own is None:
        raise HTTPException(401, "Invalid API key: missing, revoked, or of another region")
    if request.query_params.get("project_id", own) != own:
        raise HTTPException(401, "Invalid API key: it belongs to another project")
    if request.query_params.get("organization_id", organization_id) != organization_id:
        raise HTTPException(403, "No access to this organization")
    return own


def _query_of(request: Request) -> tokens.Query:
    asked = request.query_params
    return tokens.Query(**{name: asked.get(name) for name in tokens.Query.__struct_fields__})


def _read_token(text: str, query: tokens.Query, settings: Settings) -> tokens.Token:
    try:
        return tokens.read(text, query, order=settings.order, kind=settings.tokens)
    except tokens.UnreadableTokenError as error:
        problem: dict[str, Any] = {
            "type": "value_error",
            "loc": ("query", "page_token"),
            "msg": str(error),
            "input": text,
        }
        raise RequestValidationError([problem]) from error
