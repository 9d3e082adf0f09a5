"""What must hold of every stream's output, and singer-sdk's standard suite does not look at.

Each test runs for each stream that the tap has, those among them that are yet to come.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.tables.schemas import schema_folder
from tap_llamaclassify.tables.tables import TABLES
from tests.support.builders import V2_STREAMS, Message, Output, job, new_tap, sync
from tests.support.commands import Command, Ended, ended
from tests.support.items import configuration, project, result, v2_job
from tests.support.loaders import installed
from tests.support.runs import config_of, select

STREAMS = sorted(path.stem for path in schema_folder().iterdir())
REPLICATION_KEYS = {table.name: table.replication_key for table in TABLES}
CHECKER = "singer-tools==0.4.1"
FIXED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
RULE = {"type": "invoice", "description": "has an invoice number"}
CONFIG = {"lang": "en", "max_pages": 1, "target_pages": [0]}

LAST_DAY = "9999-12-31"
INSTANTS = [
    "2026-11-01T08:00:00Z",
    "2026-11-01T08:00:00.1Z",
    "2026-11-01T08:00:00.123456789Z",
    "2026-11-01T08:00:00+05:30",
    "2026-11-01T00:30:00.5+14:00",
    "2026-11-01t08:00:00z",
    "2026-11-01 08:00:00",
    "2026-11-01T08:00",
    "2026-11-01",
    "20261101T080000Z",
    "2026-W44-7",
    "0001-01-01T00:00:00Z",
    f"{LAST_DAY}T23:59:59.999999Z",
]
NO_INSTANTS: list[Any] = [
    "0001-01-01T00:00:00+23:59",
    f"{LAST_DAY}T23:59:59-23:59",
    "2026-02-30T00:00:00Z",
    "2026-11-01T08:00:60Z",
    "2026-11-01T25:00:00Z",
    "soon",
    "",
    1_793_520_000,
    True,
    {"seconds": 1},
    None,
]

ODD: list[dict[str, Any]] = [
    {"id": "bare"},
    job("all null") | dict.fromkeys([name for name in job("") if name != "id"]),
    job("no rules", rules=[]),
    job("rules that are none", rules=["text", None, 5, [], {}, RULE | {"weight": {"of": [1]}}]),
    job("rules of another shape", rules={"first": RULE}),
    job("empty configuration", parsing_configuration={}),
    job("new configuration", parsing_configuration=CONFIG | {"ocr": {"level": 2}}),
    job("bad pages", parsing_configuration=CONFIG | {"target_pages": [0, "1", None, 2.5]}),
    job("page ranges", parsing_configuration=CONFIG | {"target_pages": "1,3", "max_pages": 2.0}),
    job("large numbers", parsing_configuration=CONFIG | {"max_pages": 2**63}, size=2**80),
    job("configuration that is none", parsing_configuration=[CONFIG]),
    job("other types", status=1, mode=["FAST"], user_id={"a": 1}, error_message=False),
    job("names that clash", additional_fields={"a": 1}, rule_count="x", job_id="y", _sdc=1),
    job("rule of names that clash", rules=[RULE | {"job_id": 1, "rule_index": "a", "id": None}]),
    *(job(f"updated {text}", updated_at=text) for text in INSTANTS),
    *(job(f"undated {text}", updated_at=text) for text in NO_INSTANTS),
    *(job(f"created {text}", created_at=text) for text in [*INSTANTS, *NO_INSTANTS]),
]

# Without created_at, a v2 job is out of sight of a listing by created_at.
CREATED_AT = "2026-11-01T07:59:00Z"
V2_CONFIG = {"lang": "en", "max_pages": 1, "target_pages": "1,3-5"}
OUTCOMES: list[Any] = [
    None,
    {},
    {"type": None, "confidence": None, "reasoning": None},
    {"type": "invoice", "confidence": 1, "reasoning": ""},
    {"type": "invoice", "confidence": 7.5, "pages": {"of": [1]}},
    {"type": 7, "confidence": "high", "reasoning": ["it is"]},
    {"confidence": True},
    {"confidence": 2**53 + 1},
    [{"type": "invoice"}],
    "invoice",
]
V2_ODD: list[dict[str, Any]] = [
    {"id": "bare", "created_at": CREATED_AT},
    dict.fromkeys(v2_job("")) | {"id": "all null", "created_at": CREATED_AT},
    v2_job("no configuration", configuration=7),
    v2_job("empty configuration", configuration={}),
    v2_job("new configuration", configuration=configuration(cache={"of": [1]})),
    v2_job("no rules", configuration=configuration(rules=[])),
    v2_job("rules that are none", configuration=configuration(rules=["text", None, RULE, {}])),
    v2_job("rules of another shape", configuration=configuration(rules={"first": RULE})),
    v2_job("no mode", configuration=configuration(mode=7)),
    v2_job("no parsing", configuration=configuration(parsing_configuration=[V2_CONFIG])),
    v2_job("v1 pages", configuration=configuration(parsing_configuration=CONFIG | {"x": 1})),
    v2_job("older name", file_input=None, document_input_value="dfl-9"),
    v2_job("both names", file_input="dfl-1", document_input_value="dfl-9"),
    v2_job("other types", status=1, file_input=["a"], parse_job_id={}, error_message=False),
    v2_job("names that clash", mode="x", result_type="y", rule_count="z", rules=[RULE]),
    *(v2_job(f"outcome {number}", result=outcome) for number, outcome in enumerate(OUTCOMES)),
    v2_job("usage of another shape", usage=[1]),
    v2_job("usage of other types", usage={"credits": "many", "parse_credits": 2**64}),
    v2_job("new usage", usage={"credits": 0.125, "parse_credits": 0, "pages": 3}),
    *(v2_job(f"updated {text}", updated_at=text) for text in INSTANTS),
    *(v2_job(f"undated {text}", updated_at=text) for text in NO_INSTANTS),
    *(v2_job(f"v2 created {text}", created_at=text) for text in INSTANTS),
]
ODD_RESULTS: list[dict[str, Any]] = [
    {"id": "bare"},
    dict.fromkeys(result("")) | {"id": "all null"},
    result("of another job", classify_job_id="other"),
    result("other types", file_id=7, classify_job_id=[1], created_at=True),
    result("names that clash", job_id=1, project_id=2, type=3, job_updated_at="soon"),
    *(result(f"outcome {number}", result=outcome) for number, outcome in enumerate(OUTCOMES)),
    *(result(f"updated {text}", updated_at=text) for text in [*INSTANTS, *NO_INSTANTS]),
]
ODD_PROJECTS: list[dict[str, Any]] = [
    {"id": "bare"},
    dict.fromkeys(project("")) | {"id": "all null"},
    project("other types", name=7, organization_id=["o"], is_default="yes"),
    project("new", settings={"of": [1]}),
    *(project(f"updated {text}", updated_at=text) for text in [*INSTANTS, *NO_INSTANTS]),
    *(project(f"plain {number}", is_default=None) for number in range(150)),
]
POINT: dict[str, Any] = {"id": "", "created_at": "2026-11-20T07:59:00Z"}
TRANSITIONS: list[Any] = [
    None,
    {},
    {"pending_at": "soon", "running_at": "2026-11-20 08:00", "queued_at": "2026-11-20"},
    {"running_at": 7, "completed_at": {"of": [1]}},
    [{"pending_at": "2026-11-20T08:00:00Z"}],
    "done",
]
ODD_POINTS: list[dict[str, Any]] = [
    POINT | {"id": "bare point"},
    POINT | {"id": "other types", "status": 1, "custom_tag": ["a"], "error_message": False},
    *(POINT | {"id": f"moves {n}", "state_transitions": at} for n, at in enumerate(TRANSITIONS)),
    *(POINT | {"id": f"undated {text}", "updated_at": text} for text in NO_INSTANTS),
    *(POINT | {"id": f"point of {text}", "updated_at": text} for text in INSTANTS),
    *(POINT | {"id": f"plain {n}", "updated_at": POINT["created_at"]} for n in range(150)),
]
METRIC: dict[str, Any] = {"id": "", "event_type": "pages_classified", "organization_id": "own"}
TOO_DEEP: Any = {"deep": None}
for _ in range(70):
    TOO_DEEP = {"deep": TOO_DEEP}
ODD_METRICS: list[dict[str, Any]] = [
    METRIC | {"id": "all null"} | dict.fromkeys(["day", "value", "credits", "usage_tags"]),
    METRIC | {"id": "other types", "day": None, "value": "5", "credits": "1.5", "user_id": 7},
    METRIC | {"id": "large", "day": "2026-11-01", "value": 2**63, "credits": 2**53 + 1},
    METRIC | {"id": "tags", "day": "2026-11-01", "usage_tags": ["a", {"b": 1}]},
    METRIC | {"id": "texts", "day": "2026-11-01", "usage_tags": ["ä 🦙", "", "null", '"'] * 9},
    METRIC | {"id": "deep", "day": "2026-11-01", "properties": TOO_DEEP | {"a": [1, {}]}},
    METRIC | {"id": "no object", "day": "2026-11-01", "properties": ["a"], "more": TOO_DEEP},
    *(METRIC | {"id": f"undated {text}", "day": text} for text in NO_INSTANTS),
    *(METRIC | {"id": f"day {text}", "day": text} for text in INSTANTS),
]
SIGNED = "https://files.example.com/a.pdf?X-Amz-Signature=51ab&X-Amz-Expires=60"
ODD_FILES: list[dict[str, Any]] = [
    {
        "id": "dfl-1",
        "name": SIGNED,
        "external_file_id": f"see {SIGNED} or {SIGNED}",
        "more": SIGNED,
    },
    {"id": "file", "name": 7, "expires_at": "soon", "more": {"of": [SIGNED, {"url": SIGNED}]}},
    {"id": "dfl-9", "preview": {"url": SIGNED, "form_fields": {"policy": "51ab"}}, "name": None},
]
CONFIGURED: dict[str, Any] = {"product_type": "classify_v2"}
ODD_CONFIGURATIONS: list[dict[str, Any]] = [
    CONFIGURED | {"id": "bare"},
    *(
        CONFIGURED | {"id": f"parameters {number}", "parameters": parameters}
        for number, parameters in enumerate(
            [
                None,
                {},
                [1],
                "none",
                {"rules": "text", "mode": 5, "parsing_configuration": [1]},
                {"rules": [RULE, 5], "parsing_configuration": V2_CONFIG | {"ocr": {"of": [1]}}},
                {"product_type": "other", "parsing_configuration": {"max_pages": 2**63}},
            ]
        )
    ),
    *(
        CONFIGURED | {"id": f"updated {text}", "updated_at": text}
        for text in [*INSTANTS, *NO_INSTANTS]
    ),
    *(CONFIGURED | {"id": f"plain {number}", "name": "plain"} for number in range(150)),
]


@pytest.fixture(scope="module")
def world() -> Iterator[Sandbox]:
    """Run an API that shows an ordinary history and everything odd."""
    with Sandbox(World(History(jobs=200, v2_jobs=200, unknown_fields=0.3))) as sandbox:
        world = sandbox.world
        ours = {"project_id": sandbox.project_id}
        for odd in ODD:
            if odd["id"] == "all null":
                world.put_raw(odd)
                continue
            # Its results are found only where the world knows it by its id.
            world.put(odd | ours)
            world.put_results(odd["id"], [result(f"of {odd['id']}", classify_job_id=odd["id"])])
        world.put_results("bare", ODD_RESULTS)
        for odd in V2_ODD:
            world.put_raw_v2(ours | odd)
        for odd in ODD_PROJECTS:
            world.put_project(odd)
            world.put_organization(odd)
        for odd in ODD_POINTS:
            world.put_raw_data_point(ours | odd)
        for odd in ODD_METRICS:
            world.put_raw_usage_metric(ours | odd)
        for odd in ODD_CONFIGURATIONS:
            world.put_raw_configuration(odd)
        for odd in ODD_FILES:
            world.put_file(ours | odd)
        yield sandbox


def sync_of(world: Sandbox, *selected: str) -> Output:
    """Sync some streams."""
    return sync(world, catalog=select(world, *selected), page_size=40, fetch_results=True)


@pytest.fixture(scope="module")
def output(world: Sandbox) -> Output:
    """Sync every stream once; nothing changes meanwhile."""
    return sync_of(world, *STREAMS)


@pytest.fixture(params=STREAMS)
def stream(request: pytest.FixtureRequest) -> str:
    """Every stream in turn."""
    return str(request.param)


def schema_of(output: Output, stream: str) -> Message:
    """Return the one SCHEMA message of a stream."""
    (message,) = (m for m in output.of_type("SCHEMA") if m["stream"] == stream)
    return message


def test_no_address_that_lets_anybody_read_a_file_is_written(output: Output) -> None:
    rows = {row["id"]: row for row in output.records("classify_files")}
    plain = SIGNED.partition("?")[0]
    assert rows["dfl-1"]["name"] == rows["dfl-1"]["additional_fields"]["more"] == plain
    assert rows["dfl-1"]["external_file_id"] == f"see {plain}"
    assert rows["dfl-9"]["additional_fields"] == {"preview": None}
    assert "51ab" not in json.dumps([*rows.values()])


def is_date_time(text: object) -> bool:
    """Return whether a text is RFC 3339, in the tap's fixed form, and an instant that exists."""
    if not isinstance(text, str):
        return True
    if not FIXED.fullmatch(text):
        return False
    datetime.fromisoformat(text)
    return True


