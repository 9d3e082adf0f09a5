"""The sandbox shows more than jobs: data points, usage metrics, configurations and files."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import timedelta
from typing import Any, get_args
from urllib.parse import quote
from uuid import UUID

import pytest

from llamacloud_sandbox.api.app import V2_PATH
from llamacloud_sandbox.api.more import (
    CONFIGURATIONS_PATH,
    DATA_POINTS_PATH,
    FILES_PATH,
    USAGE_METRICS_PATH,
)
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Order, Settings, Tokens
from llamacloud_sandbox.world.clock import instant, stamp
from llamacloud_sandbox.world.world import World
from tests.support.builders import job
from tests.support.items import v2_job
from tests.support.sandboxes import DAY, START, ask, ids_of, listed, walk, world_of

ENDS = ("completed_at", "failed_at", "cancelled_at")
PATHS = (DATA_POINTS_PATH, USAGE_METRICS_PATH, CONFIGURATIONS_PATH, FILES_PATH)
SCOPE = ("project_id", "organization_id")
CREDITS = "credits_consumed_greater_than_or_equal"
ODD: tuple[Any, ...] = (None, 7, "no job", [], {}, {"id": None}, {"id": ["a"], "status": {}})
ODD_FIELDS: tuple[Any, ...] = (
    {"created_at": None},
    {"created_at": "yesterday", "updated_at": 7},
    {"created_at": "0001-01-01T00:00:00+23:00", "updated_at": "9999-12-31T23:59:59-23:00"},
    {"created_at": "0001-01-01T00:00:00Z", "updated_at": "0001-01-01T00:00:01Z"},
    {"updated_at": None},
    {"updated_at": "2020-01-01"},
    {"status": None},
    {"status": ["COMPLETED"]},
    {"status": "STRANGE"},
    {"usage": "none"},
    {"usage": {"credits": "1", "parse_credits": [1]}},
    {"usage": {"credits": 10**400, "parse_credits": True}},
    {"file_input": None, "parse_job_id": 7},
    {"file_input": {"a": 1}, "document_input_type": ["file_id"]},
    {"project_id": {"a": 1}},
)


def required(sandbox: Sandbox, path: str) -> dict[str, Any]:
    """Return the parameters without which a path is refused, and which show all there is."""
    parameters: dict[str, dict[str, Any]] = {
        DATA_POINTS_PATH: {"job_type": "classify", "created_at_on_or_after": "2000-01-01"},
        USAGE_METRICS_PATH: {
            "organization_id": sandbox.world.organization_id,
            "include_total": True,
        },
    }
    return parameters.get(path, {})


def held(world: World, path: str, project_id: str | None = None) -> list[Any]:
    """Return all that a world has of what a path lists."""
    all_of_them = {
        DATA_POINTS_PATH: world.data_points,
        USAGE_METRICS_PATH: world.usage_metrics,
        CONFIGURATIONS_PATH: world.configurations,
        FILES_PATH: world.files,
    }
    return all_of_them[path](project_id)


def by_id(items: list[Any]) -> dict[str, Any]:
    return {item["id"]: item for item in items}


def serving(world: World, **settings: Any) -> Sandbox:
    return Sandbox(world, Settings(**{"data_points_reach": "bounds"} | settings))


# All of them.


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("tokens", get_args(Tokens))
def test_pages_show_each_item_of_the_keys_own_project_once(
    path: str, order: Order, tokens: Tokens
) -> None:
    world = world_of(60, v2_jobs=60)
    with serving(world, order=order, tokens=tokens) as sandbox:
        for project_id, key in sandbox.keys.items():
            asked = required(sandbox, path) | {"page_size": 7, "project_id": project_id}
            pages = walk(sandbox, path, key=key, **asked)
            found = [item for page in pages for item in page["items"]]
            expected = held(world, path, project_id)
            assert expected
            assert by_id(found) == by_id(expected)
            assert len(found) == len(expected)
            assert {page["total_size"] for page in pages} == {len(expected)}
            if path != CONFIGURATIONS_PATH:
                assert {item["project_id"] for item in found} == {project_id}
            if order == "oldest":
                assert found == expected


@pytest.mark.parametrize("path", PATHS)
def test_end_of_pages_and_empty_pages_and_totals_are_as_set(path: str) -> None:
    world = world_of(40, v2_jobs=40)
    settings: dict[str, Any] = {"at_end": "absent", "empty_pages": 1, "total_size": False}
    with serving(world, **settings) as sandbox:
        pages = walk(sandbox, path, **required(sandbox, path), page_size=10)

    assert [bool(page["items"]) for page in pages[:4]] == [True, False, True, False]
    assert "next_page_token" not in pages[-1]
    assert {page["total_size"] for page in pages} == {None}


@pytest.mark.parametrize("path", PATHS)
def test_keys_scope_and_gone_paths_are_as_for_jobs(path: str) -> None:
    with serving(world_of(10, v2_jobs=10)) as sandbox:
        asked = required(sandbox, path)
        refused = [
            ask(sandbox, path, key="llx-wrong", **asked),
            ask(sandbox, path, **asked | {"project_id": sandbox.world.project_ids[1]}),
            ask(sandbox, path, **asked | {"organization_id": UUID(int=1)}),
        ]
        sandbox.settings.gone = {path: 410}
        refused.append(ask(sandbox, path, **asked))

    assert [reply.status_code for reply in refused] == [401, 401, 403, 410]


@pytest.mark.parametrize("path", PATHS)
def test_token_wants_every_parameter_again(path: str) -> None:
    with serving(world_of(40, v2_jobs=40)) as sandbox:
        asked = required(sandbox, path) | {"page_size": 2}
        token = ask(sandbox, path, **asked).json()["next_page_token"]
        assert ask(sandbox, path, **asked, page_token=token).status_code == 200
        for more in ({"name": "x"}, {"page_size": 3}):
            reply = ask(sandbox, path, **asked | more, page_token=token)
            assert reply.json()["detail"][0]["loc"] == ["query", "page_token"]


@pytest.mark.parametrize(
    ("path", "query", "loc"),
    [
        *((path, {"page_size": 0}, ["page_size"]) for path in PATHS),
        *((path, {"page_token": "x"}, ["page_token"]) for path in PATHS),
        *((path, {"page_size": 501}, ["page_size"]) for path in PATHS[:3]),
        (FILES_PATH, {"page_size": 1001}, ["page_size"]),
        (DATA_POINTS_PATH, {"job_type": None}, ["job_type"]),
        (DATA_POINTS_PATH, {"job_type": "split"}, ["job_type"]),
        (DATA_POINTS_PATH, {"hours": 0}, ["hours"]),
        (DATA_POINTS_PATH, {"hours": 169}, ["hours"]),
        (DATA_POINTS_PATH, {"created_at_on_or_after": "x"}, ["created_at_on_or_after"]),
        (USAGE_METRICS_PATH, {"organization_id": None}, ["organization_id"]),
        (USAGE_METRICS_PATH, {"day_on_or_after": "yesterday"}, ["day_on_or_after"]),
        (USAGE_METRICS_PATH, {"day_on_or_before": "20260304"}, ["day_on_or_before"]),
        (USAGE_METRICS_PATH, {"days": ["2026-03-04", "2026-02-30"]}, ["days", 1]),
        (USAGE_METRICS_PATH, {CREDITS: "many"}, [CREDITS]),
        (CONFIGURATIONS_PATH, {"latest_only": "x"}, ["latest_only"]),
        (CONFIGURATIONS_PATH, {"product_type": ["classify_v2", "x"]}, ["product_type", 1]),
        *((path, {name: "x"}, [name]) for path in PATHS for name in SCOPE),
    ],
)
def test_parameter_that_cannot_be_is_named_in_a_422(
    path: str, query: dict[str, Any], loc: list[Any]
) -> None:
    with serving(World.empty()) as sandbox:
        reply = ask(sandbox, path, **required(sandbox, path) | query)

    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", *loc]


def test_what_follows_from_jobs_depends_on_the_seed_alone_and_leaves_the_jobs_as_they_are() -> None:
    asked, untouched = world_of(80, v2_jobs=80), world_of(80, v2_jobs=80)
    before = {path: held(asked, path) for path in PATHS}
    other = world_of(80, v2_jobs=80, seed=2)

    for path in PATHS:
        assert held(untouched, path) == before[path] != held(other, path)
        assert len(by_id(before[path])) == len(before[path])
    for world in (asked, untouched):
        world.advance(3 * DAY)
    assert asked.jobs() == untouched.jobs()
    assert asked.v2_jobs() == untouched.v2_jobs()


@pytest.mark.parametrize("path", PATHS)
def test_items_by_hand_replace_those_of_their_id_and_raw_ones_may_be_anything(path: str) -> None:
    world = world_of(20, v2_jobs=20)
    puts = {
        DATA_POINTS_PATH: (world.put_data_point, world.put_raw_data_point),
        USAGE_METRICS_PATH: (world.put_usage_metric, world.put_raw_usage_metric),
        CONFIGURATIONS_PATH: (world.put_configuration, world.put_raw_configuration),
        FILES_PATH: (world.put_file, world.put_raw_file),
    }
    put, put_raw = puts[path]
    first, *others = held(world, path, world.project_ids[0])
    put(first | {"odd": True})
    put({"id": "theirs", "project_id": world.project_ids[1]})
    put({"id": "mine", "project_id": "unknown"})
    put_raw("raw")
    put_raw(first)
    put_raw(None, project_id=world.project_ids[1])
    with serving(world) as sandbox:
        asked = required(sandbox, path)
        mine = listed(sandbox, path, **asked)
        theirs = listed(sandbox, path, key=sandbox.keys[world.project_ids[1]], **asked)

    expected = [first | {"odd": True}, first, {"id": "mine", "project_id": "unknown"}, "raw"]
    assert sorted(map(json.dumps, mine)) == sorted(map(json.dumps, [*others, *expected]))
    assert None in theirs
    assert {"id": "theirs", "project_id": world.project_ids[1]} in theirs


@pytest.mark.parametrize("path", PATHS)
def test_jobs_that_say_anything_are_no_error(path: str) -> None:
    world = World.empty()
    for item in ODD:
        world.put_raw(item)
        world.put_raw_v2(item)
    for number, fields in enumerate(ODD_FIELDS):
        world.put(job(f"v1 {number}", **fields))
        world.put_results(f"v1 {number}", [None, {"file_id": 7}, {"file_id": f"file {number}"}])
        world.put_v2(v2_job(f"v2 {number}", **fields))
    with serving(world) as sandbox:
        reply = ask(sandbox, path, **required(sandbox, path))

    assert reply.status_code == 200


# Data points.


def test_transitions_fit_the_course_of_each_job_also_while_time_passes() -> None:
    world = world_of(300, v2_jobs=3000, days=1)
    running: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    for _ in range(40):
        jobs = by_id([*world.jobs(), *world.v2_jobs()])
        points = by_id(world.data_points())
        assert points.keys() == jobs.keys()
        for id_, each in jobs.items():
            told = points[id_]["state_transitions"]
            steps = [told[f"{name}_at"] for name in ("pending", "throttled", "running")]
            ends = [told[name] for name in ENDS if told[name]]
            known = [step for step in [*steps, *ends] if step]
            assert known == sorted(known)
            assert known[-1] <= stamp(world.now())
            assert told["pending_at"] == each["created_at"]
            is_done = each["status"] not in {"PENDING", "RUNNING"}
            assert ends == ([each["updated_at"]] if is_done else [])
            assert not (told["throttled_at"] and not told["running_at"])
            if each["status"] == "RUNNING":
                running[id_] = each["updated_at"]
            if id_ in running:
                assert told["running_at"] == running[id_]
            kinds.update(name for name in told if told[name])
        world.advance(10)

    done = [id_ for id_ in running if points[id_]["status"] != "running"]
    assert len(done) > 5
    assert all(kinds.values())
    assert kinds.keys() == points[done[0]]["state_transitions"].keys()
    assert kinds["throttled_at"] < kinds["running_at"] / 10


def test_running_step_that_nobody_saw_is_the_one_of_the_course() -> None:
    seen, unseen = world_of(v2_jobs=200, days=1), world_of(v2_jobs=200, days=1)
    for _ in range(100):
        seen.advance(10)
        seen.v2_jobs()
    unseen.advance(1000)

    assert seen.data_points() == unseen.data_points()


def test_data_point_tells_status_error_and_times_of_its_job() -> None:
    world = world_of(1000, v2_jobs=1000)
    points = by_id(world.data_points())
    words = {"SUCCESS": "completed", "PARTIAL_SUCCESS": "completed", "ERROR": "failed"}
    for each in [*world.jobs(), *world.v2_jobs()]:
        point = points[each["id"]]
        for name in ("project_id", "created_at", "updated_at", "error_message"):
            assert point[name] == each[name]
        assert point["status"] == words.get(each["status"], each["status"].lower())
    tags = Counter(point["custom_tag"] for point in points.values())
    assert 0 < tags["premium"] < tags["default"] / 5
    assert tags.keys() == {"premium", "default"}


def test_job_by_hand_keeps_when_it_began_to_run_and_what_cannot_be_told_is_null() -> None:
    world = World.empty()
    world.put_v2(v2_job("a", status="PENDING", created_at=stamp(world.now())))
    world.advance(10)
    began = world.touch_v2("a", status="RUNNING")["updated_at"]
    world.advance(10)
    ended = world.touch_v2("a", status="FAILED")["updated_at"]
    world.put_v2(v2_job("b", status="STRANGE"))
    world.put_v2(v2_job("c", created_at="yesterday"))
    points = by_id(world.data_points())

    a = points["a"]["state_transitions"]
    assert (a["running_at"], a["failed_at"]) == (began, ended)
    assert points["b"]["status"] == "strange"
    assert {k for k, v in points["b"]["state_transitions"].items() if v} == {"pending_at"}
    assert not any(points["c"]["state_transitions"].values())


def points_at(hours: dict[str, float]) -> World:
    world = World.empty()
    for id_, ago in hours.items():
        created = stamp(world.now() - timedelta(hours=ago))
        world.put_v2(v2_job(id_, created_at=created, updated_at=created))
    return world


@pytest.mark.parametrize(
    ("reach", "query", "expected"),
    [
        ("hours", {}, "a"),
        ("hours", {"hours": 5}, "ab"),
        ("hours", {"hours": 168}, "abc"),
        ("hours", {"hours": 5, "after": 400}, "ab"),
        ("hours", {"hours": 168, "after": 5}, "ab"),
        ("hours", {"hours": 168, "before": 2}, "bc"),
        ("bounds", {}, "a"),
        ("bounds", {"hours": 5, "before": 2}, "b"),
        ("bounds", {"after": 400}, "abcd"),
        ("bounds", {"hours": 168, "after": 2}, "ab"),
        ("bounds", {"after": 300, "before": 100}, "cd"),
    ],
)
def test_data_points_reach_as_far_as_hours_or_bounds_say(
    reach: Any, query: dict[str, float], expected: str
) -> None:
    world = points_at({"a": 0.5, "b": 2, "c": 100, "d": 300})
    bounds = {
        f"created_at_on_or_{name}": stamp(world.now() - timedelta(hours=query[name]))
        for name in ("after", "before")
        if name in query
    }
    hours = {"hours": query["hours"]} if "hours" in query else {}
    with Sandbox(world, Settings(data_points_reach=reach)) as sandbox:
        found = listed(sandbox, DATA_POINTS_PATH, job_type="classify", **hours, **bounds)

    assert sorted(ids_of(found)) == [*expected]


def test_data_points_are_filtered_by_status_and_those_of_other_products_are_none() -> None:
    world = world_of(300, v2_jobs=300)
    points = world.data_points(world.project_ids[0])
    wanted = {"failed", "cancelled"}
    with serving(world) as sandbox:
        asked = required(sandbox, DATA_POINTS_PATH)
        found = listed(sandbox, DATA_POINTS_PATH, status=[*wanted], **asked)
        others = [
            ask(sandbox, DATA_POINTS_PATH, **asked | {"job_type": kind}).json()
            for kind in ("extract", "parse")
        ]

    assert by_id(found) == by_id([point for point in points if point["status"] in wanted])
    assert others == [{"items": [], "next_page_token": None, "total_size": 0}] * 2


# Usage metrics.


def test_credits_of_metrics_add_up_to_what_each_job_used() -> None:
    world = world_of(v2_jobs=3000)
    metrics: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for metric in world.usage_metrics():
        metrics[metric["event_aggregation_key"]].append(metric)
    kinds: Counter[str] = Counter()
    for each in world.v2_jobs():
        own = metrics.pop(each["id"], [])
        of_parsing = metrics.pop(each["parse_job_id"], [])
        finished = each["usage"] is not None
        assert len(own) == finished
        assert {metric["event_type"] for metric in own} <= {"pages_classified", "image_classified"}
        assert {metric["event_type"] for metric in of_parsing} <= {"pages_parsed"}
        if not finished:
            assert not of_parsing
        elif each["document_input_type"] == "parse_job_id":
            assert own[0]["credits"] == 0
            assert all(metric["day"] < own[0]["day"] for metric in of_parsing)
            kinds["parsed before" if of_parsing else "parsed before, unbilled"] += 1
        elif each["usage"]["credits"] is None:
            assert own[0]["credits"] is None
            kinds["not yet billed"] += 1
        else:
            total = sum(metric["credits"] for metric in [*own, *of_parsing])
            assert total == each["usage"]["credits"]
            kinds["with parsing" if of_parsing else "without"] += 1
        for metric in own:
            assert metric["day"] == each["updated_at"][:10]
            assert metric["value"] == 1 or metric["event_type"] == "pages_classified"

    assert len(kinds) == 5
    others = Counter(metric["event_type"] for each in metrics.values() for metric in each)
    assert others.keys() == {"extraction_num_pages", "pages_split", "pages_parsed"}


def test_v1_jobs_that_are_done_have_a_metric_of_their_own() -> None:
    world = world_of(1000)
    done = {job["id"] for job in world.jobs() if job["status"] in {"SUCCESS", "PARTIAL_SUCCESS"}}
    classified = [
        metric for metric in world.usage_metrics() if metric["event_type"] == "pages_classified"
    ]

    assert {metric["event_aggregation_key"] for metric in classified} == done
    assert all(0.5 <= metric["credits"] <= 20 for metric in classified)
    assert {None} < {str(metric["usage_tags"] or "") or None for metric in classified}
    assert {"{}", "{'mode': 'FAST'}"} == {str(metric["properties"]) for metric in classified}


def test_metrics_of_a_job_keep_their_ids_when_its_usage_comes_late() -> None:
    world = World.empty()
    world.put_v2(v2_job("a", usage={"credits": None, "parse_credits": None}))
    before = world.usage_metrics()
    world.touch_v2("a", usage={"credits": 3, "parse_credits": 1})
    after = world.usage_metrics()

    assert {*ids_of(before)} < {*ids_of(after)}
    assert sorted(metric["credits"] for metric in after) == [1, 2]


def test_metrics_are_filtered_by_each_parameter() -> None:
    world = world_of(300, v2_jobs=300)
    metrics = world.usage_metrics(world.project_ids[0])
    some = metrics[len(metrics) // 2]
    days = sorted({metric["day"] for metric in metrics})
    queries: dict[str, Any] = {
        "user_id": some["user_id"],
        "event_types": ["pages_parsed", "image_classified"],
        "days": [days[3], days[9], "2020-01-01"],
        "day_on_or_after": days[5],
        "day_on_or_before": days[5],
        "event_aggregation_key": some["event_aggregation_key"],
        "event_aggregation_type": "pdf",
        CREDITS: 2.5,
    }
    fields = {"event_types": "event_type", "days": "day"}

    def passes(metric: Any, name: str, wanted: Any) -> bool:
        if name == "day_on_or_after":
            return bool(metric["day"] >= wanted)
        if name == "day_on_or_before":
            return bool(metric["day"] <= wanted)
        if name == CREDITS:
            return metric["credits"] is not None and bool(metric["credits"] >= wanted)
        value = metric[fields.get(name, name)]
        return value in wanted if isinstance(wanted, list) else bool(value == wanted)

    with serving(world) as sandbox:
        asked = required(sandbox, USAGE_METRICS_PATH)
        for name, wanted in queries.items():
            found = listed(sandbox, USAGE_METRICS_PATH, **asked, **{name: wanted})
            expected = by_id([metric for metric in metrics if passes(metric, name, wanted)])
            assert by_id(found) == expected
            assert 0 < len(found) < len(metrics)


def test_metrics_are_counted_only_if_it_is_asked_for() -> None:
    world = world_of(20)
    with serving(world) as sandbox:
        asked = required(sandbox, USAGE_METRICS_PATH)
        totals = [
            ask(sandbox, USAGE_METRICS_PATH, **asked | {"include_total": each}).json()["total_size"]
            for each in (True, False)
        ]

    assert totals == [len(world.usage_metrics(world.project_ids[0])), None]


# Configurations.


def test_every_configuration_that_a_job_names_is_listed_with_its_rules_from_before_it() -> None:
    world = world_of(v2_jobs=1000)
    first = min(each["created_at"] for each in world.v2_jobs())
    for project_id in world.project_ids:
        configurations = by_id(world.configurations(project_id))
        for each in world.v2_jobs(project_id):
            if each["configuration_id"]:
                saved = configurations[each["configuration_id"]]
                assert saved["product_type"] == "classify_v2"
                assert saved["parameters"]["product_type"] == "classify_v2"
                assert saved["parameters"]["mode"] == "FAST"
                assert saved["parameters"]["rules"] == each["configuration"]["rules"]
        for saved in configurations.values():
            assert saved["created_at"] <= saved["updated_at"] < first
            assert instant(saved["version"]) == instant(saved["updated_at"])


def test_configurations_are_filtered_by_product_name_and_being_the_latest() -> None:
    world = World.empty()
    saved = world.configurations(world.project_ids[0])
    versions = Counter((each["product_type"], each["name"]) for each in saved)
    (_, name), _ = versions.most_common(1)[0]
    assert {each["product_type"] for each in saved} == {"classify_v2", "extract_v2", "parse_v2"}
    assert {*versions.values()} == {1, 2}
    with serving(world) as sandbox:
        latest = listed(sandbox, CONFIGURATIONS_PATH, latest_only=True)
        named = listed(sandbox, CONFIGURATIONS_PATH, name=name)
        both = ["classify_v2", "parse_v2"]
        products = listed(sandbox, CONFIGURATIONS_PATH, product_type=both)

    newest = {
        key: max(
            (each for each in saved if (each["product_type"], each["name"]) == key),
            key=lambda each: str(each["version"]),
        )
        for key in versions
    }
    assert by_id(latest) == by_id([*newest.values()])
    assert by_id(named) == by_id([each for each in saved if each["name"] == name])
    assert by_id(products) == by_id([each for each in saved if each["product_type"] in both])


def test_configuration_that_is_put_again_stays_in_its_project() -> None:
    world = World.empty()
    second = world.project_ids[1]
    first, *others = world.configurations(second)
    world.put_configuration(first | {"name": "Renamed"})

    assert by_id(world.configurations(second)) == by_id([first | {"name": "Renamed"}, *others])


def test_configuration_and_file_can_be_deleted_once_and_put_again() -> None:
    world = world_of(10, v2_jobs=10)
    for all_of_them, delete, put in (
        (world.configurations, world.delete_configuration, world.put_configuration),
        (world.files, world.delete_file, world.put_file),
    ):
        first, *others = all_of_them()
        delete(first["id"])
        assert all_of_them() == others
        with pytest.raises(KeyError, match=first["id"]):
            delete(first["id"])
        put(first)
        assert by_id(all_of_them()) == by_id([first, *others])


# Files.


def ids_of_files(world: World, project_id: str | None = None) -> set[str]:
    """Return every id that a job, or its results, say is a file's."""
    v2 = {
        each["file_input"]
        for each in world.v2_jobs(project_id)
        if each["document_input_type"] == "file_id"
    }
    results = (each for job in world.jobs(project_id) for each in world.results(job["id"]))
    return v2 | {each["file_id"] for each in results if each["file_id"]}


