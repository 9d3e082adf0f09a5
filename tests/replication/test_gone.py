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
from tests.support.items import v2_job

V1, V2, PROJECTS = "/api/v1/classifier", "/api/v2/classify", "/api/v1/projects"
OLD = "2026-11-01T08:00:00.000000Z"
RESULTS = "classify_job_results"
V1_STREAMS = {*STREAMS, RESULTS}

Run = Any


@pytest.fixture
def run(sandbox: Sandbox, quick_command: Command) -> Run:
    """Sync some streams, or the default, with the command line, where each API has one job."""
    sandbox.world.put(job("one", project_id=sandbox.project_id, updated_at=OLD))
    sandbox.world.put_v2(v2_job("two", project_id=sandbox.project_id, updated_at=OLD))

    def sync(*streams: str, state: Any = None, **more: Any) -> Ended:
        config = {"api_url": sandbox.url, "api_key": sandbox.key, "retry_seconds": 0}
        wish = {name: {"selected": name in streams} for name in ALL_STREAMS}
        catalog = ["--catalog", catalog_with(sandbox, **wish)] if streams else []
        given = ["--state", state] if state else []
        return quick_command("--config", config | more, *catalog, *given)

    return sync


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize(
    ("path", "streams", "advice"),
    [
        (V1, STREAMS, f"deselect {', '.join(STREAMS)} and select {', '.join(V2_STREAMS)} instead"),
        (V1, STREAMS[:1], f"deselect {STREAMS[0]} and select {', '.join(V2_STREAMS)} instead"),
        (
            V1,
            ("classify_job_results",),
            f"deselect classify_job_results and select {', '.join(V2_STREAMS)} instead",
        ),
        (V2, V2_STREAMS, f"deselect {', '.join(V2_STREAMS)} and select {', '.join(STREAMS)} ins"),
        (PROJECTS, ("classify_projects",), "deselect classify_projects"),
    ],
    ids=["v1", "one stream of v1", "results", "v2", "projects"],
)
def test_one_line_says_what_to_deselect_and_what_to_select_instead(
    sandbox: Sandbox, run: Run, path: str, streams: tuple[str, ...], advice: str, status: int
) -> None:
    sandbox.settings.gone = {path: status}
    ended = run(*streams, fetch_results=True)
    assert ended.code == 1
    (error,) = ended.errors
    assert f"answered {status}" in error
    assert "this API is not, or no longer, at this host; check api_url, or deselect" in error
    assert advice in error
    assert error.endswith("instead") or streams == ("classify_projects",)
    assert ended.output.of_type("RECORD") == []
    assert "Traceback" not in ended.stderr


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
    assert (ended.code, ended.errors) == (0, [])
    (warning,) = [line for line in ended.lines("WARNING") if RESULTS not in line]
    named = [name for name in STREAMS if name in (streams or DEFAULT_STREAMS)]
    assert f"answered {status}" in warning
    assert f"{', '.join(named)} are left out" in warning
    assert [row["id"] for row in ended.output.records("classify_v2_jobs")] == ["two"]
    reached = {name: at for name, at in ended.output.bookmarks().items() if at}
    assert reached == {name: OLD for name in V2_STREAMS if name in (streams or DEFAULT_STREAMS)}

    sandbox.world.touch_v2("two", status="FAILED")
    again = run(*streams, state=ended.output.state)
    assert (again.code, again.errors) == (0, [])
    assert [row["status"] for row in again.output.records("classify_v2_jobs")] == ["FAILED"]

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
    assert ended.code == 1
    (error,) = ended.errors
    assert f"deselect {', '.join(name for name in streams if name in V1_STREAMS)}" in error
    assert ended.lines("WARNING") == []
    others = {*streams} - V1_STREAMS
    assert {name for name in others if ended.output.records(name)} == others


