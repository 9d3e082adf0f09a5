"""The list of organizations: paged, every row, every time, and only if selected."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tests.support.builders import STREAMS, V2_STREAMS, Output, catalog_with, sync

ORGANIZATIONS = "classify_organizations"
PATH = "/api/v2/organizations"


def fetch(sandbox: Sandbox, state: Any = None, **config: Any) -> Output:
    """Sync the organizations in this process."""
    names = (*STREAMS, *V2_STREAMS, ORGANIZATIONS)
    wishes = {name: {"selected": name == ORGANIZATIONS} for name in names}
    return sync(sandbox, catalog=catalog_with(sandbox, **wishes), state=state, **config)


def test_rows_are_all_organizations_page_by_page(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number in range(4):
        sandbox.world.put_organization({"id": f"org-{number}", "name": None, "metadata": {}})
    output = fetch(sandbox, page_size=2, project_id=sandbox.project_id)
    nothing = dict.fromkeys(("created_at", "updated_at"))
    assert output.records(ORGANIZATIONS) == [
        {name: each.get(name) for name in ("id", "name")}
        | nothing
        | {name: each[name] for name in nothing if name in each}
        | {"additional_fields": {"metadata": each["metadata"]}}
        for each in sandbox.world.organizations()
    ]
    assert [(request.path, *request.query) for request in sandbox.requests] == [
        (PATH, "page_size"),
        *[(PATH, "page_size", "page_token")] * 2,
    ]
    assert "New field" not in caplog.text


def test_every_run_reads_all_organizations_and_the_state_keeps_nothing_of_them(
    sandbox: Sandbox,
) -> None:
    first = fetch(sandbox)
    again = fetch(sandbox, first.state)
    assert first.records(ORGANIZATIONS) == again.records(ORGANIZATIONS) != []
    assert not any(again.state.get("bookmarks", {}).values())


def test_organizations_are_not_read_unless_selected(sandbox: Sandbox) -> None:
    sync(sandbox)
    assert PATH not in {request.path for request in sandbox.requests}
