"""The calls beside those of jobs: data points, usage metrics, configurations, files; no sockets."""

from datetime import date, datetime, timedelta
from hashlib import blake2b
from typing import Annotated, Any, Literal, Protocol

import msgspec
from fastapi import Depends, FastAPI, Query, Request, Response
from pydantic import BeforeValidator

from llamacloud_sandbox.api import tokens
from llamacloud_sandbox.api.access import Access
from llamacloud_sandbox.api.choices import Fields, Points, fields
from llamacloud_sandbox.api.filters import EVERYTHING
from llamacloud_sandbox.api.listing import Listings, Only, Show
from llamacloud_sandbox.api.uuids import check_uuids
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.clock import instant, stamp
from llamacloud_sandbox.world.configurations import latest_ids
from llamacloud_sandbox.world.items import Items
from llamacloud_sandbox.world.world import World

DATA_POINTS_PATH = "/api/v1/job-data-points"
USAGE_METRICS_PATH = "/api/v1/beta/usage-metrics"
CONFIGURATIONS_PATH = "/api/v1/beta/configurations"
FILES_PATH = "/api/v1/beta/files"

LONGEST_REACH = 168
FILES_LIMIT = 1000
FILES_PAGE_SIZE = 50
PAGE_SIZE = 100
DOWNLOAD_URL = "https://files.example.com/{name}?X-Amz-Expires=3600&X-Amz-Signature={signature}"
DOWNLOAD_SECONDS = 3600
SCOPE = ("project_id", "organization_id", "page_size")


