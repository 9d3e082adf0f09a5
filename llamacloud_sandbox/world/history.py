"""How much history there is, whose it is, and what its projects are; knows no clock and no HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from llamacloud_sandbox.world.catalogue import DOCUMENT_TYPES
from llamacloud_sandbox.world.dice import Dice
from llamacloud_sandbox.world.rhythm import arrivals

Job = dict[str, Any]

PROJECT_SHARES = (0.80, 0.14, 0.06)
USERS_PER_PROJECT = 4
TEMPLATES_PER_PROJECT = 12
MOST_RULES = 6
LOST_SHARE = 0.002
"""Of the jobs, of either API, that never finish."""


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """How much history there is, and of what kind.

    `jobs` (of v1) and `v2_jobs` were created in the `days` before the world's start; new ones
    keep coming at those rates. `projects`: how many share them. `unknown_fields` is the share
    of jobs (0 to 1) with fields the docs lack.
    """

    seed: int = 1
    jobs: int = 200
    v2_jobs: int = 0
    days: float = 90.0
    projects: int = len(PROJECT_SHARES)
    unknown_fields: float = 0.0

    def __post_init__(self) -> None:
        if (
            min(self.jobs, self.v2_jobs) < 0
            or self.days <= 0
            or self.projects < 1
            or not 0 <= self.unknown_fields <= 1
        ):
            message = f"no such history: {self}"
            raise ValueError(message)

    @property
    def shares(self) -> tuple[float, ...]:
        """How often jobs belong to each project."""
        if self.projects == len(PROJECT_SHARES):
            return PROJECT_SHARES
        return (1 / self.projects,) * self.projects

    def arrivals(self, jobs: int, name: str, start: datetime) -> Iterator[datetime]:
        """When so many jobs were created, and further ones will be, without end (or none of 0)."""
        random = Random(f"{name} {self.seed}")  # noqa: S311 - must be repeatable, not secret
        return arrivals(random, jobs, start=start, span=timedelta(days=self.days))


@dataclass(frozen=True, slots=True)
class Project:
    """A project, its users, and the rule sets they use again and again."""

    id: str
    users: tuple[str, ...]
    rule_sets: tuple[list[dict[str, Any]], ...]


@dataclass(frozen=True, slots=True)
class Organization:
    """Whose history it is."""

    id: str
    projects: tuple[Project, ...]


@dataclass(frozen=True, slots=True)
class Course:
    """One job from beginning to end: `job` as it is created, and when it changes to what."""

    created: datetime
    job: Job
    steps: tuple[tuple[datetime, Job], ...]


def organization_of(history: History, dice: Dice) -> Organization:
    """Draw an organization; its first three projects do not depend on how many it has."""
    id_ = dice.uuid()
    first = [_project(dice) for _ in PROJECT_SHARES]
    # Not with the same dice: the jobs that are drawn with them would be others.
    more = Dice(f"more projects {history.seed}")
    others = [_project(more) for _ in range(history.projects - len(first))]
    return Organization(id_, tuple([*first, *others][: history.projects]))


def _project(dice: Dice) -> Project:
    return Project(
        id=dice.uuid(),
        users=tuple(dice.uuid() for _ in range(USERS_PER_PROJECT)),
        rule_sets=tuple(_rule_set(dice) for _ in range(TEMPLATES_PER_PROJECT)),
    )


def _rule_set(dice: Dice) -> list[dict[str, Any]]:
    types = dice.random.sample(list(DOCUMENT_TYPES), dice.random.randint(1, MOST_RULES))
    return [{"type": type_, "description": dice.one_of(DOCUMENT_TYPES[type_])} for type_ in types]
