"""What LlamaCloud does not offer a key: left out with a warning if it is a beta, else an error."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify import History, read_table
from tap_llamaclassify.errors import ApiError
from tests.support.builders import V2_STREAMS
from tests.support.commands import Command, Ended
from tests.support.items import usage_metric, v2_job
from tests.support.runs import config_of, failure, put_v2, select, success, warning

TIMINGS, USAGE = "classify_job_timings", "classify_usage"
CONFIGURATIONS = "classify_configurations"
PATHS = {
    TIMINGS: "/api/v1/job-data-points",
    USAGE: "/api/v1/beta/usage-metrics",
    CONFIGURATIONS: "/api/v1/beta/configurations",
}
STATUSES = [400, 403, 404, 410, 422]
NOW = "2026-11-23T10:00:00.000000Z"
SCOPE = {"detail": [{"loc": ["query", "organization_id"], "msg": "no access"}]}

Run = Any


@pytest.fixture
def run(sandbox: Sandbox, quick_command: Command) -> Run:
    """Sync some streams beside v2 jobs, of which there is one."""
    put_v2(sandbox, "one", created_at=NOW, updated_at=NOW)

    def sync(*streams: str, state: Any = None, words: Any = (), **more: Any) -> Ended:
        catalog = select(sandbox, *V2_STREAMS, *streams)
        given = ["--state", state] if state else []
        more = {"organization_id": sandbox.world.organization_id} | more
        config = {n: v for n, v in config_of(sandbox, **more).items() if v is not None}
        return quick_command("--config", config, "--catalog", catalog, *given, *words)

    return sync


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("stream", [TIMINGS, USAGE])
def test_beta_that_is_not_there_is_left_out_with_one_warning_and_the_run_ends_well(
    sandbox: Sandbox, run: Run, stream: str, status: int
) -> None:
    sandbox.settings.gone = {PATHS[stream]: status}
    ended = run(stream, CONFIGURATIONS)
    said = warning(ended)
    assert f"answered {status}" in said
    assert f"Rows of {stream} are left out" in said
    assert "deselect it, and this warning goes, or set require_all" in said
    output = success(ended)
    assert len(output.records("classify_v2_jobs")) == 1
    assert output.records(CONFIGURATIONS) != []
    assert output.records(stream) == []
    assert not output.bookmarks().get(stream)
    # It is there again: from its beginning.
    sandbox.settings.gone = {}
    assert success(run(stream, state=output.state)).records(stream) != []


@pytest.mark.parametrize("stream", [TIMINGS, USAGE])
def test_beta_that_goes_away_leaves_the_bookmark_it_had(
    sandbox: Sandbox, run: Run, stream: str
) -> None:
    state = success(run(stream)).state
    sandbox.settings.gone = {PATHS[stream]: 404}
    again = success(run(stream, state=state))
    assert again.state["bookmarks"][stream] == state["bookmarks"][stream]


@pytest.mark.parametrize("stream", [TIMINGS, USAGE])
def test_beta_that_is_not_there_is_an_error_where_all_is_required(
    sandbox: Sandbox, run: Run, stream: str
) -> None:
    sandbox.settings.gone = {PATHS[stream]: 403}
    ended = run(stream, CONFIGURATIONS, require_all=True)
    error = failure(ended)
    assert f"or deselect {stream}" in error
    assert len(ended.output.records("classify_v2_jobs")) == 1
    assert ended.output.records(CONFIGURATIONS) != []


def test_v1_that_is_gone_beside_v2_is_an_error_where_all_is_required(
    sandbox: Sandbox, run: Run
) -> None:
    sandbox.settings.gone = {"/api/v1/classifier": 410}
    assert "answered 410" in failure(run("classify_jobs", require_all=True))


@pytest.mark.parametrize("status", STATUSES)
def test_what_is_no_beta_fails_the_run_when_all_others_are_synced(
    sandbox: Sandbox, run: Run, status: int
) -> None:
    sandbox.settings.gone = {PATHS[CONFIGURATIONS]: status}
    ended = run(CONFIGURATIONS, TIMINGS, USAGE)
    error = failure(ended)
    assert f"answered {status}" in error
    assert error.endswith(f"or deselect {CONFIGURATIONS}")
    assert len(ended.output.records("classify_v2_jobs")) == 1
    assert ended.output.records(USAGE) != []


def answer_second(sandbox: Sandbox, status: int, body: Any) -> None:
    """Answer the request that comes after the one for v2 jobs."""
    jobs = [v2_job("one", created_at=NOW, updated_at=NOW)]
    sandbox.answer_next(200, {"items": jobs})
    sandbox.answer_next(status, body)


@pytest.mark.parametrize("stream", [TIMINGS, USAGE])
def test_refusal_that_names_the_scope_is_about_access(
    sandbox: Sandbox, run: Run, stream: str
) -> None:
    answer_second(sandbox, 422, SCOPE)
    assert "(query.organization_id)" in warning(run(stream))


@pytest.mark.parametrize("stream", [TIMINGS, USAGE])
def test_refusal_of_any_other_parameter_is_an_error(
    sandbox: Sandbox, run: Run, stream: str
) -> None:
    refusal = {"detail": [{"loc": ["query", "page_size"], "msg": "too large"}]}
    answer_second(sandbox, 422, refusal)
    assert "change the setting page_size" in failure(run(stream))


@pytest.mark.parametrize("status", [401, 500])
@pytest.mark.parametrize("stream", [TIMINGS, USAGE])
def test_beta_that_fails_in_another_way_fails_the_run(
    sandbox: Sandbox, run: Run, stream: str, status: int
) -> None:
    sandbox.settings.gone = {PATHS[stream]: status}
    assert f"answered {status}" in failure(run(stream))


def test_beta_that_is_taken_away_in_the_middle_keeps_nothing_and_the_run_ends_well(
    sandbox: Sandbox, run: Run
) -> None:
    for number in range(3):
        sandbox.world.put_usage_metric(
            usage_metric(f"{number}", organization_id=sandbox.world.organization_id)
        )

    def takes_away(page: int) -> None:
        if page == 2:
            sandbox.settings.gone = {PATHS[USAGE]: 404}

    sandbox.before_page = takes_away
    ended = run(USAGE, page_size=1)
    assert f"Rows of {USAGE} are left out" in "".join(ended.lines("WARNING"))
    assert not success(ended).bookmarks().get(USAGE)


def test_check_asks_organizations_until_one_is_the_keys(sandbox: Sandbox, run: Run) -> None:
    sandbox.world.put_project({"id": "other", "organization_id": str(UUID(int=0))})
    ended = run(USAGE, words=["--check"], organization_id=None, require_all=True)
    shown = {line.split()[2]: line.split()[3] for line in ended.stdout.splitlines()}
    assert (ended.code, shown["usage"]) == (0, "yes")


def test_check_shows_a_line_for_each_and_fails_only_for_what_is_required(
    sandbox: Sandbox, run: Run
) -> None:
    sandbox.settings.gone = {PATHS[USAGE]: 403, PATHS[CONFIGURATIONS]: 400}
    ended = run(TIMINGS, USAGE, words=["--check"])
    assert (ended.code, ended.errors) == (0, [])
    assert f"Left out by a sync: {USAGE}: GET" in "".join(ended.lines("WARNING"))
    shown = {line.split()[2]: line.split()[3] for line in ended.stdout.splitlines()}
    assert (shown["timings"], shown["usage"], shown["configurations"]) == ("yes", "no:", "no:")
    error = failure(run(TIMINGS, USAGE, words=["--check"], require_all=True))
    assert f"or deselect {USAGE}" in error
    assert f"or deselect {CONFIGURATIONS}" in failure(run(CONFIGURATIONS, words=["--check"]))


def test_history_leaves_out_a_beta_unless_all_is_required(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put_v2(sandbox, "one")
    sandbox.settings.gone = {PATHS[USAGE]: 403}
    config = {"api_url": sandbox.url, "api_key": sandbox.key}
    tables = ["classify_v2_jobs", USAGE]
    rows = {table: batch.num_rows for table, batch in History(config, tables=tables)}
    assert rows == {"classify_v2_jobs": 1, USAGE: 0}
    assert f"Rows of {USAGE} are left out" in caplog.text
    with pytest.raises(ApiError, match=f"or deselect {USAGE}"):
        list(History(config | {"require_all": True}, tables=tables))
    # What is read in full is taken for all there is.
    with pytest.raises(ApiError, match=f"or deselect {USAGE}"):
        list(History(config, tables=tables, in_full=[USAGE]))
    with pytest.raises(ApiError, match=f"or deselect {USAGE}"):
        read_table(USAGE, config)
