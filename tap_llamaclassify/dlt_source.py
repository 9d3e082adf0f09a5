"""Job history as a dlt source: one listing for all tables, and bookmarks that dlt keeps.

The bookmark of a table is in its resource's state, so that dlt commits it with the package that
holds its rows, and drops it with the table.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import date
from typing import Annotated, Any, ClassVar
from weakref import WeakKeyDictionary

import dlt
import pyarrow as pa
from dlt.common.configuration import configspec
from dlt.common.configuration.specs import BaseConfiguration
from dlt.common.pipeline import LoadInfo
from dlt.common.reflection.spec import spec_from_signature
from dlt.common.schema.typing import TColumnSchema
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.common.typing import SecretSentinel, TSecretStrValue
from dlt.extract import DltResource, DltSource
from typing_extensions import override

from tap_llamaclassify.config.settings import Settings, parse_settings
from tap_llamaclassify.dlt_reading import Choice, Part, Reading, takes_all
from tap_llamaclassify.errors import ApiError, SettingsError
from tap_llamaclassify.tables.columns import Kind, kind_of
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import BY_DEFAULT, FILES, TABLES, V2_JOBS, Table

OWNER = "llamaclassify"
"""Where a package's state says which source of ours it is for."""
JOBS_A_LOAD = 50_000
"""How many jobs `load` reads for each package, unless the source has a `max_jobs`."""

_TYPES: Mapping[Kind, TColumnSchema] = {
    Kind.TIMESTAMP: {"data_type": "timestamp", "timezone": True, "precision": 6},
    Kind.DAY: {"data_type": "date"},
    Kind.TEXT: {"data_type": "text"},
    Kind.INTEGER: {"data_type": "bigint"},
    Kind.NUMBER: {"data_type": "double"},
    Kind.BOOLEAN: {"data_type": "bool"},
    Kind.INTEGERS: {"data_type": "json"},
    Kind.JSON: {"data_type": "json"},
}


