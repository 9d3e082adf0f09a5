"""The sandbox keeps v2's promises, and those of results, projects and keys, over real HTTP."""

from __future__ import annotations

import itertools
from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
import requests

from llamacloud_sandbox.api.app import ORGANIZATIONS_PATH, PATH, PROJECTS_PATH, V2_PATH
from llamacloud_sandbox.api.filters import Filter
from llamacloud_sandbox.api.listing import KEPT
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.clock import Clock, instant, stamp
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.items import v2_job
from tests.support.sandboxes import (
    DAY,
    START,
    V1,
    V2,
    ask,
    ids_of,
    listed,
    walk,
    world_of,
)

FINISHED = {"COMPLETED", "FAILED", "CANCELLED"}

# The history.


def test_v1_and_v2_jobs_do_not_depend_on_each_other() -> None:
    both, v1, v2 = world_of(200, v2_jobs=300), world_of(200), world_of(v2_jobs=300)
    for _ in range(3):
        assert both.jobs() == v1.jobs()
        assert both.v2_jobs() == v2.v2_jobs()
        for world in (both, v1, v2):
            world.advance(5 * DAY)
    assert v1.v2_jobs() == v2.jobs() == []


def test_v2_jobs_have_every_kind_of_input_with_and_without_what_may_be_null() -> None:
    jobs = world_of(v2_jobs=2000).v2_jobs()

    prefixes = {"file_id": "dfl-", "parse_job_id": "pjb-", "url": "https://"}
    assert {job["document_input_type"] for job in jobs} == set(prefixes)
    for job in jobs:
        assert job["file_input"].startswith(prefixes[job["document_input_type"]])
        assert job["configuration"]["mode"] == "FAST"
        assert 1 <= len(job["configuration"]["rules"]) <= 6
    configurations = [job["configuration"]["parsing_configuration"] for job in jobs]
    assert None in configurations
    targets = {each["target_pages"] for each in configurations if each}
    assert {None, "1,3,5-7"} < targets
    for name in ("configuration_id", "transaction_id", "parse_job_id"):
        assert {None} < {job[name] for job in jobs}


def test_v2_result_and_usage_follow_from_how_the_job_ended() -> None:
    jobs = world_of(v2_jobs=3000).v2_jobs()
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


def test_v2_credits_are_all_that_was_billed_and_parse_credits_a_part_of_them() -> None:
    kinds: Counter[str] = Counter()
    for job in (job for job in world_of(v2_jobs=3000).v2_jobs() if job["usage"]):
        total, parsed = job["usage"]["credits"], job["usage"]["parse_credits"]
        if job["document_input_type"] == "parse_job_id":
            assert job["usage"] == {"credits": 0, "parse_credits": None}
            assert job["parse_job_id"] == job["file_input"]
        elif total is None:
            assert parsed is None
        else:
            assert total > 0
            assert parsed is None or 0 <= parsed <= total
            kinds["null" if parsed is None else "all" if parsed == total else "part"] += 1
    assert kinds.keys() == {"null", "all", "part"}


def test_v2_job_is_pending_then_running_and_then_keeps_its_end() -> None:
    world = world_of(v2_jobs=1000, days=1)
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


def test_some_v2_jobs_are_never_finished() -> None:
    world = world_of(v2_jobs=5000)
    begun = set(ids_of(world.v2_jobs()))
    world.advance(30 * DAY)

    lost = [job for job in world.v2_jobs() if job["id"] in begun and job["status"] not in FINISHED]
    assert 2 <= len(lost) <= 25
    assert {job["status"] for job in lost} == {"PENDING", "RUNNING"}


def test_number_of_projects_leaves_the_first_ones_and_changes_only_whose_jobs_are() -> None:
    few, three, many = (World(History(jobs=50, projects=number)) for number in (2, 3, 12))

    assert len(many.project_ids) == len(set(many.project_ids)) == 12
    assert many.project_ids[:3] == three.project_ids == World.empty().project_ids
    assert three.project_ids[:2] == few.project_ids
    assert few.organization_id == three.organization_id == many.organization_id
    assert ids_of(three.jobs()) == ids_of(many.jobs())
    assert len({job["project_id"] for job in many.jobs()}) > 3
    with Sandbox(many) as sandbox:
        assert list(sandbox.keys) == list(many.project_ids)
        assert len(set(sandbox.keys.values())) == 12


