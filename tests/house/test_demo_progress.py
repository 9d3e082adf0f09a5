"""The demo tells each step of a run as it begins, and its seconds when it is done."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from demo.progress import Progress

DONE = {"event": "Block run completed", "success": True}
FAILED = DONE | {"success": False}
INSTALLING = [{"event": f"Installing {name}"} for name in ("extractor 'a tap'", "utility 'dbt'")]
RUNNING = {"event": "Running job with name 'dev:a'"}
OTHER = {"event": None}


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([RUNNING, DONE, DONE], "  load ... 1.0 s\n  build ... 1.0 s\n"),
        (
            [OTHER, *INSTALLING, RUNNING, OTHER, DONE, DONE],
            "  installing the plugins, once ... 1.0 s\n  load ... 1.0 s\n  build ... 1.0 s\n",
        ),
        ([RUNNING, OTHER], "  load ... stopped after 1.0 s\n"),
        ([RUNNING, FAILED, OTHER], "  load ... failed after 1.0 s\n"),
        ([OTHER], ""),
    ],
    ids=["two steps", "the first time", "broken off", "failed", "never begun"],
)
def test_each_step_is_told_with_its_seconds(
    events: list[dict[str, Any]], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = itertools.count()
    progress = Progress(["load", "build"], clock=lambda: next(seconds))
    for event in events:
        progress.note(event)
    progress.stop()
    assert capsys.readouterr().out == told
