"""An API that is gone: what to deselect, what to select instead, and the others go on."""

from __future__ import annotations

from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tests.support.builders import (
    ALL_STREAMS,
    DEFAULT_STREAMS,
    STREAMS,
    V2_STREAMS,
    catalog_with,
    job,
)
from tests.support.commands import Command, Ended
from tests.support.runs import (
    at_page,
    config_of,
    failure,
    put,
    put_v2,
    reached,
    select,
    success,
    warning,
)

V1, V2, PROJECTS = "/api/v1/classifier", "/api/v2/classify", "/api/v1/projects"
OLD = "2026-11-01T08:00:00.000000Z"
RESULTS = "classify_job_results"
V1_STREAMS = {*STREAMS, RESULTS}

Run = Any


@pytest.fixture
def run(sandbox: Sandbox, quick_command: Command) -> Run:
    """Sync some streams, or the default, with the command line, where each API has one job."""
    put(sandbox, job("one", updated_at=OLD))
    put_v2(sandbox, "two", updated_at=OLD)

    def sync(*streams: str, state: Any = None, **more: Any) -> Ended:
        catalog = ["--catalog", select(sandbox, *streams)] if streams else []
        given = ["--state", state] if state else []
        return quick_command("--config", config_of(sandbox, **more), *catalog, *given)

    return sync


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    ("path", "streams", "instead"),
    [
        (V1, STREAMS, V2_STREAMS),
        (V1, STREAMS[:1], V2_STREAMS),
        (V1, (RESULTS,), V2_STREAMS),
        (V2, V2_STREAMS, STREAMS),
        (PROJECTS, ("classify_projects",), ()),
    ],
    ids=["v1", "one stream of v1", "results", "v2", "projects"],
)
def test_one_line_says_what_to_deselect_and_what_to_select_instead(
    sandbox: Sandbox,
    run: Run,
    path: str,
    streams: tuple[str, ...],
    instead: tuple[str, ...],
    status: int,
) -> None:
    sandbox.settings.gone = {path: status}
    ended = run(*streams, fetch_results=True)
    error = failure(ended)
    assert f"answered {status}" in error
    assert "this API is not, or no longer, at this host; check api_url, or deselect" in error
    advice = f" and select {', '.join(instead)} instead" if instead else ""
    assert error.endswith(f"deselect {', '.join(streams)}{advice}")
    assert ended.output.of_type("RECORD") == []


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    "streams",
    [(), DEFAULT_STREAMS, ("classify_v2_jobs", "classify_jobs", "classify_projects"), ALL_STREAMS],
    ids=["no catalog", "as meltano.yml selects", "some of both", "all, no fetch_results"],
)
def test_v1_that_is_gone_is_left_out_with_a_warning_where_v2_is_selected_beside_it(
    sandbox: Sandbox, run: Run, streams: tuple[str, ...], status: int
) -> None:
    sandbox.settings.gone = {V1: status}
    ended = run(*streams)
    success(ended)
    (said,) = [line for line in ended.lines("WARNING") if RESULTS not in line]
    named = [name for name in STREAMS if name in (streams or DEFAULT_STREAMS)]
    assert f"answered {status}" in said
    assert f"{', '.join(named)} are left out" in said
    assert [row["id"] for row in ended.output.records("classify_v2_jobs")] == ["two"]
    known = reached(ended.output.state)
    assert {name: known[name] for name in known.keys() & DEFAULT_STREAMS} == {
        name: OLD for name in V2_STREAMS if name in (streams or DEFAULT_STREAMS)
    }

    sandbox.world.touch_v2("two", status="FAILED")
    again = run(*streams, state=ended.output.state)
    assert [row["status"] for row in success(again).records("classify_v2_jobs")] == ["FAILED"]

    # What had gone by mistake is read from its beginning.
    sandbox.settings.gone = {}
    assert run(*streams, state=again.output.state).output.ids() == ["one"]


@pytest.mark.parametrize(
    ("streams", "settings"),
    [
        ((*STREAMS, "classify_projects"), {}),
        ((*STREAMS, *V2_STREAMS[:1]), {}),
        ((*DEFAULT_STREAMS, RESULTS), {"fetch_results": True}),
    ],
    ids=["v1 alone", "one stream of v1 alone", "results, which v2 has in its jobs"],
)
def test_v1_that_was_chosen_by_name_fails_the_run_when_it_is_gone(
    sandbox: Sandbox, run: Run, streams: tuple[str, ...], settings: dict[str, Any]
) -> None:
    sandbox.settings.gone = {V1: 410}
    ended = run(*streams, **settings)
    error = failure(ended)
    assert f"deselect {', '.join(name for name in streams if name in V1_STREAMS)}" in error
    assert ended.lines("WARNING") == []
    others = {*streams} - V1_STREAMS
    assert {name for name in others if ended.output.records(name)} == others


