"""The tables that the API's items become: their names, keys, sources, and which rows they get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tap_llamaclassify.api.endpoints import ENDPOINTS, Endpoint, endpoint_of
from tap_llamaclassify.api.models import Json
from tap_llamaclassify.errors import ReplyError
from tap_llamaclassify.tables import context_rows, rows, v2_rows
from tap_llamaclassify.tables.rows import Row

LONGEST_ID = 64
"""How much of an item's id is shown."""


@dataclass(frozen=True)
class Table:
    """One table; its columns are in the JSON Schema of its name.

    Attributes:
        keys: The columns that tell one row from another.
        api_fields: The API's fields that it has columns for, one way or another; those inside
            another field have its name before theirs, such as `result.type`.
        rows_of: Makes its rows from the items of a page.
        replication_key: The column by which changes are told; None for a table without.
        is_whole: Whether reading it in full brings all rows that there are.
    """

    name: str
    keys: Sequence[str]
    api_fields: frozenset[str]
    rows_of: Callable[[Iterable[Json]], list[Row]]
    replication_key: str | None = "updated_at"
    is_whole: bool = True

    @property
    def endpoint(self) -> Endpoint:
        """Where its items come from."""
        return endpoint_of(self.name)

    def rows(self, items: Sequence[Json]) -> list[Row]:
        """Make the rows of a page's items.

        Raises:
            ReplyError: An item, which is named, holds what cannot be written.
        """
        try:
            return self.rows_of(items)
        except ReplyError as error:
            if len(items) > 1:
                # To find the one.
                return [row for item in items for row in self.rows([item])]
            item = str(items[0]["id"])[:LONGEST_ID]
            raise ReplyError(f"{self.name}: for {item!r} the API {error}") from None


def _inside(name: str, fields: frozenset[str]) -> frozenset[str]:
    return frozenset(f"{name}.{field}" for field in fields)


JOBS = Table(
    "classify_jobs",
    ("id",),
    rows.JOB_FIELDS,
    rows.job_rows,
)
RULES = Table(
    "classify_job_rules",
    ("job_id", "rule_index"),
    rows.RULE_FIELDS,
    rows.rule_rows,
)
PARSING_CONFIGS = Table(
    "classify_job_parsing_configs",
    ("job_id",),
    rows.PARSING_CONFIGURATION_FIELDS,
    rows.parsing_config_rows,
)
RESULTS = Table(
    "classify_job_results",
    ("id",),
    rows.RESULT_FIELDS | _inside("result", rows.CLASSIFICATION_FIELDS),
    rows.result_rows,
    replication_key="job_updated_at",
)
V2_JOBS = Table(
    "classify_v2_jobs",
    ("id",),
    v2_rows.V2_JOB_FIELDS
    | _inside("configuration", v2_rows.CONFIGURATION_FIELDS)
    | _inside("result", rows.CLASSIFICATION_FIELDS)
    | _inside("usage", v2_rows.USAGE_FIELDS),
    v2_rows.v2_job_rows,
)
V2_RULES = Table(
    "classify_v2_job_rules",
    ("job_id", "rule_index"),
    rows.RULE_FIELDS,
    v2_rows.v2_rule_rows,
)
V2_PARSING_CONFIGS = Table(
    "classify_v2_job_parsing_configs",
    ("job_id",),
    rows.PARSING_CONFIGURATION_FIELDS,
    v2_rows.v2_parsing_config_rows,
)
PROJECTS = Table(
    "classify_projects",
    ("id",),
    context_rows.PROJECT_FIELDS,
    context_rows.project_rows,
    replication_key=None,
)

ORGANIZATIONS = Table(
    "classify_organizations",
    ("id",),
    # What it holds has no column, and is no news.
    context_rows.ORGANIZATION_FIELDS | {"metadata"},
    context_rows.organization_rows,
    replication_key=None,
)
CONFIGURATIONS = Table(
    "classify_configurations",
    ("id",),
    context_rows.SAVED_CONFIGURATION_FIELDS
    | _inside("parameters", context_rows.PARAMETER_FIELDS | {"product_type", "rules"}),
    context_rows.configuration_rows,
    replication_key=None,
)
TIMINGS = Table(
    "classify_job_timings",
    ("job_id",),
    context_rows.DATA_POINT_FIELDS | _inside("state_transitions", context_rows.TRANSITION_FIELDS),
    context_rows.timing_rows,
    is_whole=False,
)
USAGE = Table(
    "classify_usage",
    ("id",),
    context_rows.USAGE_METRIC_FIELDS,
    context_rows.usage_rows,
    replication_key="day",
)
FILES = Table(
    "classify_files",
    ("id",),
    context_rows.FILE_FIELDS,
    context_rows.file_rows,
    replication_key=None,
    is_whole=False,
)

_BY_NAME = {
    table.name: table
    for table in (
        JOBS,
        RULES,
        PARSING_CONFIGS,
        RESULTS,
        V2_JOBS,
        V2_RULES,
        V2_PARSING_CONFIGS,
        PROJECTS,
        ORGANIZATIONS,
        CONFIGURATIONS,
        TIMINGS,
        USAGE,
        FILES,
    )
}
TABLES = tuple(_BY_NAME[name] for endpoint in ENDPOINTS for name in endpoint.tables)
"""Every table, in the order in which a page's rows are written."""
BY_DEFAULT = tuple(table for table in TABLES if table.endpoint.is_default)
"""Those that are read unless somebody says otherwise."""
