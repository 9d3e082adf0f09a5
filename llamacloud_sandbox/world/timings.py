"""When a job passed from one state to the next: its data point; knows no HTTP."""

from datetime import datetime
from typing import Any

from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.dice import Dice
from llamacloud_sandbox.world.items import Item, Named
from llamacloud_sandbox.world.jobs import Jobs
from llamacloud_sandbox.world.reading import moment_of, state_of

THROTTLED_SHARE = 0.05
PREMIUM_SHARE = 0.1
ENDS = ("completed", "failed", "cancelled")
STATES = ("pending", "throttled", "running", *ENDS)


class Timings:
    """Makes the data points of one kind of jobs, by the seed, the job's id and what it says."""

    def __init__(self, jobs: Jobs, *, kind: str, seed: int) -> None:
        self._jobs = jobs
        self._kind = kind
        self._seed = seed

    def points(self, key: str, job: Any) -> Named:
        """A job's data point, or none of what is no job; what cannot be told is null in it."""
        if not isinstance(job, dict) or "id" not in job:
            return ()
        dice = Dice(f"timings {self._seed} {job['id']!a}")
        point = {
            "id": job["id"],
            "project_id": job.get("project_id"),
            "created_at": job.get("created_at"),
            "updated_at": job.get("updated_at"),
            "status": state_of(job),
            "custom_tag": "premium" if dice.falls(PREMIUM_SHARE) else "default",
            "error_message": job.get("error_message"),
            "state_transitions": _transitions(job, self._jobs.running_since(key), dice),
        }
        # Those of v1 and v2 may have one id in common, where they were put by hand.
        return ((f"{self._kind} {key}", point),)


def _transitions(job: Item, running_since: Any, dice: Dice) -> Item:
    taken_up, throttled = dice.random.uniform(0.05, 0.5), dice.random.uniform(0.1, 0.9)
    is_throttled = dice.falls(THROTTLED_SHARE)
    state, told = state_of(job), dict.fromkeys(f"{name}_at" for name in STATES)
    created, updated = moment_of(job.get("created_at")), moment_of(job.get("updated_at"))
    if created is None:
        return told
    told["pending_at"] = job["created_at"]
    if state not in ("running", *ENDS) or updated is None or updated < created:
        return told
    if state in ENDS:
        told[f"{state}_at"] = job["updated_at"]
    since = moment_of(running_since)
    if since is not None and created <= since <= updated:
        told["running_at"] = running_since
    elif state == "running":
        since, told["running_at"] = updated, job["updated_at"]
    elif state == "cancelled":
        return told
    else:
        since = created + (updated - created) * taken_up
        told["running_at"] = stamp(since)
    if is_throttled:
        told["throttled_at"] = _between(created, since, throttled)
    return told


def _between(begin: datetime, end: datetime, share: float) -> str:
    return stamp(begin + (end - begin) * share)
