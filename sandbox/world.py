"""The jobs that exist at the clock's present, and ways to meddle with them; knows no HTTP."""

import heapq
from collections.abc import Iterator
from datetime import datetime
from threading import RLock
from typing import Any, Self

from sandbox.clock import Clock, stamp
from sandbox.history import Author, Course, History, Job


class World:
    """A history under a clock: what has been created by now, and what has become of it.

    The dicts it hands out are its own: read them, and change them through its methods.
    Safe to use from a test while the server's thread reads it.
    """

    def __init__(self, history: History | None = None, *, clock: Clock | None = None) -> None:
        self.history = history or History()
        self.clock = clock or Clock()
        author = Author(self.history)
        self.organization_id = author.organization_id
        self.project_ids = tuple(project.id for project in author.projects)
        self._coming = _Coming(author.courses(self.clock.start))
        self._running: list[tuple[datetime, int, Course]] = []
        self._off_course: set[str] = set()
        self._shelves: dict[str, dict[str, Any]] = {project: {} for project in self.project_ids}
        self._born = 0
        self._version = 0
        self._lock = RLock()

    @classmethod
    def empty(cls, *, seed: int = 1, clock: Clock | None = None) -> Self:
        """A world with projects but no jobs, where none arrive: for jobs made by hand."""
        return cls(History(seed=seed, jobs=0), clock=clock)

    def now(self) -> datetime:
        """The world's present instant, in UTC."""
        return self.clock.now()

    def advance(self, seconds: float) -> None:
        """Let so many world seconds pass."""
        self.clock.advance(seconds)

    @property
    def version(self) -> int:
        """A number that grows whenever any job has come, gone or changed."""
        with self._lock:
            self._catch_up()
            return self._version

    def jobs(self, project_id: str | None = None) -> list[Any]:
        """The jobs visible now, as the API shows them, by creation, oldest first."""
        return sorted(self.entries(project_id).values(), key=created_at)

    def entries(self, project_id: str | None = None) -> dict[str, Any]:
        """The same by identity: a job's id, or a name of its own for a raw item."""
        with self._lock:
            self._catch_up()
            wanted = self.project_ids if project_id is None else (project_id,)
            return {key: item for project in wanted for key, item in self._shelves[project].items()}

    def job(self, job_id: str) -> Job:
        """One job as the API shows it now. KeyError: there is none of this id."""
        with self._lock:
            self._catch_up()
            job: Job = self._shelf_of(job_id)[job_id]
            return job

    def put(self, job: Job) -> None:
        """Add a job as it is, or replace the one of its id; the generated course of it ends.

        A `project_id` the world does not know puts it into the first project's listing.
        """
        with self._lock:
            self._catch_up()
            identity = str(job["id"])
            self._drop(identity)
            self._off_course.add(identity)
            self._place(identity, job, job.get("project_id"))

    def put_raw(self, item: Any, *, project_id: str | None = None) -> None:
        """Add anything JSON can say to a project's listing, be it a job, a double or none."""
        with self._lock:
            self._catch_up()
            self._place(f"raw {self._version}", item, project_id)

    def delete(self, job_id: str) -> None:
        """Remove a job without a trace. KeyError: there is none of this id."""
        with self._lock:
            self._catch_up()
            del self._shelf_of(job_id)[job_id]
            self._version += 1

    def touch(self, job_id: str, **changes: Any) -> Job:
        """Change fields of a job, its `updated_at` to now; return it. KeyError: no such id."""
        with self._lock:
            self._catch_up()
            shelf = self._shelf_of(job_id)
            shelf[job_id] = {**shelf[job_id], "updated_at": stamp(self.now()), **changes}
            self._version += 1
            job: Job = shelf[job_id]
            return job

    def _place(self, identity: str, item: Any, project_id: Any) -> None:
        project = project_id if project_id in self.project_ids else self.project_ids[0]
        self._shelves[project][identity] = item
        self._version += 1

    def _drop(self, identity: str) -> None:
        for shelf in self._shelves.values():
            shelf.pop(identity, None)

    def _shelf_of(self, job_id: str) -> dict[str, Any]:
        for shelf in self._shelves.values():
            if job_id in shelf:
                return shelf
        message = f"no job {job_id} is visible at {stamp(self.now())}"
        raise KeyError(message)

    def _catch_up(self) -> None:
        now = self.now()
        for course in self._coming.until(now):
            self._begin(course, now)
        while self._running and self._running[0][0] <= now:
            self._finish(heapq.heappop(self._running)[2])

    def _begin(self, course: Course, now: datetime) -> None:
        job = course.job
        if course.finish is not None and course.finish <= now:
            job.update(course.ending)
        elif course.finish is not None:
            heapq.heappush(self._running, (course.finish, self._born, course))
        self._born += 1
        self._place(job["id"], job, job["project_id"])

    def _finish(self, course: Course) -> None:
        # Meddled-with jobs go their own way: deleted, replaced, or no longer PENDING.
        job_id, shelf = course.job["id"], self._shelves[course.job["project_id"]]
        job = shelf.get(job_id)
        if job is None or job_id in self._off_course or job["status"] != "PENDING":
            return
        shelf[job_id] = {**job, **course.ending}
        self._version += 1


class _Coming:
    """The courses not yet begun, with one looked at ahead of time."""

    def __init__(self, courses: Iterator[Course]) -> None:
        self._courses = courses
        self._next = next(courses, None)

    def until(self, now: datetime) -> Iterator[Course]:
        """Take the courses created by this instant."""
        while self._next is not None and self._next.created <= now:
            yield self._next
            self._next = next(self._courses, None)


def created_at(item: Any) -> str:
    """The text an item is sorted by when it is listed by creation; empty where it has none."""
    return _text_of(item, "created_at")


def updated_at(item: Any) -> str:
    """The text an item is sorted by when it is listed by update."""
    return _text_of(item, "updated_at") or created_at(item)


def _text_of(item: Any, field: str) -> str:
    value = item.get(field) if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""
