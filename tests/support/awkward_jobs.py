"""A sandbox of many jobs, of which some are such that statistics may stumble over them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import Row
from tests.support.builders import job
from tests.support.items import v2_job

HOSTILE = "{{ 1 / 0 }} <script>'\"; \\N\n--"
RULES = [{"type": HOSTILE, "description": HOSTILE}, {"type": "kept", "description": "x"}]


@contextmanager
def awkward_api() -> Iterator[Sandbox]:
    """Run it."""
    with Sandbox(World(History(jobs=150, v2_jobs=150, days=20, unknown_fields=0.2))) as sandbox:
        sandbox.settings.data_points_reach = "bounds"
        v1, v2 = _awkward(sandbox.project_id)
        for each in v1:
            sandbox.world.put(each)
        for each in v2:
            sandbox.world.put_v2(each)
        yield sandbox


def _awkward(project_id: str) -> tuple[list[Row], list[Row]]:
    """Make v1 and v2 jobs that statistics may stumble over."""
    v1 = [
        job("unheard of", status="EXPIRED", error_message=HOSTILE),
        job("without times", created_at=None, updated_at=None),
        job("ended before it began", created_at="2026-11-23T11:00:00Z", rules=RULES),
        job("about to lose a rule", rules=RULES, status="PENDING"),
        *(job(f"fails {n}", status="ERROR", error_message=HOSTILE) for n in range(3)),
    ]
    v2 = [
        v2_job(
            "runs", status="RUNNING", result=None, usage=None, created_at="2026-11-01T00:00:00Z"
        ),
        v2_job("cost only", status="FAILED", result=None, usage={"credits": 0.1, "x": 1}),
        v2_job(
            "unsure",
            result={"type": HOSTILE, "confidence": 0.1, "reasoning": None},
            parse_job_id="pjb-unsure",
        ),
        v2_job(
            "reasons only",
            result={"type": None, "confidence": None, "reasoning": "so"},
            parse_job_id="pjb-reasons",
        ),
    ]
    recent = {"project_id": project_id, "updated_at": "2026-11-23T10:00:00Z"}
    times_of = {"without times": {"updated_at": None}}
    return (
        [each | recent | times_of.get(each["id"], {}) for each in v1],
        [each | recent for each in v2],
    )
