"""The seeded history of jobs: what each one is and how it ends; knows no clock and no HTTP."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from sandbox.catalogue import DOCUMENT_TYPES, FAILURES, LANGUAGES, STATUSES, TAGS
from sandbox.clock import stamp
from sandbox.rhythm import arrivals

Job = dict[str, Any]

PROJECT_SHARES = (0.80, 0.14, 0.06)
USERS_PER_PROJECT = 4
TEMPLATES_PER_PROJECT = 12
MOST_RULES = 6
TYPICAL_SECONDS = 45.0
LOST_SHARE = 0.002
SLOW_SHARE = 0.01
FAST_SHARE = 0.75
CONFIGURED_SHARE = 0.75
LIMITED_SHARE = 0.3
TARGETED_SHARE = 0.2
LONGEST = timedelta(days=3)


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """How much history there is, and of what kind.

    `jobs` were created in the `days` before the world's start; new ones keep coming at
    that rate. `unknown_fields` is the share of jobs (0 to 1) with fields the docs lack.
    """

    seed: int = 1
    jobs: int = 200
    days: float = 90.0
    unknown_fields: float = 0.0

    def __post_init__(self) -> None:
        if self.jobs < 0 or self.days <= 0 or not 0 <= self.unknown_fields <= 1:
            message = f"no such history: {self}"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Project:
    """A project, its users, and the rule sets they use again and again."""

    id: str
    users: tuple[str, ...]
    rule_sets: tuple[list[dict[str, Any]], ...]


@dataclass(frozen=True, slots=True)
class Course:
    """One job from beginning to end: `job` as it is created, `ending` as it changes at `finish`."""

    created: datetime
    finish: datetime | None
    job: Job
    ending: Job


class Author:
    """Writes a history: job number i depends on the settings and on i, never on who asks when."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._random = Random(f"jobs {history.seed}")  # noqa: S311 - must be repeatable, not secret
        self.organization_id = self._uuid()
        self.projects = tuple(self._project() for _ in PROJECT_SHARES)

    def courses(self, start: datetime) -> Iterator[Course]:
        """Every job's course in order of creation, without end (or none, of an empty history)."""
        history = self._history
        random = Random(f"arrivals {history.seed}")  # noqa: S311 - must be repeatable, not secret
        span = timedelta(days=history.days)
        for created in arrivals(random, history.jobs, start=start, span=span):
            yield self._course(created)

    def _course(self, created: datetime) -> Course:
        random = self._random
        job = self._job(created)
        if random.random() < LOST_SHARE:
            return Course(created, None, job, {})
        finish = created + self._duration(slow=job["mode"] == "MULTIMODAL")
        status = self._pick(STATUSES)
        failures = FAILURES.get(status)
        ending = {
            "status": status,
            "effective_at": stamp(finish),
            "error_message": random.choice(failures) if failures else None,
            "job_record_id": self._uuid(),
            "updated_at": stamp(finish),
        }
        return Course(created, finish, job, ending)

    def _job(self, created: datetime) -> Job:
        random = self._random
        project = random.choices(self.projects, PROJECT_SHARES)[0]
        at = stamp(created)
        job = {
            "id": self._uuid(),
            "project_id": project.id,
            "user_id": random.choice(project.users),
            "rules": random.choice(project.rule_sets),
            "status": "PENDING",
            "created_at": at,
            "effective_at": at,
            "error_message": None,
            "job_record_id": None,
            "mode": "FAST" if random.random() < FAST_SHARE else "MULTIMODAL",
            "parsing_configuration": self._parsing_configuration(),
            "updated_at": at,
        }
        if random.random() < self._history.unknown_fields:
            self._add_unknown_fields(job)
        return job

    def _parsing_configuration(self) -> dict[str, Any] | None:
        random = self._random
        if random.random() >= CONFIGURED_SHARE:
            return None
        limited = random.random() < LIMITED_SHARE
        targeted = random.random() < TARGETED_SHARE
        pages = sorted(random.sample(range(12), random.randint(1, 4)))
        return {
            "lang": self._pick(LANGUAGES),
            "max_pages": random.choice((1, 2, 5, 10, 50)) if limited else None,
            "target_pages": pages if targeted else None,
        }

    def _add_unknown_fields(self, job: Job) -> None:
        random = self._random
        job["priority"] = random.randint(1, 5)
        job["tags"] = random.sample(TAGS, random.randint(0, 3))
        first, *others = job["rules"]
        job["rules"] = [{**first, "weight": random.randint(1, 20) / 20}, *others]

    def _duration(self, *, slow: bool) -> timedelta:
        random = self._random
        if random.random() < SLOW_SHARE:
            return LONGEST * random.uniform(0.02, 1.0)
        typical = TYPICAL_SECONDS * (3 if slow else 1)
        return timedelta(seconds=random.lognormvariate(math.log(typical), 0.9))

    def _project(self) -> Project:
        return Project(
            id=self._uuid(),
            users=tuple(self._uuid() for _ in range(USERS_PER_PROJECT)),
            rule_sets=tuple(self._rule_set() for _ in range(TEMPLATES_PER_PROJECT)),
        )

    def _rule_set(self) -> list[dict[str, Any]]:
        random = self._random
        types = random.sample(list(DOCUMENT_TYPES), random.randint(1, MOST_RULES))
        return [{"type": t, "description": random.choice(DOCUMENT_TYPES[t])} for t in types]

    def _pick(self, weights: dict[str, int]) -> str:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _uuid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))