def test_files_are_those_of_jobs_but_for_few_that_are_gone() -> None:
    world = world_of(500, v2_jobs=500)
    wanted, files = ids_of_files(world), world.files()
    created = {each["file_input"]: each["created_at"] for each in world.v2_jobs()}

    assert by_id(files).keys() < wanted
    assert len(wanted) * 0.95 < len(files)
    for file in files:
        assert file["download_url"] is None
        if file["id"] in created:
            before = instant(created[file["id"]]) - instant(file["last_modified_at"])
            assert timedelta() < before < timedelta(hours=1)
    names = "".join(file["name"] for file in files)
    assert all(each in names for each in ("Ü", "請", '"', "'", "invoice_"))
    for field in ("external_file_id", "file_type", "expires_at", "purpose"):
        assert None in {file[field] for file in files}
        assert len({file[field] for file in files}) > 1


def test_files_follow_when_jobs_come_and_when_results_are_put() -> None:
    world = world_of(100, v2_jobs=100)
    before = world.files()
    world.advance(5 * DAY)
    assert len(world.files()) > len(before)
    done = next(each for each in world.jobs() if each["status"] == "SUCCESS")
    world.put_results(done["id"], [{"file_id": f"new {number}"} for number in range(9)])
    assert len({*by_id(world.files())} & {f"new {number}" for number in range(9)}) > 5
    assert by_id(world.files()).keys() < ids_of_files(world)


