"""Windows side by side: the newest version of a job comes last, and few pages are held."""

from __future__ import annotations

import weakref
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify.api.endpoints import Endpoint
from tap_llamaclassify.api.models import Page
from tests.support.builders import STREAMS, V2_STREAMS, Output, catalog_with, sync
from tests.support.items import v2_job
from tests.support.windows import pages_in_any_order, small_windows

JOBS, RULES, _ = V2_STREAMS
PAGE = 4


def put_at(sandbox: Sandbox, id_: str, created: datetime) -> None:
    """Put a finished job."""
    at = stamp(created)
    sandbox.world.put_v2(v2_job(id_, created_at=at, updated_at=at))


def fill(sandbox: Sandbox, jobs: int, days_ago: int = 0) -> None:
    """Put a job a minute, in no order that pages show: cuts are where a job was created."""
    sandbox.settings.order, sandbox.settings.total_size = "shuffled", True
    for number in range(jobs):
        ago = timedelta(days=days_ago, minutes=number)
        put_at(sandbox, f"clj-{number:03}", sandbox.world.now() - ago)


def run(sandbox: Sandbox, **config: Any) -> Output:
    """Run a sync of v2 jobs."""
    deselected = {name: {"selected": False} for name in (*STREAMS, *V2_STREAMS[1:])}
    catalog = catalog_with(sandbox, **deselected, **{JOBS: {"selected": True}})
    return sync(sandbox, catalog=catalog, page_size=PAGE, **config)


@pytest.mark.parametrize("seed", range(6))
def test_last_row_of_a_job_is_the_newest_version_that_was_read(
    seed: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    fill(sandbox, 80)
    read: defaultdict[str, list[str]] = defaultdict(list)
    parse = Endpoint.parse

    def noting(endpoint: Endpoint, body: bytes) -> Page:
        page = parse(endpoint, body)
        for each in page.items:
            read[each["id"]].append(each["updated_at"])
        return page

    def change_all(_: int) -> None:
        sandbox.world.advance(1)
        for number in range(80):
            sandbox.world.touch_v2(f"clj-{number:03}", error_message="changed")

    monkeypatch.setattr(Endpoint, "parse", noting)
    sandbox.before_page = change_all
    with pages_in_any_order(seed):
        output = run(sandbox, parallel_windows=8)
    last = {row["id"]: row["updated_at"] for row in output.records(JOBS)}
    newest = {id_: max(versions) for id_, versions in read.items()}
    assert len(last) == 80
    assert last == newest
    # There were some that came in a newer version first, and were asked for again.
    assert any(request.values("job_ids") for request in sandbox.requests)


def test_job_that_windows_show_alike_is_not_asked_for_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    fill(sandbox, 80)
    output = run(sandbox, parallel_windows=8)
    rows = [row["id"] for row in output.records(JOBS)]
    assert len(rows) > len({*rows}) == 80
    assert not any(request.values("job_ids") for request in sandbox.requests)


@pytest.mark.parametrize("at_once", [1, 8])
def test_one_page_is_worked_on_and_a_window_holds_one_reply_at_most(
    at_once: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    fill(sandbox, 200)
    pages: list[weakref.ref[Page]] = []
    held: list[int] = []
    replies: list[int] = []
    parse = Endpoint.parse

    def watching(endpoint: Endpoint, body: bytes) -> Page:
        held.append(sum(page() is not None for page in pages))
        asked = len(sandbox.requests) - len(pages)
        replies.append(asked)
        page = parse(endpoint, body)
        pages.append(weakref.ref(page))
        return page

    with mock.patch.object(Endpoint, "parse", watching):
        run(sandbox, parallel_windows=at_once)
    # The first page is looked at for longer.
    assert max(held) <= 2
    assert max(replies) <= at_once
    assert at_once == 1 or max(replies) > 2


def run_rules(sandbox: Sandbox, state: Any) -> Output:
    """Run a sync of the rules of v2 jobs alone."""
    names = (*STREAMS, *V2_STREAMS)
    catalog = catalog_with(sandbox, **{name: {"selected": name == RULES} for name in names})
    return sync(sandbox, state=state, catalog=catalog, page_size=PAGE)


def test_run_that_knows_no_unfinished_jobs_claims_no_windows_beside_a_bookmark(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    fill(sandbox, 80, days_ago=20)
    sandbox.world.touch_v2("clj-003", status="RUNNING")
    put_at(sandbox, "clj-new", sandbox.world.now())
    entry = run_rules(sandbox, None).state["bookmarks"][RULES]
    # The stream that kept them was taken out of the state.
    entry |= {"unfinished_of": JOBS}
    entry.pop("unfinished", None)
    sandbox.world.advance(3600)
    sandbox.world.touch_v2("clj-003", status="COMPLETED")
    output = run_rules(sandbox, {"bookmarks": {RULES: entry}})
    states = [message["value"] for message in output.of_type("STATE")]
    assert all(state["bookmarks"][RULES] == entry for state in states[:-1])
    assert "clj-003" in {row["job_id"] for row in output.records(RULES)}


def test_state_of_windows_leaves_nothing_of_an_older_one_where_states_are_merged(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    fill(sandbox, 80)
    entries = [
        message["value"]["bookmarks"][JOBS] for message in run(sandbox).of_type("STATE")[:-1]
    ]
    begun = [entry for entry in entries if "reading_began_at" in entry]
    assert begun
    assert all({"created_at_read", "created_at_read_until"} <= entry.keys() for entry in begun)
