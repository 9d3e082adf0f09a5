"""The benchmark is fair, and what it shows of memory holds for a short run, too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import requests

from benchmarks import connections, windows
from benchmarks.long_history import LongHistory, add_new, working_week
from benchmarks.measure import Cost, cost_of
from benchmarks.windows import MANY, SOME, Run
from llamacloud_sandbox.api.app import V2_PATH
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Order, Settings
from llamacloud_sandbox.world.clock import instant
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.builders import STREAMS, Output, parse, sync
from tests.support.commands import COMMAND, ROOT, words_of

PAGE_SIZE = 500


def plain_loop(sandbox: Sandbox, *options: str) -> Output:
    command = [sys.executable, "-m", "benchmarks.plain_loop", sandbox.url, sandbox.key, "50"]
    return parse(subprocess.check_output([*command, *options], cwd=ROOT, encoding="utf-8"))


@pytest.mark.parametrize("options", [[], ["--ahead"]], ids=["in turn", "ahead"])
def test_plain_loop_writes_the_rows_that_the_tap_writes(options: list[str]) -> None:
    with Sandbox(World(History(jobs=300, unknown_fields=0.1))) as sandbox:
        ours, theirs = sync(sandbox), plain_loop(sandbox, *options)
    for stream in STREAMS:
        assert theirs.records(stream) == ours.records(stream)


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_number_of_jobs(tmp_path: Path) -> None:
    peaks = []
    for jobs in (1_300, 6_300):
        with Sandbox(World(History(jobs=jobs, unknown_fields=0.01))) as sandbox:
            sandbox.prerender(PAGE_SIZE)
            settings = {"api_url": sandbox.url, "api_key": sandbox.key, "page_size": PAGE_SIZE}
            peaks.append(cost_of([COMMAND, *words_of(["--config", settings], tmp_path)]).peak)
    assert peaks[1] < min(peaks[0] * 1.1, 90)


def test_connections_read_every_page_of_every_project_once() -> None:
    with connections.serving(2, 20) as sandbox:
        cost_of(connections.many(sandbox, at_once=connections.CONNECTIONS, page_size=20))
        asked = [request.headers["authorization"] for request in sandbox.requests]
        listed = [request.query.get("page_token") for request in sandbox.requests]
        pages = [-(-len(sandbox.world.jobs(each)) // 20) for each in sandbox.keys]
    assert len({*asked}) == connections.CONNECTIONS
    assert len(listed) == len({*zip(asked, listed, strict=True)}) == sum(pages)
    assert min(pages) >= 1


@pytest.mark.parametrize(
    ("wall", "peak", "verdicts"),
    [(2.0, 380.0, ["ok", "ok"]), (4.0, 380.1, ["MISSED", "MISSED"])],
)
def test_connections_may_take_a_third_of_the_time_and_two_pages_of_memory(
    monkeypatch: pytest.MonkeyPatch, wall: float, peak: float, verdicts: list[str]
) -> None:
    def cost(command: list[str]) -> Cost:
        settings = json.loads(Path(command[-1]).read_text())
        is_many = settings["parallel_connections"] > 1
        return Cost(wall if is_many else 10.0, 1, peak if is_many else 100.0)

    monkeypatch.setattr(connections, "LARGE_PAGE_SIZE", 20)
    monkeypatch.setattr(connections, "PAGES", 1)
    monkeypatch.setattr(connections, "page_in_memory", lambda _: 20.0)
    monkeypatch.setattr(connections, "cost_of", cost)
    figures = connections.wall_and_memory(3, {})
    assert [figure.verdict for figure in figures] == verdicts


@pytest.mark.parametrize("order", get_args(Order))
def test_long_history_is_listed_as_any_sandbox_lists_it(order: Order) -> None:
    world, settings = working_week(60), Settings(order=order)
    created = sorted(job["created_at"] for job in world.v2_jobs())
    ways: list[dict[str, str]] = [
        {},
        {"created_at_on_or_after": created[20]},
        {"created_at_on_or_before": created[40], "status": "COMPLETED"},
        {"created_at_on_or_after": created[20], "created_at_on_or_before": created[40]},
        {"created_at_on_or_after": created[40], "created_at_on_or_before": created[20]},
    ]
    with LongHistory(world, settings) as ours, Sandbox(world, settings) as theirs:
        for asked in ways:
            assert pages_of(ours, asked) == pages_of(theirs, asked)


def pages_of(sandbox: Sandbox, asked: dict[str, str]) -> list[list[str]]:
    """Return the ids on each page of a listing."""
    pages, token = [], None
    while True:
        reply = requests.get(
            sandbox.url + V2_PATH,
            headers={"Authorization": f"Bearer {sandbox.key}"},
            params={"page_size": "7", **asked, **({"page_token": token} if token else {})},
            timeout=60,
        ).json()
        pages.append([job["id"] for job in reply["items"]])
        if not (token := reply["next_page_token"]):
            return pages


def test_long_history_is_a_working_weeks_and_finished_and_the_same_each_time() -> None:
    world = working_week(500)
    jobs = world.v2_jobs()
    assert jobs == working_week(500).v2_jobs()
    assert len({job["id"] for job in jobs}) == 500
    assert {job["status"] for job in jobs} == {"COMPLETED", "FAILED", "CANCELLED"}
    created = [instant(job["created_at"]) for job in jobs]
    assert sum(each.isoweekday() <= 5 and 9 <= each.hour < 17 for each in created) > 250
    assert (max(created) - min(created)).days in range(80, 90)
    add_new(world, 3)
    assert {job["created_at"] for job in world.v2_jobs()[500:]} == {"2026-11-23T13:00:00.000000Z"}


@pytest.fixture
def few_jobs(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let the part about windows read few jobs at once; return how many pages they are."""
    monkeypatch.setattr(windows, "JOBS", 300)
    monkeypatch.setattr(windows, "PAGE_SIZE", 5)
    monkeypatch.setattr(windows, "LATENCY_MS", 0.0)
    monkeypatch.setattr(windows, "NEW", 3)
    return 60