@pytest.mark.parametrize("how", ["any", "uuid", "ignored"])
def test_file_ids_are_looked_for_or_refused_or_ignored(how: Any) -> None:
    world = world_of(60, v2_jobs=60)
    files = world.files(world.project_ids[0])
    wanted = [*ids_of(files)[::3], "00000000-0000-4000-8000-000000000000"]
    uuids = [id_ for id_ in wanted if not id_.startswith("dfl-")]
    theirs = ids_of(world.files(world.project_ids[1]))[:1]
    with serving(world, file_ids=how) as sandbox:
        reply = ask(sandbox, FILES_PATH, file_ids=["not-one", *uuids, "dfl-1"])
        found = listed(sandbox, FILES_PATH, file_ids=uuids, page_size=5)
        if how != "uuid":
            mixed = listed(sandbox, FILES_PATH, file_ids=[*wanted, *theirs], page_size=5)

    if how == "uuid":
        assert reply.status_code == 422
        problems = [each["loc"] for each in reply.json()["detail"]]
        assert problems == [["query", "file_ids", number] for number in (0, len(uuids) + 1)]
    if how == "ignored":
        assert by_id(found) == by_id(mixed) == by_id(files)
    else:
        assert ids_of(found) == [id_ for id_ in ids_of(files)[::-1] if id_ in uuids]
    if how == "any":
        assert by_id(mixed).keys() == {*wanted[:-1]}


