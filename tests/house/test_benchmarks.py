"""The benchmark is fair, and what it shows of memory holds for a short run, too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import connections
from benchmarks.measure import Cost, cost_of
from llamacloud_sandbox.server import Sandbox
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
