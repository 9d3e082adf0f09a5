"""Writes the seeded history of v2 jobs, with dice of its own; knows no HTTP."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from llamacloud_sandbox.world.catalogue import LANGUAGES, SAMPLE_URL, TAGS, V2_FAILURES, V2_STATUSES
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.dice import Dice
from llamacloud_sandbox.world.history import LOST_SHARE, Course, History, Job, Organization, Project
from llamacloud_sandbox.world.outcomes import outcome

TYPICAL_SECONDS = 20.0
SLOW_SHARE = 0.01
LONGEST = timedelta(days=3)
CONFIGURED_SHARE = 0.6
LIMITED_SHARE = 0.3
SAVED_SHARE = 0.4
TRANSACTION_SHARE = 0.2
UNBILLED_SHARE = 0.03
UNPARSED_SHARE = 0.05
PARTLY_PARSED_SHARE = 0.4
INPUTS = {"file_id": 80, "parse_job_id": 15, "url": 5}
TARGET_PAGES = ("1", "1,3,5-7", "2-4", "1-10", "1, 12")


class AuthorV2:
    """Writes a history: job number i depends on the settings and on i, never on who asks when.

    `saved` has the ids of each project's saved configurations, one for each of its rule sets.
    """

    def __init__(self, history: History, organization: Organization) -> None:
        self._history = history
        self._projects = organization.projects
        self._dice = Dice(f"v2 jobs {history.seed}")
        self.saved = {
            project.id: tuple(self._dice.prefixed("cfg") for _ in project.rule_sets)
            for project in self._projects
        }

    def courses(self, start: datetime) -> Iterator[Course]:
        """Every job's course in order of creation, without end (or none, of an empty history)."""
        for created in self._history.arrivals(self._history.v2_jobs, "v2 arrivals", start):
            yield self._course(created)

    def _course(self, created: datetime) -> Course:
        dice = self._dice
        job = self._job(created)
        finish = created + self._duration()
        begin = created + (finish - created) * dice.random.uniform(0.05, 0.5)
        running = (begin, {"status": "RUNNING", "updated_at": stamp(begin)})
        is_taken_up = dice.falls(0.5)
        if dice.falls(LOST_SHARE):
            return Course(created, job, (running,) if is_taken_up else ())
        ending = (finish, self._ending(job, finish))
        if ending[1]["status"] == "CANCELLED" and not is_taken_up:
            return Course(created, job, (ending,))
        return Course(created, job, (running, ending))

    def _job(self, created: datetime) -> Job:
        dice = self._dice
        project = dice.random.choices(self._projects, self._history.shares)[0]
        at = stamp(created)
        kind = dice.pick(INPUTS)
        job = {
            "id": dice.prefixed("clj"),
            "project_id": project.id,
            "user_id": dice.one_of(project.users),
            "status": "PENDING",
            **self._configuration(project),
            "transaction_id": dice.prefixed("batch") if dice.falls(TRANSACTION_SHARE) else None,
            "parse_job_id": None,
            "error_message": None,
            "document_input_type": kind,
            "file_input": self._input(kind),
            "result": None,
            "usage": None,
            "created_at": at,
            "updated_at": at,
        }
        if dice.falls(self._history.unknown_fields):
            self._add_unknown_fields(job)
        return job

    def _configuration(self, project: Project) -> dict[str, Any]:
        dice = self._dice
        number = dice.random.randrange(len(project.rule_sets))
        configuration = {
            "rules": project.rule_sets[number],
            "mode": "FAST",
            "parsing_configuration": self._parsing_configuration(),
        }
        saved = self.saved[project.id][number] if dice.falls(SAVED_SHARE) else None
        return {"configuration": configuration, "configuration_id": saved}

    def _parsing_configuration(self) -> dict[str, Any] | None:
        dice = self._dice
        if not dice.falls(CONFIGURED_SHARE):
            return None
        return {
            "lang": dice.pick(LANGUAGES),
            "max_pages": dice.one_of((1, 5, 10)) if dice.falls(LIMITED_SHARE) else None,
            "target_pages": dice.one_of(TARGET_PAGES) if dice.falls(LIMITED_SHARE) else None,
        }

    def _input(self, kind: str) -> str:
        if kind == "url":
            return SAMPLE_URL.format(name=self._dice.uuid())
        return self._dice.prefixed("dfl" if kind == "file_id" else "pjb")

    def _ending(self, job: Job, finish: datetime) -> Job:
        dice = self._dice
        status = dice.pick(V2_STATUSES)
        types = [rule["type"] for rule in job["configuration"]["rules"]]
        is_parsed = job["document_input_type"] == "parse_job_id"
        return {
            "status": status,
            "parse_job_id": job["file_input"] if is_parsed else dice.prefixed("pjb"),
            "error_message": dice.one_of(V2_FAILURES) if status == "FAILED" else None,
            "result": outcome(dice, types) if status == "COMPLETED" else None,
            "usage": self._usage(is_parsed=is_parsed),
            "updated_at": stamp(finish),
        }

    def _usage(self, *, is_parsed: bool) -> dict[str, Any]:
        # As the vendor's client has it: credits are all that was billed, null until billing has
        # recorded them; parse_credits are that part of them which the parse job was billed that
        # classify ran, most often all. Who parsed the file beforehand is billed nothing.
        dice = self._dice
        halves = dice.random.randint(1, 40)
        if is_parsed:
            return {"credits": 0, "parse_credits": None}
        if dice.falls(UNBILLED_SHARE):
            return {"credits": None, "parse_credits": None}
        if dice.falls(UNPARSED_SHARE):
            return {"credits": halves / 2, "parse_credits": None}
        parsed = dice.random.randint(0, halves) if dice.falls(PARTLY_PARSED_SHARE) else halves
        return {"credits": halves / 2, "parse_credits": parsed / 2}

    def _add_unknown_fields(self, job: Job) -> None:
        random = self._dice.random
        job["priority"] = random.randint(1, 5)
        job["labels"] = random.sample(TAGS, random.randint(0, 3))
        first, *others = job["configuration"]["rules"]
        rules = [{**first, "weight": random.randint(1, 20) / 20}, *others]
        job["configuration"] = {**job["configuration"], "rules": rules, "effort": "high"}

    def _duration(self) -> timedelta:
        if self._dice.falls(SLOW_SHARE):
            return LONGEST * self._dice.random.uniform(0.02, 1.0)
        return timedelta(seconds=self._dice.random.lognormvariate(math.log(TYPICAL_SECONDS), 0.9))
