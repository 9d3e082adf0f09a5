"""What there is beside jobs: data points, usage metrics, configurations, files; knows no HTTP."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from llamacloud_sandbox.world.configurations import saved_configurations
from llamacloud_sandbox.world.files import Files, modified_at
from llamacloud_sandbox.world.history import History, Organization
from llamacloud_sandbox.world.items import Fixed, Item, Items, Made, Named
from llamacloud_sandbox.world.jobs import Jobs
from llamacloud_sandbox.world.metrics import Metrics, day_of
from llamacloud_sandbox.world.timings import Timings

Results = Callable[[Item], list[Any]]


class More:
    """Four kinds of items that follow from an organization's jobs and rule sets.

    Args:
        history: Whose seed they go by.
        organization: Whose they are.
        v1: Its v1 jobs.
        v2: Its v2 jobs.
        results: The results of a v1 job.
        saved: The ids of each project's saved configurations, one for each rule set.
        start: When the world began.
    """

    def __init__(  # noqa: PLR0913 - so much is it that they follow from
        self,
        history: History,
        organization: Organization,
        *,
        v1: Jobs,
        v2: Jobs,
        results: Results,
        saved: Mapping[str, Sequence[str]],
        start: datetime,
    ) -> None:
        seed, projects = history.seed, organization.projects
        ids = tuple(project.id for project in projects)
        timings = (Timings(v1, kind="v1", seed=seed), Timings(v2, kind="v2", seed=seed))
        made = [Made(jobs, each.points) for jobs, each in zip((v1, v2), timings, strict=True)]
        self.data_points = Items(*made, project_ids=ids)

        metrics = Metrics(organization.id, seed)
        made = [Made(v1, metrics.of_v1), Made(v2, metrics.of_v2)]
        self.usage_metrics = Items(*made, project_ids=ids, dated=day_of)

        def configurations() -> dict[str, Named]:
            return saved_configurations(history, projects, saved, start=start)

        self.configurations = Items(Fixed(configurations), project_ids=ids)

        files = Files(seed, results)
        self._of_results = Made(v1, files.of_v1)
        made = [Made(v2, files.of_v2), self._of_results]
        self.files = Items(*made, project_ids=ids, dated=modified_at)

    def note_results(self, job_id: str) -> None:
        """Look again at the results of a v1 job, which have changed."""
        self._of_results.forget(job_id)