def test_every_stream_the_tap_has_is_covered(world: Sandbox, output: Output) -> None:
    assert new_tap(world).streams.keys() == {*STREAMS}
    assert all(len(output.records(stream)) >= 150 for stream in STREAMS)
    for stream, odd in {
        "classify_jobs": ODD,
        "classify_job_results": ODD_RESULTS,
        "classify_v2_jobs": V2_ODD,
        "classify_projects": ODD_PROJECTS,
        "classify_job_timings": ODD_POINTS,
        "classify_usage": ODD_METRICS,
        "classify_configurations": ODD_CONFIGURATIONS,
        "classify_files": ODD_FILES,
    }.items():
        shown = {row.get("id", row.get("job_id")) for row in output.records(stream)}
        assert {item["id"] for item in odd} <= shown


def test_key_comes_once_in_a_run_at_rest_and_is_never_null(output: Output, stream: str) -> None:
    names = schema_of(output, stream)["key_properties"]
    assert names
    records = output.records(stream)
    if stream in V2_STREAMS:
        # What is unfinished is looked at before the listing, and comes again, as it was.
        records = [each for i, each in enumerate(records) if each not in records[:i]]
    keys = [tuple(record[name] for name in names) for record in records]
    assert len(keys) == len(set(keys))
    assert not [key for key in keys if None in key or "" in key]


