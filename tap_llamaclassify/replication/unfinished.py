"""The jobs that were unfinished when last seen: they are asked for again by their ids."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote

from tap_llamaclassify.api.models import Json
from tap_llamaclassify.timestamps import moved

BEGUN = ("PENDING", "RUNNING")
"""Those before, in the order in which a job has them."""
FINISHED = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
"""The statuses of the v2 API after which a job is taken not to change; others may yet be added."""
DAYS = 30
"""How long after its creation an unfinished job is asked for."""
MOST = 1000
"""How many jobs are asked for."""
MOST_A_REQUEST = 100
LONGEST_QUERY = 6000
"""Characters that the ids of one request may have: some servers take 8,000 in all. A job whose id
alone is longer cannot be asked for."""

_logger = logging.getLogger(__name__)


def is_finished(job: Json) -> bool:
    """Return whether a v2 job is taken not to change any more."""
    return job.get("status") in FINISHED


class Unfinished:
    """Jobs by id, and when each was created.

    Args:
        known: What the state keeps of each table.
        label: What stands before log lines.
        is_over: Tells whether a job is taken not to change any more.
    """

    def __init__(
        self,
        known: Iterable[Mapping[str, str]],
        label: str = "",
        is_over: Callable[[Json], bool] = is_finished,
    ) -> None:
        self._jobs = {id_: created for each in known for id_, created in each.items()}
        self._not_met = {*self._jobs}
        self._again: dict[str, str] = {}
        self._label = label
        self._is_over = is_over

    def note(self, jobs: Sequence[Json], clock: str) -> None:
        """See how jobs are now."""
        for job in jobs:
            self._not_met.discard(job["id"])
            if self._is_over(job):
                self._jobs.pop(job["id"], None)
            else:
                self._jobs[job["id"]] = job.get("created_at") or self._jobs.get(job["id"], clock)

    def expect(self, jobs: Sequence[Json], clock: str) -> None:
        """See jobs that may change before they are met, and be passed over."""
        self.note(jobs, clock)
        self._not_met |= {job["id"] for job in jobs} & self._jobs.keys()

    def ask_again(self, job: Json, clock: str) -> None:
        """Ask for a job once more although it was met, and may have finished."""
        self._again[job["id"]] = job.get("created_at") or clock

    def met_again(self) -> None:
        """Take down that those which were to be asked for once more have been."""
        self._again.clear()

    def not_met(self) -> Iterator[Sequence[str]]:
        """Return the ids of jobs that have not been seen yet, so many as one request may have."""
        yield from batches_of_ids(self._not_met | self._again.keys())

    def left(self, clock: str) -> dict[str, str]:
        """Return the jobs to ask for the next time."""
        oldest = moved(clock, -DAYS * 86_400) or ""
        jobs = self._jobs.items()
        young = [job for job in jobs if job[1] >= oldest and _can_be_asked_for(job[0])]
        newest = sorted(young, key=lambda job: job[1], reverse=True)[:MOST]
        return dict(sorted([*newest, *self._again.items()]))

    def warn(self, clock: str) -> None:
        """Say how many jobs are not asked for again although they are unfinished."""
        if missing := len(self._jobs) - len(self.left(clock)):
            _logger.warning(
                "%s%d jobs are unfinished and not asked for again, for they are older than %d days "
                "or more than %d, or have too long ids: how they end is seen by a full refresh "
                "only",
                self._label,
                missing,
                DAYS,
                MOST,
            )


def batches_of_ids(ids: Iterable[str]) -> Iterator[Sequence[str]]:
    """Share ids out over requests, sorted; those that are too long for any are left out."""
    batch: list[str] = []
    length = 0
    for id_ in filter(_can_be_asked_for, sorted(ids)):
        if len(batch) == MOST_A_REQUEST or length + _length(id_) > LONGEST_QUERY:
            yield batch
            batch, length = [], 0
        batch.append(id_)
        length += _length(id_)
    if batch:
        yield batch


def _length(id_: str) -> int:
    return len(quote(id_, safe=""))


def _can_be_asked_for(id_: str) -> bool:
    return _length(id_) <= LONGEST_QUERY
