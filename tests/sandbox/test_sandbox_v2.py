"""The sandbox keeps v2's promises, and those of results, projects and keys, over real HTTP."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from urllib.parse import quote

import pytest
import requests

from llamacloud_sandbox.api.app import PATH, PROJECTS_PATH, V2_PATH
from llamacloud_sandbox.api.filters import Filter
from llamacloud_sandbox.api.listing import KEPT
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import AtEnd, Order, Settings, Tokens
from llamacloud_sandbox.world.clock import Clock, instant, stamp
from llamacloud_sandbox.world.history import History, Job
from llamacloud_sandbox.world.world import World
from tests.support.commands import ROOT

START = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
DAY = 86_400.0
FINISHED = {"COMPLETED", "FAILED", "CANCELLED"}


def world_of(v2_jobs: int, **history: Any) -> World:
    return World(History(v2_jobs=v2_jobs, **({"jobs": 0} | history)), clock=Clock(START))


def literal_v2(job_id: str, created: Any = "2026-03-04T10:00:00.000000Z", **fields: Any) -> Job:
    return {
        "id": job_id,
        "status": "COMPLETED",
        "file_input": f"dfl-{job_id}",
        "usage": {"credits": 2.5, "parse_credits": 1.5},
        "created_at": created,
        "updated_at": "2026-03-04T10:01:00.000000Z",
    } | fields


def literal_v1(job_id: str, **fields: Any) -> Job:
    return {
        "id": job_id,
        "status": "SUCCESS",
        "rules": [{"type": "invoice", "description": "has an amount"}],
        "created_at": "2026-03-04T10:00:00.000000Z",
        "updated_at": "2026-03-04T10:01:00.000000Z",
    } | fields


def ask(sandbox: Sandbox, path: str = V2_PATH, *, key: str = "", **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {key or sandbox.key}"}
    return requests.get(sandbox.url + path, params=query, headers=headers, timeout=10)


def walk(sandbox: Sandbox, path: str = V2_PATH, **query: Any) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = [ask(sandbox, path, **query).json()]
    while token := pages[-1].get("next_page_token"):
        pages.append(ask(sandbox, path, **query, page_token=token).json())
    return pages


def listed(sandbox: Sandbox, **query: Any) -> list[Any]:
    return [item for page in walk(sandbox, **query) for item in page["items"]]


def ids_of(items: list[Any]) -> list[str]:
    return [item["id"] for item in items]


def without_usage(jobs: list[Job]) -> list[Job]:
    return [job | {"usage": None} for job in jobs]


# The history.


def test_v2_history_has_exactly_its_jobs_in_the_days_before_the_start() -> None:
    jobs = world_of(1003, days=30).v2_jobs()

    assert len(jobs) == len(set(ids_of(jobs))) == 1003
    assert stamp(START - timedelta(days=30)) <= jobs[0]["created_at"]
    assert jobs[-1]["created_at"] <= stamp(START)
    assert jobs == sorted(jobs, key=lambda job: job["created_at"])


def test_v2_history_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert world_of(300, seed=7).v2_jobs() == world_of(300, seed=7).v2_jobs()
    other = set(ids_of(world_of(300, seed=8).v2_jobs()))
    assert not set(ids_of(world_of(300, seed=7).v2_jobs())) & other


def test_v1_and_v2_jobs_do_not_depend_on_each_other() -> None:
    both, v1, v2 = world_of(300, jobs=200), world_of(0, jobs=200), world_of(300)
    for _ in range(3):
        assert both.jobs() == v1.jobs()
        assert both.v2_jobs() == v2.v2_jobs()
        for world in (both, v1, v2):
            world.advance(5 * DAY)
    assert v1.v2_jobs() == v2.jobs() == []


def test_v2_job_has_the_fields_of_the_reference() -> None:
    jobs = world_of(2000).v2_jobs()

    assert {frozenset(job) for job in jobs} == {
        frozenset(
            {
                *("id", "project_id", "user_id", "status", "configuration", "configuration_id"),
                *("transaction_id", "parse_job_id", "error_message", "document_input_type"),
                *("file_input", "result", "usage", "created_at", "updated_at"),
            }
        )
    }
    prefixes = {"file_id": "dfl-", "parse_job_id": "pjb-", "url": "https://"}
    assert {job["document_input_type"] for job in jobs} == set(prefixes)
    for job in jobs:
        assert job["id"].startswith("clj-")
        assert job["file_input"].startswith(prefixes[job["document_input_type"]])
        assert set(job["configuration"]) == {"rules", "mode", "parsing_configuration"}
        assert job["configuration"]["mode"] == "FAST"
        assert 1 <= len(job["configuration"]["rules"]) <= 6
    configurations = [job["configuration"]["parsing_configuration"] for job in jobs]
    assert None in configurations
    targets = {each["target_pages"] for each in configurations if each}
    assert {None, "1,3,5-7"} < targets
    for name in ("configuration_id", "transaction_id", "parse_job_id"):
        assert {None} < {job[name] for job in jobs}


def test_v2_result_and_usage_follow_from_how_the_job_ended() -> None:
    jobs = world_of(3000).v2_jobs()
    assert {job["status"] for job in jobs} == FINISHED | {"PENDING", "RUNNING"}

    types = Counter(job["result"]["type"] is None for job in jobs if job["result"])
    assert 0 < types[True] < types[False]
    for job in jobs:
        assert (job["result"] is not None) == (job["status"] == "COMPLETED")
        assert (job["error_message"] is not None) == (job["status"] == "FAILED")
        assert (job["usage"] is not None) == (job["status"] in FINISHED)
        if job["result"]:
            rules = {rule["type"] for rule in job["configuration"]["rules"]}
            assert job["result"]["type"] in rules | {None}
            assert 0 <= job["result"]["confidence"] <= 1
            assert job["result"]["reasoning"]
        if job["usage"] and job["document_input_type"] == "parse_job_id":
            assert job["usage"] == {"credits": 0, "parse_credits": None}
            assert job["parse_job_id"] == job["file_input"]


def test_v2_credits_are_all_that_was_billed_and_parse_credits_a_part_of_them() -> None:
    jobs = [job for job in world_of(1000).v2_jobs() if job["usage"]]
    kinds: Counter[str] = Counter()
    for job in jobs:
        total, parsed = job["usage"]["credits"], job["usage"]["parse_credits"]
        if job["document_input_type"] == "parse_job_id":
            assert (total, parsed) == (0, None)
        elif total is None:
            assert parsed is None
        else:
            assert total > 0
            assert parsed is None or 0 <= parsed <= total
            kinds["null" if parsed is None else "all" if parsed == total else "part"] += 1
    assert kinds.keys() == {"null", "all", "part"}


def test_v2_job_is_pending_then_running_and_then_keeps_its_end() -> None:
    world = world_of(1000, days=1)
    seen: dict[str, list[str]] = {}
    for _ in range(1500):
        for job in world.v2_jobs()[990:1020]:
            assert stamp(world.now()) >= job["updated_at"] >= job["created_at"]
            statuses = seen.setdefault(job["id"], [])
            if not statuses or statuses[-1] != job["status"]:
                statuses.append(job["status"])
        world.advance(2)

    assert ["PENDING", "RUNNING", "COMPLETED"] in seen.values()
    # A look every two seconds may miss a step, but never sees one back.
    stage = {"PENDING": 0, "RUNNING": 1} | dict.fromkeys(FINISHED, 2)
    for statuses in seen.values():
        stages = [stage[status] for status in statuses]
        assert stages == sorted(set(stages))


def test_v2_history_does_not_depend_on_the_steps_in_which_time_passes() -> None:
    at_once, by_steps = world_of(500, days=0.5), world_of(500, days=0.5)
    at_once.advance(DAY / 2)
    for _ in range(1200):
        by_steps.advance(36)
        by_steps.v2_jobs()

    assert at_once.v2_jobs() == by_steps.v2_jobs()


def test_some_v2_jobs_are_never_finished() -> None:
    world = world_of(5000)
    begun = set(ids_of(world.v2_jobs()))
    world.advance(30 * DAY)

    lost = [job for job in world.v2_jobs() if job["id"] in begun and job["status"] not in FINISHED]
    assert 2 <= len(lost) <= 25
    assert {job["status"] for job in lost} == {"PENDING", "RUNNING"}


def test_new_v2_jobs_arrive_at_about_the_rate_of_the_history() -> None:
    world = world_of(900, days=90)
    world.advance(90 * DAY)

    assert 1700 < len(world.v2_jobs()) < 1900


def test_unknown_fields_of_v2_come_in_their_share_only() -> None:
    assert not any("priority" in job for job in world_of(200).v2_jobs())

    jobs = world_of(2000, unknown_fields=0.25).v2_jobs()
    odd = [job for job in jobs if "priority" in job]
    assert 400 < len(odd) < 600
    for job in jobs:
        configuration = job["configuration"]
        assert ("labels" in job) == ("priority" in job)
        assert ("effort" in configuration) == ("priority" in job)
        assert ("weight" in configuration["rules"][0]) == ("priority" in job)


def test_number_of_projects_leaves_the_first_ones_as_they_are() -> None:
    few, three, many = (World.empty(projects=number) for number in (2, 3, 12))

    assert len(many.project_ids) == len(set(many.project_ids)) == 12
    assert many.project_ids[:3] == three.project_ids
    assert three.project_ids[:2] == few.project_ids
    assert few.organization_id == three.organization_id == many.organization_id
    assert World.empty().project_ids == three.project_ids
    with Sandbox(many) as sandbox:
        assert list(sandbox.keys) == list(many.project_ids)
        assert len(set(sandbox.keys.values())) == 12


def test_number_of_projects_changes_whose_the_v1_jobs_are_and_not_which() -> None:
    three, twelve = (World(History(jobs=50, projects=number)) for number in (3, 12))

    assert ids_of(three.jobs()) == ids_of(twelve.jobs())
    assert len({job["project_id"] for job in twelve.jobs()}) > 3


@pytest.mark.parametrize("kind", ["jobs", "v2_jobs"])
def test_projects_share_jobs_equally_unless_they_are_three(kind: str) -> None:
    def sizes(projects: int) -> list[int]:
        world = World(History(**{"jobs": 0, kind: 4000, "projects": projects}))
        jobs = getattr(world, kind)
        return [len(jobs(project_id)) for project_id in world.project_ids]

    assert [round(size / 4000, 1) for size in sizes(3)] == [0.8, 0.1, 0.1]
    assert all(400 < size < 600 for size in sizes(8))
    assert sizes(1) == [4000]


@pytest.mark.parametrize("wrong", [{"v2_jobs": -1}, {"projects": 0}], ids=str)
def test_history_refuses_v2_jobs_and_projects_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no such history"):
        History(**wrong)


def test_meddling_with_a_v2_job_leaves_v1_alone_and_ends_its_course() -> None:
    world, undisturbed = world_of(3000, jobs=50, days=1), world_of(3000, jobs=50, days=1)
    undisturbed.advance(DAY)
    running = [
        job["id"]
        for job in world.v2_jobs()
        if job["status"] != undisturbed.v2_job(job["id"])["status"]
    ]
    put, gone, cancelled, moved, *_ = running
    same = {name: world.v2_job(put)[name] for name in ("project_id", "status")}
    literal = literal_v2(put, **same)
    world.put_v2(literal)
    world.delete_v2(gone)
    world.touch_v2(cancelled, status="CANCELLED")
    world.touch_v2(moved, transaction_id="new")
    world.advance(DAY)

    assert world.v2_job(put) == literal
    assert gone not in world.v2_entries()
    assert world.v2_job(cancelled)["status"] == "CANCELLED"
    assert world.v2_job(moved) == undisturbed.v2_job(moved) | {"transaction_id": "new"}
    assert world.jobs() == undisturbed.jobs()
    with pytest.raises(KeyError, match=f"no job {gone} is visible at 2026-03-05T10:30:00"):
        world.v2_job(gone)


def test_touch_moves_the_updated_at_of_a_v2_job_to_now() -> None:
    world = World.empty(clock=Clock(START))
    world.put_v2(literal_v2("clj-a", status="RUNNING"))
    world.advance(1.5)

    touched = world.touch_v2("clj-a", status="COMPLETED")
    assert touched == world.v2_job("clj-a")
    assert touched == literal_v2("clj-a", updated_at="2026-03-04T10:30:01.500000Z")


# The listing.


@pytest.mark.parametrize("tokens", get_args(Tokens))
@pytest.mark.parametrize("order", get_args(Order))
def test_v2_listing_has_each_job_of_the_key_once_in_its_order(order: Order, tokens: Tokens) -> None:
    world = world_of(300)
    with Sandbox(world, Settings(order=order, tokens=tokens, empty_pages=2)) as sandbox:
        jobs = listed(sandbox, page_size=37)

    newest = without_usage(world.v2_jobs(sandbox.project_id)[::-1])
    expected = {
        "newest": newest,
        "oldest": newest[::-1],
        "updated": sorted(newest, key=lambda job: job["updated_at"], reverse=True),
    }
    if order == "shuffled":
        assert sorted(ids_of(jobs)) == sorted(ids_of(newest))
        assert jobs not in expected.values()
    else:
        assert jobs == expected[order]


@pytest.mark.parametrize("at_end", get_args(AtEnd))
def test_v2_listing_ends_in_the_form_set(at_end: AtEnd) -> None:
    forms: dict[str, dict[str, Any]] = {
        "null": {"next_page_token": None},
        "empty": {"next_page_token": ""},
        "absent": {},
    }
    with Sandbox(World.empty(), Settings(at_end=at_end, total_size=False)) as sandbox:
        assert ask(sandbox).json() == {"items": [], "total_size": None} | forms[at_end]


def test_each_api_lists_its_own_jobs_of_the_keys_project_only() -> None:
    world = world_of(120, jobs=90)
    with Sandbox(world) as sandbox:
        for project_id, key in sandbox.keys.items():
            v2 = listed(sandbox, key=key, project_id=project_id, page_size=20)
            v1 = ask(sandbox, PATH, key=key, page_size=500).json()["items"]
            assert v2 == without_usage(world.v2_jobs(project_id)[::-1])
            assert v1 == world.jobs(project_id)[::-1]


@pytest.mark.parametrize("tokens", get_args(Tokens))
@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("name", ["status", "configuration_id", "job_ids", "window", "all"])
def test_v2_filters_narrow_the_listing_on_every_page(
    name: str, order: Order, tokens: Tokens
) -> None:
    world = world_of(600)
    with Sandbox(world, Settings(order=order, tokens=tokens, empty_pages=2)) as sandbox:
        jobs = world.v2_jobs(sandbox.project_id)
        saved = next(job["configuration_id"] for job in jobs if job["configuration_id"])
        early, late = jobs[50]["created_at"], jobs[350]["created_at"]
        queries: dict[str, dict[str, Any]] = {
            "status": {"status": "FAILED"},
            "configuration_id": {"configuration_id": saved},
            "job_ids": {"job_ids": [*ids_of(jobs[::7]), "clj-none"]},
            "window": {"created_at_on_or_after": early, "created_at_on_or_before": late},
        }
        queries["all"] = {
            each: value for query in queries.values() for each, value in query.items()
        } | {"status": "COMPLETED", "job_ids": ids_of(jobs[:300])}
        query = queries[name]
        pages = walk(sandbox, page_size=8, **query)

    wanted = [
        job
        for job in jobs
        if query.get("status") in {None, job["status"]}
        and query.get("configuration_id") in {None, job["configuration_id"]}
        and job["id"] in query.get("job_ids", ids_of(jobs))
        and query.get("created_at_on_or_after", "") <= job["created_at"]
        and job["created_at"] <= query.get("created_at_on_or_before", "9")
    ]
    assert 3 < len(wanted) < len(jobs)
    items = [item for page in pages for item in page["items"]]
    assert items == without_usage(wanted if order == "oldest" else wanted[::-1])
    assert {page["total_size"] for page in pages} == {len(wanted)}


@pytest.mark.parametrize(
    "bound",
    [
        "2026-03-04T10:00:00.000500Z",
        "2026-03-04T10:00:00.000500+00:00",
        "2026-03-04T12:30:00.000500+02:30",
        "2026-03-04T10:00:00.000500",
        "2026-03-04 10:00:00.000500123",
        "20260304T100000.0005Z",
    ],
)
def test_v2_bounds_are_inclusive_in_any_iso_form(bound: str) -> None:
    world = World.empty()
    for micros in (499, 500, 501):
        world.put_v2(literal_v2(str(micros), f"2026-03-04T10:00:00.000{micros}Z"))
    with Sandbox(world, Settings(order="oldest")) as sandbox:
        after = ids_of(listed(sandbox, created_at_on_or_after=bound))
        before = ids_of(listed(sandbox, created_at_on_or_before=bound))
        both = listed(sandbox, created_at_on_or_after=bound, created_at_on_or_before=bound)

    assert (after, before, ids_of(both)) == (["500", "501"], ["499", "500"], ["500"])


def test_v2_bound_may_be_a_date_which_is_its_midnight() -> None:
    world = World.empty()
    world.put_v2(literal_v2("evening", "2026-03-03T23:59:59Z"))
    world.put_v2(literal_v2("midnight", "2026-03-04T00:00:00Z"))
    with Sandbox(world) as sandbox:
        assert ids_of(listed(sandbox, created_at_on_or_after="2026-03-04")) == ["midnight"]


def test_v2_job_without_readable_created_at_is_out_of_sight_of_a_window_only() -> None:
    world = World.empty()
    good = ("2026-03-04T12:00:00+02:00", "2026-03-04T10:00:00", "2026-03-04 10:00:00.1Z")
    bad: tuple[Any, ...] = (None, "", "yesterday", 12, ["2026-03-04"])
    for kind, values in {"good": good, "bad": bad}.items():
        for number, created in enumerate(values):
            world.put_v2(literal_v2(f"{kind} {number}", created))
    world.put_v2({"id": "bad without"})
    world.put_raw_v2("no job")
    with Sandbox(world) as sandbox:
        seen = listed(sandbox, created_at_on_or_after="2000-01-01")
        everything = listed(sandbox)

    assert {job["id"].split()[0] for job in seen} == {"good"}
    assert (len(seen), len(everything)) == (3, 10)


@pytest.mark.parametrize(
    "query", [{"status": "FAILED"}, {"job_ids": "x"}, {"configuration_id": "x"}], ids=str
)
def test_v2_filters_survive_items_that_are_no_jobs(query: dict[str, str]) -> None:
    world = World.empty()
    odd: list[Any] = [
        None,
        7,
        [],
        {},
        {"id": ["x"], "status": ["FAILED"], "configuration_id": {"x": 1}},
    ]
    for item in odd:
        world.put_raw_v2(item)
    with Sandbox(world) as sandbox:
        assert listed(sandbox, **query) == []
        assert len(listed(sandbox)) == len(odd)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("page_size", value) for value in ("0", "-1", "101", "many", "")),
        ("created_at_on_or_after", "yesterday"),
        ("created_at_on_or_before", "2026-13-01"),
        ("created_at_on_or_after", ""),
        ("page_token", "garbage"),
    ],
)
def test_v2_parameter_that_cannot_be_is_named_in_a_422(name: str, value: str) -> None:
    with Sandbox(world_of(1)) as sandbox:
        reply = ask(sandbox, **{name: value})

    assert reply.status_code == 422
    (problem,) = reply.json()["detail"]
    assert problem["loc"] == ["query", name]
    assert problem["msg"]
    assert problem["type"]


def test_v2_page_size_is_a_hundred_by_default_and_at_most() -> None:
    with Sandbox(world_of(300), Settings(page_size_limit=20)) as sandbox:
        assert len(ask(sandbox).json()["items"]) == 100
        assert len(ask(sandbox, page_size=100).json()["items"]) == 100


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "FAILED"},
        {"job_ids": ["clj-a"]},
        {"configuration_id": None},
        {"created_at_on_or_after": "2025-01-01"},
        {"created_at_on_or_before": None},
        {"project_id": None},
        {"organization_id": None},
        {"page_size": 3},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_v2_token_wants_the_whole_query_again(changed: dict[str, Any]) -> None:
    world = World.empty()
    for number in range(10):
        world.put_v2(literal_v2(f"clj-{number}", configuration_id="cfg"))
    with Sandbox(world) as sandbox:
        query: dict[str, Any] = {
            "page_size": 2,
            "project_id": sandbox.project_id,
            "organization_id": world.organization_id,
            "status": "COMPLETED",
            "job_ids": [f"clj-{number}" for number in range(9)],
            "configuration_id": "cfg",
            "created_at_on_or_after": "2026-01-01",
            "created_at_on_or_before": "2026-12-31",
        }
        token = ask(sandbox, **query).json()["next_page_token"]
        assert ask(sandbox, **query, page_token=token).status_code == 200
        reply = ask(sandbox, **query | changed, page_token=token)

    assert reply.status_code == 422
    assert f"with {next(iter(changed))} " in reply.json()["detail"][0]["msg"]


def test_token_of_one_api_is_refused_by_the_other() -> None:
    with Sandbox(world_of(50, jobs=50)) as sandbox:
        tokens = [
            ask(sandbox, path, page_size=5).json()["next_page_token"] for path in (PATH, V2_PATH)
        ]
        swapped = [
            ask(sandbox, path, page_size=5, page_token=token)
            for path, token in zip((V2_PATH, PATH), tokens, strict=True)
        ]

    assert [reply.status_code for reply in swapped] == [422, 422]


@pytest.mark.parametrize("tokens", get_args(Tokens))
def test_v2_job_created_during_a_narrowed_listing_repeats_jobs_by_position_only(
    tokens: Tokens,
) -> None:
    world = World.empty(clock=Clock(START))
    for number in range(6):
        world.put_v2(literal_v2(f"job {number}", f"2026-03-04T10:0{number}:00.000000Z"))
        world.put_v2(literal_v2(f"other {number}", status="FAILED"))
    with Sandbox(world, Settings(tokens=tokens)) as sandbox:
        sandbox.before_page = lambda page: (
            world.put_v2(literal_v2("late", "2026-03-04T10:09:00.000000Z")) if page == 2 else None
        )
        ids = ids_of(listed(sandbox, page_size=3, status="COMPLETED"))

    repeated = {"cursor": [], "position": ["job 3"]}[tokens]
    assert ids == ["job 5", "job 4", "job 3", *repeated, "job 2", "job 1", "job 0"]


def test_v2_token_lives_as_long_as_the_settings_say() -> None:
    with Sandbox(world_of(50), Settings(token_seconds=60)) as sandbox:
        token = ask(sandbox, page_size=5).json()["next_page_token"]
        sandbox.world.advance(60)
        by_time = ask(sandbox, page_size=5, page_token=token)
        sandbox.settings.token_seconds, sandbox.settings.token_requests = 0, 2
        token = ask(sandbox, page_size=5).json()["next_page_token"]
        # Pages of the other API are pages, too.
        ask(sandbox, PATH)
        by_pages = ask(sandbox, page_size=5, page_token=token)

    for reply in (by_time, by_pages):
        assert (reply.status_code, reply.json()) == (400, {"detail": "page_token has expired"})


def test_listing_is_filtered_once_and_again_only_when_jobs_changed_or_it_is_long_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = itertools.count()
    passes = Filter.passes

    def counted(only: Filter, item: Any) -> bool:
        next(looked_at)
        return passes(only, item)

    monkeypatch.setattr(Filter, "passes", counted)
    world = World.empty()
    for number in range(30):
        world.put_v2(literal_v2(f"job {number}"))

    def looks(**query: Any) -> int:
        before = next(looked_at)
        walk(sandbox, page_size=4, **query)
        return next(looked_at) - before - 1

    with Sandbox(world) as sandbox:
        assert looks() == 0
        assert [looks(status="COMPLETED") for _ in range(2)] == [30, 0]
        world.put_v2(literal_v2("one more"))
        assert [looks(status="COMPLETED") for _ in range(2)] == [31, 0]
        for number in range(KEPT - 1):
            looks(configuration_id=f"cfg {number}")
        assert looks(status="COMPLETED") == 0
        for number in range(KEPT):
            looks(configuration_id=f"other cfg {number}")
        assert looks(status="COMPLETED") == 31


def test_v2_items_made_by_hand_are_listed_as_they_are() -> None:
    odd = ["no job", None, 7, {"id": 5, "usage": "much"}, {"created_at": 12}]
    world = World.empty()
    second = world.project_ids[1]
    for item in odd:
        world.put_raw_v2(item)
    world.put_raw_v2("of the second", project_id=second)
    world.put_v2({"id": "x", "project_id": "elsewhere"})
    with Sandbox(world, Settings(order="oldest", usage_in_list=True)) as sandbox:
        assert listed(sandbox, page_size=2) == [*odd, {"id": "x", "project_id": "elsewhere"}]
        assert listed(sandbox, key=sandbox.keys[second]) == ["of the second"]


# One job.


def test_v2_usage_is_told_of_a_finished_job_when_it_is_asked_for() -> None:
    usage = {"credits": 2.5, "parse_credits": 1.5}
    world = World.empty()
    for status in ("PENDING", "RUNNING", *FINISHED):
        world.put_v2(literal_v2(status, status=status))
    with Sandbox(world) as sandbox:
        for status in ("PENDING", "RUNNING", *FINISHED):
            path = f"{V2_PATH}/{status}"
            told = usage if status in FINISHED else None
            job = world.v2_job(status)
            assert ask(sandbox, path).json() == job | {"usage": None}
            assert ask(sandbox, path, expand="usage").json() == job | {"usage": told}
            assert ask(sandbox, path, expand=["other", "usage"]).json() == job | {"usage": told}
            assert ask(sandbox, path, expand="other").json() == job | {"usage": None}
        assert {str(item["usage"]) for item in listed(sandbox)} == {"None"}
        sandbox.settings.usage_in_list = True
        assert {str(item["usage"]) for item in listed(sandbox)} == {str(usage)}


@pytest.mark.parametrize("job_id", ["a/b", "a b?c#d%", "日本 📷"])
def test_v2_job_is_found_by_its_encoded_id_whatever_it_is(job_id: str) -> None:
    world = World.empty()
    world.put_v2(literal_v2(job_id))
    with Sandbox(world) as sandbox:
        reply = ask(sandbox, f"{V2_PATH}/{quote(job_id, safe='')}")

    assert reply.json()["id"] == job_id


def test_v2_job_that_is_unknown_deleted_or_anothers_is_not_found() -> None:
    world = World.empty()
    first, second, _ = world.project_ids
    for job_id, project_id in {"mine": first, "gone": first, "theirs": second}.items():
        world.put_v2(literal_v2(job_id, project_id=project_id))
    world.delete_v2("gone")
    with Sandbox(world) as sandbox:
        replies = {
            job_id: ask(sandbox, f"{V2_PATH}/{job_id}")
            for job_id in ("mine", "gone", "theirs", "ghost")
        }

    assert {job_id: reply.status_code for job_id, reply in replies.items()} == {
        "mine": 200,
        "gone": 404,
        "theirs": 404,
        "ghost": 404,
    }
    assert isinstance(replies["ghost"].json()["detail"], str)


def test_input_has_its_older_name_in_list_and_job_if_set() -> None:
    world = World.empty()
    world.put_v2(literal_v2("a"))
    world.put_raw_v2("no job")
    older = {
        "document_input_value" if name == "file_input" else name: value
        for name, value in world.v2_job("a").items()
    }
    with Sandbox(world, Settings(input_name="document_input_value")) as sandbox:
        job, raw = listed(sandbox)
        assert (job, raw) == (older | {"usage": None}, "no job")
        assert ask(sandbox, f"{V2_PATH}/a", expand="usage").json() == older


# Results of v1 jobs.


def results_path(job_id: str) -> str:
    return f"{PATH}/{job_id}/results"


def test_results_of_finished_jobs_follow_from_the_job_and_the_seed() -> None:
    world = World(History(jobs=1500), clock=Clock(START))
    finished = [job for job in world.jobs() if job["status"] != "PENDING"]
    results = {job["id"]: world.results(job["id"]) for job in finished}

    assert {len(each) for each in results.values()} == {1, 2, 3, 4}
    every = [result for each in results.values() for result in each]
    assert len({result["id"] for result in every}) == len(every)
    for job in finished:
        types = {rule["type"] for rule in job["rules"]}
        lasted = instant(job["updated_at"]) - instant(job["created_at"])
        for result in results[job["id"]]:
            assert set(result) == {
                *("id", "classify_job_id", "file_id", "result", "created_at", "updated_at")
            }
            assert result["classify_job_id"] == job["id"]
            before = instant(job["updated_at"]) - instant(result["updated_at"])
            assert timedelta() <= before <= lasted / 4
            if result["result"] is not None:
                assert set(result["result"]) == {"type", "confidence", "reasoning"}
                assert result["result"]["type"] in types | {None}
    assert {None} < {result["file_id"] for result in every}
    found = [result["result"] for result in every]
    assert None in found
    assert {None} < {each["type"] for each in found if each}

    again = World(History(jobs=1500), clock=Clock(START))
    assert {job_id: again.results(job_id) for job_id in results} == results
    other = World(History(seed=2, jobs=0))
    other.put(finished[0])
    assert other.results(finished[0]["id"]) != results[finished[0]["id"]]


def test_results_keep_their_ids_when_the_job_changes_and_take_its_time() -> None:
    world = World.empty(clock=Clock(START))
    jobs = [literal_v1(f"job {number}") for number in range(10)]
    for job in jobs:
        world.put(job)
    before = [world.results(job["id"]) for job in jobs]
    for job in jobs:
        world.touch(job["id"])
    after = [world.results(job["id"]) for job in jobs]

    assert [ids_of(each) for each in before] == [ids_of(each) for each in after]
    assert {result["updated_at"] for each in after for result in each} > {stamp(START)}
    assert not any("10:01:00" in result["updated_at"] for each in after for result in each)


def test_results_are_answered_at_once_in_the_form_of_a_last_page() -> None:
    world = World.empty()
    world.put(literal_v1("a"))
    with Sandbox(world) as sandbox:
        page = ask(sandbox, results_path("a")).json()
        sandbox.settings.total_size = False
        uncounted = ask(sandbox, results_path("a")).json()

    results = world.results("a")
    assert page == {"items": results, "next_page_token": None, "total_size": len(results)}
    assert uncounted == page | {"total_size": None}


@pytest.mark.parametrize(
    "odd",
    [
        {"rules": None},
        {"rules": ["none", {"description": "no type"}]},
        {"updated_at": None},
        {"updated_at": "yesterday"},
        {"created_at": None},
        {"created_at": "2026-03-05T00:00:00Z"},
    ],
    ids=str,
)
def test_results_are_made_up_for_odd_jobs_too(odd: dict[str, Any]) -> None:
    world = World.empty()
    job = literal_v1("a", **odd)
    world.put(job)
    with Sandbox(world) as sandbox:
        items = ask(sandbox, results_path("a")).json()["items"]

    assert items
    for item in items:
        if odd.get("updated_at", 1) != 1 or "created_at" in odd:
            assert item["updated_at"] == job["updated_at"]
        if "rules" in odd and item["result"]:
            assert item["result"]["type"] is None


def test_results_of_a_pending_job_are_none_or_not_found() -> None:
    world = World.empty()
    world.put(literal_v1("waits", status="PENDING"))
    world.put(literal_v1("empty"))
    world.put_results("empty", [])
    with Sandbox(world) as sandbox:
        waits = ask(sandbox, results_path("waits")).json()
        sandbox.settings.pending_results = "404"
        refused = ask(sandbox, results_path("waits"))
        assert ask(sandbox, results_path("empty")).json()["items"] == []

    assert waits == {"items": [], "next_page_token": None, "total_size": 0}
    assert refused.status_code == 404


def test_results_of_a_job_that_is_unknown_expired_or_anothers_are_not_found() -> None:
    world = World.empty()
    first, second, _ = world.project_ids
    for job_id, project_id in {"mine": first, "old": first, "theirs": second}.items():
        world.put(literal_v1(job_id, project_id=project_id))
    world.expire("old")
    with Sandbox(world) as sandbox:
        statuses = {
            job_id: ask(sandbox, results_path(job_id)).status_code
            for job_id in ("mine", "old", "theirs", "ghost")
        }
        shown = ids_of(ask(sandbox, PATH).json()["items"])

    assert statuses == {"mine": 200, "old": 404, "theirs": 404, "ghost": 404}
    assert sorted(shown) == ["mine", "old"]
    for job_id in ("old", "ghost"):
        with pytest.raises(KeyError, match=job_id):
            world.results(job_id)
    with pytest.raises(KeyError, match="ghost"):
        world.expire("ghost")


def test_results_made_by_hand_are_answered_as_they_are() -> None:
    raw = [{"id": "r"}, "no result", None, {"id": 5, "result": [1]}]
    world = World.empty()
    world.put(literal_v1("a", status="PENDING"))
    world.put_results("a", raw)
    with Sandbox(world, Settings(pending_results="404")) as sandbox:
        assert ask(sandbox, results_path("a")).json()["items"] == raw


# Projects and keys.


def test_projects_are_a_bare_array_of_all_whatever_key_asks() -> None:
    world = World.empty(clock=Clock(START), projects=5)
    with Sandbox(world) as sandbox:
        replies = [ask(sandbox, PROJECTS_PATH, key=key).json() for key in sandbox.keys.values()]
        own = ask(sandbox, PROJECTS_PATH, organization_id=world.organization_id).json()
        refused = [
            ask(sandbox, PROJECTS_PATH, organization_id="another").status_code,
            ask(sandbox, PROJECTS_PATH, key="llx-wrong").status_code,
        ]

    assert all(reply == own == world.projects() for reply in replies)
    assert refused == [403, 401]
    assert [project["id"] for project in own] == list(world.project_ids)
    assert [project["is_default"] for project in own] == [True, False, False, False, False]
    assert {project["organization_id"] for project in own} == {world.organization_id}
    assert len({project["name"] for project in own}) == 5
    for project in own:
        assert set(project) == {
            *("id", "name", "organization_id", "is_default", "created_at", "updated_at")
        }
        assert project["created_at"] <= project["updated_at"] < stamp(START)


def test_project_can_be_changed_and_added() -> None:
    world = World.empty()
    first, second, third = world.projects()
    world.put_project({"id": second["id"], "name": "Renamed"})
    world.put_project({"id": "new", "odd": [1]})
    with Sandbox(world) as sandbox:
        projects = ask(sandbox, PROJECTS_PATH).json()

    assert projects == [first, second | {"name": "Renamed"}, third, {"id": "new", "odd": [1]}]


def test_key_that_is_revoked_is_refused_from_then_on_and_others_are_not() -> None:
    with Sandbox(world_of(20, jobs=20)) as sandbox:
        first, second, _ = sandbox.keys.values()
        sandbox.prerender(50, key=first)
        sandbox.prerender(50, key=second)
        assert ask(sandbox, PATH, page_size=50).status_code == 200
        sandbox.revoke(first)
        for path in (PATH, V2_PATH, PROJECTS_PATH):
            assert ask(sandbox, path, key=first, page_size=50).status_code == 401
            assert ask(sandbox, path, key=second, page_size=50).status_code == 200
        with pytest.raises(ValueError, match="no project has this key"):
            sandbox.revoke(first)


def test_api_that_is_gone_answers_so_and_the_others_as_ever() -> None:
    world = world_of(20, jobs=20)
    world.put(literal_v1("a"))
    with Sandbox(world, Settings(gone={"/api/v1/classifier": 410})) as sandbox:
        sandbox.prerender(50)
        gone = [ask(sandbox, path, page_size=50) for path in (PATH, results_path("a"))]
        assert ask(sandbox).status_code == ask(sandbox, PROJECTS_PATH).status_code == 200
        sandbox.settings.gone = {V2_PATH: 404}
        gone_too = ask(sandbox)
        assert ask(sandbox, PATH).status_code == 200

    assert {(reply.status_code, reply.text) for reply in gone} == {(410, '{"detail": "Gone"}')}
    assert (gone_too.status_code, gone_too.json()) == (404, {"detail": "Not Found"})


# The strings a test pulls.


def test_request_tells_every_value_of_a_parameter() -> None:
    with Sandbox(world_of(1)) as sandbox:
        ask(sandbox, job_ids=["b", "a", "b", ""], status="FAILED")
        (request,) = sandbox.requests

    assert request.values("job_ids") == ["b", "a", "b", ""]
    assert request.values("status") == ["FAILED"]
    assert request.values("page_token") == []
    assert request.query == {"job_ids": "", "status": "FAILED"}


def test_prerendered_v2_pages_equal_the_real_ones() -> None:
    with Sandbox(world_of(500, jobs=100)) as sandbox:
        query: dict[str, Any] = {"page_size": 50, "project_id": sandbox.project_id}
        real, v1 = walk(sandbox, **query), walk(sandbox, PATH, **query)
        pages = sandbox.prerender(50, project_id=sandbox.project_id, api="v2")
        called: list[int] = []
        sandbox.before_page = called.append

        assert walk(sandbox, **query) == real
        assert (len(real), called) == (pages, [])
        assert len(ask(sandbox, **query, status="FAILED").json()["items"]) < 50
        assert called == [1]
        assert walk(sandbox, PATH, **query) == v1


@pytest.mark.parametrize("kind", ["503", "429-after-seconds", "html-200", "redirect-same-host"])
@pytest.mark.parametrize("path", [V2_PATH, f"{V2_PATH}/a", results_path("b"), PROJECTS_PATH])
def test_faults_meet_every_call(path: str, kind: str) -> None:
    world = World.empty()
    world.put_v2(literal_v2("a"))
    world.put(literal_v1("b"))
    statuses = {"503": 503, "429-after-seconds": 429, "html-200": 200, "redirect-same-host": 307}
    with Sandbox(world) as sandbox:
        fine = ask(sandbox, path).content
        sandbox.fail_next(kind)
        headers = {"Authorization": f"Bearer {sandbox.key}"}
        failed = requests.get(
            sandbox.url + path, headers=headers, timeout=10, allow_redirects=False
        )
        assert ask(sandbox, path).content == fine
        assert [request.fault for request in sandbox.requests] == [None, kind, None]

    assert failed.status_code == statuses[kind]
    assert failed.content != fine


@pytest.mark.parametrize("path", [V2_PATH, f"{V2_PATH}/a", results_path("b"), PROJECTS_PATH])
def test_reply_of_every_call_can_be_cut(path: str) -> None:
    world = World.empty()
    world.put_v2(literal_v2("a"))
    world.put(literal_v1("b"))
    with Sandbox(world) as sandbox:
        sandbox.fail_next("cut-chunked")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            ask(sandbox, path)
        assert ask(sandbox, path).status_code == 200


def test_fault_of_tokens_waits_for_a_v2_request_that_has_one() -> None:
    with Sandbox(world_of(30)) as sandbox:
        sandbox.fail_next("token-410")
        token = ask(sandbox, page_size=5).json()["next_page_token"]
        ask(sandbox, PROJECTS_PATH)
        ask(sandbox, f"{V2_PATH}/x")
        assert sandbox.unmet == 1
        assert ask(sandbox, page_size=5, page_token=token).status_code == 410


def test_before_page_may_see_which_listing_is_asked_for() -> None:
    asked: list[tuple[str, int]] = []
    with Sandbox(world_of(30, jobs=30, projects=1)) as sandbox:
        sandbox.before_page = lambda page: asked.append((sandbox.requests[-1].path, page))
        walk(sandbox, page_size=20)
        walk(sandbox, PATH, page_size=30)

    assert asked == [(V2_PATH, 1), (V2_PATH, 2), (PATH, 1)]


def test_command_line_serves_v2_jobs_and_many_projects() -> None:
    command = [sys.executable, "-m", "llamacloud_sandbox", "--jobs", "40", "--v2-jobs", "60"]
    command += ["--projects", "4", "--port", "0", "--speed", "0", "--unknown-fields", "0"]
    command += ["--start", "2026-03-04T10:30:00Z"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        printed = list(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
        url = next(line.split("=")[1].strip() for line in printed if "BASE_URL" in line)
        headers = {"Authorization": "Bearer llx-sandbox-4"}
        items = requests.get(url + V2_PATH, headers=headers, timeout=10).json()["items"]
        process.send_signal(signal.SIGINT)

    world = world_of(60, jobs=40, projects=4)
    assert items == without_usage(world.v2_jobs(world.project_ids[3])[::-1])
    lines = [line for line in printed if line.startswith("project ")]
    assert [line.split()[1] for line in lines] == list(world.project_ids)
    for line, project_id in zip(lines, world.project_ids, strict=True):
        jobs, v2_jobs = len(world.jobs(project_id)), len(world.v2_jobs(project_id))
        assert line.endswith(f"  {v2_jobs} v2 jobs, {jobs} v1 jobs\n")
