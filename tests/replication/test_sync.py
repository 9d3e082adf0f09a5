"""What is emitted, what is left out, and how far the bookmarks move."""

from __future__ import annotations

import json
import logging
import re
from itertools import groupby
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.api.endpoints import V1_JOBS
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.summary import Part
from tap_llamaclassify.singer.sync import Progress
from tests.support.builders import (
    DEFAULT_STREAMS,
    STREAMS,
    Output,
    SimulatedClock,
    captured,
    catalog_with,
    connection,
    job,
    new_tap,
    seconds_after,
    sync,
)
from tests.support.commands import Command
from tests.support.runs import (
    at_page,
    bookmarks_at,
    config_of,
    failure,
    put,
    put_v2,
    select,
    success,
    warning,
)

OLD = "2026-10-01T00:00:00.000000Z"
MIDDLE = "2026-10-15T00:00:00.000000Z"
NEW = "2026-11-01T00:00:00.000000Z"


def server_clock(sandbox: Sandbox) -> str:
    return sandbox.world.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture
def history(sandbox: Sandbox) -> Sandbox:
    for name, at in (("old", OLD), ("mid", MIDDLE), ("new", NEW)):
        put(sandbox, job(name, updated_at=at))
    return sandbox


def statuses(output: Output) -> dict[str, str]:
    return {row["id"]: row["status"] for row in output.records("classify_jobs")}


