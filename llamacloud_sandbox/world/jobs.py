"""One kind of jobs as it is at the clock's present, and ways to meddle with it; knows no HTTP."""

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime
from threading import RLock
from typing import Any

from llamacloud_sandbox.world.clock import Clock, stamp
from llamacloud_sandbox.world.history import Course, Job


class Jobs:
    """The courses of a history under a clock, on a shelf for each project.

    The dicts it hands out are its own: read them, and change them through its methods.
    Safe to use from a test while the server's thread reads it.
    """

    def __init__(self, courses: Iterator[Course], clock: Clock, project_ids: Sequence[str]) -> None:
        self._clock = clock
        self._project_ids = project_ids
        self._coming = _Coming(courses)
        self._running: list[tuple[datetime, int, int, Course]] = []
        self._off_course: set[str] = set()
        self._by_hand: set[str] = set()
        self._running_since: dict[str, Any] = {}
        self._shelves: dict[str, dict[str, Any]] = {project: {} for project in project_ids}
        self._born = 0
        self._version = 0
        self._lock = RLock()

    @property
    def version(self) -> int:
        """A number that grows whenever any job has come, gone or changed."""
        with self._lock:
            self._catch_up()
            return self._version

    def oldest_first(self, project_id: str | None = None) -> list[Any]:
        """The jobs visible now, by creation."""
        return sorted(self.entries(project_id).values(), key=created_at)

    def entries(self, project_id: str | None = None) -> dict[str, Any]:
        """The same by identity: a job's id, or a name of its own for a raw item."""
        with self._lock:
            self._catch_up()
            wanted = self._project_ids if project_id is None else (project_id,)
            return {key: item for project in wanted for key, item in self._shelves[project].items()}

    def get(self, job_id: str, project_id: str | None = None) -> Job:
        """One job as it is now. KeyError: there is none of this id, or not in this project."""
        with self._lock:
            self._catch_up()
            shelf = self._shelf_of(job_id) if project_id is None else self._shelves[project_id]
            job: Job = shelf[job_id]
            return job

    def running_since(self, identity: str) -> Any:
        """The `updated_at` that a job had when it was first RUNNING; None if it never was."""
        with self._lock:
            return self._running_since.get(identity)

    def put(self, job: Job) -> None:
        """Add a job as it is, or replace the one of its id; the generated course of it ends."""
        with self._lock:
            self._catch_up()
            identity = str(job["id"])
            for shelf in self._shelves.values():
                shelf.pop(identity, None)
            self._off_course.add(identity)
            self._by_hand.add(identity)
            self._place(identity, job, job.get("project_id"))

    def was_put(self, job_id: str) -> bool:
        """Whether a job of this id was ever put by hand, whatever has become of it."""
        with self._lock:
            return job_id in self._by_hand

    def put_raw(self, item: Any, *, project_id: str | None = None) -> None:
        """Add anything JSON can say to a project's listing, be it a job, a double or none."""
        with self._lock:
            self._catch_up()
            if isinstance(item, dict):
                self._by_hand.add(str(item.get("id")))
            self._place(f"raw {self._version}", item, project_id)

    def delete(self, job_id: str) -> None:
        """Remove a job without a trace. KeyError: there is none of this id."""
        with self._lock:
            self._catch_up()
            del self._shelf_of(job_id)[job_id]
            self._version += 1

    def touch(self, job_id: str, changes: Job) -> Job:
        """Change fields of a job, its `updated_at` to now; return it. KeyError: no such id."""
        with self._lock:
            self._catch_up()
            shelf = self._shelf_of(job_id)
            shelf[job_id] = {**shelf[job_id], "updated_at": stamp(self._clock.now()), **changes}
            self._note(job_id, shelf[job_id])
            self._version += 1
            job: Job = shelf[job_id]
            return job

    def _place(self, identity: str, item: Any, project_id: Any) -> None:
        project = project_id if project_id in self._project_ids else self._project_ids[0]
        self._shelves[project][identity] = item
        self._note(identity, item)
        self._version += 1

    def _note(self, identity: str, item: Any) -> None:
        if isinstance(item, dict) and item.get("status") == "RUNNING":
            self._running_since.setdefault(identity, item.get("updated_at"))

    def _shelf_of(self, job_id: str) -> dict[str, Any]:
        for shelf in self._shelves.values():
            if job_id in shelf:
                return shelf
        message = f"no job {job_id} is visible at {stamp(self._clock.now())}"
        raise KeyError(message)

    def _catch_up(self) -> None:
        now = self._clock.now()
        for course in self._coming.until(now):
            self._begin(course, now)
        while self._running and self._running[0][0] <= now:
            self._step(*heapq.heappop(self._running)[2:])

    def _begin(self, course: Course, now: datetime) -> None:
        job, done = course.job, 0
        for moment, changes in course.steps:
            if moment > now:
                break
            job.update(changes)
            self._note(job["id"], job)
            done += 1
        self._await(course, done)
        self._born += 1
        self._place(job["id"], job, job["project_id"])

    def _await(self, course: Course, step: int) -> None:
        if step < len(course.steps):
            heapq.heappush(self._running, (course.steps[step][0], self._born, step, course))

    def _step(self, step: int, course: Course) -> None:
        # Meddled-with jobs go their own way: deleted, replaced, or of another status.
        job_id, shelf = course.job["id"], self._shelves[course.job["project_id"]]
        job = shelf.get(job_id)
        before = course.steps[step - 1][1] if step else course.job
        if job is None or job_id in self._off_course or job["status"] != before["status"]:
            return
        shelf[job_id] = {**job, **course.steps[step][1]}
        self._note(job_id, shelf[job_id])
        self._version += 1
        self._born += 1
        self._await(course, step + 1)


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
