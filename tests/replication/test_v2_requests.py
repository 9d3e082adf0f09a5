"""What reading v2 jobs costs in requests, and what need not be read again after a kill."""

from __future__ import annotations

import json
import math
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.world import World
from tests.support.builders import STREAMS, V2_STREAMS, Message, Output, catalog_with, sync
from tests.support.commands import COMMAND, Command
from tests.support.windows import contain, spans_of

V2 = "/api/v2/classify"
DAYS = 90
UNFINISHED = 10
NEW = 50
PAGE = 100
ORDERS = [
    "newest",
    "shuffled",
    *(pytest.param(order, marks=pytest.mark.heavy) for order in ("oldest", "updated")),
]


def v2_job(number: int, created: str, **fields: Any) -> Message:
    """Make a v2 job as the API shows it, without rules to speak of."""
    return {
        "id": f"clj-{number:06}",
        "project_id": "p",
        "user_id": "u",
        "status": "COMPLETED",
        "configuration": {"rules": [], "mode": "FAST", "parsing_configuration": None},
        "document_input_type": "file_id",
        "file_input": f"dfl-{number}",
        "created_at": created,
        "updated_at": created,
    } | fields


def fill(sandbox: Sandbox, jobs: int) -> None:
    """Put jobs evenly over the last DAYS days, ten of which are unfinished and some days old."""
    world = sandbox.world
    step = timedelta(days=DAYS) / jobs
    for number in range(jobs):
        created = stamp(world.now() - timedelta(days=DAYS) + step * number)
        world.put_v2(v2_job(number, created))
    for number in range(jobs - 20 * UNFINISHED, jobs, 20):
        world.touch_v2(f"clj-{number:06}", status="RUNNING")


def a_day_passes(sandbox: Sandbox, jobs: int) -> None:
    """Let the unfinished jobs finish and others come."""
    sandbox.world.advance(3600)
    for job in sandbox.world.v2_jobs():
        if job["status"] == "RUNNING":
            sandbox.world.touch_v2(job["id"], status="COMPLETED")
    for number in range(jobs, jobs + NEW):
        sandbox.world.put_v2(v2_job(number, stamp(sandbox.world.now())))
    sandbox.world.advance(60)


def catalog_of_v2(sandbox: Sandbox) -> Message:
    """Select the v2 streams only."""
    names = {name: {"selected": name in V2_STREAMS} for name in (*STREAMS, *V2_STREAMS)}
    return catalog_with(sandbox, **names)


def sync_v2(sandbox: Sandbox, state: Message | None = None, **config: Any) -> Output:
    """Sync the v2 streams only."""
    catalog = catalog_of_v2(sandbox)
    sandbox.clear_requests()
    return sync(sandbox, catalog=catalog, state=state, **config)


def ids_of(output: Output) -> list[str]:
    return [row["id"] for row in output.records("classify_v2_jobs")]


@pytest.mark.parametrize(
    ("jobs", "order", "total_size"),
    [
        (10_000, "newest", True),
        (10_000, "shuffled", True),
        (10_000, "updated", False),
        *(
            pytest.param(jobs, order, total_size, marks=pytest.mark.heavy)
            for jobs, order, total_size in [
                (10_000, "oldest", False),
                (10_000, "shuffled", False),
                (100_000, "newest", True),
                (100_000, "newest", False),
                (100_000, "updated", True),
                (100_000, "oldest", False),
            ]
        ),
    ],
)
def test_sync_costs_what_changed(jobs: int, order: Any, total_size: Any) -> None:
    with Sandbox(World.empty(), Settings(order=order, total_size=total_size)) as sandbox:
        fill(sandbox, jobs)
        full = math.ceil(jobs / PAGE)
        first = sync_v2(sandbox)
        assert {*ids_of(first)} == {job["id"] for job in sandbox.world.v2_jobs()}
        most = 1.4
        assert len(sandbox.requests) <= most * full
        assert all(request.query["page_size"] == "100" for request in sandbox.requests)

        a_day_passes(sandbox, jobs)
        trusting = sync_v2(sandbox, first.state, reconcile_days=0)
        assert len(sandbox.requests) <= max(3, full / 100)
        changed = {*ids_of(trusting)}
        assert len(changed) >= NEW + UNFINISHED
        assert {f"clj-{jobs + number:06}" for number in range(NEW)} < changed

        reconciled = sync_v2(sandbox, first.state)
        week = math.ceil((jobs * 7 / DAYS + NEW) / PAGE)
        bound = week + max(3, full / 100)
        # A week of more than a window is cut without knowing how long it is.
        if week > 50 and not total_size:
            bound = 2.5 * week
        assert len(sandbox.requests) <= bound
        assert {*ids_of(reconciled)} == changed

        quiet = sync_v2(sandbox, reconciled.state, reconcile_days=0, lookback_seconds=0)
        assert len(sandbox.requests) == 1
        assert len(ids_of(quiet)) <= NEW + UNFINISHED


