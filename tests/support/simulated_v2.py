"""A simulated life of v2 jobs: they change until they have finished, and each has its price.

Nothing here knows how the tap works: what the warehouse must hold is worked out from the jobs.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from typing_extensions import override

from llamacloud_sandbox.world.clock import stamp
from tests.support.builders import V2_STREAMS
from tests.support.items import configuration, v2_job
from tests.support.simulated import FORMS, Event, Life, Row, Tables, fixed, written

CREATION_FORMS = FORMS - 2
"""How many ways there are to write an instant that can be read."""
STATUSES = ("RUNNING", "COMPLETED", "FAILED", "NEW")
ENDINGS = ("COMPLETED", "FAILED", "CANCELLED")
_COPIED = (
    *("id", "project_id", "user_id", "status", "configuration_id", "document_input_type"),
    *("file_input", "parse_job_id", "transaction_id", "error_message"),
)


def cost_of(status: str, pick: int) -> Row | None:
    """Return what a job has cost, which is known when it has finished."""
    return {"credits": pick, "parse_credits": pick / 2} if status in ENDINGS else None


def expected_v2(jobs: Collection[Row], *, with_usage: bool) -> Tables:
    """Work out the rows of each table from v2 jobs as the API shows them."""
    tables: Tables = {stream: {} for stream in V2_STREAMS}
    of_jobs, of_rules, of_configs = (tables[stream] for stream in V2_STREAMS)
    for each in jobs:
        updated_at = fixed(each["updated_at"])
        misfits = {"updated_at": each["updated_at"]} if each["updated_at"] == "soon" else None
        asked, found = each["configuration"], each["result"] or {}
        usage = (with_usage and each["usage"]) or {}
        row = {name: each[name] for name in _COPIED} | {"mode": asked["mode"]}
        row |= {f"result_{name}": found.get(name) for name in ("type", "confidence", "reasoning")}
        row |= {f"usage_{name}": usage.get(name) for name in ("credits", "parse_credits")}
        row |= {"created_at": fixed(each["created_at"]), "updated_at": updated_at}
        of_jobs[each["id"],] = row | {
            "rule_count": len(asked["rules"]),
            "additional_fields": misfits,
        }
        shared = {
            "job_id": each["id"],
            "project_id": each["project_id"],
            "updated_at": updated_at,
            "additional_fields": None,
        }
        for index, rule in enumerate(asked["rules"]):
            of_rules[each["id"], index] = {"rule_index": index, **rule, **shared}
        if config := asked["parsing_configuration"]:
            of_configs[each["id"],] = config | shared
    return tables


@dataclass
class V2Life(Life):
    """What happens to a sandbox's v2 jobs: those that have finished do not change.

    Attributes:
        changing_seconds: How long after their creation they change all the same.
        with_usage: Whether the warehouse is to have what they cost.
    """

    changing_seconds: float = 0
    with_usage: bool = False

    @override
    def jobs(self) -> dict[str, Row]:
        return self.sandbox.world.v2_entries(self.sandbox.project_id)

    @override
    def expected(self) -> Tables:
        return expected_v2(self.jobs().values(), with_usage=self.with_usage)

    @override
    def may_change(self, id_: str) -> bool:
        job = self.jobs()[id_]
        age = self.sandbox.world.now() - datetime.fromisoformat(fixed(job["created_at"]) or "")
        return job["status"] not in ENDINGS or age < timedelta(seconds=self.changing_seconds)

    @override
    def changed(self, before: Row, pick: int) -> Row:
        # A job of a status that nobody knows cannot be looked for before it moves.
        is_moving = self.sandbox.settings.order == "updated"
        statuses = STATUSES[:-1] if is_moving else STATUSES
        status = statuses[pick % len(statuses)]
        found = {"type": f"type {pick}", "confidence": 0.5, "reasoning": "text"}
        return before | {
            "status": status,
            "error_message": f"change {pick}",
            "result": found if status == "COMPLETED" else None,
            "usage": cost_of(status, pick),
        }

    @override
    def put(self, row: Row) -> None:
        self.sandbox.world.put_v2(row)

    @override
    def delete(self, id_: str) -> None:
        self.sandbox.world.delete_v2(id_)

    @override
    def made(self, event: Event) -> Row:
        rules = [{"type": f"type {n}", "description": "text"} for n in range(1 + event.pick % 3)]
        config = {"lang": "en", "max_pages": event.pick, "target_pages": f"1,{event.pick}"}
        status = ("PENDING", "PENDING", *ENDINGS)[event.pick % 5]
        now = self.sandbox.world.now()
        created_at = written(now, event.form) if event.form < CREATION_FORMS else stamp(now)
        return v2_job(
            f"job/{self.born}?ä&",
            project_id=self.sandbox.project_id,
            status=status,
            configuration=configuration(
                rules=rules, parsing_configuration=config if event.pick % 2 else None
            ),
            result=None,
            usage=cost_of(status, event.pick),
            created_at=created_at,
        )
