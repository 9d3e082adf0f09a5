"""What Spark does with a stream's plans, without Spark: logs, tasks, tries, a kill at any row."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.spark import plans
from tap_llamaclassify.spark.batches import rows_of
from tap_llamaclassify.spark.plans import Task
from tap_llamaclassify.spark.request import Request, parse_options
from tap_llamaclassify.spark.stream import Offset, Stream

Row = dict[str, Any]
MOST_TRIES = 2


class KilledError(Exception):
    """Somebody has killed the driver."""


def request_of(table: str, config: Mapping[str, Any]) -> Request:
    """Make options of settings, and read them."""
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in config.items()
    }
    return parse_options({**texts, "table": table}, {})


def rows_in(request: Request, tasks: list[Task], attempt: int = 0) -> list[Row]:
    """Read what tasks are to read."""
    return [
        row for task in tasks for rows in rows_of(request, task, attempt=attempt) for row in rows
    ]


def batch(table: str, config: Mapping[str, Any]) -> list[Row]:
    """Read a table as it is."""
    request = request_of(table, config)
    return rows_in(request, plans.batch(request, []))


@dataclass
class Query:
    """A stream of a table, what its checkpoint keeps, and whoever takes its rows.

    Attributes:
        sink: Takes each row as it comes.
        planned: The ends of the increments that were planned, as the log of offsets has them.
        committed: How many of them were read to their end.
    """

    table: str
    sink: Callable[[Row], object]
    planned: list[str] = field(default_factory=list)
    committed: int = 0

    def run(
        self,
        config: Mapping[str, Any],
        *,
        pages: float = math.inf,
        is_frozen: bool = True,
        dice: Random | None = None,
        rows_left: float = math.inf,
    ) -> None:
        """Run it until nothing is new.

        Args:
            config: Settings.
            pages: How many an increment has at most.
            is_frozen: Whether it ends with what there is now.
            dice: Choose the order of tasks, and those that are tried again.
            rows_left: After so many rows the driver is killed.

        Raises:
            KilledError: It was.
            TapError: As a stream does.
        """
        request = request_of(self.table, config)
        stream = Stream(request)
        left = rows_left
        try:
            if is_frozen:
                stream.freeze()
            for start, end in self._increments(stream, pages):
                for row in self._rows(request, stream.tasks(start, end), dice):
                    if left < 1:
                        raise KilledError
                    left -= 1
                    self.sink(row)
                self.committed = len(self.planned)
        finally:
            stream.end()

    def _increments(self, stream: Stream, pages: float) -> Iterator[tuple[Offset, Offset]]:
        ends = [stream.beginning, *map(json.loads, self.planned)]
        if self.committed < len(self.planned):
            yield ends[-2], ends[-1]
        start = ends[-1]
        while (end := stream.latest(start, pages)) != start:
            # As the log has it.
            self.planned.append(json.dumps(end))
            yield start, json.loads(self.planned[-1])
            start = json.loads(self.planned[-1])

    def _rows(self, request: Request, tasks: list[Task], dice: Random | None) -> Iterator[Row]:
        if dice:
            dice.shuffle(tasks)
        for task in tasks:
            for attempt in range(MOST_TRIES):
                try:
                    read = rows_in(request, [task], attempt)
                except ApiError:
                    if attempt + 1 == MOST_TRIES:
                        raise
                    continue
                yield from read
                break