def test_every_record_has_the_declared_columns_alone_and_validates_formats_included(
    output: Output, stream: str
) -> None:
    schema = schema_of(output, stream)
    # jsonschema itself knows no date-time.
    checker = FormatChecker()
    checker.checks("date-time", raises=ValueError)(is_date_time)
    check = Draft202012Validator(schema["schema"], format_checker=checker)
    for record in output.records(stream):
        assert [error.message for error in check.iter_errors(record)] == []
        assert record.keys() == schema["schema"]["properties"].keys()


def test_replication_key_is_null_only_where_the_api_gave_no_instant(
    output: Output, stream: str
) -> None:
    name = REPLICATION_KEYS[stream]
    assert schema_of(output, stream).get("bookmark_properties") == ([name] if name else None)
    if name is None:
        return
    job_id = "job_id" if "job_id" in output.records(stream)[0] else "id"
    null = {record[job_id] for record in output.records(stream) if record[name] is None}
    undated = {f"undated {text}" for text in NO_INSTANTS}
    bare = {"bare", "all null", "bare point", "other types"}
    bare |= {f"moves {number}" for number in range(len(TRANSITIONS))}
    assert undated <= null <= undated | bare


def test_stream_alone_gets_its_rows_its_bookmark_and_nothing_else(
    world: Sandbox, output: Output, stream: str
) -> None:
    # Files are those of jobs and results that are read with them.
    others = {"classify_v2_jobs", "classify_job_results"} if stream == "classify_files" else set()
    alone = sync_of(world, stream, *others)
    assert alone.records(stream) == output.records(stream)
    assert {m.get("stream") for m in alone.messages} == {stream, None, *others}
    kept = {name: value for name, value in alone.bookmarks().items() if value}
    assert kept.keys() == ({stream} if REPLICATION_KEYS[stream] else others)