def test_api_url_at_which_neither_api_is_fails_the_run(sandbox: Sandbox, run: Run) -> None:
    sandbox.settings.gone = {V1: 404, V2: 404}
    ended = run()
    assert ended.code == 1
    (error,) = ended.errors
    assert error.count("check api_url") == 2
    assert "instead" not in error
    assert ended.lines("WARNING") == []


def test_v1_that_is_gone_is_no_part_of_what_else_fails(sandbox: Sandbox, run: Run) -> None:
    sandbox.settings.gone = {V1: 404, V2: 500}
    ended = run()
    assert ended.code == 1
    (error,) = ended.errors
    assert "500" in error
    assert V1 not in error
    assert "classify_jobs" in "".join(ended.lines("WARNING"))


def test_v1_is_synced_and_kept_though_v2_and_projects_are_gone(sandbox: Sandbox, run: Run) -> None:
    sandbox.settings.gone = {V2: 410, PROJECTS: 404}
    ended = run(*ALL_STREAMS, fetch_results=True)
    assert ended.code == 1
    (error,) = ended.errors
    assert error.count("answered 410") == error.count("answered 404") == 1
    assert f"deselect {', '.join(V2_STREAMS)}; " in error
    assert "deselect classify_projects" in error
    assert ended.output.ids() == ["one"]
    reached = {name for name, at in ended.output.bookmarks().items() if at}
    assert reached == {*STREAMS, "classify_job_results"}


def test_earlier_state_is_kept_of_an_api_that_is_gone(sandbox: Sandbox, run: Run) -> None:
    state = run(*STREAMS, *V2_STREAMS).output.state
    sandbox.settings.gone = {V1: 404}
    sandbox.world.touch_v2("two", status="FAILED")
    ended = run(*STREAMS, *V2_STREAMS, state=state)
    assert (ended.code, ended.errors) == (0, [])
    (warning,) = ended.lines("WARNING")
    assert f"{', '.join(STREAMS)} are left out" in warning
    assert "what was loaded before stays" in warning
    before = {name: state["bookmarks"][name] for name in STREAMS}
    assert {name: ended.output.state["bookmarks"][name] for name in STREAMS} == before

    sandbox.settings.gone = {}
    again = run(*STREAMS, *V2_STREAMS, state=ended.output.state)
    assert (again.code, again.errors) == (0, [])


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
    config = {"api_url": sandbox.url, "api_key": sandbox.key} | settings
    ended = quick_command("--config", config, "--catalog", catalog)
    assert (ended.code, len(ended.lines("WARNING"))) == (0, 1)
    versions = ended.output.of_type("ACTIVATE_VERSION")
    assert [message["stream"] for message in versions] == [*V2_STREAMS]


def test_api_that_goes_while_it_is_listed_is_gone_all_the_same(sandbox: Sandbox, run: Run) -> None:
    for number in range(5):
        sandbox.world.put(job(f"j{number}", project_id=sandbox.project_id))

    def go(page: int) -> None:
        if page == 2:
            sandbox.settings.gone = {V1: 410}

    sandbox.before_page = go
    ended = run(*STREAMS, *V2_STREAMS, page_size=2)
    assert ended.code == 1
    (error,) = ended.errors
    assert "answered 410 Gone" in error
    assert error.endswith(f"deselect {', '.join(STREAMS)}")
    assert [row["id"] for row in ended.output.records("classify_v2_jobs")] == ["two"]
    assert {name for name, at in ended.output.bookmarks().items() if at} == {*V2_STREAMS}


@pytest.mark.parametrize("status", [401, 403, 500])
def test_any_other_failure_of_v1_leaves_the_rest_of_the_connection_unread(
    sandbox: Sandbox, run: Run, status: int
) -> None:
    sandbox.settings.gone = {V1: status}
    ended = run(*STREAMS, *V2_STREAMS)
    assert ended.code == 1
    assert len(ended.errors) == 1
    assert {request.path for request in sandbox.requests} == {V1 + "/jobs"}
    assert ended.output.of_type("RECORD") == []
