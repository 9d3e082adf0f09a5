"""What a document was found to be, and v1's results, file by file; knows no clock and no HTTP."""

from datetime import timedelta
from typing import Any

from llamacloud_sandbox.world.catalogue import NO_MATCH, REASONS
from llamacloud_sandbox.world.clock import instant, stamp
from llamacloud_sandbox.world.dice import Dice
from llamacloud_sandbox.world.history import Job

Result = dict[str, Any]

NO_MATCH_SHARE = 0.06
NO_FILE_SHARE = 0.05
NO_RESULT_SHARE = 0.03
MOST_FILES = 4
MOST_BEFORE = 0.2
"""Share of a job's life by which its results come before its end."""
WITHOUT_RESULTS = ("ERROR", "CANCELLED")


def outcome(dice: Dice, types: list[Any]) -> Result:
    """What one document is: one of the types, or, now and then, none of them."""
    if not types or dice.falls(NO_MATCH_SHARE):
        confidence = round(dice.random.uniform(0.0, 0.4), 2)
        return {"type": None, "confidence": confidence, "reasoning": NO_MATCH}
    type_ = dice.one_of(types)
    return {
        "type": type_,
        "confidence": round(dice.random.uniform(0.55, 1.0), 2),
        "reasoning": dice.one_of(REASONS).format(type=type_),
    }


def results_of(job: Job, seed: int) -> list[Result]:
    """A finished v1 job's results, by its id and the seed; they change only as the job does."""
    dice = Dice(f"results {seed} {job['id']}")
    return [_result(dice, job) for _ in range(dice.random.randint(1, MOST_FILES))]


def _result(dice: Dice, job: Job) -> Result:
    rules = job.get("rules")
    rules = rules if isinstance(rules, list) else []
    types = [rule["type"] for rule in rules if isinstance(rule, dict) and "type" in rule]
    id_, file_id, found = dice.uuid(), dice.uuid(), outcome(dice, types)
    has_none = dice.falls(NO_RESULT_SHARE) or job.get("status") in WITHOUT_RESULTS
    updated = _a_little_before(job, dice)
    return {
        "id": id_,
        "classify_job_id": job["id"],
        "file_id": None if dice.falls(NO_FILE_SHARE) else file_id,
        "result": None if has_none else found,
        "created_at": updated,
        "updated_at": updated,
    }


def _a_little_before(job: Job, dice: Dice) -> Any:
    updated_at: Any = job.get("updated_at")
    share = dice.one_of((0.0, dice.random.uniform(0.0, MOST_BEFORE)))
    try:
        updated = instant(updated_at)
        lasted = max(updated - instant(job["created_at"]), timedelta())
    except (KeyError, TypeError, ValueError):
        return updated_at
    return stamp(updated - lasted * share) if share else updated_at