def test_next_run_emits_what_was_updated_since_the_bookmark_less_the_lookback_and_says_so(
    history: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    edge = seconds_after(NEW, -300)
    put(history, job("at the edge", updated_at=edge))
    put(history, job("just before", updated_at=seconds_after(edge, -1)))
    output = sync(history, state=bookmarks_at(NEW))
    assert sorted(output.ids()) == ["at the edge", "new"]
    assert f"classify_jobs: emitting what was updated since {edge}" in caplog.messages


@pytest.mark.parametrize(
    ("bookmark", "settings", "ids"),
    [
        (NEW, {"lookback_seconds": 0}, ["new"]),
        (NEW, {"lookback_seconds": 10**11}, ["mid", "new", "old"]),
        (None, {"start_date": "2026-10-15"}, ["mid", "new"]),
        (OLD, {"start_date": "2026-10-20T00:00:00Z"}, ["new"]),
        (NEW, {"start_date": "2026-01-01"}, ["new"]),
    ],
    ids=[
        *("no lookback brings the job at the bookmark", "a lookback beyond the first year"),
        *("a start date", "a start date later than the bookmark"),
        "a start date earlier than the bookmark",
    ],
)
def test_later_of_start_date_and_bookmark_less_lookback_decides_what_is_emitted(
    history: Sandbox, bookmark: str | None, settings: dict[str, Any], ids: list[str]
) -> None:
    output = sync(history, state=bookmarks_at(bookmark) if bookmark else None, **settings)
    assert sorted(output.ids()) == ids


@pytest.mark.parametrize("updated_at", [None, "yesterday", "", "absent"])
def test_job_without_readable_update_is_always_emitted_and_moves_no_bookmark(
    history: Sandbox, updated_at: str | None
) -> None:
    odd = job("odd", updated_at=updated_at)
    if updated_at == "absent":
        del odd["updated_at"]
    put(history, odd)
    output = sync(history, state=bookmarks_at(NEW))
    assert sorted(output.ids()) == ["new", "odd"]
    assert output.bookmarks() == dict.fromkeys(STREAMS, NEW)


def test_updates_are_compared_as_instants_not_as_texts(sandbox: Sandbox) -> None:
    put(
        sandbox,
        job("later", updated_at="2026-10-31T23:30:00-01:00"),
        job("earlier", updated_at="2026-11-01T00:29:59+01:00"),
        job("equal", updated_at="2026-11-01T00:00:00"),
    )
    output = sync(sandbox, state=bookmarks_at(NEW), lookback_seconds=0)
    assert sorted(output.ids()) == ["equal", "later"]
    assert output.bookmarks()["classify_jobs"] == "2026-11-01T00:30:00.000000Z"


def test_bookmark_never_passes_the_servers_clock_at_the_first_reply(sandbox: Sandbox) -> None:
    clock = server_clock(sandbox)
    put(sandbox, *(job(f"j{number}", updated_at=seconds_after(clock, 1000)) for number in range(3)))
    sandbox.before_page = lambda page: sandbox.world.advance(2000) if page > 1 else None
    value = sync(sandbox, page_size=1).bookmarks()["classify_jobs"]
    assert value is not None
    assert seconds_after(clock, -60) < value <= clock


def test_bookmark_never_goes_back_and_stays_when_nothing_is_listed(history: Sandbox) -> None:
    later = seconds_after(NEW, 5000)
    assert sync(history, state=bookmarks_at(later)).bookmarks() == dict.fromkeys(STREAMS, later)
    for name in ("old", "mid", "new"):
        history.world.delete(name)
    assert sync(history, state=bookmarks_at(NEW)).bookmarks() == dict.fromkeys(STREAMS, NEW)


def test_bookmark_beyond_the_servers_clock_is_not_trusted(
    history: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    state = bookmarks_at(seconds_after(server_clock(history), 3600))
    state["bookmarks"]["classify_job_rules"]["replication_key_value"] = NEW
    output = sync(history, state=state)
    assert len(output.ids()) == 3
    assert [rule["job_id"] for rule in output.records("classify_job_rules")] == ["new"]
    assert output.bookmarks() == dict.fromkeys(STREAMS, NEW)
    (warning,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith(
        "Bookmarks later than the server's clock cannot be right, and are not trusted: "
        "classify_jobs, classify_job_parsing_configs are read from their beginning"
    )


def test_bookmark_that_is_not_trusted_leaves_the_start_date_and_goes_though_nothing_is_listed(
    history: Sandbox,
) -> None:
    state = bookmarks_at(seconds_after(server_clock(history), 3600))
    assert sync(history, state=state, start_date="2026-10-20").ids() == ["new"]
    for name in ("old", "mid", "new"):
        history.world.delete(name)
    assert sync(history, state=state).bookmarks() == dict.fromkeys(STREAMS)


def test_stream_deselected_for_a_while_catches_up_from_its_own_bookmark(history: Sandbox) -> None:
    first = sync(history)
    put(history, job("meanwhile", updated_at=seconds_after(NEW, 1000)))
    jobs_only = select(history, "classify_jobs")
    second = sync(history, catalog=jobs_only, state=first.state)
    assert second.bookmarks()["classify_job_rules"] == NEW
    put(history, job("last", updated_at=seconds_after(NEW, 2000)))
    third = sync(history, catalog=catalog_with(history), state=second.state)
    rules = [rule["job_id"] for rule in third.records("classify_job_rules")]
    assert sorted(rules) == ["last", "meanwhile", "new"]
    assert sorted(third.ids()) == ["last", "meanwhile"]


def test_job_that_changes_while_it_is_listed_is_emitted_by_the_next_run(sandbox: Sandbox) -> None:
    before = seconds_after(server_clock(sandbox), -900)
    put(sandbox, *(job(f"j{n}", status="PENDING", updated_at=before) for n in range(4)))
    sandbox.settings.order = "oldest"

    def change() -> None:
        sandbox.world.advance(60)
        for name in ("j0", "j3"):
            sandbox.world.touch(name, status="SUCCESS")

    at_page(sandbox, 2, change)
    first = sync(sandbox, page_size=2, lookback_seconds=0)
    sandbox.before_page = None
    assert statuses(first) == dict.fromkeys(("j0", "j1", "j2"), "PENDING") | {"j3": "SUCCESS"}
    second = sync(sandbox, state=first.state, lookback_seconds=0)
    assert statuses(second) == dict.fromkeys(("j0", "j3"), "SUCCESS")


def test_tap_can_sync_again_after_a_failed_run(history: Sandbox) -> None:
    tap = new_tap(history)
    history.answer_next(500)
    with pytest.raises(ApiError):
        captured(tap)
    output = captured(tap)
    assert len(output.ids()) == 3
    assert len(output.of_type("SCHEMA")) == len(DEFAULT_STREAMS)


def test_v1_listing_that_is_broken_off_writes_no_state_and_is_begun_anew(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, *(job(f"j{number}") for number in range(6)))
    catalog = select(sandbox, *STREAMS)
    arguments = ("--config", config_of(sandbox, page_size=2), "--catalog", catalog)
    at_page(sandbox, 2, lambda: sandbox.answer_next(500))
    broken = quick_command(*arguments)
    assert "answered 500" in failure(broken)
    assert len(broken.output.ids()) == 4
    assert broken.output.of_type("STATE") == []
    sandbox.before_page = None
    sandbox.clear_requests()
    assert len(success(quick_command(*arguments)).ids()) == 6
    assert len(sandbox.requests) == 3


def test_rows_come_in_blocks_of_a_page_after_one_schema_a_stream(
    sandbox: Sandbox, quick_command: Command
) -> None:
    put(sandbox, *(job(f"j{number:03}") for number in range(250)))
    ended = quick_command("--config", config_of(sandbox), "--catalog", select(sandbox, *STREAMS))
    blocks = [
        (kind, stream, len([*some]))
        for (kind, stream), some in groupby(
            success(ended).messages, lambda message: (message["type"], message.get("stream"))
        )
        if kind != "STATE"
    ]
    assert sorted(blocks[:3]) == sorted(("SCHEMA", name, 1) for name in STREAMS)
    assert blocks[3:] == [("RECORD", name, jobs) for jobs in (100, 100, 50) for name in STREAMS]


@pytest.mark.parametrize("selected", [STREAMS, STREAMS[:1], STREAMS[1:2], STREAMS[2:], ()])
def test_one_listing_serves_whatever_is_selected(
    sandbox: Sandbox, selected: tuple[str, ...]
) -> None:
    put(sandbox, *(job(f"j{number:04}") for number in range(1000)))
    output = sync(sandbox, catalog=select(sandbox, *selected))
    assert len(sandbox.requests) == (10 if selected else 0)
    assert {name for name in STREAMS if output.records(name)} == set(selected)
    assert all(len(output.records(name)) == 1000 for name in selected)


def test_misfits_are_counted_at_the_end_and_unknown_fields_named_once(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    unfit: dict[str, Any] = {"created_at": "soon", "mode": 5}
    put(sandbox, *(job(f"j{number}", **unfit, priority=number) for number in range(3)))
    sync(sandbox, page_size=1)
    assert [text for text in caplog.messages if "New field" in text] == [
        "New field in the API, kept in additional_fields: 'classify_jobs.priority'"
    ]
    (counted,) = [text for text in caplog.messages if "did not fit" in text]
    assert counted == (
        "6 values did not fit their columns, which are null, and are in the "
        "additional_fields of their streams: created_at 3, mode 3"
    )


@pytest.mark.parametrize(
    ("fields", "named", "counted"),
    [
        ([f"f{number:03}" for number in range(200)], 50, 150),
        (["Jane Doe, born 1970", "4711", "a-b", "", "f", "a..b", "\u00e9t\u00e9", "x\n"], 1, 7),
        (["x" * 64, "_a.B_2.c", "x" * 65], 2, 1),
        ([f"4{number}" for number in range(10_001)], 0, "10000 or more"),
    ],
    ids=["many", "no names", "long ones", "very many"],
)
def test_new_fields_are_named_if_they_look_like_names_and_are_few_else_counted(
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    fields: list[str],
    named: int,
    counted: int | str,
) -> None:
    caplog.set_level(logging.INFO)
    for identity in ("a", "b"):
        put(sandbox, job(identity) | dict.fromkeys(fields, 1))
    sync(sandbox, page_size=1)
    lines = [text for text in caplog.messages if "ew field" in text]
    assert len(lines) == named + 1
    assert lines[-1].startswith(f"{counted} new fields in the API, kept in additional_fields, are")
    assert max(map(len, lines)) < 200


@pytest.mark.parametrize("removed", ["selected", "stream_maps"])
def test_misfits_are_counted_whichever_streams_are_selected(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, removed: str
) -> None:
    put(sandbox, job("a", rules=["text", {"type": 1}], parsing_configuration="text"))
    catalog = catalog_with(sandbox, classify_jobs={"selected": removed != "selected"})
    maps = {"classify_jobs": None} if removed == "stream_maps" else {}
    output = sync(sandbox, catalog=catalog, stream_maps=maps)
    assert output.ids() == []
    assert "3 values did not fit" in caplog.text
    assert "parsing_configuration 1, rules 1, rules.type 1" in caplog.text


def test_misfits_of_jobs_that_are_left_out_are_not_counted(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    put(sandbox, job("old", updated_at=OLD, mode=5), job("new", updated_at=NEW))
    sync(sandbox, state=bookmarks_at(NEW))
    assert "did not fit" not in caplog.text


def test_full_table_leaves_out_what_was_last_updated_before_the_start_date(
    history: Sandbox,
) -> None:
    catalog = catalog_with(history, classify_jobs={"replication_method": "FULL_TABLE"})
    output = sync(history, catalog=catalog, start_date="2026-10-15", state=bookmarks_at(NEW))
    assert sorted(output.ids()) == ["mid", "new"]


def test_bookmark_a_little_ahead_of_another_servers_clock_is_trusted(
    history: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    ahead = seconds_after(server_clock(history), 8)
    assert sync(history, state=bookmarks_at(ahead)).bookmarks() == dict.fromkeys(STREAMS, ahead)
    assert caplog.text.count("cannot be right") == 0


def metrics(caplog: pytest.LogCaptureFixture, metric: str) -> list[tuple[int, str | None, Any]]:
    """Return the level, stream and value of each point of a metric that was logged."""
    found = [
        (record.levelno, json.loads(record.getMessage()[8:]))
        for record in caplog.records
        if record.msg == "METRIC: %s"
    ]
    return [
        (level, point["tags"].get("stream"), point["value"])
        for level, point in found
        if point["metric"] == metric
    ]


def test_metrics_count_records_requests_and_time_as_singer_sdk_does(
    history: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sync(history, page_size=2)
    counts = [(stream, value) for _, stream, value in metrics(caplog, "record_count")]
    assert counts == [(stream, 3) for stream in sorted(STREAMS)]
    assert [value for _, _, value in metrics(caplog, "http_request_count")] == [2]
    assert len(metrics(caplog, "http_request_duration")) == 2
    assert {stream for _, stream, _ in metrics(caplog, "sync_duration")} == {*STREAMS}


def test_metrics_of_many_requests_fill_the_log_at_debug_level_only(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_LLAMACLASSIFY_LOGLEVEL", "DEBUG")
    put(sandbox, *(job(f"j{number}") for number in range(103)))
    caplog.set_level(logging.DEBUG)
    sync(sandbox, page_size=1)
    levels = [level for level, *_ in metrics(caplog, "http_request_duration")]
    assert levels == [logging.INFO] * 100 + [logging.DEBUG] * 3
    counts = [(level, value) for level, _, value in metrics(caplog, "http_request_count")]
    assert counts == [(logging.INFO, 103)]


def test_every_stream_is_announced_once_and_before_anything_is_asked_for(
    history: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sync(history)
    texts = [text.split(" in ")[0] for text in caplog.messages]
    announced = [text for text in texts if text.startswith("Beginning sync of")]
    assert sorted(announced) == sorted(f"Beginning sync of '{name}'" for name in STREAMS)
    begun = [text for text in caplog.messages if "emitting everything" in text]
    assert caplog.messages.index(begun[0]) > texts.index(announced[-1])


@pytest.mark.parametrize("fails", [False, True], ids=["good", "failed"])
def test_run_ends_with_its_rows_requests_and_seconds(
    history: Sandbox, command: Command, config: dict[str, Any], *, fails: bool
) -> None:
    put_v2(history, "v2")
    if fails:
        history.settings.gone = {"/api/v2": 500}
    maps = {"classify_job_rules": {"__filter__": "job_id != 'old'", "__alias__": "rules"}}
    ended = command("--config", config | {"page_size": 2, "stream_maps": maps})
    assert ended.code == fails
    (said,) = [
        line for line in ended.lines("INFO") if "tap_llamaclassify.replication.summary" in line
    ]
    v2, asked = (0, "2 pages, 3 jobs, 3") if fails else (1, "3 pages, 4 jobs, 3")
    assert re.search(
        f" {'Broken off after' if fails else 'Done in'} [0-9.]+ s. Rows: classify_jobs 3, rules 2, "
        f"classify_job_parsing_configs 3, classify_v2_jobs {v2}, classify_v2_job_rules {v2}, "
        f"classify_v2_job_parsing_configs {v2}. {asked} requests, 0 waits$",
        said,
    )


@pytest.mark.parametrize(
    ("listings", "page_size", "seconds", "has_total", "lines"),
    [
        (
            1,
            1,
            4,
            True,
            [
                "So far 3 pages, 3 jobs, 3 requests, 0 waits; of this listing 3 of about 6",
                "So far 6 pages, 6 jobs, 6 requests, 0 waits; of this listing 6 of about 6",
            ],
        ),
        (
            2,
            100,
            10,
            True,
            [
                "So far 1 pages, 6 jobs, 1 requests, 0 waits; of this listing 6 of about 6",
                "So far 2 pages, 12 jobs, 2 requests, 0 waits; of this listing 6 of about 6",
            ],
        ),
        (1, 100, 10, False, ["So far 1 pages, 6 jobs, 1 requests, 0 waits"] * 2),
    ],
    ids=["every ten seconds at most", "no listing against another's total", "no total"],
)
def test_progress_is_logged_at_page_ends_with_the_listing_s_own_total_if_the_api_tells_it(
    sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
    listings: int,
    page_size: int,
    seconds: float,
    has_total: bool,  # noqa: FBT001 - a column of the table above
    lines: list[str],
) -> None:
    caplog.set_level(logging.INFO)
    sandbox.settings.total_size = has_total
    put(sandbox, *(job(f"j{number}") for number in range(6)))
    clock = SimulatedClock()
    client = Client(connection(sandbox, page_size=page_size), clock=clock)
    progress = Progress([Part(client, {})], clock)
    for _ in range(listings):
        for page in Paginator(client, V1_JOBS).pages(ahead=False):
            for pages in ([page],) if has_total else ([page], []):
                clock.sleep(seconds)
                progress.at_end(Step(pages=pages))
    assert [text for text in caplog.messages if text.startswith("So far")] == lines


def test_state_of_v1_alone_goes_on_and_v2_is_read_from_its_beginning(
    history: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    for name, at in (("v2 old", OLD), ("v2 new", NEW)):
        put_v2(history, name, created_at=at, updated_at=at)
    output = command("--config", config, "--state", bookmarks_at(NEW)).output
    assert output.ids() == ["new"]
    assert {row["id"] for row in output.records("classify_v2_jobs")} == {"v2 old", "v2 new"}
    assert output.bookmarks() == dict.fromkeys(DEFAULT_STREAMS, NEW)


# Nothing at all.


@pytest.mark.parametrize(
    ("given", "scope"),
    [
        ({}, "the key's own project"),
        ({"project_id": "other", "organization_id": "x"}, "organization_id and project_id"),
    ],
)
def test_run_in_which_nothing_has_a_job_says_what_was_asked_and_shows_no_value(
    sandbox: Sandbox, command: Command, config: dict[str, Any], given: dict[str, Any], scope: str
) -> None:
    if given:
        sandbox.answer_next(200, {"items": []}, times=4)
    ended = command("--config", config | given)
    again = command("--config", config | given, "--state", ended.output.state)
    host = sandbox.url.removeprefix("http://")
    said = f"No jobs: asked were v2 and v1 at {host} for {scope}. --check shows what else there is"
    for each in (ended, again):
        assert warning(each).endswith(said)


@pytest.mark.parametrize(
    "case", ["v1 has some", "v2 has some", "all read before", "no jobs wanted"]
)
def test_run_that_has_jobs_or_had_them_or_wants_none_warns_of_nothing(
    sandbox: Sandbox, command: Command, config: dict[str, Any], case: str
) -> None:
    given: list[Any] = []
    match case:
        case "v1 has some":
            put(sandbox, job("one"))
        case "v2 has some":
            put_v2(sandbox, "one")
        case "all read before":
            given = ["--state", bookmarks_at(NEW)]
        case _:
            given = ["--catalog", select(sandbox, "classify_projects")]
    ended = command("--config", config, *given)
    assert (ended.code, ended.lines("WARNING")) == (0, [])


def test_connections_without_a_job_are_named_once_with_the_start_date(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    put(sandbox, job("one"))
    connections = [
        {"name": name, "api_key": key}
        for name, key in zip(("full", "empty", "bare"), sandbox.keys.values(), strict=False)
    ]
    del config["api_key"]
    given = {"connections": connections, "start_date": "2026-10-01"}
    said = warning(command("--config", config | given))
    assert "No jobs since start_date (2026-10-01T00:00:00.000000Z): asked were empty: v2" in said
    assert "; bare: v2 and v1 at" in said
    assert "full" not in said