def test_api_url_at_which_neither_api_is_fails_the_run(sandbox: Sandbox, run: Run) -> None:
    sandbox.settings.gone = {V1: 404, V2: 404}
    ended = run()
    error = failure(ended)
    assert error.count("check api_url") == 2
    assert "instead" not in error
    assert ended.lines("WARNING") == []


def test_v1_that_is_gone_is_no_part_of_what_else_fails(sandbox: Sandbox, run: Run) -> None:
    sandbox.settings.gone = {V1: 404, V2: 500}
    ended = run()
    error = failure(ended)
    assert "500" in error
    assert V1 not in error
    assert "classify_jobs" in "".join(ended.lines("WARNING"))


def test_v1_is_synced_and_kept_though_v2_and_projects_are_gone(sandbox: Sandbox, run: Run) -> None:
    sandbox.settings.gone = {V2: 410, PROJECTS: 404}
    ended = run(*ALL_STREAMS, fetch_results=True)
    error = failure(ended)
    assert error.count("answered 410") == error.count("answered 404") == 1
    assert f"deselect {', '.join(V2_STREAMS)}; " in error
    assert "deselect classify_projects" in error
    assert ended.output.ids() == ["one"]
    assert reached(ended.output.state).keys() == {*STREAMS, RESULTS}


def test_earlier_state_is_kept_of_an_api_that_is_gone(sandbox: Sandbox, run: Run) -> None:
    state = run(*STREAMS, *V2_STREAMS).output.state
    sandbox.settings.gone = {V1: 404}
    sandbox.world.touch_v2("two", status="FAILED")
    ended = run(*STREAMS, *V2_STREAMS, state=state)
    said = warning(ended)
    assert f"{', '.join(STREAMS)} are left out" in said
    assert "what was loaded before stays" in said
    before = {name: state["bookmarks"][name] for name in STREAMS}
    assert {name: ended.output.state["bookmarks"][name] for name in STREAMS} == before

    sandbox.settings.gone = {}
    success(run(*STREAMS, *V2_STREAMS, state=ended.output.state))


def test_no_version_is_activated_of_what_was_not_read(
    sandbox: Sandbox, run: Run, quick_command: Command
) -> None:
    sandbox.settings.gone = {V1: 404}
    settings = {"emit_activate_version_messages": True}
    ended = run(*STREAMS, "classify_projects", **settings)
    assert len(ended.output.records("classify_projects")) == 3
    assert ended.output.of_type("ACTIVATE_VERSION") == []

    full = {"selected": True, "replication_method": "FULL_TABLE"}
    catalog = catalog_with(sandbox, **dict.fromkeys(DEFAULT_STREAMS, full))
    ended = quick_command("--config", config_of(sandbox, **settings), "--catalog", catalog)
    assert warning(ended)
    versions = ended.output.of_type("ACTIVATE_VERSION")
    assert [message["stream"] for message in versions] == [*V2_STREAMS]


def test_api_that_goes_while_it_is_listed_is_gone_all_the_same(sandbox: Sandbox, run: Run) -> None:
    put(sandbox, *(job(f"j{number}") for number in range(5)))
    at_page(sandbox, 2, lambda: setattr(sandbox.settings, "gone", {V1: 410}))
    ended = run(*STREAMS, *V2_STREAMS, page_size=2)
    error = failure(ended)
    assert "answered 410 Gone" in error
    assert error.endswith(f"deselect {', '.join(STREAMS)}")
    assert [row["id"] for row in ended.output.records("classify_v2_jobs")] == ["two"]
    assert reached(ended.output.state).keys() == {*V2_STREAMS}


@pytest.mark.parametrize("status", [401, 403, 500])
def test_any_other_failure_of_v1_leaves_the_rest_of_the_connection_unread(
    sandbox: Sandbox, run: Run, status: int
) -> None:
    sandbox.settings.gone = {V1: status}
    ended = run(*STREAMS, *V2_STREAMS)
    failure(ended)
    assert {request.path for request in sandbox.requests} == {V1 + "/jobs"}
    assert ended.output.of_type("RECORD") == []