class _NoNews(logging.Filter):
    """Keeps dlt from warning, table by table and run by run, that JSON comes to it as text."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return not _OF_JSON.match(record.getMessage())


_OF_JSON = re.compile(
    f"In resource: ({'|'.join(table.name for table in TABLES)}), when merging arrow schema "
)
_no_news = _NoNews()


@configspec
class _Own(BaseConfiguration):
    """Settings in the section of this source: an API_KEY of another program is not for us."""

    __section__: ClassVar[str] = "llamaclassify"


def _llamaclassify(  # noqa: PLR0913, D417 - dlt knows a source's settings by its arguments
    *,
    api_key: TSecretStrValue | None = None,
    api_url: str | None = None,
    allow_insecure_http: bool | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    connections: Annotated[list[dict[str, Any]], SecretSentinel] | None = None,
    adopt_state: str | None = None,
    parallel_connections: int | None = None,
    page_size: int | None = None,
    start_date: str | None = None,
    lookback_seconds: int | None = None,
    reconcile_days: int | None = None,
    fetch_results: bool | None = None,
    fetch_usage: bool | None = None,
    usage_event_types: list[str] | None = None,
    require_all: bool | None = None,
    parallel_windows: int | None = None,
    parallel_requests: int | None = None,
    request_timeout_seconds: int | None = None,
    retry_seconds: int | None = None,
    requests_per_minute: int | None = None,
    user_agent: str | None = None,
    max_jobs: int | None = None,
) -> list[DltResource]:
    """Read the history of LlamaCloud classify jobs, as Arrow.

    Every argument but `max_jobs` is the tap's setting of that name. What is missing is looked up
    in dlt's section `sources.llamaclassify`, then in the tap's own environment variables.

    Args:
        max_jobs: Begin no more windows of v2 when so many jobs have come; the next run goes on from
            there. `load` runs until there is no more.

    Returns:
        A resource for each table, those of v2 and v1 jobs selected. They merge by their keys, and
        go on from their bookmarks; those whose write disposition is `replace` are read in full.

    Raises:
        SettingsError: A setting is wrong.
    """
    given = locals()
    config = {name: given[name] for name in Settings.model_fields if given[name] is not None}
    if isinstance(given["start_date"], date):
        config["start_date"] = given["start_date"].isoformat()
    settings = parse_settings(config)
    if max_jobs is not None and max_jobs < 1:
        raise SettingsError("max_jobs must be at least 1")
    logging.getLogger("dlt").addFilter(_no_news)
    reader = _Reader(config, max_jobs)
    return [_resource(reader, table, settings) for table in TABLES]


llamaclassify = dlt.source(
    _llamaclassify,
    name="llamaclassify",
    section="llamaclassify",
    spec=spec_from_signature(_llamaclassify, inspect.signature(_llamaclassify), base=_Own)[0],
)


def _resource(reader: _Reader, table: Table, settings: Settings) -> DltResource:
    def rows() -> Iterator[pa.RecordBatch]:
        return reader.rows(table)

    setting = table.endpoint.setting
    return dlt.resource(
        rows,
        name=table.name,
        primary_key=[*table.keys],
        # Each key comes but once; still dlt is not told so, for a load that is gone on with after a
        # kill may have put the rows into its staging table twice.
        write_disposition={"disposition": "merge", "strategy": "delete-insert"},
        columns=_columns_of(table),
        selected=table in BY_DEFAULT or bool(setting and getattr(settings, setting)),
    )


def _columns_of(table: Table) -> dict[str, TColumnSchema]:
    properties: Mapping[str, Mapping[str, Any]] = schema_of(table.name)["properties"]
    return {
        name: {
            "name": name,
            **_TYPES[kind_of(column)],
            "nullable": name not in table.keys,
            "description": column["description"],
        }
        for name, column in properties.items()
    }


_part: ContextVar[Part | None] = ContextVar("part", default=None)


def load(pipeline: dlt.Pipeline, source: DltSource) -> list[LoadInfo]:
    """Run a pipeline package by package, until all is loaded that can be read.

    So a first history of any size takes little memory and disk, and is never lost whole. Where
    something cannot be read, such as one of several connections, all else is loaded before that is
    an error.

    Args:
        pipeline: Where to load to.
        source: A `llamaclassify()`; without a `max_jobs`, each package has some 50,000.

    Returns:
        What dlt tells of each package.

    Raises:
        ApiError: Something could not be read.
        PipelineStepFailed: As `pipeline.run` does.
    """
    in_full = any(map(takes_all, source.selected_resources.values()))
    refresh = pipeline.refresh
    loaded = []
    error: ApiError | None = None
    is_left = True
    try:
        while is_left:
            part = Part(None if in_full else JOBS_A_LOAD)
            # Then dlt loads that, and reads nothing.
            had_pending_data = pipeline.has_pending_data
            token = _part.set(part)
            try:
                loaded.append(pipeline.run(source.clone()))
            finally:
                _part.reset(token)
            error = error or part.error
            is_left = part.is_cut or (had_pending_data and not part.is_begun)
            if part.is_cut:
                # It would drop what was loaded just now.
                pipeline.refresh = None
                source = _what_is_cut(source)
    finally:
        pipeline.refresh = refresh
    if error:
        raise error
    return loaded


def _what_is_cut(source: DltSource) -> DltSource:
    """Leave out the tables that are whole, whatever of others is left to the next package."""
    cut = {V2_JOBS.endpoint.api, FILES.endpoint.api}
    whole = {table.name for table in TABLES if table.endpoint.api not in cut}
    return source.with_resources(*source.selected_resources.keys() - whole)


class _Reader:
    """Reads what is selected of a source once for all tables, when the first one is asked for."""

    def __init__(self, config: Mapping[str, Any], max_jobs: int | None) -> None:
        self._config = config
        self._max_jobs = max_jobs
        self._name = str(id(self))
        self._readings: WeakKeyDictionary[DltSource, Reading] = WeakKeyDictionary()

    def rows(self, table: Table) -> Iterator[pa.RecordBatch]:
        source, load_id = dlt.current.source(), self._load_id()
        is_shared = dlt.current.resource_name() == table.name
        reading = self._readings.get(source) if is_shared else None
        if reading is None or not reading.waits_for(table, load_id):
            part = _part.get()
            reading = Reading(Choice.of(source, table), self._config, load_id)
            if is_shared:
                # What an extraction that failed has left is nobody's.
                self._readings.pop(source, None)
            reading.read(self._max_jobs or (part.max_jobs if part else None), part)
            if is_shared:
                self._readings[source] = reading
        yield from reading.take(table)

    def _load_id(self) -> str | None:
        """Return that of the package that is extracted, which is for no other source of ours."""
        try:
            package = dlt.current.load_package_state()
        except CurrentLoadPackageStateNotAvailable:
            return None
        state: Any = package["state"]
        if state.setdefault(OWNER, self._name) != self._name:
            raise SettingsError(
                "two llamaclassify sources in one run share their bookmarks: give one of them "
                "another name by llamaclassify.clone(name=...), or both keys to one in connections"
            )
        return package["load_id"]