def test_files_are_filtered_by_name_and_external_id_which_may_hold_anything() -> None:
    world = world_of(v2_jobs=50)
    world.put_file({"id": "a", "name": "Größe & 50%.pdf", "external_file_id": "erp/1"})
    world.put_raw_file({"id": "b", "name": ["Größe & 50%.pdf"]})
    world.put_raw_file("no file")
    with serving(world) as sandbox:
        for query in ({"file_name": "Größe & 50%.pdf"}, {"external_file_id": "erp/1"}):
            found = listed(sandbox, FILES_PATH, **query)
            assert [item for item in found if item != "no file"] == world.files()[:1]
            assert "no file" in found


def test_download_url_is_shown_only_if_it_is_asked_for() -> None:
    world = world_of(v2_jobs=30)
    with serving(world) as sandbox:
        plain = listed(sandbox, FILES_PATH, order_by="name desc")
        expanded = listed(sandbox, FILES_PATH, expand=["other", "download_url"])

    assert {file["download_url"] for file in plain} == {None}
    assert [file | {"download_url": None} for file in expanded] == plain
    for file in expanded:
        assert file["download_url"]["url"].startswith("https://files.example.com/")
        assert "X-Amz-Signature=" in file["download_url"]["url"]
        assert file["download_url"]["expires_at"] > stamp(START)
        assert file["download_url"]["form_fields"] is None


