"""The classify APIs, v1 and v2, as a FastAPI application around a world; knows no sockets."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator

from llamacloud_sandbox.api import tokens
from llamacloud_sandbox.api.access import Access
from llamacloud_sandbox.api.filters import EVERYTHING, Filter
from llamacloud_sandbox.api.lifetime import Lifetime
from llamacloud_sandbox.api.listing import Listings, Only, Show
from llamacloud_sandbox.api.more import add_more, more_listings
from llamacloud_sandbox.api.uuids import check_uuid
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.catalogue import V2_STATUSES
from llamacloud_sandbox.world.clock import instant
from llamacloud_sandbox.world.history import Job
from llamacloud_sandbox.world.world import World

PATH = "/api/v1/classifier/jobs"
V2_PATH = "/api/v2/classify"
PROJECTS_PATH = "/api/v1/projects"
ORGANIZATIONS_PATH = "/api/v2/organizations"
DEFAULT_PAGE_SIZE = 100
V2_PAGE_SIZE_LIMIT = 100

FINISHED = tuple(V2_STATUSES)
V1_PARAMETERS = ("project_id", "organization_id", "page_size")
V2_PARAMETERS = (
    *V1_PARAMETERS,
    *("status", "configuration_id", "created_at_on_or_after", "created_at_on_or_before"),
)

V2Status = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"]
Instant = Annotated[datetime | None, BeforeValidator(instant)]


class Api:
    """What the calls answer from: a world, its listings, and who may read them.

    `before_page` is called with a page's number before it is made.
    """

    def __init__(
        self, world: World, settings: Settings, *, before_page: Callable[[int], None]
    ) -> None:
        self.world = world
        self.settings = settings
        self.access = Access(world)
        self.before_page = before_page
        # One for both, for a token's life may be told in pages for anybody.
        shared: dict[str, Any] = {
            "lifetime": Lifetime(world, settings),
            "seed": world.history.seed,
        }
        self.listings = {
            PATH: Listings(world.v1, settings, show=lambda item: item, **shared),
            V2_PATH: Listings(world.v2, settings, show=self._shown_in_list, **shared),
            **more_listings(world, settings, shared),
        }

    def page(  # noqa: PLR0913 - a page depends on so much
        self,
        project_id: str,
        query: tokens.Query,
        *,
        size: int,
        token: str | None,
        only: Only = EVERYTHING,
        among: frozenset[str] | None = None,
        show: Show | None = None,
        with_total: bool = True,
    ) -> Response:
        """One page of a listing."""
        listings = self.listings[query.path]
        stands = self._read_token(token, query) if token is not None else None
        if stands and listings.lifetime.is_over(stands):
            raise HTTPException(400, "page_token has expired")
        self.before_page(stands.page + 1 if stands else 1)
        how: dict[str, Any] = {"among": among, "show": show, "with_total": with_total}
        body, _ = listings.page(project_id, query, size=size, token=stands, only=only, **how)
        return Response(body, media_type="application/json")

    def results(self, project_id: str, job_id: str) -> dict[str, Any]:
        """The results of a v1 job."""
        try:
            results = self.world.results(job_id, project_id=project_id)
        except KeyError as error:
            if not self.world.v1.was_put(job_id):
                check_uuid(job_id, "path", "classify_job_id")
            raise HTTPException(404, "Classify job not found") from error
        if not results and self.settings.pending_results == "404" and self._is_pending(job_id):
            raise HTTPException(404, "Classify job has no results yet")
        total = len(results) if self.settings.total_size else None
        return {"items": results, "next_page_token": None, "total_size": total}

    def v2_job(self, project_id: str, job_id: str, *, with_usage: bool) -> Any:
        """One v2 job; its usage only if that was asked for, and it has finished."""
        try:
            job = self.world.v2.get(job_id, project_id)
        except KeyError as error:
            raise HTTPException(404, "Classify job not found") from error
        is_told = with_usage and job.get("status") in FINISHED
        return self._named(job if is_told else {**job, "usage": None})

    def _is_pending(self, job_id: str) -> bool:
        return self.world.job(job_id).get("status") == "PENDING"

    def _shown_in_list(self, item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        is_told = self.settings.usage_in_list or not item.get("usage")
        return self._named(item if is_told else {**item, "usage": None})

    def _named(self, job: Job) -> Job:
        name = self.settings.input_name
        if name == "file_input":
            return job
        return {name if field == "file_input" else field: value for field, value in job.items()}

    def _read_token(self, text: str, query: tokens.Query) -> tokens.Token:
        try:
            return tokens.read(text, query, order=self.settings.order, kind=self.settings.tokens)
        except tokens.UnreadableTokenError as error:
            problem: dict[str, Any] = {
                "type": "value_error",
                "loc": ("query", "page_token"),
                "msg": str(error),
                "input": text,
            }
            raise RequestValidationError([problem]) from error


def create_app(api: Api) -> FastAPI:
    """Build the application."""
    app = FastAPI(openapi_url=None)
    _add_v1(app, api)
    _add_v2(app, api)
    _add_organizations(app, api)
    add_more(app, api)
    return app


def _add_v1(app: FastAPI, api: Api) -> None:
    limit = api.settings.page_size_limit
    own_project = Depends(api.access.project_of)

    @app.get(PATH)
    async def list_jobs(
        request: Request,
        project_id: Annotated[str, own_project],
        page_size: Annotated[int, Query(ge=1, le=limit)] = min(DEFAULT_PAGE_SIZE, limit),
        page_token: str | None = None,
    ) -> Response:
        query = tokens.Query(PATH, **_sent(request, V1_PARAMETERS))
        return api.page(project_id, query, size=page_size, token=page_token)

    @app.get(PATH + "/{job_id:path}/results")
    async def list_results(project_id: Annotated[str, own_project], job_id: str) -> Response:
        return _json(api.results(project_id, job_id))

    @app.get(PROJECTS_PATH, dependencies=[own_project])
    async def list_projects(project_name: str | None = None) -> Response:
        return _json(_named(api.world.projects(), project_name))


def _add_v2(app: FastAPI, api: Api) -> None:
    own_project = Depends(api.access.project_of)

    @app.get(V2_PATH)
    async def list_v2_jobs(  # noqa: PLR0913 - one call has so many parameters
        request: Request,
        project_id: Annotated[str, own_project],
        *,
        page_size: Annotated[int, Query(ge=1, le=V2_PAGE_SIZE_LIMIT)] = DEFAULT_PAGE_SIZE,
        page_token: str | None = None,
        status: V2Status | None = None,
        job_ids: Annotated[tuple[str, ...], Query()] = (),
        configuration_id: str | None = None,
        created_at_on_or_after: Instant = None,
        created_at_on_or_before: Instant = None,
    ) -> Response:
        asked = tokens.shortened(job_ids)
        query = tokens.Query(V2_PATH, job_ids=asked, **_sent(request, V2_PARAMETERS))
        only = Filter(
            job_ids=frozenset(job_ids),
            status=status,
            configuration_id=configuration_id,
            on_or_after=created_at_on_or_after,
            on_or_before=created_at_on_or_before,
            bounds=api.settings.bounds,
        )
        return api.page(project_id, query, size=page_size, token=page_token, only=only)

    @app.get(V2_PATH + "/{job_id:path}")
    async def get_v2_job(
        project_id: Annotated[str, own_project],
        job_id: str,
        expand: Annotated[tuple[str, ...], Query()] = (),
    ) -> Response:
        return _json(api.v2_job(project_id, job_id, with_usage="usage" in expand))


def _add_organizations(app: FastAPI, api: Api) -> None:
    own_project = Depends(api.access.project_of)

    @app.get(ORGANIZATIONS_PATH, dependencies=[own_project])
    async def list_organizations(
        name: str | None = None,
        page_size: Annotated[int, Query(ge=1)] = DEFAULT_PAGE_SIZE,
        page_token: Annotated[int, Query(ge=0)] = 0,
    ) -> Response:
        all_of_them = _named(api.world.organizations(), name)
        end = page_token + page_size
        total = len(all_of_them) if api.settings.total_size else None
        return _json(
            {
                "items": all_of_them[page_token:end],
                "next_page_token": str(end) if end < len(all_of_them) else None,
                "total_size": total,
            }
        )


def _named(items: list[dict[str, Any]], name: str | None) -> list[dict[str, Any]]:
    return [item for item in items if name is None or item.get("name") == name]


def _sent(request: Request, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: request.query_params.get(name) for name in names}


def _json(body: Any) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