@pytest.mark.parametrize("kind", ["jobs", "v2_jobs"])
def test_projects_share_jobs_equally_unless_they_are_three(kind: str) -> None:
    def sizes(projects: int) -> list[int]:
        world = World(History(**{"jobs": 0, kind: 4000, "projects": projects}))
        jobs = getattr(world, kind)
        return [len(jobs(project_id)) for project_id in world.project_ids]

    assert [round(size / 4000, 1) for size in sizes(3)] == [0.8, 0.1, 0.1]
    assert all(400 < size < 600 for size in sizes(8))
    assert sizes(1) == [4000]


# The listing.


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
        world.put_v2(v2_job(str(micros), created_at=f"2026-03-04T10:00:00.000{micros}Z"))
    after, before = {"created_at_on_or_after": bound}, {"created_at_on_or_before": bound}
    queries = (after, before, after | before)
    with Sandbox(world, Settings(order="oldest")) as sandbox:
        found = [ids_of(listed(sandbox, V2_PATH, page_size=1, **query)) for query in queries]

    assert found == [["500", "501"], ["499", "500"], ["500"]]


def test_v2_bound_may_be_a_date_which_is_its_midnight() -> None:
    world = World.empty()
    world.put_v2(v2_job("evening", created_at="2026-03-03T23:59:59Z"))
    world.put_v2(v2_job("midnight", created_at="2026-03-04T00:00:00Z"))
    with Sandbox(world) as sandbox:
        page = ask(sandbox, V2_PATH, created_at_on_or_after="2026-03-04").json()

    assert (ids_of(page["items"]), page["total_size"]) == (["midnight"], 1)


def test_v2_job_without_readable_created_at_is_out_of_sight_of_a_window_only() -> None:
    world = World.empty()
    good = ("2026-03-04T12:00:00+02:00", "2026-03-04T10:00:00", "2026-03-04 10:00:00.1Z")
    bad: tuple[Any, ...] = (None, "", "yesterday", 12, ["2026-03-04"])
    for kind, values in {"good": good, "bad": bad}.items():
        for number, created in enumerate(values):
            world.put_v2(v2_job(f"{kind} {number}", created_at=created))
    world.put_v2({"id": "bad without"})
    world.put_raw_v2("no job")
    with Sandbox(world) as sandbox:
        seen = listed(sandbox, V2_PATH, created_at_on_or_after="2000-01-01")
        everything = listed(sandbox, V2_PATH)

    assert {job["id"].split()[0] for job in seen} == {"good"}
    assert (len(seen), len(everything)) == (3, 10)


@pytest.mark.parametrize(
    "query", [{"status": "FAILED"}, {"job_ids": "x"}, {"configuration_id": "x"}], ids=str
)
def test_v2_filters_survive_items_that_are_no_jobs(query: dict[str, str]) -> None:
    world = World.empty()
    no_texts = {"id": ["x"], "status": ["FAILED"], "configuration_id": {"x": 1}}
    odd: list[Any] = [None, 7, [], {}, no_texts]
    for item in odd:
        world.put_raw_v2(item)
    with Sandbox(world) as sandbox:
        assert listed(sandbox, V2_PATH, **query) == []
        assert len(listed(sandbox, V2_PATH)) == len(odd)


def test_listing_is_filtered_once_and_again_only_when_jobs_changed_or_it_is_long_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_at = itertools.count()
    passes = Filter.passes

    def counted(only: Filter, item: Any) -> bool:
        next(looked_at)
        return passes(only, item)

    monkeypatch.setattr(Filter, "passes", counted)
    world = V2.filled(*(f"job {number}" for number in range(30)))

    def looks(**query: Any) -> int:
        before = next(looked_at)
        walk(sandbox, V2_PATH, page_size=4, **query)
        return next(looked_at) - before - 1

    with Sandbox(world) as sandbox:
        assert looks() == 0
        assert [looks(status="COMPLETED") for _ in range(2)] == [30, 0]
        world.put_v2(v2_job("one more"))
        assert [looks(status="COMPLETED") for _ in range(2)] == [31, 0]
        for number in range(KEPT - 1):
            looks(configuration_id=f"cfg {number}")
        assert looks(status="COMPLETED") == 0
        for number in range(KEPT):
            looks(configuration_id=f"other cfg {number}")
        assert looks(status="COMPLETED") == 31


# One job.