# The longest URL.


@pytest.mark.parametrize("path", [FILES_PATH, V2_PATH])
def test_longer_path_and_query_than_may_be_are_answered_414(path: str) -> None:
    with serving(World.empty()) as sandbox:
        room = 8192 - len(f"{path}?name=")
        statuses = [ask(sandbox, path, name="x" * size).status_code for size in (room, room + 1)]
        umlauts = ask(sandbox, path, name="ä" * (room // len(quote("ä")) + 1)).status_code
        sandbox.settings.longest_url = 0
        statuses.append(ask(sandbox, path, name="x" * (room + 1)).status_code)
        sandbox.answer_next(200, {})
        sandbox.settings.longest_url = 10
        statuses += [ask(sandbox, path).status_code for _ in range(2)]

    assert statuses == [200, 414, 200, 200, 414]
    assert umlauts == 414
    assert sandbox.requests[1].status == 414


def test_next_page_of_a_hundred_and_fifty_files_or_a_hundred_jobs_fits_into_a_url() -> None:
    world = world_of(v2_jobs=400, projects=1)
    files = ids_of(world.files())[:150]
    jobs = ids_of(world.v2_jobs())[:100]
    with serving(world) as sandbox:
        assert len(listed(sandbox, FILES_PATH, file_ids=files, page_size=70)) == 150
        assert len(listed(sandbox, V2_PATH, job_ids=jobs, page_size=30)) == 100
        longest = max(len(request.target) for request in sandbox.requests)

    assert 5000 < longest < 8192
