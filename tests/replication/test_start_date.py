"""A start_date that is moved: back, and what lies before it comes; on, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify import History
from tests.support.builders import Output, job, new_tap, parse, sync, written_by
from tests.support.commands import Command, Ended
from tests.support.runs import config_of, put, put_v2, select, success
from tests.support.windows import small_windows, spans_of

OLD = "2026-10-01T00:00:00.000000Z"
MIDDLE = "2026-10-15T00:00:00.000000Z"
NEW = "2026-11-01T00:00:00.000000Z"
JOBS = "classify_v2_jobs"


def ids_of(output: Output) -> list[str]:
    """Return the ids of the jobs that came of v1, which are those of v2, too."""
    v1 = sorted(output.ids())
    assert sorted(row["id"] for row in output.records("classify_v2_jobs")) == v1
    return v1


@pytest.fixture
def since(sandbox: Sandbox, quick_command: Command) -> Callable[..., Ended]:
    """Put the same jobs into v1 and v2; return what syncs both since a date."""
    for name, at in (("old", OLD), ("mid", MIDDLE), ("new", NEW)):
        put(sandbox, job(name, updated_at=at))
        put_v2(sandbox, name, created_at=at, updated_at=at)

    def run(start_date: str | None, state: Any = None, **more: Any) -> Ended:
        config = config_of(sandbox, lookback_seconds=0, **more)
        given = config | {"start_date": start_date} if start_date else config
        return quick_command("--config", given, "--state", state or {})

    return run


@pytest.mark.parametrize("earlier", [OLD, None])
def test_start_date_that_is_moved_back_reads_each_stream_anew_from_there_and_says_so(
    since: Callable[..., Ended], earlier: str | None
) -> None:
    first = success(since(MIDDLE))
    assert ids_of(first) == ["mid", "new"]
    assert ids_of(success(since(MIDDLE, first.state))) == ["new"]
    moved = since(earlier, first.state)
    assert ids_of(success(moved)) == ["mid", "new", "old"]
    warnings = [line for line in moved.lines("WARNING") if "classify_v2_jobs was last read" in line]
    assert len(warnings) == 1
    assert f"with start_date {MIDDLE}, and is read anew now" in warnings[0]
    # Once is enough.
    assert ids_of(success(since(earlier, moved.output.state))) == ["new"]


def test_start_date_that_is_moved_on_reads_nothing_anew_until_it_is_moved_back(
    since: Callable[..., Ended],
) -> None:
    first = success(since(None))
    on = success(since(MIDDLE, first.state))
    assert ids_of(on) == ["new"]
    assert ids_of(success(since(MIDDLE, on.state))) == ["new"]
    assert ids_of(success(since(OLD, on.state))) == ["mid", "new", "old"]


def test_state_that_does_not_say_since_when_it_was_read_is_gone_on_from(
    since: Callable[..., Ended],
) -> None:
    state = success(since(MIDDLE)).state
    for entry in state["bookmarks"].values():
        entry.pop("start_date", None)
    assert ids_of(success(since(OLD, state))) == ["new"]


@pytest.mark.parametrize("earlier", [OLD, None])
def test_reading_anew_that_is_broken_off_is_gone_on_with_also_where_states_are_merged(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, earlier: str | None
) -> None:
    small_windows(monkeypatch)
    days = range(1, 31)
    for day in days:
        at = f"2026-10-{day:02}T12:00:00.000000Z"
        put_v2(sandbox, f"{day}", created_at=at, updated_at=at)
    more: dict[str, Any] = {"catalog": select(sandbox, JOBS), "page_size": 3, "parallel_windows": 1}
    first = sync(sandbox, start_date=MIDDLE, **more)
    sandbox.clear_requests()

    def break_off(_: int) -> None:
        if len(sandbox.requests) > 8:
            sandbox.fail_next("500")

    sandbox.before_page = break_off
    tap = new_tap(sandbox, state=first.state, start_date=earlier, **more)
    text, error = written_by(tap)
    assert error
    sandbox.before_page = None
    sandbox.forget_faults()
    broken = parse(text)
    assert spans_of(broken.state["bookmarks"][JOBS])
    merged = _merged(first.state, broken.state)
    rest = sync(sandbox, start_date=earlier, state=merged, **more).records(JOBS)
    both = {row["id"] for row in [*broken.records(JOBS), *rest]}
    assert both == {str(day) for day in days}
    assert len(rest) < len(days), "what was read is not read again"


def test_history_tells_of_it_once(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    put_v2(sandbox, "new", created_at=NEW, updated_at=NEW)
    config = config_of(sandbox)
    first = History(config | {"start_date": MIDDLE}, tables=[JOBS])
    assert [*first]
    assert [*History(config, tables=[JOBS], state=first.state)]
    assert caplog.text.count("was last read with start_date") == 1


def _merged(older: Any, newer: Any) -> Any:
    """Merge states as Meltano does, all the way down."""
    if not isinstance(older, dict) or not isinstance(newer, dict):
        return newer
    return older | {name: _merged(older.get(name), each) for name, each in newer.items()}
