"""A world that goes on, in which all kinds of things go wrong: what every such trial begins with.

What is tried comes from a seed; when exactly a kill hits comes from the machine as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import Row, Tables, expected, expected_v2
from tests.support.builders import job
from tests.support.simulated import fixed

USUAL = 20261123
SEED = int(os.environ.get("SEED", USUAL))
"""From which seed on; each trial has one of its own."""
A_LIFE = 8
"""Trials in one world, which begins with an empty warehouse."""
AT_FIRST = 40
"""About how many requests the first run of a life takes."""


def trials(usual: int) -> int:
    """Return how many trials there are to be; `TRIALS` says so in place of the usual number."""
    return int(os.environ.get("TRIALS", usual))


def lives(usual: int) -> Iterator[tuple[int, int]]:
    """Give the seed of each world that trials take place in, and how many do."""
    left = trials(usual)
    for number in range(-(-left // A_LIFE)):
        yield SEED + number, min(A_LIFE, left)
        left -= A_LIFE


@dataclass
class Trial:
    """A world with v1 and v2 jobs of three projects, and the settings of who reads it.

    Attributes:
        folder: For files; it is made.
        seed: What happens comes from it.
        requests: About how many the next run takes.
        told: What was done, in order.
        is_many: Whether all projects are read, by a connection each, or only the first.
    """

    folder: Path
    seed: int
    requests: int = AT_FIRST
    told: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        # What happens between pages takes its turn in a thread of its own.
        self.dice, self._life = (Random(self.seed) for _ in range(2))  # noqa: S311 - it is to repeat
        unknown = self.dice.choice([0, 0.2])
        history = History(seed=self.seed, jobs=50, v2_jobs=90, days=30, unknown_fields=unknown)
        self.sandbox = Sandbox(World(history))
        self.sandbox.settings.total_size = self.dice.random() < 0.7
        self.is_many = self.dice.random() < 0.6
        self.config: Row = {
            "page_size": self.dice.choice([4, 8]),
            "parallel_windows": self.dice.choice([1, 3, 4, 8]),
            "retry_seconds": 0,
        }

    def settings(self) -> Row:
        """Return the settings, once the sandbox runs."""
        keys = self.sandbox.keys
        key: Row = {"api_key": self.sandbox.key}
        if self.is_many:
            names = {f"n{number}": its for number, its in enumerate(keys.values())}
            key = {"connections": [{"name": n, "api_key": its} for n, its in names.items()]}
        return self.config | key | {"api_url": self.sandbox.url}

    @property
    def has_windows(self) -> bool:
        """Whether several windows are read side by side."""
        return bool(self.config["parallel_windows"] > 1)

    @property
    def projects(self) -> Sequence[str]:
        """The projects that are read."""
        return [*self.sandbox.keys] if self.is_many else [self.sandbox.project_id]

    def goes_on(self, hours: float) -> None:
        """Let the world go on: jobs come, change and finish, none is deleted."""
        world, dice = self.sandbox.world, self._life
        world.advance(hours * 3600)
        for project in self.projects:
            ids = sorted(world.entries(project))
            for id_ in dice.sample(ids, min(3, len(ids))):
                world.touch(id_, status="ERROR", error_message=f"at {stamp(world.now())}")
        now = stamp(world.now())
        fields = {"project_id": dice.choice(self.projects), "created_at": now, "updated_at": now}
        world.put(job(f"new {dice.randrange(10**12)}", **fields))

    def prepare(self) -> None:
        """Let the world go on, and choose in which order it is listed."""
        self.goes_on(self.dice.choice([0, 1, 30]))
        self.sandbox.settings.order = self.dice.choice(["newest", "oldest", "updated", "shuffled"])

    def at_page(self, number: int) -> None:
        """Let the world go on a little, now and then."""
        if number % 5 == 0:
            self.goes_on(0.001)

    def shown(self) -> Tables:
        """Work out the rows that the warehouse must hold."""
        world = self.sandbox.world
        v1 = [each for project in self.projects for each in world.jobs(project)]
        v2 = [each for project in self.projects for each in world.v2_jobs(project)]
        return expected(v1, fixed) | expected_v2(v2, fixed, with_usage=False)

    def assert_shown(self, held: Tables) -> None:
        """Make sure that a warehouse holds what the API shows."""
        shown = self.shown()
        assert held == shown, _differences(held, shown)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Run the sandbox; add what it takes to see it again to whatever fails."""
        try:
            with self.sandbox:
                yield
        except BaseException as error:
            error.add_note(f"It comes again with SEED={self.seed} TRIALS={A_LIFE}: {self.told}")
            raise


def _differences(held: Tables, shown: Tables) -> Row:
    return {
        table: {
            "lost": sorted(map(str, rows.keys() - held[table].keys())),
            "more": sorted(map(str, held[table].keys() - rows.keys())),
            "other": [key for key in rows.keys() & held[table] if held[table][key] != rows[key]],
        }
        for table, rows in shown.items()
        if held[table] != rows
    }