@pytest.mark.parametrize(
    "order",
    [
        "newest",
        *(pytest.param(o, marks=pytest.mark.heavy) for o in ("shuffled", "oldest", "updated")),
    ],
)
def test_first_sync_keeps_each_window_and_moves_the_bookmark_at_its_end(order: Any) -> None:
    jobs = 20_000
    with Sandbox(World.empty(), Settings(order=order, total_size=True)) as sandbox:
        fill(sandbox, jobs)
        output = sync_v2(sandbox)
    *during, last = [
        state["value"]["bookmarks"]["classify_v2_jobs"] for state in output.of_type("STATE")
    ]
    assert len(during) >= 3
    assert all(spans_of(state) for state in during)
    assert not any("replication_key_value" in state for state in during)
    assert "replication_key_value" in last
    assert not spans_of(last)


@pytest.mark.heavy
def test_run_killed_after_nine_tenths_is_gone_on_with_in_its_window(tmp_path: Path) -> None:
    jobs = 20_000
    with Sandbox(World.empty()) as sandbox:
        fill(sandbox, jobs)
        whole = len(sync_v2(sandbox).messages)
        config = {"api_url": sandbox.url, "api_key": sandbox.key}
        names = {name: {"selected": name in V2_STREAMS} for name in (*STREAMS, *V2_STREAMS)}
        state, lines = _killed(
            tmp_path, config, catalog_with(sandbox, **names), after=whole * 9 // 10
        )
        left = {job["id"] for job in sandbox.world.v2_jobs()} - {
            line["record"]["id"]
            for line in lines
            if line["type"] == "RECORD" and line["stream"] == "classify_v2_jobs"
        }
        again = sync_v2(sandbox, state)
        assert left <= {*ids_of(again)}
        # One window, and what was left.
        assert len(sandbox.requests) <= 50 + jobs / PAGE / 10 + 10


def _killed(
    folder: Path, config: Message, catalog: Message, *, after: int
) -> tuple[Message, list[Message]]:
    """Run the command, kill it after so many lines; return the last state, and what was written."""
    for name, content in (("config", config), ("catalog", catalog)):
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    words = [COMMAND, "--config", str(folder / "config"), "--catalog", str(folder / "catalog")]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        assert process.stdout
        lines = [json.loads(process.stdout.readline()) for _ in range(after)]
        process.kill()
    states = [line["value"] for line in lines if line["type"] == "STATE"]
    return states[-1], lines


def test_failed_sync_moves_nothing_past_its_last_finished_window(
    sandbox: Sandbox, command: Command, config: Message
) -> None:
    fill(sandbox, 12_000)
    catalog = catalog_of_v2(sandbox)
    made = 0

    def fail_late(_: int) -> None:
        nonlocal made
        made += 1
        if made == 100:
            sandbox.answer_next(400, times=10)

    sandbox.before_page = fail_late
    ended = command("--config", config, "--catalog", catalog)
    assert ended.code == 1
    entry = ended.output.state["bookmarks"]["classify_v2_jobs"]
    assert "replication_key_value" not in entry
    read = spans_of(entry)
    assert read
    loaded = {*ids_of(ended.output)}
    assert {j["id"] for j in sandbox.world.v2_jobs() if contain(read, j["created_at"])} <= loaded


def test_full_table_is_one_listing_without_windows(sandbox: Sandbox) -> None:
    fill(sandbox, 12_000)
    sandbox.world.put_v2(v2_job(99_999, "", created_at=None))
    names: dict[str, Any] = {name: {"selected": False} for name in STREAMS}
    names["classify_v2_jobs"] = {"selected": True, "replication_method": "FULL_TABLE"}
    sandbox.clear_requests()
    output = sync(sandbox, catalog=catalog_with(sandbox, **names))
    assert len({*ids_of(output)}) == 12_001
    # Besides, what is unfinished is looked at before and after.
    assert len(sandbox.requests) <= 121 + 5
    pages = [request for request in sandbox.requests if "page_token" in request.query]
    assert not any("created_at_on_or_after" in request.query for request in pages)