def singer_check_tap(lines: list[str], folder: Path) -> Ended:
    """Let singer-tools judge a tap's output; it leaves a folder where it runs."""
    command = installed("singer-tools", CHECKER) / "bin" / "singer-check-tap"
    return ended([command], "".join(f"{line}\n" for line in lines), cwd=folder)


@pytest.mark.heavy
def test_singer_check_tap_finds_the_command_lines_output_valid(
    world: Sandbox, command: Command, tmp_path: Path
) -> None:
    config = config_of(world, page_size=40, fetch_results=True)
    tapped = command("--config", config, "--catalog", select(world, *STREAMS))
    assert tapped.code == 0
    # Time's last second makes the checker fail by itself: it rounds up.
    lines = [line for line in tapped.stdout.rstrip("\n").split("\n") if LAST_DAY not in line]
    checked = singer_check_tap(lines, tmp_path)
    assert checked.code == 0, checked.stderr
    assert "The output is valid." in checked.stdout
    for stream in STREAMS:
        records = sum(f'"RECORD","stream":"{stream}"' in line for line in lines)
        assert records >= 150
        assert re.search(rf"\| {stream} +\| {records} +\| 1 +\|", checked.stdout)


def test_singer_check_tap_notices_a_date_time_that_is_none(tmp_path: Path) -> None:
    """So that its silence means something."""
    column = {"type": ["string", "null"], "format": "date-time"}
    schema = {"type": "object", "properties": {"at": column}}
    lines = [
        {"type": "SCHEMA", "stream": "s", "schema": schema, "key_properties": []},
        {"type": "RECORD", "stream": "s", "record": {"at": "2026-02-30T00:00:00Z"}},
    ]
    assert singer_check_tap([json.dumps(line) for line in lines], tmp_path).code != 0
