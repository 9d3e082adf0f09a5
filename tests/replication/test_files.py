"""The files that jobs and results name: by their ids, before a bookmark passes the jobs."""

from __future__ import annotations

from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify import read_table
from tests.support.api_rows import KEYS
from tests.support.builders import Output, job, new_tap, sync, written_by
from tests.support.commands import Command
from tests.support.items import file, result, v2_job
from tests.support.runs import config_of, failure, select, success, warning

FILES, V2_JOBS, RESULTS = "classify_files", "classify_v2_jobs", "classify_job_results"
PATH = "/api/v1/beta/files"


def put(sandbox: Sandbox, *names: str, **fields: Any) -> None:
    """Put v2 jobs, each with a file of its own."""
    for name in names:
        given = {"project_id": sandbox.project_id, "file_input": f"dfl-{name}"} | fields
        sandbox.world.put_v2(v2_job(name, **given))
        sandbox.world.put_file(file(f"dfl-{name}", project_id=sandbox.project_id))


def fetch(sandbox: Sandbox, *others: str, **more: Any) -> Output:
    """Sync files and other streams, v2 jobs unless told otherwise, in this process."""
    sandbox.clear_requests()
    return sync(sandbox, catalog=select(sandbox, FILES, *(others or [V2_JOBS])), **more)


def ids(output: Output) -> list[str]:
    """Return the ids of the files that were written, sorted."""
    return sorted(row["id"] for row in output.records(FILES))


def asked(sandbox: Sandbox) -> list[list[str]]:
    """Return the ids that each request for files had."""
    return [each.values("file_ids") for each in sandbox.requests if each.path == PATH]


def test_rows_are_the_files_that_jobs_name_and_no_others(sandbox: Sandbox) -> None:
    put(sandbox, "a", "b")
    put(sandbox, "parsed", document_input_type="parse_job_id", file_input="pjb-1")
    put(sandbox, "linked", document_input_type="url", file_input="https://example.com/a.pdf")
    sandbox.world.put_file(file("dfl-other", project_id=sandbox.project_id))
    output = fetch(sandbox)
    shown = {each["id"]: each for each in sandbox.world.files()}
    assert ids(output) == ["dfl-a", "dfl-b"]
    for row in output.records(FILES):
        assert row == shown[row["id"]] | {"additional_fields": None}
    (request,) = [each for each in sandbox.requests if each.path == PATH]
    assert {*request.query} == {"page_size", "file_ids"}
    assert request.query["page_size"] == "1000"


def test_files_of_results_are_read_too(sandbox: Sandbox) -> None:
    sandbox.world.put(job("job", project_id=sandbox.project_id))
    sandbox.world.put_results("job", [result("r", file_id="f"), result("s", file_id=None)])
    sandbox.world.put_file(file("f", project_id=sandbox.project_id))
    assert ids(fetch(sandbox, RESULTS, fetch_results=True)) == ["f"]


def test_file_is_asked_for_once_however_many_jobs_name_it(sandbox: Sandbox) -> None:
    put(sandbox, *(f"{n}" for n in range(250)), file_input="dfl-same")
    sandbox.world.put_file(file("dfl-same", project_id=sandbox.project_id))
    assert ids(fetch(sandbox)) == ["dfl-same"]
    assert asked(sandbox) == [["dfl-same"]]


def test_later_run_asks_for_the_files_of_what_has_changed(sandbox: Sandbox) -> None:
    put(sandbox, "a", "b")
    put(sandbox, "last", updated_at="2026-11-02T07:00:00Z")
    state = fetch(sandbox, lookback_seconds=0).state
    put(sandbox, "c", updated_at="2026-11-02T08:00:00Z")
    again = fetch(sandbox, state=state, lookback_seconds=0)
    assert ids(again) == ["dfl-c", "dfl-last"]


def test_as_many_are_asked_for_at_once_as_an_address_holds(sandbox: Sandbox) -> None:
    names = [f"{n:024x}" for n in range(400)]
    put(sandbox, *names)
    assert len(ids(fetch(sandbox))) == 400
    assert [len(some) for some in asked(sandbox)] == [157, 157, 86]
    assert max(len(each.target) for each in sandbox.requests) < 8000


def test_ids_of_any_length_and_kind_are_asked_for_as_far_as_they_can_be(sandbox: Sandbox) -> None:
    put(sandbox, "ä&=?/ 🦙", "x" * 3000, "y" * 2990, "z" * 9000)
    assert ids(fetch(sandbox)) == sorted(
        f"dfl-{name}" for name in ("ä&=?/ 🦙", "x" * 3000, "y" * 2990)
    )


def test_bookmark_of_the_jobs_moves_when_their_files_are_written(sandbox: Sandbox) -> None:
    put(sandbox, "a")
    messages = fetch(sandbox).messages
    kinds = [(message["type"], message.get("stream")) for message in messages]
    moved = [
        place
        for place, message in enumerate(messages)
        if message["type"] == "STATE"
        and message["value"]["bookmarks"][V2_JOBS].get("replication_key_value")
    ]
    assert kinds.index(("RECORD", FILES)) < moved[0]


