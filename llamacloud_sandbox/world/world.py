"""What exists at the clock's present: jobs and what follows, projects; knows no HTTP."""

from datetime import datetime, timedelta
from typing import Any, Self

from llamacloud_sandbox.world.author_v1 import Author
from llamacloud_sandbox.world.author_v2 import AuthorV2
from llamacloud_sandbox.world.catalogue import PROJECT_NAMES
from llamacloud_sandbox.world.clock import Clock, stamp
from llamacloud_sandbox.world.history import History, Job
from llamacloud_sandbox.world.items import Item
from llamacloud_sandbox.world.jobs import Jobs
from llamacloud_sandbox.world.more import More
from llamacloud_sandbox.world.outcomes import results_of


class World:
    """A history under a clock: what has been created by now, and what has become of it.

    Jobs of v1 are reached by `jobs`, `entries`, `job`, `put`, `touch`, `delete` and `put_raw`,
    those of v2 by the same names with `v2`. Data points, usage metrics and files follow from them,
    until they are put or deleted themselves. The dicts it hands out are its own: read them, and
    change them through its methods. Safe to use from a test while the server's thread reads it.
    """

    def __init__(self, history: History | None = None, *, clock: Clock | None = None) -> None:
        self.history = history or History()
        self.clock = clock or Clock()
        author = Author(self.history)
        self.organization_id = author.organization.id
        self.project_ids = tuple(project.id for project in author.organization.projects)
        courses = author.courses(self.clock.start)
        self.v1 = Jobs(courses, self.clock, self.project_ids)
        author_v2 = AuthorV2(self.history, author.organization)
        self.v2 = Jobs(author_v2.courses(self.clock.start), self.clock, self.project_ids)
        self._projects = {id_: self._project(n) for n, id_ in enumerate(self.project_ids)}
        self._organizations = {self.organization_id: self._organization()}
        self._results: dict[str, list[Any]] = {}
        self._expired: set[str] = set()
        self.more = More(
            self.history,
            author.organization,
            v1=self.v1,
            v2=self.v2,
            results=self._results_of,
            saved=author_v2.saved,
            start=self.clock.start,
        )

    @classmethod
    def empty(cls, *, seed: int = 1, clock: Clock | None = None, projects: int = 3) -> Self:
        """A world with projects but no jobs, where none arrive: for jobs made by hand."""
        return cls(History(seed=seed, jobs=0, projects=projects), clock=clock)

    def now(self) -> datetime:
        """The world's present instant, in UTC."""
        return self.clock.now()

    def advance(self, seconds: float) -> None:
        """Let so many world seconds pass."""
        self.clock.advance(seconds)

    def jobs(self, project_id: str | None = None) -> list[Any]:
        """The v1 jobs visible now, as the API shows them, by creation, oldest first."""
        return self.v1.oldest_first(project_id)

    def v2_jobs(self, project_id: str | None = None) -> list[Any]:
        """The v2 jobs visible now, with the `usage` that the API only shows when it is asked."""
        return self.v2.oldest_first(project_id)

    def entries(self, project_id: str | None = None) -> dict[str, Any]:
        """The same by identity: a job's id, or a name of its own for a raw item."""
        return self.v1.entries(project_id)

    def v2_entries(self, project_id: str | None = None) -> dict[str, Any]:
        """The same by identity: a job's id, or a name of its own for a raw item."""
        return self.v2.entries(project_id)

    def job(self, job_id: str) -> Job:
        """One v1 job as the API shows it now. KeyError: there is none of this id."""
        return self.v1.get(job_id)

    def v2_job(self, job_id: str) -> Job:
        """One v2 job as it is now, `usage` included. KeyError: there is none of this id."""
        return self.v2.get(job_id)

    def put(self, job: Job) -> None:
        """Add a job as it is, or replace the one of its id; the generated course of it ends.

        A `project_id` the world does not know puts it into the first project's listing.
        """
        self.v1.put(job)

    def put_v2(self, job: Job) -> None:
        """Add a v2 job as it is, or replace the one of its id, as `put` does."""
        self.v2.put(job)

    def put_raw(self, item: Any, *, project_id: str | None = None) -> None:
        """Add anything JSON can say to a project's listing, be it a job, a double or none."""
        self.v1.put_raw(item, project_id=project_id)

    def put_raw_v2(self, item: Any, *, project_id: str | None = None) -> None:
        """Add anything JSON can say to a project's v2 listing."""
        self.v2.put_raw(item, project_id=project_id)

    def delete(self, job_id: str) -> None:
        """Remove a v1 job without a trace. KeyError: there is none of this id."""
        self.v1.delete(job_id)

    def delete_v2(self, job_id: str) -> None:
        """Remove a v2 job without a trace. KeyError: there is none of this id."""
        self.v2.delete(job_id)

    def touch(self, job_id: str, **changes: Any) -> Job:
        """Change fields of a job, its `updated_at` to now; return it. KeyError: no such id."""
        return self.v1.touch(job_id, changes)

    def touch_v2(self, job_id: str, **changes: Any) -> Job:
        """Change fields of a v2 job, its `updated_at` to now; return it. KeyError: no such id."""
        return self.v2.touch(job_id, changes)

    def results(self, job_id: str, *, project_id: str | None = None) -> list[Any]:
        """The results of a v1 job as the API shows them; none of one that is PENDING.

        KeyError: there is no such job, or not in this project, or it has expired.
        """
        job = self.v1.get(job_id, project_id)
        if job_id in self._expired:
            message = f"job {job_id} has expired"
            raise KeyError(message)
        return self._results_of(job)

    def put_results(self, job_id: str, results: list[Any]) -> None:
        """Set the results of a v1 job to anything JSON can say, whatever becomes of the job."""
        self._results[job_id] = list(results)
        self.more.note_results(job_id)

    def expire(self, job_id: str) -> None:
        """Let the API forget a v1 job's results; the job stays. KeyError: there is none."""
        self.v1.get(job_id)
        self._expired.add(job_id)

    def projects(self) -> list[dict[str, Any]]:
        """The organization's projects as the API shows them."""
        return list(self._projects.values())

    def put_project(self, project: dict[str, Any]) -> None:
        """Change the fields given of the project with this `id`, or add one, which has no key."""
        id_ = str(project["id"])
        self._projects[id_] = {**self._projects.get(id_, {}), **project}

    def organizations(self) -> list[dict[str, Any]]:
        """The organizations as the API shows them."""
        return list(self._organizations.values())

    def put_organization(self, organization: dict[str, Any]) -> None:
        """Change the fields given of the organization with this `id`, or add one."""
        id_ = str(organization["id"])
        self._organizations[id_] = {**self._organizations.get(id_, {}), **organization}

    def data_points(self, project_id: str | None = None) -> list[Any]:
        """The data points of v1 and v2 jobs as the API shows them now, by the jobs' creation."""
        return self.more.data_points.oldest_first(project_id)

    def put_data_point(self, item: Item) -> None:
        """Add a data point as it is, or replace the one of its id."""
        self.more.data_points.put(item)

    def put_raw_data_point(self, item: Any, *, project_id: str | None = None) -> None:
        """Add anything JSON can say to a project's data points."""
        self.more.data_points.put_raw(item, project_id=project_id)

    def usage_metrics(self, project_id: str | None = None) -> list[Any]:
        """The usage metrics as the API shows them now, by day."""
        return self.more.usage_metrics.oldest_first(project_id)

    def put_usage_metric(self, item: Item) -> None:
        """Add a usage metric as it is, or replace the one of its id."""
        self.more.usage_metrics.put(item)

    def put_raw_usage_metric(self, item: Any, *, project_id: str | None = None) -> None:
        """Add anything JSON can say to a project's usage metrics."""
        self.more.usage_metrics.put_raw(item, project_id=project_id)

    def configurations(self, project_id: str | None = None) -> list[Any]:
        """The saved configurations as the API shows them, by creation."""
        return self.more.configurations.oldest_first(project_id)

    def put_configuration(self, item: Item) -> None:
        """Add a saved configuration as it is, or replace the one of its id."""
        self.more.configurations.put(item)

    def put_raw_configuration(self, item: Any, *, project_id: str | None = None) -> None:
        """Add anything JSON can say to a project's saved configurations."""
        self.more.configurations.put_raw(item, project_id=project_id)

    def delete_configuration(self, id_: str) -> None:
        """Remove a saved configuration; jobs may still name it. KeyError: there is none."""
        self.more.configurations.delete(id_)

    def files(self, project_id: str | None = None) -> list[Any]:
        """The files as the API shows them now, by their modification."""
        return self.more.files.oldest_first(project_id)

    def put_file(self, item: Item) -> None:
        """Add a file as it is, or replace the one of its id."""
        self.more.files.put(item)

    def put_raw_file(self, item: Any, *, project_id: str | None = None) -> None:
        """Add anything JSON can say to a project's files."""
        self.more.files.put_raw(item, project_id=project_id)

    def delete_file(self, id_: str) -> None:
        """Remove a file; jobs may still name it. KeyError: there is none of this id."""
        self.more.files.delete(id_)

    def _results_of(self, job: Job) -> list[Any]:
        if job["id"] in self._results:
            return self._results[job["id"]]
        return [] if job.get("status") == "PENDING" else results_of(job, self.history.seed)

    def _organization(self) -> dict[str, Any]:
        founded = stamp(self.clock.start - timedelta(days=self.history.days + 30))
        return {
            "id": self.organization_id,
            "name": "Example",
            "metadata": {"plan": "free"},
            "created_at": founded,
            "updated_at": founded,
        }

    def _project(self, number: int) -> dict[str, Any]:
        # Before any job, and in the order of the projects.
        founded = self.clock.start - timedelta(days=self.history.days + 30 - min(number, 29))
        named = number < len(PROJECT_NAMES)
        return {
            "id": self.project_ids[number],
            "name": PROJECT_NAMES[number] if named else f"Project {number + 1}",
            "organization_id": self.organization_id,
            "is_default": number == 0,
            "created_at": stamp(founded),
            "updated_at": stamp(founded),
        }
