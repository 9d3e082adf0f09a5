"""The Airbyte source: its form, its streams, what it sends, and what it goes on from."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify import History
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.tables.tables import TABLES
from tests.support.airbyte import MODULE, Said, configured, source
from tests.support.api_rows import KEYS, V2_KEYS, keyed_by
from tests.support.builders import DEFAULT_STREAMS, STREAMS, V2_STREAMS, job
from tests.support.commands import ended
from tests.support.items import v2_job
from tests.support.runs import config_of, put, put_v2

V2_JOBS, PROJECTS = "classify_v2_jobs", "classify_projects"
LATER = "2026-11-02T08:00:00.000000Z"


@pytest.fixture
def sandbox(sandbox: Sandbox) -> Sandbox:
    """Run an API with some jobs of both versions."""
    put(sandbox, *(job(f"one {n}") for n in range(3)))
    put_v2(sandbox, *(f"two {n}" for n in range(5)))
    return sandbox


# spec, check, discover


def test_spec_describes_every_setting_once_with_its_group_and_place(tmp_path: Path) -> None:
    said = source(tmp_path, "spec")
    (spec,) = said.of_type("SPEC")
    assert (said.code, len(said.messages), said.stderr) == (0, 1, "")
    form = spec["connectionSpecification"]
    assert form["properties"].keys() == Settings.model_fields.keys()
    orders = [it["order"] for it in form["properties"].values()]
    assert orders == [*range(len(orders))]
    groups = {it["group"] for it in form["properties"].values()}
    assert groups == {group["id"] for group in form["groups"]}
    assert all(isinstance(it["type"], str) for it in form["properties"].values())


def test_spec_marks_keys_as_secrets_wherever_they_stand(tmp_path: Path) -> None:
    (spec,) = source(tmp_path, "spec").of_type("SPEC")
    settings = spec["connectionSpecification"]["properties"]
    assert [name for name, it in settings.items() if it.get("airbyte_secret")] == ["api_key"]
    inner = settings["connections"]["items"]["properties"]
    assert [name for name, it in inner.items() if it.get("airbyte_secret")] == ["api_key"]


def test_check_of_a_good_key_succeeds_with_one_message(sandbox: Sandbox, tmp_path: Path) -> None:
    said = source(tmp_path, "check", config=config_of(sandbox))
    assert said.of_type("CONNECTION_STATUS") == [{"status": "SUCCEEDED"}]
    assert said.code == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"api_key": "llx-wrong"}, "check api_key"),
        ({"api_key": ""}, "api_key is empty"),
        ({"page_sise": 5}, "did you mean page_size?"),
    ],
    ids=["wrong key", "no key", "unknown setting"],
)
def test_check_of_what_cannot_work_says_why_and_shows_no_key(
    sandbox: Sandbox, tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    said = source(tmp_path, "check", config=config_of(sandbox) | change)
    (status,) = said.of_type("CONNECTION_STATUS")
    assert (said.code, status["status"]) == (0, "FAILED")
    assert text in status["message"]
    assert "llx-" not in str(said.messages)


def test_check_takes_a_v1_that_is_gone_for_nothing_to_worry_about(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.settings.gone = {"/api/v1/classifier": 410}
    said = source(tmp_path, "check", config=config_of(sandbox))
    assert said.of_type("CONNECTION_STATUS") == [{"status": "SUCCEEDED"}]


def test_discover_lists_every_table_with_keys_cursor_and_types(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    said = source(tmp_path, "discover", config=config_of(sandbox))
    (catalog,) = said.of_type("CATALOG")
    by_name = {stream["name"]: stream for stream in catalog["streams"]}
    assert [*by_name] == [table.name for table in TABLES]
    jobs, projects = by_name[V2_JOBS], by_name[PROJECTS]
    assert jobs["supported_sync_modes"] == ["full_refresh", "incremental"]
    assert (jobs["source_defined_cursor"], jobs["default_cursor_field"]) == (True, ["updated_at"])
    assert jobs["source_defined_primary_key"] == [["id"]]
    assert by_name["classify_job_rules"]["source_defined_primary_key"] == [
        ["job_id"],
        ["rule_index"],
    ]
    assert projects["supported_sync_modes"] == ["full_refresh"]
    assert "default_cursor_field" not in projects
    columns = jobs["json_schema"]["properties"]
    assert columns["updated_at"]["airbyte_type"] == "timestamp_with_timezone"
    assert columns["rule_count"]["airbyte_type"] == "integer"
    assert sandbox.requests == []


# read


def test_read_sends_the_rows_that_python_gets(sandbox: Sandbox, tmp_path: Path) -> None:
    config = config_of(sandbox)
    said = source(tmp_path, "read", config=config, catalog=configured(*DEFAULT_STREAMS), state=[])
    assert said.code == 0
    history = {name: list[Any]() for name in DEFAULT_STREAMS}
    for table, batch in History(config):
        history[table] += batch.to_pylist()
    for name, key in (KEYS | V2_KEYS).items():
        sent = keyed_by(key, said.rows(name))
        assert sent.keys() == keyed_by(key, history[name]).keys() != set()
    columns = {table.name: table for table in TABLES}[V2_JOBS].rows([{"id": "a"}])[0].keys()
    assert said.rows(V2_JOBS)[0].keys() == columns


def test_each_stream_starts_runs_and_completes_and_its_states_count_its_records(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    names = (*V2_STREAMS, PROJECTS)
    said = source(tmp_path, "read", config=config_of(sandbox), catalog=configured(*names), state=[])
    for name in names:
        assert said.statuses(name) == ["STARTED", "RUNNING", "COMPLETE"]
        told = records = 0
        for message in said.messages:
            match message:
                case {"type": "RECORD", "record": {"stream": stream}} if stream == name:
                    records += 1
                case {"type": "STATE", "state": state} if state["stream"]["stream_descriptor"] == {
                    "name": name
                }:
                    told += state["sourceStats"]["recordCount"]
                    assert told == records, "a state speaks of what came before it"
        assert told == records > 0
    assert {state["type"] for state in said.of_type("STATE")} == {"STREAM"}
    assert {each["level"] for each in said.of_type("LOG")} <= {"INFO", "WARN"}


def test_incremental_read_goes_on_from_the_states_and_moves_little(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    given: dict[str, Any] = {
        "config": config_of(sandbox, lookback_seconds=0),
        "catalog": configured(*DEFAULT_STREAMS),
    }
    first = source(tmp_path, "read", **given, state=[])
    put_v2(sandbox, "new", updated_at=LATER, created_at=LATER)
    again = source(tmp_path, "read", **given, state=first.states)
    assert "new" in {row["id"] for row in again.rows(V2_JOBS)}
    third = source(tmp_path, "read", **given, state=again.states)
    assert {row["id"] for row in third.rows(V2_JOBS)} == {"new"}
    assert third.kept(V2_JOBS)["replication_key_value"] == LATER
    # The state has the form of the tap's own.
    history = History(given["config"], state={"bookmarks": {V2_JOBS: third.kept(V2_JOBS)}})
    assert history.state["bookmarks"][V2_JOBS] == third.kept(V2_JOBS)


def test_stream_that_has_full_refresh_only_is_read_in_full_though_incremental_is_asked_for(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"config": config_of(sandbox), "catalog": configured(PROJECTS)}
    first = source(tmp_path, "read", **given, state=[])
    again = source(tmp_path, "read", **given, state=first.states)
    assert len(again.rows(PROJECTS)) == len(first.rows(PROJECTS)) == 3


def test_full_refresh_begins_at_the_beginning_unless_it_was_broken_off_itself(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    config = config_of(sandbox, lookback_seconds=0)

    def read(generation: int | None, state: Any) -> Any:
        more = {} if generation is None else {"generation_id": generation}
        catalog = configured(V2_JOBS, mode="full_refresh", **more)
        return source(tmp_path, "read", config=config, catalog=catalog, state=state)

    put_v2(sandbox, "last", updated_at=LATER, created_at=LATER)
    first = read(1, [])
    assert len(first.rows(V2_JOBS)) == 6
    assert len(read(1, first.states).rows(V2_JOBS)) == 1
    assert len(read(2, first.states).rows(V2_JOBS)) == 6
    # The first one of a stream has the number 0.
    assert len(read(0, read(0, []).states).rows(V2_JOBS)) == 1
    assert len(read(None, first.states).rows(V2_JOBS)) == 6


def test_connections_keep_a_part_each_in_the_state_of_a_stream(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    keys = [*sandbox.keys.values()]
    connections = [{"name": f"c{n}", "api_key": key} for n, key in enumerate(keys[:2])]
    config = {"api_url": sandbox.url, "retry_seconds": 0, "connections": connections}
    given: dict[str, Any] = {"config": config, "catalog": configured(V2_JOBS)}
    first = source(tmp_path, "read", **given, state=[])
    names = [each["context"]["connection"] for each in first.kept(V2_JOBS)["partitions"]]
    assert names == ["c0", "c1"]
    assert source(tmp_path, "read", **given, state=first.states).code == 0


def test_full_refresh_that_nothing_goes_on_from_lists_jobs_without_a_creation_too(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    put_v2(sandbox, *(f"many {n}" for n in range(300)))
    put_v2(sandbox, "never created", created_at=None)
    config = config_of(sandbox, page_size=20)
    catalog = configured(V2_JOBS, mode="full_refresh")
    said = source(tmp_path, "read", config=config, catalog=catalog)
    assert len(said.rows(V2_JOBS)) == 306
    assert said.kept(V2_JOBS) == {"__ab_no_cursor_state_message": True}


@pytest.mark.parametrize(
    "handed_in",
    [lambda state: state, lambda state: {"type": "STATE", "state": state}],
    ids=["by a platform", "as it was written"],
)
def test_states_are_taken_as_they_are_written_and_as_platforms_hand_them_in(
    sandbox: Sandbox, tmp_path: Path, handed_in: Callable[[Any], Any]
) -> None:
    given: dict[str, Any] = {
        "config": config_of(sandbox, lookback_seconds=0),
        "catalog": configured(V2_JOBS),
    }
    put_v2(sandbox, "last", updated_at=LATER, created_at=LATER)
    # Some hand in an empty object where there is none.
    states = source(tmp_path, "read", **given, state={}).states
    said = source(tmp_path, "read", **given, state=[*map(handed_in, states)])
    assert {row["id"] for row in said.rows(V2_JOBS)} == {"last"}


# Errors


def test_key_that_is_refused_is_one_error_and_all_streams_are_incomplete(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    names = (*STREAMS, *V2_STREAMS, PROJECTS)
    config = config_of(sandbox) | {"api_key": "llx-wrong"}
    said = source(tmp_path, "read", config=config, catalog=configured(*names), state=[])
    assert said.error["failure_type"] == "config_error"
    assert "check api_key" in said.error["message"]
    assert {said.statuses(name)[-1] for name in names} == {"INCOMPLETE"}
    assert said.states == []
    assert "llx-" not in str(said.messages) + said.stderr
    assert "Traceback" not in said.stderr


def test_api_that_is_down_is_a_transient_error(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.settings.gone = {"/api/v2/classify": 503}
    said = source(
        tmp_path, "read", config=config_of(sandbox), catalog=configured(V2_JOBS), state=[]
    )
    assert said.error["failure_type"] == "transient_error"


def test_api_that_answers_no_json_is_a_system_error(sandbox: Sandbox, tmp_path: Path) -> None:
    sandbox.fail_next("html-200", times=9)
    said = source(tmp_path, "read", config=config_of(sandbox), catalog=configured(V2_JOBS))
    assert said.error["failure_type"] == "system_error"


def test_error_is_transient_only_if_nobody_has_to_do_anything(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    connections = [{"name": "good", "api_key": sandbox.key}, {"name": "bad", "api_key": "llx-no"}]
    config = {"api_url": sandbox.url, "retry_seconds": 0, "connections": connections}
    config["parallel_connections"] = 1
    sandbox.fail_next("503")
    said = source(tmp_path, "read", config=config, catalog=configured(V2_JOBS))
    assert "2 of 2 connections failed" in said.error["message"]
    assert said.error["failure_type"] == "config_error"


def test_replies_of_several_connections_that_cannot_be_read_are_a_system_error(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    connections = [{"name": "c0", "api_key": sandbox.key}]
    config = {"api_url": sandbox.url, "retry_seconds": 0, "connections": connections}
    sandbox.fail_next("html-200", times=9)
    said = source(tmp_path, "read", config=config, catalog=configured(V2_JOBS))
    assert said.error["failure_type"] == "system_error"


@pytest.mark.parametrize(
    ("gone", "name"),
    [("/api/v1/classifier", "classify_jobs"), ("/api/v1/beta/usage-metrics", "classify_usage")],
    ids=["v1", "a beta"],
)
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"mode": "incremental"}, 0),
        ({"mode": "incremental", "generation_id": 3, "minimum_generation_id": 0}, 0),
        ({"mode": "incremental", "generation_id": 3, "minimum_generation_id": 3}, 1),
        ({"mode": "full_refresh", "destination_sync_mode": "append"}, 0),
        ({"mode": "full_refresh", "destination_sync_mode": "overwrite"}, 1),
        ({"mode": "full_refresh", "destination_sync_mode": "overwrite_dedup"}, 1),
    ],
    ids=lambda value: str(value)[:60],
)
def test_stream_that_could_not_be_read_is_not_complete_where_it_would_be_emptied(
    sandbox: Sandbox, tmp_path: Path, gone: str, name: str, how: dict[str, Any], code: int
) -> None:
    sandbox.settings.gone = {gone: 404}
    catalog = configured(name, *V2_STREAMS, **how)
    said = source(tmp_path, "read", config=config_of(sandbox), catalog=catalog)
    assert said.statuses(name)[-1] == ("INCOMPLETE" if code else "COMPLETE")
    assert said.statuses(V2_JOBS)[-1] == "COMPLETE"
    assert said.code == code


@pytest.mark.parametrize("name", ["classify_files", "classify_job_timings"])
@pytest.mark.parametrize(
    "how",
    [
        {"mode": "full_refresh", "destination_sync_mode": "overwrite_dedup"},
        {"mode": "full_refresh", "generation_id": 2, "minimum_generation_id": 2},
    ],
    ids=["overwrite", "generations"],
)
def test_stream_of_which_a_read_has_only_a_part_is_not_taken_for_all_of_it(
    sandbox: Sandbox, tmp_path: Path, name: str, how: dict[str, Any]
) -> None:
    catalog = configured(name, V2_JOBS, **how)
    said = source(tmp_path, "read", config=config_of(sandbox), catalog=catalog)
    assert f"catalog: {name} cannot replace what was loaded before" in said.error["message"]
    assert sandbox.requests == []


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"catalog": {}}, "catalog: it has no list of streams"),
        ({"catalog": configured("nope")}, "catalog: there is no stream 'nope'"),
        ({"catalog": {"streams": [5]}}, "catalog: it holds what is no configured stream"),
        ({"catalog": "no json"}, "--catalog: the file is no JSON"),
        ({"config": []}, "--config: the file holds no JSON object"),
        ({"state": {"streams": 1}}, "state: it is no list of state messages"),
        ({"state": [{"type": "GLOBAL"}]}, "state: it holds what is no state of a stream"),
        ({"catalog": configured("classify_job_results")}, "which fetch_results allows: set it"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_read_is_one_error_before_the_first_request(
    sandbox: Sandbox, tmp_path: Path, files: dict[str, Any], text: str
) -> None:
    given = {"config": config_of(sandbox), "catalog": configured(V2_JOBS), "state": []} | files
    said = source(tmp_path, "read", **given)
    assert text in said.error["message"]
    assert said.error["failure_type"] == "config_error"
    assert sandbox.requests == []


def test_state_with_a_field_that_is_not_understood_is_refused(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    descriptor = {"name": V2_JOBS}
    state = [
        {
            "type": "STREAM",
            "stream": {"stream_descriptor": descriptor, "stream_state": {"cursor": 5}},
        }
    ]
    catalog = configured(V2_JOBS)
    said = source(tmp_path, "read", config=config_of(sandbox), catalog=catalog, state=state)
    assert "cursor is not known to this version" in said.error["message"]


@pytest.mark.parametrize(
    ("redirected", "text"),
    [
        ("| true", "the loader has closed the pipe"),
        ("> /dev/full", "cannot write to standard output: No space left on device"),
        (">&-", "standard output is closed"),
    ],
    ids=["whoever reads is gone", "the disk is full", "it is closed"],
)
def test_standard_output_that_takes_nothing_is_one_line_on_standard_error(
    sandbox: Sandbox, tmp_path: Path, redirected: str, text: str
) -> None:
    # More than a pipe holds.
    put_v2(sandbox, *(f"many {n}" for n in range(2000)))
    (tmp_path / "config.json").write_text(json.dumps(config_of(sandbox)))
    (tmp_path / "catalog.json").write_text(json.dumps(configured(V2_JOBS)))
    words = f"{sys.executable} -m {MODULE} read --config config.json --catalog catalog.json"
    done = ended(["bash", "-c", f"set -o pipefail; {words} {redirected}"], cwd=tmp_path)
    assert (done.code, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"ERROR: {text}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_read_with_its_code_and_one_line(
    sandbox: Sandbox, tmp_path: Path, number: signal.Signals
) -> None:
    sandbox.fail_next("stalled-before")
    command = [sys.executable, "-m", MODULE, "read"]
    for name, content in (("config", config_of(sandbox)), ("catalog", configured(V2_JOBS))):
        (tmp_path / name).write_text(json.dumps(content))
        command += [f"--{name}", str(tmp_path / name)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert b"STARTED" in process.stdout.readline()
        process.send_signal(number)
        _, stderr = process.communicate()
    assert process.returncode == 128 + number
    assert stderr.decode().startswith(f"ERROR: stopped by {number.name}")
    assert stderr.count(b"\n") == 1


def test_defect_is_one_system_error_that_shows_nothing_of_the_data(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    code = (
        "import sys\nfrom tap_llamaclassify.airbyte import command, source\n"
        "def fail(*_): raise KeyError('text of a document')\n"
        "source.Read._write = fail\nsys.exit(command.main())"
    )
    (tmp_path / "broken.py").write_text(code)
    said = source(
        tmp_path,
        "read",
        command=[sys.executable, tmp_path / "broken.py"],
        config=config_of(sandbox),
        catalog=configured(V2_JOBS),
    )
    assert said.error["failure_type"] == "system_error"
    assert "this is a defect of the tap: KeyError in broken.py, line 3" in said.error["message"]
    assert "document" not in str(said.messages) + said.stderr


CANNOT_BE_WRITTEN = """
import sys
from tap_llamaclassify.airbyte import command
from tap_llamaclassify.errors import ReplyError
from tap_llamaclassify.tables.tables import Table