def _day(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        message = "no day such as 2026-11-23"
        raise ValueError(message)
    return text


Instant = Annotated[datetime | None, BeforeValidator(instant)]
Day = Annotated[str, BeforeValidator(_day)]
OneDay = Annotated[str | None, BeforeValidator(_day)]
Texts = Annotated[tuple[str, ...], Query()]
Product = Literal["split_v1", "extract_v2", "classify_v2", "parse_v2", "spreadsheet_v1", "unknown"]
Products = Annotated[tuple[Product, ...], Query()]


class Pages(Protocol):
    """What these calls need of the API."""

    world: World
    settings: Settings
    access: Access

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


def more_listings(world: World, settings: Settings, shared: dict[str, Any]) -> dict[str, Listings]:
    """The listings of these calls, by path."""
    kinds = {
        DATA_POINTS_PATH: world.more.data_points,
        USAGE_METRICS_PATH: world.more.usage_metrics,
        CONFIGURATIONS_PATH: world.more.configurations,
        FILES_PATH: world.more.files,
    }
    return {path: _listings(items, settings, shared) for path, items in kinds.items()}


def _listings(items: Items, settings: Settings, shared: dict[str, Any]) -> Listings:
    return Listings(items, settings, show=lambda item: item, created=items.dated, **shared)


def add_more(app: FastAPI, api: Pages) -> None:
    """Add the calls to an application."""
    _add_data_points(app, api)
    _add_usage_metrics(app, api)
    _add_configurations(app, api)
    _add_files(app, api)


def _add_data_points(app: FastAPI, api: Pages) -> None:
    limit, own_project = api.settings.page_size_limit, Depends(api.access.project_of)

    @app.get(DATA_POINTS_PATH)
    async def list_data_points(  # noqa: PLR0913 - one call has so many parameters
        request: Request,
        project_id: Annotated[str, own_project],
        job_type: Literal["extract", "parse", "classify"],
        *,
        hours: Annotated[int, Query(ge=1, le=LONGEST_REACH)] = 1,
        status: Texts = (),
        created_at_on_or_after: Instant = None,
        created_at_on_or_before: Instant = None,
        page_size: Annotated[int, Query(ge=1, le=limit)] = min(PAGE_SIZE, limit),
        page_token: str | None = None,
    ) -> Response:
        only = Points(
            statuses=frozenset(status),
            on_or_after=_reach(api, hours, created_at_on_or_after),
            on_or_before=created_at_on_or_before,
        )
        return api.page(
            project_id,
            _query(DATA_POINTS_PATH, request),
            size=page_size,
            token=page_token,
            only=only,
            among=None if job_type == "classify" else frozenset(),
        )


def _reach(api: Pages, hours: int, on_or_after: datetime | None) -> datetime:
    earliest = api.world.now() - timedelta(hours=hours)
    if on_or_after is None:
        return earliest
    reaches_further = api.settings.data_points_reach == "bounds"
    return on_or_after if reaches_further else max(on_or_after, earliest)


def _add_usage_metrics(app: FastAPI, api: Pages) -> None:
    limit, own_project = api.settings.page_size_limit, Depends(api.access.project_of)

    @app.get(USAGE_METRICS_PATH)
    async def list_usage_metrics(  # noqa: PLR0913 - one call has so many parameters
        request: Request,
        project_id: Annotated[str, own_project],
        organization_id: str,  # noqa: ARG001 - which one it may be is known from the key
        *,
        user_id: str | None = None,
        event_types: Texts = (),
        days: Annotated[tuple[Day, ...], Query()] = (),
        day_on_or_after: OneDay = None,
        day_on_or_before: OneDay = None,
        event_aggregation_key: str | None = None,
        event_aggregation_type: str | None = None,
        credits_consumed_greater_than_or_equal: float | None = None,
        include_total: bool = False,
        page_size: Annotated[int, Query(ge=1, le=limit)] = min(PAGE_SIZE, limit),
        page_token: str | None = None,
    ) -> Response:
        chosen = fields(
            user_id=user_id,
            event_type=event_types,
            day=days,
            event_aggregation_key=event_aggregation_key,
            event_aggregation_type=event_aggregation_type,
        )
        bounds = {
            "day_on_or_after": day_on_or_after,
            "day_on_or_before": day_on_or_before,
            "credits_at_least": credits_consumed_greater_than_or_equal,
        }
        return api.page(
            project_id,
            _query(USAGE_METRICS_PATH, request),
            size=page_size,
            token=page_token,
            only=msgspec.structs.replace(chosen, **bounds),
            with_total=include_total,
        )


def _add_configurations(app: FastAPI, api: Pages) -> None:
    limit, own_project = api.settings.page_size_limit, Depends(api.access.project_of)

    @app.get(CONFIGURATIONS_PATH)
    async def list_configurations(  # noqa: PLR0913 - one call has so many parameters
        request: Request,
        project_id: Annotated[str, own_project],
        *,
        product_type: Products = (),
        name: str | None = None,
        latest_only: bool = False,
        page_size: Annotated[int, Query(ge=1, le=limit)] = min(PAGE_SIZE, limit),
        page_token: str | None = None,
    ) -> Response:
        # Of all versions, whatever else is asked for.
        latest = tuple(latest_ids(api.world.configurations(project_id))) if latest_only else ()
        return api.page(
            project_id,
            _query(CONFIGURATIONS_PATH, request),
            size=page_size,
            token=page_token,
            only=fields(product_type=product_type, name=name, id=latest),
        )


def _add_files(app: FastAPI, api: Pages) -> None:
    own_project = Depends(api.access.project_of)

    @app.get(FILES_PATH)
    async def list_files(  # noqa: PLR0913 - one call has so many parameters
        request: Request,
        project_id: Annotated[str, own_project],
        *,
        file_ids: Texts = (),
        file_name: str | None = None,
        external_file_id: str | None = None,
        expand: Texts = (),
        page_size: Annotated[int, Query(ge=1, le=FILES_LIMIT)] = FILES_PAGE_SIZE,
        page_token: str | None = None,
    ) -> Response:
        if api.settings.file_ids == "uuid":
            check_uuids(file_ids, "query", "file_ids")
        is_filtered = file_ids and api.settings.file_ids != "ignored"
        only = fields(name=file_name, external_file_id=external_file_id)
        return api.page(
            project_id,
            _query(FILES_PATH, request),
            size=page_size,
            token=page_token,
            only=EVERYTHING if only == Fields() else only,
            among=frozenset(file_ids) if is_filtered else None,
            show=_with_download_url(api.world.now()) if "download_url" in expand else None,
        )


def _with_download_url(now: datetime) -> Show:
    expires_at = stamp(now + timedelta(seconds=DOWNLOAD_SECONDS))

    def shown(item: Any) -> Any:
        if not isinstance(item, dict) or item.get("download_url") is not None:
            return item
        name = str(item.get("id"))
        signature = blake2b(f"{name} {expires_at}".encode(), digest_size=32).hexdigest()
        url = DOWNLOAD_URL.format(name=name, signature=signature)
        return {
            **item,
            "download_url": {"url": url, "expires_at": expires_at, "form_fields": None},
        }

    return shown


def _query(path: str, request: Request) -> tokens.Query:
    sent = request.query_params
    others = sorted(pair for pair in sent.multi_items() if pair[0] not in (*SCOPE, "page_token"))
    digest = tokens.digest(others) if others else None
    scope: dict[str, Any] = {name: sent.get(name) for name in SCOPE}
    return tokens.Query(path, others=digest, **scope)