def test_v2_usage_is_told_of_a_finished_job_when_it_is_asked_for() -> None:
    world = World.empty()
    for status in ("PENDING", "RUNNING", *FINISHED):
        world.put_v2(v2_job(status, status=status))
    with Sandbox(world) as sandbox:
        for job in world.v2_jobs():
            path, told = f"{V2_PATH}/{job['status']}", job["status"] in FINISHED
            with_usage = job | {"usage": job["usage"] if told else None}
            assert ask(sandbox, path).json() == job | {"usage": None}
            assert ask(sandbox, path, expand="usage").json() == with_usage
            assert ask(sandbox, path, expand=["other", "usage"]).json() == with_usage
            assert ask(sandbox, path, expand="other").json() == job | {"usage": None}
        assert [item["usage"] for item in listed(sandbox, V2_PATH)] == [None] * 5
        sandbox.settings.usage_in_list = True
        assert all(item["usage"]["credits"] == 1.5 for item in listed(sandbox, V2_PATH))


@pytest.mark.parametrize("job_id", ["a/b", "a b?c#d%", "日本 📷"])
def test_v2_job_is_found_by_its_encoded_id_whatever_it_is(job_id: str) -> None:
    with Sandbox(V2.filled(job_id)) as sandbox:
        reply = ask(sandbox, f"{V2_PATH}/{quote(job_id, safe='')}")

    assert reply.json()["id"] == job_id


def test_v2_job_that_is_unknown_deleted_or_anothers_is_not_found() -> None:
    world = V2.filled("mine", "gone")
    world.put_v2(v2_job("theirs", project_id=world.project_ids[1]))
    world.delete_v2("gone")
    with Sandbox(world) as sandbox:
        mine, *others = (
            ask(sandbox, f"{V2_PATH}/{id_}") for id_ in ("mine", "gone", "theirs", "ghost")
        )

    assert mine.status_code == 200
    assert [reply.status_code for reply in others] == [404, 404, 404]
    assert isinstance(others[-1].json()["detail"], str)


def test_input_has_its_older_name_in_list_and_job_if_set() -> None:
    world = V2.filled("a")
    world.put_raw_v2("no job")
    older = v2_job("a", document_input_value=v2_job("a")["file_input"])
    del older["file_input"]
    with Sandbox(world, Settings(input_name="document_input_value")) as sandbox:
        assert listed(sandbox, V2_PATH) == [older | {"usage": None}, "no job"]
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
    ids = [f"job {number}" for number in range(10)]
    minute = {"created_at": "2026-03-04T10:00:00.000000Z", "updated_at": "2026-03-04T10:01:00Z"}
    world = V1.filled(*ids, **minute)
    before = [world.results(job_id) for job_id in ids]
    for job_id in ids:
        world.touch(job_id)
    after = [world.results(job_id) for job_id in ids]

    assert [ids_of(each) for each in before] == [ids_of(each) for each in after]
    assert {result["updated_at"] for each in after for result in each} > {stamp(START)}
    assert not any("10:01:00" in result["updated_at"] for each in after for result in each)


def test_results_are_answered_at_once_in_the_form_of_a_last_page() -> None:
    world = V1.filled("a")
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
        {"created_at": "2026-11-02T00:00:00Z"},
    ],
    ids=str,
)
def test_results_are_made_up_for_odd_jobs_too(odd: dict[str, Any]) -> None:
    world = V1.filled("a", **odd)
    with Sandbox(world) as sandbox:
        items = ask(sandbox, results_path("a")).json()["items"]

    assert items
    for item in items:
        if odd.get("updated_at", 1) != 1 or "created_at" in odd:
            assert item["updated_at"] == world.job("a")["updated_at"]
        if "rules" in odd and item["result"]:
            assert item["result"]["type"] is None


def test_results_of_a_pending_job_are_none_or_not_found_unless_made_by_hand() -> None:
    raw = [{"id": "r"}, "no result", None, {"id": 5, "result": [1]}]
    world = V1.filled("waits", "made", "empty", status="PENDING")
    world.touch("empty", status="SUCCESS")
    world.put_results("empty", [])
    world.put_results("made", raw)
    with Sandbox(world) as sandbox:
        waits = ask(sandbox, results_path("waits")).json()
        sandbox.settings.pending_results = "404"
        refused = ask(sandbox, results_path("waits"))
        assert ask(sandbox, results_path("empty")).json()["items"] == []
        assert ask(sandbox, results_path("made")).json()["items"] == raw

    assert waits == {"items": [], "next_page_token": None, "total_size": 0}
    assert refused.status_code == 404