rows = Table.rows

def fail(self, items):
    if any(item["id"] == "too deep" for item in items):
        raise ReplyError("answered JSON that is nested too deeply to be written")
    return rows(self, items)

Table.rows = fail
sys.exit(command.main())
"""


def test_rows_of_one_connection_that_cannot_be_written_leave_those_of_the_others(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    projects = [*sandbox.keys]
    sandbox.world.put_v2(v2_job("too deep", project_id=projects[1]))
    connections = [
        {"name": f"c{n}", "api_key": sandbox.keys[project]}
        for n, project in enumerate(projects[:2])
    ]
    config = {"api_url": sandbox.url, "retry_seconds": 0, "connections": connections}
    (tmp_path / "failing.py").write_text(CANNOT_BE_WRITTEN)
    command = [sys.executable, tmp_path / "failing.py"]
    said = source(tmp_path, "read", command=command, config=config, catalog=configured(V2_JOBS))
    assert "1 of 2 connections failed (c1)" in said.error["message"]
    assert len(said.rows(V2_JOBS)) == 5
    assert said.statuses(V2_JOBS)[-1] == "INCOMPLETE"
    names = [each["context"]["connection"] for each in said.kept(V2_JOBS)["partitions"]]
    assert names == ["c0"]


# What is told besides


def test_read_says_what_is_new_in_the_api_what_did_not_fit_and_what_it_took(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    put_v2(sandbox, "odd", shape={"new": 1}, result={"type": "a", "confidence": "high"})
    said = source(tmp_path, "read", config=config_of(sandbox), catalog=configured(V2_JOBS))
    told = "\n".join(each["message"] for each in said.of_type("LOG"))
    assert "New field in the API, kept in additional_fields: 'classify_v2_jobs.shape'" in told
    assert "1 values did not fit their columns" in told
    assert "Rows: classify_v2_jobs 6." in told


def warnings_of(said: Said) -> list[str]:
    return [each["message"] for each in said.of_type("LOG") if each["level"] == "WARN"]


def test_key_that_travels_unencrypted_is_told(tmp_path: Path) -> None:
    config = {"api_url": "http://host.invalid", "api_key": "llx-x", "allow_insecure_http": True}
    said = source(
        tmp_path, "read", config=config | {"retry_seconds": 0}, catalog=configured(V2_JOBS)
    )
    (warning,) = warnings_of(said)
    assert warning.startswith("allow_insecure_http: the key travels unencrypted")


def test_who_has_no_job_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    empty = config_of(sandbox) | {"api_key": [*sandbox.keys.values()][1]}
    (warning,) = warnings_of(source(tmp_path, "read", config=empty, catalog=configured(V2_JOBS)))
    assert warning.startswith("No jobs: asked were v2 at 127.0.0.1")


def test_v1_that_is_gone_is_told_and_its_streams_are_complete(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.settings.gone = {"/api/v1/classifier": 404}
    catalog = configured(*DEFAULT_STREAMS)
    said = source(tmp_path, "read", config=config_of(sandbox), catalog=catalog)
    (warning,) = warnings_of(said)
    assert "their v2 tables are read" in warning
    assert (said.code, said.statuses("classify_jobs")) == (0, ["STARTED", "COMPLETE"])
    # What was loaded before stays, for that is what incremental is.


def test_state_that_nothing_goes_on_from_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    projects, keys = zip(*sandbox.keys.items(), strict=True)
    sandbox.world.put_v2(v2_job("of c1", project_id=projects[1]))
    config = {"api_url": sandbox.url, "retry_seconds": 0}
    catalog = configured(V2_JOBS)
    both = [{"name": f"c{n}", "api_key": key} for n, key in enumerate(keys[:2])]
    state = source(tmp_path, "read", config=config | {"connections": both}, catalog=catalog).states
    alone = config | {"connections": both[:1]}
    said = source(tmp_path, "read", config=alone, catalog=catalog, state=state)
    assert warnings_of(said) == [
        "The state has bookmarks of connections that are not set (c1); they are kept"
    ]


# Nothing is lost


def test_read_that_is_killed_at_any_line_is_gone_on_with(sandbox: Sandbox, tmp_path: Path) -> None:
    for number in range(120):
        put_v2(sandbox, f"many {number}", created_at=f"2026-11-{number % 20 + 1:02}T08:00:00Z")
    config = config_of(sandbox, page_size=10, lookback_seconds=0)
    given: dict[str, Any] = {"config": config, "catalog": configured(*DEFAULT_STREAMS)}
    whole = source(tmp_path, "read", **given, state=[])
    for cut in (len(whole.messages) // 3, len(whole.messages) * 2 // 3, len(whole.messages) - 3):
        some = Said(0, whole.messages[:cut], "")
        rest = source(tmp_path, "read", **given, state=some.states)
        for name, key in (KEYS | V2_KEYS).items():
            both = {tuple(row[k] for k in key) for said in (some, rest) for row in said.rows(name)}
            assert both == {tuple(row[k] for k in key) for row in whole.rows(name)}
