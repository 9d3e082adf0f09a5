"""The list of projects: one request, every row, every time."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.errors import CatalogError
from tests.support.builders import STREAMS, Output, catalog_with, job, sync
from tests.support.commands import Command
from tests.support.items import project

PROJECTS = "classify_projects"
PATH = "/api/v1/projects"

Row = dict[str, Any]


def select(sandbox: Sandbox, *streams: str) -> dict[str, Any]:
    """Make a catalog of some streams."""
    names = (*STREAMS, PROJECTS)
    return catalog_with(sandbox, **{name: {"selected": name in streams} for name in names})


def fetch(sandbox: Sandbox, **config: Any) -> Output:
    """Sync the projects in this process."""
    return sync(sandbox, catalog=select(sandbox, PROJECTS), **config)


def test_rows_are_the_projects_as_the_api_shows_them(sandbox: Sandbox) -> None:
    sandbox.world.put_project({"id": "prj-new", "name": None, "is_default": None})
    rows = fetch(sandbox).records(PROJECTS)
    nothing = dict.fromkeys(rows[0])
    assert rows == [nothing | each for each in sandbox.world.projects()]
    assert len(rows) == 4
    assert [request.target for request in sandbox.requests] == [PATH]


def test_projects_are_not_read_unless_selected(sandbox: Sandbox) -> None:
    output = sync(sandbox)
    assert output.records(PROJECTS) == []
    assert PATH not in {request.path for request in sandbox.requests}
    assert PROJECTS not in {message["stream"] for message in output.of_type("SCHEMA")}


def test_every_run_reads_all_projects_and_the_state_keeps_nothing_of_them(
    sandbox: Sandbox,
) -> None:
    first = fetch(sandbox, start_date="2027-01-01")
    again = sync(sandbox, state=first.state, catalog=select(sandbox, PROJECTS))
    assert first.records(PROJECTS) == again.records(PROJECTS) != []
    assert not any(again.state.get("bookmarks", {}).values())


def test_projects_stand_beside_jobs(sandbox: Sandbox) -> None:
    sandbox.world.put(job("a", project_id=sandbox.project_id))
    output = sync(sandbox, catalog=select(sandbox, *STREAMS, PROJECTS))
    (row,) = output.records("classify_jobs")
    assert row["project_id"] in {each["id"] for each in output.records(PROJECTS)}
    assert len(sandbox.requests) == 2


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
    sandbox.answer_next(200, [project("a", is_default="yes", updated_at="soon", plan="free")])
    (row,) = fetch(sandbox).records(PROJECTS)
    assert (row["is_default"], row["updated_at"]) == (None, None)
    assert row["additional_fields"] == {"is_default": "yes", "updated_at": "soon", "plan": "free"}
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
    config = {"api_url": sandbox.url, "api_key": sandbox.key, "retry_seconds": 0}
    ended = quick_command("--config", config, "--catalog", select(sandbox, PROJECTS))
    assert ended.code == 1
    (error,) = ended.errors
    assert f"GET {PATH} at 127.0.0.1" in error
    assert what in error
    assert "secret" not in ended.stderr
    assert ended.output.records(PROJECTS) == []


def test_replication_that_projects_cannot_have_is_refused(sandbox: Sandbox) -> None:
    catalog = select(sandbox, PROJECTS)
    for entry in catalog["streams"]:
        if entry["tap_stream_id"] == PROJECTS:
            entry["replication_method"] = "INCREMENTAL"
    with pytest.raises(CatalogError, match=f"{PROJECTS} cannot have that replication method"):
        sync(sandbox, catalog=catalog)


def test_version_is_activated_once_all_projects_are_written(sandbox: Sandbox) -> None:
    output = fetch(sandbox, emit_activate_version_messages=True)
    (version,) = output.of_type("ACTIVATE_VERSION")
    rows = output.of_type("RECORD")
    assert {row["version"] for row in rows} == {version["version"]}
    assert output.messages.index(version) > output.messages.index(rows[-1])


def test_trial_run_writes_one_project(sandbox: Sandbox, quick_command: Command) -> None:
    config = {"api_url": sandbox.url, "api_key": sandbox.key, "retry_seconds": 0}
    catalog = select(sandbox, PROJECTS)
    ended = quick_command("--config", config, "--catalog", catalog, "--test")
    assert (ended.code, ended.errors) == (0, [])
    assert len(ended.output.records(PROJECTS)) == 1
