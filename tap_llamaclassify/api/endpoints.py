"""What LlamaCloud offers, an entry for each of its calls: the one place that knows them.

What reads, checks and names them goes by these entries, and so do the tables that come of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from tap_llamaclassify.api.context_models import (
    File,
    JobDataPoint,
    Organization,
    Project,
    SavedConfiguration,
    StateTransitions,
    UsageMetric,
)
from tap_llamaclassify.api.models import ItemList, Job, Page, Result, V2Job
from tap_llamaclassify.api.parsing import (
    Format,
    bare_list,
    parse_page,
    single_item,
    take_older_name,
)
from tap_llamaclassify.api.presigned import without_presigned

V2_LARGEST_PAGE = 100
"""The largest `page_size` that v2 takes."""
FILES_LARGEST_PAGE = 1000
"""The same for files."""
TIMINGS_HOURS = 168
"""The furthest that data points of jobs are sure to reach back."""
_SCOPE = ("organization_id", "project_id")


@dataclass(frozen=True, kw_only=True, eq=False)
class Endpoint:
    """One of the API's calls.

    Attributes:
        api: The part of the API that it belongs to; what is gone is gone for all of it.
        path: With `{id}` where the id of the one item stands that is asked for.
        form: What its replies hold.
        scope: The query parameters that choose organization and project.
        filters: Query parameters that it is always sent.
        of_organization: Whether it has to be told an organization.
        is_paged: Whether it lists in pages, by token; else a reply is whole.
        largest_page: The largest `page_size` that it takes, if that is documented.
        lists_jobs: Whether what it lists is jobs.
        tables: The tables that come of it, each with the one that takes its place in the API of
            today, if there is one.
        instead: The API whose tables are to be selected when this one is gone.
        is_beta: Whether LlamaCloud may take it away any day: nobody is to rely on it.
        is_default: Whether its tables are selected unless somebody says otherwise.
        setting: The setting that allows for its requests, where they are many.
    """

    api: str
    path: str
    form: Format
    scope: tuple[str, ...] = _SCOPE
    filters: Mapping[str, str] = field(default_factory=dict)
    of_organization: bool = False
    is_paged: bool = True
    largest_page: int | None = None
    lists_jobs: bool = False
    tables: Mapping[str, str | None] = field(default_factory=dict)
    instead: str | None = None
    is_beta: bool = False
    is_default: bool = False
    setting: str | None = None

    @property
    def is_of_one(self) -> bool:
        """Whether it is asked for one item at a time."""
        return "{id}" in self.path

    def path_of(self, id_: str) -> str:
        """Return its path for one item; an id may hold any characters."""
        return self.path.format(id=quote(id_, safe=""))

    def parse(self, body: bytes) -> Page:
        """Parse a reply; raises as `parse_page` does."""
        return parse_page(body, self.form)


V1_JOBS = Endpoint(
    api="v1",
    path="/api/v1/classifier/jobs",
    form=Format(
        shape=ItemList[Job],
        whole="a page of jobs",
        item="a job",
        timestamps=("created_at", "effective_at", "updated_at"),
    ),
    lists_jobs=True,
    tables={
        "classify_jobs": "classify_v2_jobs",
        "classify_job_rules": "classify_v2_job_rules",
        "classify_job_parsing_configs": "classify_v2_job_parsing_configs",
    },
    instead="v2",
    is_default=True,
)
V1_RESULTS = Endpoint(
    api="v1",
    path="/api/v1/classifier/jobs/{id}/results",
    form=Format(
        shape=ItemList[Result], whole="a job's results", item="a result", place=" of the results"
    ),
    is_paged=False,
    tables={"classify_job_results": None},
    instead="v2",
    setting="fetch_results",
)
V2_JOBS = Endpoint(
    api="v2",
    path="/api/v2/classify",
    form=Format(
        shape=ItemList[V2Job], whole="a page of jobs", item="a job", finish=take_older_name
    ),
    largest_page=V2_LARGEST_PAGE,
    lists_jobs=True,
    tables=dict.fromkeys(
        ("classify_v2_jobs", "classify_v2_job_rules", "classify_v2_job_parsing_configs")
    ),
    instead="v1",
    is_default=True,
)
V2_JOB = Endpoint(
    api="v2",
    path="/api/v2/classify/{id}",
    form=Format(
        shape=ItemList[V2Job],
        whole="a job",
        item="a job",
        place="",
        as_list=single_item,
        finish=take_older_name,
    ),
    is_paged=False,
)
FILES = Endpoint(
    api="files",
    path="/api/v1/beta/files",
    form=Format(
        shape=ItemList[File],
        whole="a page of files",
        item="a file",
        timestamps=("expires_at", "last_modified_at"),
        finish=without_presigned,
    ),
    largest_page=FILES_LARGEST_PAGE,
    tables={"classify_files": None},
)
PROJECTS = Endpoint(
    api="projects",
    path="/api/v1/projects",
    form=Format(
        shape=ItemList[Project],
        whole="a list of projects",
        item="a project",
        place=" of the list",
        as_list=bare_list,
    ),
    scope=("organization_id",),
    is_paged=False,
    tables={"classify_projects": None},
)

ORGANIZATIONS = Endpoint(
    api="organizations",
    path="/api/v2/organizations",
    form=Format(
        shape=ItemList[Organization], whole="a page of organizations", item="an organization"
    ),
    scope=(),
    tables={"classify_organizations": None},
)
CONFIGURATIONS = Endpoint(
    api="configurations",
    path="/api/v1/beta/configurations",
    form=Format(
        shape=ItemList[SavedConfiguration],
        whole="a page of configurations",
        item="a configuration",
    ),
    filters={"product_type": "classify_v2"},
    tables={"classify_configurations": None},
)
TIMINGS = Endpoint(
    api="timings",
    path="/api/v1/job-data-points",
    form=Format(
        shape=ItemList[JobDataPoint],
        whole="a page of data points of jobs",
        item="a data point",
        timestamps=(
            "created_at",
            "updated_at",
            *(f"state_transitions.{name}" for name in StateTransitions.__annotations__),
        ),
    ),
    filters={"job_type": "classify", "hours": str(TIMINGS_HOURS)},
    tables={"classify_job_timings": None},
    is_beta=True,
)
USAGE_METRICS = Endpoint(
    api="usage",
    path="/api/v1/beta/usage-metrics",
    form=Format(
        shape=ItemList[UsageMetric],
        whole="a page of usage metrics",
        item="a usage metric",
        timestamps=(),
        days=("day",),
    ),
    of_organization=True,
    tables={"classify_usage": None},
    is_beta=True,
)

ENDPOINTS = (
    V1_JOBS,
    V1_RESULTS,
    V2_JOBS,
    V2_JOB,
    FILES,
    PROJECTS,
    ORGANIZATIONS,
    CONFIGURATIONS,
    TIMINGS,
    USAGE_METRICS,
)
"""Every call, in the order in which they are read."""


def apis() -> list[str]:
    """Return the parts of the API, in the order in which they are read."""
    return [*dict.fromkeys(endpoint.api for endpoint in ENDPOINTS)]


def endpoint_of(table: str) -> Endpoint:
    """Return what a table comes of. KeyError: there is no such table."""
    return {name: each for each in ENDPOINTS for name in each.tables}[table]


def tables_of(api: str) -> list[str]:
    """Return the names of the tables that come of a part of the API."""
    return [name for each in ENDPOINTS if each.api == api for name in each.tables]


def successors() -> dict[str, str]:
    """Return the tables that have one that takes their place, with its name."""
    pairs = {name: other for each in ENDPOINTS for name, other in each.tables.items()}
    return {name: other for name, other in pairs.items() if other}