@pytest.mark.heavy
def test_windows_read_a_history_in_parts_and_its_news_in_one_page(few_jobs: int) -> None:
    with windows.serving() as sandbox:
        whole = windows.run(sandbox, windows.many(sandbox, SOME))
        asked = {request.query.get("created_at_on_or_after") for request in sandbox.requests}
        assert {request.path for request in sandbox.requests} == {V2_PATH}
        (short,) = windows.news(sandbox, 1)
    assert len(asked) > SOME
    assert few_jobs < whole.requests < few_jobs * 1.5
    assert {at_once: run.requests for at_once, run in short.items()} == {1: 1, SOME: 1}


def test_windows_are_fetched_by_the_page_beside_it(few_jobs: int) -> None:
    with windows.serving() as sandbox:
        windows.main(*windows.fetching(sandbox)[3:])
        asked = [request.query["created_at_on_or_after"] for request in sandbox.requests]
    assert len({*asked}) == MANY
    assert few_jobs <= len(asked) <= few_jobs + MANY


@pytest.mark.parametrize(
    ("walls", "requests_a_page", "cpu", "verdict"),
    [
        ({1: 10.0, SOME: 3.5, MANY: 2.0}, 1.15, 2.05, "ok"),
        ({1: 10.0, SOME: 3.6, MANY: 2.1}, 1.35, 2.1, "MISSED"),
    ],
)
def test_windows_may_take_so_much_of_the_time_and_so_much_more_of_the_rest(
    few_jobs: int,
    monkeypatch: pytest.MonkeyPatch,
    walls: dict[int, float],
    requests_a_page: float,
    cpu: float,
    verdict: str,
) -> None:
    sent = round(few_jobs * requests_a_page)

    def run(_: Sandbox, command: list[str]) -> Run:
        at_once = json.loads(Path(command[6]).read_text())["parallel_windows"]
        if "--state" in command:
            is_more = verdict != "ok" and at_once > 1
            return Run(Cost(1.06 if is_more else 1.0, 1.0, 60), 2 if is_more else 1)
        return Run(Cost(walls[at_once], cpu if at_once > 1 else 2.0, 60), sent)

    monkeypatch.setattr(windows, "run", run)
    monkeypatch.setattr(windows, "cost_of", lambda _: Cost(1, 1, 60))
    monkeypatch.setattr(windows, "state_after", lambda _: {})
    figures = windows.side_by_side(3, {})
    assert {figure.verdict for figure in figures} == {verdict}
    assert len(figures) == 7
