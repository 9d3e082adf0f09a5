"""Writes the seeded history of v1 jobs: what each one is and how it ends; knows no HTTP."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from llamacloud_sandbox.world.catalogue import FAILURES, LANGUAGES, STATUSES, TAGS
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.dice import Dice
from llamacloud_sandbox.world.history import LOST_SHARE, Course, History, Job, organization_of

TYPICAL_SECONDS = 45.0
SLOW_SHARE = 0.01
FAST_SHARE = 0.75
CONFIGURED_SHARE = 0.75
LIMITED_SHARE = 0.3
TARGETED_SHARE = 0.2
LONGEST = timedelta(days=3)


class Author:
    """Writes a history: job number i depends on the settings and on i, never on who asks when."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._dice = Dice(f"jobs {history.seed}")
        self.organization = organization_of(history, self._dice)

    def courses(self, start: datetime) -> Iterator[Course]:
        """Every job's course in order of creation, without end (or none, of an empty history)."""
        for created in self._history.arrivals(self._history.jobs, "arrivals", start):
            yield self._course(created)

    def _course(self, created: datetime) -> Course:
        dice = self._dice
        job = self._job(created)
        if dice.falls(LOST_SHARE):
            return Course(created, job, ())
        finish = created + self._duration(slow=job["mode"] == "MULTIMODAL")
        status = dice.pick(STATUSES)
        failures = FAILURES.get(status)
        ending = {
            "status": status,
            "effective_at": stamp(finish),
            "error_message": dice.one_of(failures) if failures else None,
            "job_record_id": dice.uuid(),
            "updated_at": stamp(finish),
        }
        return Course(created, job, ((finish, ending),))

    def _job(self, created: datetime) -> Job:
        dice = self._dice
        project = dice.random.choices(self.organization.projects, self._history.shares)[0]
        at = stamp(created)
        job = {
            "id": dice.uuid(),
            "project_id": project.id,
            "user_id": dice.one_of(project.users),
            "rules": dice.one_of(project.rule_sets),
            "status": "PENDING",
            "created_at": at,
            "effective_at": at,
            "error_message": None,
            "job_record_id": None,
            "mode": "FAST" if dice.falls(FAST_SHARE) else "MULTIMODAL",
            "parsing_configuration": self._parsing_configuration(),
            "updated_at": at,
        }
        if dice.falls(self._history.unknown_fields):
            self._add_unknown_fields(job)
        return job

    def _parsing_configuration(self) -> dict[str, Any] | None:
        dice = self._dice
        if not dice.falls(CONFIGURED_SHARE):
            return None
        limited = dice.falls(LIMITED_SHARE)
        targeted = dice.falls(TARGETED_SHARE)
        pages = sorted(dice.random.sample(range(12), dice.random.randint(1, 4)))
        return {
            "lang": dice.pick(LANGUAGES),
            "max_pages": dice.one_of((1, 2, 5, 10, 50)) if limited else None,
            "target_pages": pages if targeted else None,
        }

    def _add_unknown_fields(self, job: Job) -> None:
        random = self._dice.random
        job["priority"] = random.randint(1, 5)
        job["tags"] = random.sample(TAGS, random.randint(0, 3))
        first, *others = job["rules"]
        job["rules"] = [{**first, "weight": random.randint(1, 20) / 20}, *others]

    def _duration(self, *, slow: bool) -> timedelta:
        if self._dice.falls(SLOW_SHARE):
            return LONGEST * self._dice.random.uniform(0.02, 1.0)
        typical = TYPICAL_SECONDS * (3 if slow else 1)
        return timedelta(seconds=self._dice.random.lognormvariate(math.log(typical), 0.9))