GHOST = str(UUID(int=1))


def test_results_of_a_job_that_is_unknown_expired_or_anothers_are_not_found() -> None:
    world = V1.filled("mine", "old")
    world.put(V1.make("theirs", project_id=world.project_ids[1]))
    world.expire("old")
    world.put_raw({"id": "raw"})
    world.put(V1.make("deleted"))
    world.delete("deleted")
    with Sandbox(world) as sandbox:
        statuses = {
            job_id: ask(sandbox, results_path(job_id)).status_code
            for job_id in ("mine", "old", "theirs", "raw", "deleted", GHOST, "no UUID")
        }
        shown = ids_of(ask(sandbox, PATH).json()["items"])

    known = dict.fromkeys(("old", "theirs", "raw", "deleted", GHOST), 404)
    assert statuses == known | {"mine": 200, "no UUID": 422}
    assert sorted(shown) == ["mine", "old", "raw"]
    for job_id in ("old", GHOST):
        with pytest.raises(KeyError, match=job_id):
            world.results(job_id)
    with pytest.raises(KeyError, match=GHOST):
        world.expire(GHOST)


# Projects and keys.


def test_projects_are_a_bare_array_of_all_whatever_key_asks() -> None:
    world = World.empty(clock=Clock(START), projects=5)
    with Sandbox(world) as sandbox:
        replies = [ask(sandbox, PROJECTS_PATH, key=key).json() for key in sandbox.keys.values()]
        own = ask(sandbox, PROJECTS_PATH, organization_id=world.organization_id).json()
        organizations = [
            ask(sandbox, ORGANIZATIONS_PATH, name=name).json()["items"] for name in ("Example", "x")
        ]
        named = [
            ask(sandbox, PROJECTS_PATH, project_name=name).json()
            for name in ("none", own[1]["name"])
        ]
        refused = [
            ask(sandbox, PROJECTS_PATH, organization_id=UUID(int=1)).status_code,
            ask(sandbox, PROJECTS_PATH, key="llx-wrong").status_code,
        ]

    assert all(reply == own == world.projects() for reply in replies)
    assert named == [[], own[1:2]]
    assert organizations == [world.organizations(), []]
    assert refused == [403, 401]
    assert [project["id"] for project in own] == list(world.project_ids)
    assert [project["is_default"] for project in own] == [True, False, False, False, False]
    assert {project["organization_id"] for project in own} == {world.organization_id}
    assert len({project["name"] for project in own}) == 5
    for project in own:
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
    with Sandbox(world_of(20, v2_jobs=20)) as sandbox:
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
    world = world_of(20, v2_jobs=20)
    world.put(V1.make("a"))
    with Sandbox(world, Settings(gone={"/api/v1/classifier": 410})) as sandbox:
        sandbox.prerender(50)
        gone = [ask(sandbox, path, page_size=50) for path in (PATH, results_path("a"))]
        for path in (V2_PATH, PROJECTS_PATH):
            assert ask(sandbox, path).status_code == 200
        sandbox.settings.gone = {V2_PATH: 404}
        gone_too = ask(sandbox, V2_PATH)
        assert ask(sandbox, PATH).status_code == 200

    assert {(reply.status_code, reply.text) for reply in gone} == {(410, '{"detail": "Gone"}')}
    assert (gone_too.status_code, gone_too.json()) == (404, {"detail": "Not Found"})


# The strings a test pulls.


@pytest.mark.parametrize("path", [V2_PATH, f"{V2_PATH}/a", results_path("a"), PROJECTS_PATH])
def test_faults_meet_every_call_whose_reply_can_be_cut_too(path: str) -> None:
    world = V2.filled("a")
    world.put(V1.make("a"))
    with Sandbox(world) as sandbox:
        fine = ask(sandbox, path).content
        for kind in ("503", "html-200", "cut-chunked"):
            sandbox.fail_next(kind)
        assert [ask(sandbox, path).status_code for _ in range(2)] == [503, 200]
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            ask(sandbox, path)
        assert ask(sandbox, path).content == fine
        faults = [request.fault for request in sandbox.requests]

    assert faults == [None, "503", "html-200", "cut-chunked", None]