@pytest.mark.parametrize("way", ["uuid", "ignored"])
def test_where_files_cannot_be_asked_for_by_id_all_are_listed_once(
    sandbox: Sandbox, way: Any
) -> None:
    sandbox.settings.file_ids = way
    put(sandbox, *(f"{n}" for n in range(300)))
    sandbox.world.put_file(file("dfl-other", project_id=sandbox.project_id))
    output = fetch(sandbox)
    # Where the first request is answered with all, some come twice.
    assert {*ids(output)} == {f"dfl-{n}" for n in range(300)}
    assert [bool(some) for some in asked(sandbox)] == [True, False]
    # What the state says of the jobs waits for that.
    kinds = [message["type"] for message in output.messages]
    assert kinds.index("STATE") > max(n for n, kind in enumerate(kinds) if kind == "RECORD")
    assert output.bookmarks()[V2_JOBS] == "2026-11-01T08:00:00.000000Z"
    assert {*ids(fetch(sandbox, state=output.state))} == {*ids(output)}


def test_file_whose_id_the_list_shows_without_its_prefix_is_found(sandbox: Sandbox) -> None:
    put(sandbox, "a")
    sandbox.answer_next(200, {"items": [v2_job("a", file_input="dfl-a")]})
    sandbox.answer_next(200, {"items": [file("a", project_id=sandbox.project_id)]})
    assert ids(fetch(sandbox)) == ["a"]
    assert len(asked(sandbox)) == 1


def test_refusal_that_does_not_say_why_is_taken_to_be_of_the_ids(sandbox: Sandbox) -> None:
    put(sandbox, "a")
    sandbox.answer_next(200, {"items": [v2_job("a", file_input="dfl-a")]})
    sandbox.answer_next(422, {"detail": "Invalid file id"})
    assert ids(fetch(sandbox)) == ["dfl-a"]
    assert asked(sandbox) == [["dfl-a"], []]


def test_files_come_though_the_results_of_a_job_cannot_be_had(
    sandbox: Sandbox, quick_command: Command
) -> None:
    sandbox.world.put(job("good", project_id=sandbox.project_id))
    sandbox.world.put_results("good", [result("r", file_id="f")])
    sandbox.world.put_file(file("f", project_id=sandbox.project_id))
    sandbox.world.put(job("odd", project_id=sandbox.project_id))
    sandbox.settings.gone = {"/api/v1/classifier/jobs/odd": 500}
    catalog = select(sandbox, FILES, RESULTS)
    for entry in catalog["streams"]:
        entry["replication_method"] = "FULL_TABLE"
    config = config_of(sandbox, fetch_results=True)
    ended = quick_command("--config", config, "--catalog", catalog)
    assert "the results of 1 job cannot be had" in failure(ended)
    assert ids(ended.output) == ["f"]


@pytest.mark.parametrize("status", [403, 404])
def test_files_that_the_key_may_not_have_fail_the_run_when_all_else_is_synced(
    sandbox: Sandbox, quick_command: Command, status: int
) -> None:
    put(sandbox, "a")
    sandbox.settings.gone = {PATH: status}
    catalog = select(sandbox, FILES, V2_JOBS, "classify_projects")
    ended = quick_command("--config", config_of(sandbox), "--catalog", catalog)
    error = failure(ended)
    assert f"answered {status}" in error
    assert f"or deselect {FILES}" in error
    assert len(ended.output.records(V2_JOBS)) == 1
    assert len(ended.output.records("classify_projects")) == 3
    # The next run brings the files of these jobs, too.
    assert ended.output.of_type("STATE") == []
    sandbox.settings.gone = {}
    again = quick_command("--config", config_of(sandbox), "--catalog", catalog)
    assert ids(success(again)) == ["dfl-a"]


def test_files_that_cannot_be_had_now_keep_the_bookmark_of_their_jobs_where_it_is(
    sandbox: Sandbox,
) -> None:
    put(sandbox, "a")
    catalog = select(sandbox, FILES, V2_JOBS)
    first = new_tap(sandbox, catalog=catalog)
    sandbox.settings.gone = {PATH: 503}
    text, error = written_by(first)
    assert "answered 503" in str(error)
    assert "replication_key_value" not in text
    sandbox.settings.gone = {}
    assert ids(fetch(sandbox)) == ["dfl-a"]


def test_no_version_is_activated_for_a_run_has_not_all_files(sandbox: Sandbox) -> None:
    put(sandbox, "a")
    output = fetch(sandbox, V2_JOBS, "classify_projects", emit_activate_version_messages=True)
    assert {m["stream"] for m in output.of_type("ACTIVATE_VERSION")} == {"classify_projects"}
    assert all("version" not in m for m in output.of_type("RECORD") if m["stream"] == FILES)


@pytest.mark.parametrize("others", [(), [*KEYS]], ids=["alone", "beside v1 jobs"])
def test_files_without_a_stream_that_names_any_are_a_warning(
    sandbox: Sandbox, quick_command: Command, others: list[str]
) -> None:
    put(sandbox, "a")
    sandbox.world.put(job("one", project_id=sandbox.project_id))
    catalog = select(sandbox, FILES, *others)
    ended = quick_command("--config", config_of(sandbox), "--catalog", catalog)
    assert f"select {V2_JOBS} or {RESULTS} with it" in warning(ended)
    assert ids(success(ended)) == []
    assert asked(sandbox) == []


def test_table_of_files_is_one_line_of_python(sandbox: Sandbox) -> None:
    put(sandbox, "a", "b")
    files = read_table("classify_files", {"api_url": sandbox.url, "api_key": sandbox.key})
    assert sorted(files["id"].to_pylist()) == ["dfl-a", "dfl-b"]
