"""The lists of projects and organizations: every row, every time, and only if selected."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.errors import CatalogError
from tests.support.builders import STREAMS, Output, catalog_with, job, sync
from tests.support.commands import Command
from tests.support.items import project
from tests.support.runs import (
    assert_version_activated_last,
    config_of,
    failure,
    select,
    success,
)

PROJECTS, ORGANIZATIONS = "classify_projects", "classify_organizations"
PATHS = {PROJECTS: "/api/v1/projects", ORGANIZATIONS: "/api/v2/organizations"}
PATH = PATHS[PROJECTS]

both = pytest.mark.parametrize("stream", PATHS)


def fetch(sandbox: Sandbox, stream: str = PROJECTS, **more: Any) -> Output:
    """Sync a list in this process."""
    return sync(sandbox, catalog=select(sandbox, stream), **more)


def test_rows_are_the_projects_as_the_api_shows_them(sandbox: Sandbox) -> None:
    sandbox.world.put_project({"id": "prj-new", "name": None, "is_default": None})
    rows = fetch(sandbox).records(PROJECTS)
    nothing = dict.fromkeys(rows[0])
    assert rows == [nothing | each for each in sandbox.world.projects()]
    assert len(rows) == 4
    assert [request.target for request in sandbox.requests] == [PATH]


def test_rows_are_all_organizations_page_by_page(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number in range(4):
        sandbox.world.put_organization({"id": f"org-{number}", "name": None, "metadata": {}})
    output = fetch(sandbox, ORGANIZATIONS, page_size=2, project_id=sandbox.project_id)
    columns = ("id", "name", "created_at", "updated_at")
    assert output.records(ORGANIZATIONS) == [
        {name: each.get(name) for name in columns}
        | {"additional_fields": {"metadata": each["metadata"]}}
        for each in sandbox.world.organizations()
    ]
    assert [(request.path, *request.query) for request in sandbox.requests] == [
        (PATHS[ORGANIZATIONS], "page_size"),
        *[(PATHS[ORGANIZATIONS], "page_size", "page_token")] * 2,
    ]
    assert "New field" not in caplog.text


@both
def test_list_is_not_read_unless_selected_and_stands_beside_jobs(
    sandbox: Sandbox, stream: str
) -> None:
    sandbox.world.put(job("a", project_id=sandbox.project_id))
    output = sync(sandbox)
    assert PATHS[stream] not in {request.path for request in sandbox.requests}
    assert stream not in {message["stream"] for message in output.of_type("SCHEMA")}
    sandbox.clear_requests()
    output = sync(sandbox, catalog=select(sandbox, *STREAMS, stream))
    assert output.ids() == ["a"]
    assert output.records(stream) != []
    assert len(sandbox.requests) == 2


@both
def test_every_run_reads_all_of_a_list_and_the_state_keeps_nothing_of_it(
    sandbox: Sandbox, stream: str
) -> None:
    first = fetch(sandbox, stream, start_date="2027-01-01")
    again = fetch(sandbox, stream, state=first.state)
    assert first.records(stream) == again.records(stream) != []
    assert not any(again.state.get("bookmarks", {}).values())


def test_organization_is_sent_and_the_project_is_not(sandbox: Sandbox) -> None:
    scope = {"organization_id": sandbox.world.organization_id, "project_id": sandbox.project_id}
    assert len(fetch(sandbox, **scope).records(PROJECTS)) == 3
    (request,) = sandbox.requests
    assert request.query == {"organization_id": sandbox.world.organization_id}


def test_page_of_projects_is_read_as_a_bare_list_is(sandbox: Sandbox) -> None:
    sandbox.answer_next(200, {"items": [project("a")], "next_page_token": None})
    assert fetch(sandbox).records(PROJECTS) == [project("a") | {"additional_fields": None}]


def test_values_that_do_not_fit_and_new_fields_are_kept_and_counted(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    odd = {"is_default": "yes", "updated_at": "soon", "plan": "free"}
    sandbox.answer_next(200, [project("a", **odd)])
    (row,) = fetch(sandbox).records(PROJECTS)
    assert (row["is_default"], row["updated_at"]) == (None, None)
    assert row["additional_fields"] == odd
    assert "2 values did not fit" in caplog.text
    assert f"New field in the API, kept in additional_fields: '{PROJECTS}.plan'" in caplog.text


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (401, {"detail": "secret"}, "check api_key"),
        (200, [{"name": "secret"}], "answered a project that has no usable id, at position 0"),
        (200, {"projects": ["secret"]}, "answered JSON of another shape than a list of projects"),
    ],
    ids=["refused", "no id", "another shape"],
)
def test_list_that_cannot_be_read_stops_the_run_with_one_line(
    sandbox: Sandbox, quick_command: Command, status: int, body: Any, what: str
) -> None:
    sandbox.answer_next(status, body)
    catalog = select(sandbox, PROJECTS)
    ended = quick_command("--config", config_of(sandbox), "--catalog", catalog)
    error = failure(ended)
    assert f"GET {PATH} at 127.0.0.1" in error
    assert what in error
    assert "secret" not in ended.stderr
    assert ended.output.records(PROJECTS) == []


def test_replication_that_projects_cannot_have_is_refused(sandbox: Sandbox) -> None:
    wish = {"selected": True, "replication_method": "INCREMENTAL"}
    catalog = catalog_with(sandbox, classify_projects=wish)
    with pytest.raises(CatalogError, match=f"{PROJECTS} cannot have that replication method"):
        sync(sandbox, catalog=catalog)


@both
def test_version_is_activated_once_all_of_a_list_is_written(sandbox: Sandbox, stream: str) -> None:
    assert_version_activated_last(fetch(sandbox, stream, emit_activate_version_messages=True))


def test_trial_run_writes_one_project(sandbox: Sandbox, quick_command: Command) -> None:
    arguments = ("--config", config_of(sandbox), "--catalog", select(sandbox, PROJECTS), "--test")
    assert len(success(quick_command(*arguments)).records(PROJECTS)) == 1
