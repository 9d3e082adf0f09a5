"""The sandbox keeps the API's promises over real HTTP; nothing here knows the tap."""

import base64
import gzip
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
import requests

from llamacloud_sandbox.__main__ import main
from llamacloud_sandbox.api.app import PATH
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import AtEnd, Order, Settings, Tokens
from llamacloud_sandbox.wire.faults import (
    ABSURD_SECONDS,
    FAULTS,
    LARGE,
    OUTLASTABLE,
    RETRIED,
    WITH_RETRY_AFTER,
)
from llamacloud_sandbox.wire.plan import FaultPlan
from llamacloud_sandbox.world.clock import Clock, stamp
from llamacloud_sandbox.world.history import History, Job
from llamacloud_sandbox.world.world import World
from tests.support.commands import ROOT

START = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
DAY = 86_400.0


def world_of(jobs: int, **history: Any) -> World:
    return World(History(jobs=jobs, **history), clock=Clock(START))


def literal_job(job_id: str, created: str = "2026-03-04T10:00:00.000000Z", **fields: Any) -> Job:
    return {
        "id": job_id,
        "status": "PENDING",
        "created_at": created,
        "updated_at": created,
    } | fields


def job_about_to_finish(world: World) -> Any:
    undisturbed = World(world.history, clock=Clock(START))
    undisturbed.advance(5 * DAY)
    pending = [job for job in world.jobs() if job["status"] == "PENDING"]
    return next(job for job in pending if undisturbed.job(job["id"])["status"] != "PENDING")


def ask(sandbox: Sandbox, *, path: str = PATH, key: str = "", **query: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {key or sandbox.key}"}
    return requests.get(sandbox.url + path, params=query, headers=headers, timeout=10)


def walk(sandbox: Sandbox, **query: Any) -> list[dict[str, Any]]:
    pages: list[dict[str, Any]] = [ask(sandbox, **query).json()]
    while token := pages[-1].get("next_page_token"):
        pages.append(ask(sandbox, **query, page_token=token).json())
    return pages


def listed(sandbox: Sandbox, **query: Any) -> list[Any]:
    return [item for page in walk(sandbox, **query) for item in page["items"]]


def ids_of(items: list[Any]) -> list[str]:
    return [item["id"] for item in items]


def test_history_lists_exactly_its_jobs_in_the_days_before_the_start() -> None:
    jobs = world_of(1003, days=30).jobs()

    assert len(jobs) == len(set(ids_of(jobs))) == 1003
    assert stamp(START - timedelta(days=30)) <= jobs[0]["created_at"]
    assert jobs[-1]["created_at"] <= stamp(START)
    assert jobs == sorted(jobs, key=lambda job: job["created_at"])


def test_history_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert world_of(300, seed=7).jobs() == world_of(300, seed=7).jobs()
    assert not set(ids_of(world_of(300, seed=7).jobs())) & set(ids_of(world_of(300, seed=8).jobs()))


def test_history_does_not_depend_on_the_steps_in_which_time_passes() -> None:
    at_once, by_steps = world_of(200), world_of(200)
    at_once.advance(10 * DAY)
    for _ in range(40):
        by_steps.advance(DAY / 4)
        by_steps.jobs()

    assert at_once.jobs() == by_steps.jobs()


def test_history_has_every_status_mode_and_project() -> None:
    world = world_of(5000)
    jobs = world.jobs()

    statuses = {job["status"] for job in jobs}
    assert statuses == {"PENDING", "SUCCESS", "ERROR", "PARTIAL_SUCCESS", "CANCELLED"}
    assert {job["mode"] for job in jobs} == {"FAST", "MULTIMODAL"}
    sizes = [len(world.jobs(project_id)) for project_id in world.project_ids]
    assert sum(sizes) == 5000
    assert sizes[0] > sizes[1] > sizes[2] > 0
    assert {None} < {job["error_message"] for job in jobs}
    assert any(not (job["error_message"] or "").isascii() for job in jobs)


def test_history_stays_within_the_documented_bounds_of_rules() -> None:
    rules = [job["rules"] for job in world_of(500).jobs()]

    assert {len(each) for each in rules} == {1, 2, 3, 4, 5, 6}
    assert all(1 <= len(rule["type"]) <= 50 for each in rules for rule in each)
    assert all(10 <= len(rule["description"]) <= 2000 for each in rules for rule in each)


def test_unknown_fields_come_in_their_share_only() -> None:
    assert not any("priority" in job for job in world_of(200).jobs())

    jobs = world_of(2000, unknown_fields=0.25).jobs()
    odd = [job for job in jobs if "priority" in job]
    assert 400 < len(odd) < 600
    assert all("tags" in job and "weight" in job["rules"][0] for job in odd)
    assert not any("weight" in rule for j in jobs if j not in odd for rule in j["rules"])


def test_new_jobs_arrive_at_about_the_rate_of_the_history() -> None:
    world = world_of(900, days=90)
    world.advance(90 * DAY)

    assert 1700 < len(world.jobs()) < 1900


def test_job_is_pending_until_it_finishes_and_then_keeps_its_end() -> None:
    world = world_of(5000)
    begun = {job["id"]: dict(job) for job in world.jobs() if job["status"] == "PENDING"}
    world.advance(4 * DAY)

    now = stamp(world.now())
    ends = [world.job(job_id) for job_id in begun]
    finished = [job for job in ends if job["status"] != "PENDING"]
    assert finished
    for job in finished:
        before = begun[job["id"]]
        assert before["updated_at"] == before["created_at"] == job["created_at"]
        assert before["job_record_id"] is before["error_message"] is None
        assert stamp(START) < job["updated_at"] <= now
        assert job["job_record_id"]
    settled = [dict(job) for job in finished]
    world.advance(DAY)
    assert [world.job(job["id"]) for job in settled] == settled


def test_put_adds_a_job_replaces_it_and_ends_its_generated_course() -> None:
    world = world_of(5000)
    pending = job_about_to_finish(world)
    literal = literal_job(pending["id"], project_id=pending["project_id"])
    world.put(literal)
    world.advance(5 * DAY)

    assert world.job(pending["id"]) == literal
    assert ids_of(world.jobs()).count(pending["id"]) == 1


def test_touch_changes_a_job_and_moves_its_updated_at_to_now() -> None:
    world = World.empty(clock=Clock(START))
    world.put(literal_job("a"))
    world.advance(1.5)

    touched = world.touch("a", status="SUCCESS", error_message=None)
    assert touched == world.job("a")
    assert touched == literal_job(
        "a", status="SUCCESS", error_message=None, updated_at="2026-03-04T10:30:01.500000Z"
    )


@pytest.mark.parametrize("method", ["delete", "touch", "job"])
def test_world_names_the_job_it_does_not_have(method: str) -> None:
    with pytest.raises(KeyError, match="no job ghost is visible at 2026-03-04T10:30:00"):
        getattr(World.empty(clock=Clock(START)), method)("ghost")


def test_delete_removes_a_running_job_for_good() -> None:
    world = world_of(5000)
    pending = job_about_to_finish(world)
    world.delete(pending["id"])
    world.advance(5 * DAY)

    assert pending["id"] not in ids_of(world.jobs())


def test_put_moves_a_job_to_another_project() -> None:
    world = World.empty()
    first, second, _ = world.project_ids
    world.put(literal_job("a", project_id=first))
    world.put(literal_job("a", project_id=second))

    assert world.jobs(first) == []
    assert world.jobs(second) == [literal_job("a", project_id=second)]


def test_clock_runs_at_its_speed_and_never_back() -> None:
    still, fast = Clock(START), Clock(START, speed=1e9)

    assert still.now() == still.now() == START
    assert fast.now() > START
    with pytest.raises(ValueError, match="cannot go back"):
        still.advance(-1)
    with pytest.raises(ValueError, match="cannot run backwards"):
        Clock(START, speed=-1)
    with pytest.raises(ValueError, match="needs a time zone"):
        Clock(START.replace(tzinfo=None))


@pytest.mark.parametrize(
    "wrong",
    [{"jobs": -1}, {"days": 0}, {"unknown_fields": 1.5}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_history_refuses_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no such history"):
        History(**wrong)


@pytest.mark.parametrize("tokens", get_args(Tokens))
@pytest.mark.parametrize("order", get_args(Order))
def test_listing_has_each_job_of_the_key_once_in_its_order(order: Order, tokens: Tokens) -> None:
    world = world_of(300)
    with Sandbox(world, Settings(order=order, tokens=tokens)) as sandbox:
        jobs = listed(sandbox, page_size=37)

    newest = sorted(world.jobs(sandbox.project_id), key=lambda j: j["created_at"], reverse=True)
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


def test_page_has_the_asked_size_and_the_default_is_a_hundred() -> None:
    with Sandbox(world_of(300)) as sandbox:
        assert [len(page["items"]) for page in walk(sandbox)][:-1] == [100, 100]
        assert len(ask(sandbox, page_size=7).json()["items"]) == 7


@pytest.mark.parametrize("tokens", get_args(Tokens))
def test_token_is_opaque_and_must_be_encoded_for_the_url(tokens: Tokens) -> None:
    with Sandbox(world_of(300), Settings(tokens=tokens)) as sandbox:
        token = ask(sandbox, page_size=10).json()["next_page_token"]
        raw = f"{PATH}?page_size=10&page_token={token}"
        reply = ask(sandbox, path=raw)

    assert token.startswith("+//+")
    assert token.endswith("==")
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", "page_token"]


@pytest.mark.parametrize("tokens", get_args(Tokens))
def test_job_created_during_a_listing_repeats_jobs_by_position_only(tokens: Tokens) -> None:
    world = World.empty(clock=Clock(START))
    for number in range(6):
        world.put(literal_job(f"job {number}", f"2026-03-04T10:0{number}:00.000000Z"))
    with Sandbox(world, Settings(tokens=tokens)) as sandbox:
        sandbox.before_page = lambda page: (
            world.put(literal_job("late", "2026-03-04T10:09:00.000000Z")) if page == 2 else None
        )
        ids = ids_of(listed(sandbox, page_size=3))

    repeated = {"cursor": [], "position": ["job 3"]}[tokens]
    assert ids == ["job 5", "job 4", "job 3", *repeated, "job 2", "job 1", "job 0"]


def test_before_page_is_told_the_number_of_each_page_of_a_listing() -> None:
    numbers: list[int] = []
    with Sandbox(world_of(100)) as sandbox:
        sandbox.before_page = numbers.append
        pages = len(walk(sandbox, page_size=30))
        ask(sandbox)

    assert numbers == [*range(1, pages + 1), 1]


def test_what_before_page_raises_is_answered_500_and_raised_at_the_end() -> None:
    def fail(_: int) -> None:
        message = "the test's own mistake"
        raise RuntimeError(message)

    running = ExitStack()
    sandbox = running.enter_context(Sandbox(world_of(1)))
    sandbox.before_page = fail
    assert ask(sandbox).status_code == 500
    with pytest.raises(RuntimeError, match="the test's own mistake"):
        running.close()


@pytest.mark.parametrize(
    ("at_end", "expected"),
    [("null", {"next_page_token": None}), ("empty", {"next_page_token": ""}), ("absent", {})],
)
def test_listing_ends_in_the_form_set(at_end: AtEnd, expected: dict[str, Any]) -> None:
    with Sandbox(World.empty(), Settings(at_end=at_end)) as sandbox:
        assert ask(sandbox).json() == {"items": [], "total_size": 0} | expected


def test_total_size_counts_the_jobs_of_the_project_or_is_null() -> None:
    with Sandbox(world_of(50)) as sandbox:
        count = len(sandbox.world.jobs(sandbox.project_id))
        assert ask(sandbox, page_size=1).json()["total_size"] == count
        sandbox.settings.total_size = False
        assert ask(sandbox, page_size=1).json()["total_size"] is None


@pytest.mark.parametrize("tokens", get_args(Tokens))
def test_empty_pages_come_with_a_token_after_every_so_many_full_ones(tokens: Tokens) -> None:
    world = World.empty()
    for number in range(8):
        world.put(literal_job(f"job {number}"))
    with Sandbox(world, Settings(tokens=tokens, empty_pages=2)) as sandbox:
        pages = walk(sandbox, page_size=2)

    assert [len(page["items"]) for page in pages] == [2, 2, 0, 2, 2, 0]
    assert len({job["id"] for page in pages for job in page["items"]}) == 8


def test_cursor_outlives_the_jobs_it_has_seen() -> None:
    world = World.empty()
    for number in range(4):
        world.put(literal_job(f"job {number}"))

    def forget(page: int) -> None:
        if page == 2:
            world.delete("job 3")
            world.delete("job 2")

    with Sandbox(world, Settings(empty_pages=1)) as sandbox:
        sandbox.before_page = forget
        assert ids_of(listed(sandbox, page_size=2)) == ["job 3", "job 2", "job 1", "job 0"]


def test_items_made_by_hand_are_listed_as_they_are() -> None:
    odd = ["no job", None, 7, {"id": 5, "rules": "none"}, {"created_at": 12}]
    world = World.empty()
    for item in odd:
        world.put_raw(item)
    world.put({"id": "x", "rules": [], "project_id": "elsewhere"})
    world.put_raw({"id": "x"})
    with Sandbox(world, Settings(order="oldest")) as sandbox:
        items = listed(sandbox, page_size=2)

    assert items == [*odd, {"id": "x"}, {"id": "x", "rules": [], "project_id": "elsewhere"}]


def test_key_lists_only_its_own_project() -> None:
    world = world_of(300)
    with Sandbox(world) as sandbox:
        for project_id, key in sandbox.keys.items():
            jobs = listed(sandbox, key=key, project_id=project_id)
            assert jobs == world.jobs(project_id)[::-1]
    assert list(sandbox.keys.values()) == ["llx-sandbox-1", "llx-sandbox-2", "llx-sandbox-3"]


def test_request_without_a_key_of_the_project_is_refused() -> None:
    with Sandbox(world_of(1)) as sandbox:
        other = list(sandbox.keys)[1]
        replies = [
            requests.get(sandbox.url + PATH, timeout=10),
            ask(sandbox, key="llx-wrong"),
            ask(sandbox, project_id=other),
            ask(sandbox, project_id="none at all", page_size=0),
        ]

    assert [reply.status_code for reply in replies] == [401] * 4
    assert all(isinstance(reply.json()["detail"], str) for reply in replies)


def test_organization_is_accepted_if_it_is_the_own_one() -> None:
    with Sandbox(world_of(1)) as sandbox:
        assert ask(sandbox, organization_id=sandbox.world.organization_id).status_code == 200
        assert ask(sandbox, organization_id="another").status_code == 403


@pytest.mark.parametrize("page_size", ["0", "-1", "21", "many", "", "1.5"])
def test_page_size_out_of_bounds_is_named_in_a_422(page_size: str) -> None:
    with Sandbox(world_of(1), Settings(page_size_limit=20)) as sandbox:
        reply = ask(sandbox, page_size=page_size)

    assert reply.status_code == 422
    (problem,) = reply.json()["detail"]
    assert problem["loc"] == ["query", "page_size"]
    assert problem["msg"]
    assert problem["type"]


@pytest.mark.parametrize("token", ["", "garbage", "bnVsbA==", "+//+e30=", "ümlaut"])
def test_token_that_cannot_be_read_is_named_in_a_422(token: str) -> None:
    with Sandbox(world_of(1)) as sandbox:
        reply = ask(sandbox, page_token=token)

    assert reply.status_code == 422
    (problem,) = reply.json()["detail"]
    assert problem["loc"] == ["query", "page_token"]
    assert "page_token cannot be read" in problem["msg"]


@pytest.mark.parametrize("forgotten", ["project_id", "organization_id", "page_size"])
def test_token_wants_the_other_parameters_again(forgotten: str) -> None:
    with Sandbox(world_of(100)) as sandbox:
        query: dict[str, Any] = {
            "project_id": sandbox.project_id,
            "organization_id": sandbox.world.organization_id,
            "page_size": 10,
        }
        token = ask(sandbox, **query).json()["next_page_token"]
        assert ask(sandbox, **query, page_token=token).status_code == 200
        del query[forgotten]
        reply = ask(sandbox, **query, page_token=token)

    assert reply.status_code == 422
    assert f"with {forgotten}" in reply.json()["detail"][0]["msg"]


@pytest.mark.parametrize("change", [{"order": "oldest"}, {"tokens": "position"}], ids=str)
def test_token_is_refused_once_the_listing_has_another_order(change: dict[str, Any]) -> None:
    with Sandbox(world_of(50)) as sandbox:
        token = ask(sandbox, page_size=5).json()["next_page_token"]
        for name, value in change.items():
            setattr(sandbox.settings, name, value)
        assert ask(sandbox, page_size=5, page_token=token).status_code == 422


def test_unknown_path_is_not_found() -> None:
    with Sandbox(world_of(1)) as sandbox:
        reply = ask(sandbox, path="/api/v9/nothing")

    assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})


def test_date_of_every_reply_is_the_worlds() -> None:
    with Sandbox(world_of(1)) as sandbox:
        before = ask(sandbox).headers
        sandbox.world.advance(3600.9)
        after = [ask(sandbox), ask(sandbox, path="/nowhere"), ask(sandbox, page_size=0)]

    assert before["Date"] == "Wed, 04 Mar 2026 10:30:00 GMT"
    assert {reply.headers["Date"] for reply in after} == {"Wed, 04 Mar 2026 11:30:00 GMT"}
    assert "Server" not in before


def test_requests_are_recorded_with_their_answers() -> None:
    with Sandbox(world_of(1)) as sandbox:
        ask(sandbox, page_size=5, page_token="a+b/c==")
        first, *others = sandbox.requests
        sandbox.clear_requests()
        assert sandbox.requests == []

    assert others == []
    assert (first.method, first.path, first.status) == ("GET", PATH, 422)
    assert first.query == {"page_size": "5", "page_token": "a+b/c=="}
    assert first.target == f"{PATH}?page_size=5&page_token=a%2Bb%2Fc%3D%3D"
    assert first.headers["authorization"] == "Bearer llx-sandbox-1"


def test_answer_next_goes_before_the_real_reply_in_order() -> None:
    with Sandbox(world_of(1)) as sandbox:
        sandbox.answer_next(503, b"<html>", headers={"Retry-After": "2"}, times=2)
        sandbox.answer_next(429, {"detail": "sl\u00f6w"})
        assert sandbox.unanswered == 3
        replies = [ask(sandbox) for _ in range(4)]

    assert [reply.status_code for reply in replies] == [503, 503, 429, 200]
    assert [request.status for request in sandbox.requests] == [503, 503, 429, 200]
    assert (replies[0].content, replies[0].headers["Retry-After"]) == (b"<html>", "2")
    assert "Content-Type" not in replies[0].headers
    assert replies[2].json() == {"detail": "slöw"}
    assert replies[2].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("canned", "expected"),
    [
        ({}, "Wed, 04 Mar 2026 10:30:00 GMT"),
        ({"headers": {"Date": "yesterday"}}, "yesterday"),
        ({"date": False}, None),
    ],
    ids=["the world's", "its own", "none"],
)
def test_canned_reply_has_a_date(canned: dict[str, Any], expected: str | None) -> None:
    with Sandbox(world_of(1)) as sandbox:
        sandbox.answer_next(200, "text", **canned)
        assert ask(sandbox).headers.get("Date") == expected


def test_cut_reply_breaks_off_in_the_middle() -> None:
    with Sandbox(world_of(1)) as sandbox:
        sandbox.answer_next(200, {"items": []}, cut=True)
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
            ask(sandbox)
        assert ask(sandbox).status_code == 200


def test_held_back_reply_does_not_hold_up_the_end() -> None:
    with Sandbox(world_of(1)) as sandbox:
        sandbox.answer_next(200, delay_ms=60_000)
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(sandbox.url + PATH, timeout=0.01)


def test_latency_holds_back_every_page() -> None:
    with Sandbox(world_of(1), Settings(latency_ms=60_000)) as sandbox:
        with pytest.raises(requests.exceptions.ReadTimeout):
            requests.get(sandbox.url + PATH, timeout=0.01)
        sandbox.settings.latency_ms = 0
        assert ask(sandbox).status_code == 200


def test_prerendered_pages_equal_the_real_ones() -> None:
    with Sandbox(world_of(500, unknown_fields=0.1)) as sandbox:
        query = {"page_size": 50, "project_id": sandbox.project_id}
        other: dict[str, Any] = {"page_size": 50, "key": sandbox.keys[list(sandbox.keys)[1]]}
        real = walk(sandbox, **query), walk(sandbox, **other)
        pages = sandbox.prerender(50, project_id=sandbox.project_id)
        pages += sandbox.prerender(50, key=other["key"])
        called: list[int] = []
        sandbox.before_page = called.append
        ready = walk(sandbox, **query), walk(sandbox, **other)

        assert ready == real
        assert len(real[0]) + len(real[1]) == pages
        assert called == []
        assert ask(sandbox, page_size=50, key="llx-wrong").status_code == 401
        assert ask(sandbox, page_size=51, project_id=sandbox.project_id).status_code == 200
        assert called == [1]


# Faults.

MARGIN = 20 * 2**20
"""Bytes that sockets may hold between the sandbox and a client that does not read."""


def raw(sandbox: Sandbox, query: str = "", *, patience: float = 10) -> tuple[bytes, str]:
    """Ask over a bare socket; return every byte that came, and how it ended."""
    host = sandbox.url.removeprefix("http://")
    address, port = host.split(":")
    lines = [f"GET {PATH}{query} HTTP/1.1", f"Host: {host}", f"Authorization: Bearer {sandbox.key}"]
    received = b""
    with socket.create_connection((address, int(port)), timeout=patience) as peer:
        peer.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        try:
            while chunk := peer.recv(65536):
                received += chunk
        except ConnectionResetError:
            return received, "reset"
        except TimeoutError:
            return received, "silent"
    return received, "closed"


def patience_for(kind: str) -> float:
    """Say how long a test listens: a stall shows by nothing else than silence."""
    return 0.5 if kind.startswith("stalled") else 10


def parts_of(reply: bytes) -> tuple[list[str], bytes]:
    """Split a reply into the lines of its head and its body."""
    head, _, body = reply.partition(b"\r\n\r\n")
    return head.decode().lower().split("\r\n"), body


@pytest.mark.parametrize("status", RETRIED)
def test_fault_of_a_status_answers_it_once_without_retry_after(status: int) -> None:
    with Sandbox(world_of(10)) as sandbox:
        sandbox.fail_next(str(status))
        failed, fine = ask(sandbox), ask(sandbox)
        noted = [(request.status, request.fault) for request in sandbox.requests]

    assert (failed.status_code, failed.headers.get("Retry-After")) == (status, None)
    assert fine.json()["items"]
    assert noted == [(status, str(status)), (200, None)]


@pytest.mark.parametrize("status", WITH_RETRY_AFTER)
def test_fault_of_a_status_may_have_a_retry_after_of_every_form(status: int) -> None:
    forms = {
        "seconds": "3",
        "date": "Wed, 04 Mar 2026 10:30:03 GMT",
        "past": "Wed, 04 Mar 2026 09:30:00 GMT",
        "absurd": str(ABSURD_SECONDS),
    }
    with Sandbox(world_of(1)) as sandbox:
        for form in forms:
            sandbox.fail_next(f"{status}-after-{form}")
        replies = [ask(sandbox) for _ in forms]

    assert [reply.headers["Retry-After"] for reply in replies] == list(forms.values())
    assert {reply.status_code for reply in replies} == {status}


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        ("closed-before", "closed"),
        ("reset-before", "reset"),
        ("stalled-before", "silent"),
    ],
)
def test_fault_before_a_reply_sends_nothing(kind: str, ending: str) -> None:
    with Sandbox(world_of(10)) as sandbox:
        sandbox.fail_next(kind)
        assert raw(sandbox, patience=patience_for(kind)) == (b"", ending)
        assert sandbox.requests[0].status is None
        assert ask(sandbox).status_code == 200


@pytest.mark.parametrize("prerendered", [False, True], ids=["made", "prerendered"])
@pytest.mark.parametrize(
    ("kind", "ending", "marks"),
    [
        ("cut-length", "closed", {"content-length: {length}"}),
        ("cut-close", "closed", {"connection: close"}),
        ("reset-inside", "reset", {"content-length: {length}"}),
        ("stalled-inside", "silent", {"content-length: {length}"}),
    ],
)
def test_fault_inside_a_reply_sends_the_first_half_of_it(
    kind: str, ending: str, marks: set[str], *, prerendered: bool
) -> None:
    with Sandbox(world_of(50)) as sandbox:
        whole = ask(sandbox, page_size=20).content
        if prerendered:
            sandbox.prerender(20)
        sandbox.fail_next(kind)
        received, ended = raw(sandbox, "?page_size=20", patience=patience_for(kind))
        assert sandbox.requests[1].status == 200

    head, body = parts_of(received)
    assert (body, ended) == (whole[: len(whole) // 2], ending)
    assert head[0] == "http/1.1 200 ok"
    assert {mark.format(length=len(whole)) for mark in marks} <= set(head)
    assert ("content-length" in "".join(head)) == (kind != "cut-close")


def test_chunked_reply_is_cut_without_a_last_chunk() -> None:
    with Sandbox(world_of(50)) as sandbox:
        whole = ask(sandbox).content
        sandbox.fail_next("cut-chunked")
        received, ended = raw(sandbox)

    head, body = parts_of(received)
    half = whole[: len(whole) // 2]
    assert "transfer-encoding: chunked" in head
    assert not any("content-length" in line for line in head)
    assert (body, ended) == (b"%x\r\n%s\r\n" % (len(half), half), "closed")


def test_gzip_is_truncated_or_none_at_all_under_the_right_length() -> None:
    with Sandbox(world_of(50)) as sandbox:
        whole = ask(sandbox).content
        sandbox.fail_next("gzip-truncated")
        sandbox.fail_next("gzip-wrong")
        truncated, wrong = (parts_of(raw(sandbox)[0]) for _ in range(2))

    packed = gzip.compress(whole, mtime=0)
    assert (truncated[1], wrong[1]) == (packed[: len(packed) // 2], whole)
    for head, body in (truncated, wrong):
        assert {"content-encoding: gzip", f"content-length: {len(body)}"} <= set(head)


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("html-200", 200, None),
        ("empty-object", 200, {}),
        ("items-null", 200, {"items": None, "next_page_token": None}),
        ("401", 401, {"detail": "Invalid API key"}),
        ("403", 403, {"detail": "No access to this project"}),
    ],
)
def test_fault_of_the_content_answers_it(kind: str, status: int, body: Any) -> None:
    with Sandbox(world_of(10)) as sandbox:
        sandbox.fail_next(kind)
        reply = ask(sandbox)

    assert reply.status_code == status
    if body is None:
        assert reply.headers["Content-Type"] == "text/html"
        assert reply.text.startswith("<!doctype html>")
    else:
        assert reply.json() == body


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_token_is_rejected_by_the_next_request_that_has_one(status: int) -> None:
    with Sandbox(world_of(30)) as sandbox:
        sandbox.fail_next(f"token-{status}")
        token = ask(sandbox, page_size=5).json()["next_page_token"]
        assert sandbox.unmet == 1
        rejected = ask(sandbox, page_size=5, page_token=token)
        assert sandbox.unmet == 0
        assert ask(sandbox, page_size=5, page_token=token).status_code == 200

    assert rejected.status_code == status
    assert ("page_token" in rejected.text) == (status in {400, 422})


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        ("redirect-same-host", "/moved{path}?page_size=5"),
        ("redirect-other-host", "http://localhost:{port}{path}?page_size=5"),
    ],
)
def test_redirect_shows_whether_a_client_follows_it(kind: str, target: str) -> None:
    with Sandbox(world_of(10)) as sandbox:
        sandbox.fail_next(kind)
        headers = {"Authorization": f"Bearer {sandbox.key}"}
        url = f"{sandbox.url}{PATH}?page_size=5"
        reply = requests.get(url, headers=headers, timeout=10, allow_redirects=False)
        requests.get(requests.compat.urljoin(url, reply.headers["Location"]), timeout=10)
        followed = sandbox.requests[1]

    assert reply.status_code == 307
    port = sandbox.url.rpartition(":")[2]
    assert reply.headers["Location"] == target.format(path=PATH, port=port)
    if kind == "redirect-same-host":
        assert followed.status == 404
    else:
        assert followed.headers["host"] == f"localhost:{port}"


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("large", {"content-length": str(LARGE)}),
        ("large-chunked", {"transfer-encoding": "chunked"}),
        ("large-gzip", {"transfer-encoding": "chunked", "content-encoding": "gzip"}),
    ],
)
def test_large_reply_is_a_page_of_100_mib_made_as_it_is_sent(
    kind: str, headers: dict[str, str]
) -> None:
    with Sandbox(world_of(1)) as sandbox:
        sandbox.fail_next(kind)
        with requests.get(sandbox.url + PATH, timeout=10, stream=True) as reply:
            length, first, last = 0, b"", b""
            for chunk in reply.iter_content(2**20):
                length += len(chunk)
                first, last = (first + chunk)[:60], (last + chunk)[-5:]
        sent = sandbox.requests[0].sent

    assert length == LARGE == 104_857_600
    assert first == b'{"items": [], "next_page_token": null, "padding": "xxxxxxxxx'
    assert last == b'xxx"}'
    assert headers.items() <= {name.lower(): text for name, text in reply.headers.items()}.items()
    assert (sent < 2**20) if kind == "large-gzip" else (sent == LARGE)


def test_large_reply_ends_when_the_client_has_gone() -> None:
    with Sandbox(world_of(1)) as sandbox:
        sandbox.fail_next("large")
        with requests.get(sandbox.url + PATH, timeout=10, stream=True) as reply:
            next(reply.iter_content(100))
        assert ask(sandbox).status_code == 200

    assert 0 < sandbox.requests[0].sent < MARGIN


def test_listener_refuses_until_it_accepts_again_at_the_same_port() -> None:
    with Sandbox(world_of(1)) as sandbox, requests.Session() as kept:
        url, headers = sandbox.url + PATH, {"Authorization": f"Bearer {sandbox.key}"}
        assert kept.get(url, headers=headers, timeout=10).status_code == 200
        for _ in range(2):
            sandbox.refuse()
            with pytest.raises(requests.ConnectionError):
                kept.get(url, headers=headers, timeout=10)
            with pytest.raises(requests.ConnectionError, match="Connection refused"):
                ask(sandbox)
            sandbox.accept()
            assert kept.get(url, headers=headers, timeout=10).status_code == 200
            sandbox.accept()
        assert len(sandbox.requests) == 3


def test_sandbox_ends_while_it_refuses_and_leaves_the_port_free() -> None:
    with Sandbox(world_of(1)) as sandbox:
        sandbox.refuse()
        port = int(sandbox.url.rpartition(":")[2])
    with socket.socket() as bare:
        # Unlike a server's, this one would not share the port.
        bare.bind(("127.0.0.1", port))


def test_fault_refused_answers_and_then_refuses_the_next_connection() -> None:
    with Sandbox(world_of(10), Settings(refuse_seconds=3600)) as sandbox:
        sandbox.fail_next("refused")
        reply = ask(sandbox)
        with pytest.raises(requests.ConnectionError, match="Connection refused"):
            ask(sandbox)
        sandbox.accept()
        assert ask(sandbox).json() == reply.json()

    assert reply.headers["Connection"] == "close"
    assert [request.fault for request in sandbox.requests] == ["refused", None]


def test_fault_refused_ends_by_itself() -> None:
    with Sandbox(world_of(10), Settings(refuse_seconds=0)) as sandbox:
        sandbox.fail_next("refused")
        ask(sandbox)
        deadline = time.monotonic() + 10
        while len(sandbox.requests) == 1 and time.monotonic() < deadline:
            with suppress(requests.ConnectionError):
                ask(sandbox)

    assert [request.status for request in sandbox.requests] == [200, 200]


@pytest.mark.parametrize("kind", ["stalled-before", "stalled-inside"])
def test_stalled_reply_does_not_hold_up_the_end(kind: str) -> None:
    with Sandbox(world_of(1)) as sandbox:
        sandbox.fail_next(kind)
        with pytest.raises((requests.ConnectionError, requests.ReadTimeout)):
            requests.get(sandbox.url + PATH, timeout=0.1)


def test_faults_come_in_the_order_given_and_after_canned_replies() -> None:
    with Sandbox(world_of(1)) as sandbox:
        sandbox.faults = FaultPlan(share=1, kinds=("502",))
        sandbox.fail_next("503", times=2)
        sandbox.fail_next("504")
        sandbox.answer_next(418)
        statuses = [ask(sandbox).status_code for _ in range(5)]
        sandbox.faults = None
        statuses.append(ask(sandbox).status_code)

    assert statuses == [418, 503, 503, 504, 502, 200]


def test_plan_brings_the_same_faults_for_the_same_seed_in_its_share() -> None:
    plan = FaultPlan(seed=7, share=0.3)
    kinds = [plan.kind_of(number) for number in range(2000)]

    assert kinds == [FaultPlan(seed=7, share=0.3).kind_of(number) for number in range(2000)]
    assert kinds != [FaultPlan(seed=8, share=0.3).kind_of(number) for number in range(2000)]
    assert 500 < sum(kind is not None for kind in kinds) < 700
    assert set(kinds) - {None} == set(OUTLASTABLE)
    assert not any(FaultPlan(share=0).kind_of(number) for number in range(100))


def test_plan_decides_by_the_number_of_the_request_since_it_was_set() -> None:
    plan = FaultPlan(seed=3, share=0.5, kinds=("429", "503"))
    expected = [int(plan.kind_of(number) or 200) for number in range(1, 13)]
    with Sandbox(world_of(1)) as sandbox:
        for _ in range(2):
            sandbox.faults = plan
            assert [ask(sandbox).status_code for _ in expected] == expected

    assert set(expected) == {200, 429, 503}


def test_plan_rejects_no_token_where_there_is_none() -> None:
    with Sandbox(world_of(30)) as sandbox:
        sandbox.faults = FaultPlan(share=1, kinds=("token-400",))
        token = ask(sandbox, page_size=5).json()["next_page_token"]
        assert ask(sandbox, page_size=5, page_token=token).status_code == 400


def test_outlastable_faults_are_all_but_those_that_asking_again_does_not_mend() -> None:
    lasting = set(FAULTS) - set(OUTLASTABLE)
    absurd = {f"{status}-after-absurd" for status in WITH_RETRY_AFTER}
    assert lasting == absurd | {
        *("html-200", "empty-object", "items-null", "401", "403"),
        *("token-400", "token-404", "token-410", "token-422"),
        *("redirect-same-host", "redirect-other-host"),
        *("large", "large-chunked", "large-gzip"),
    }


@pytest.mark.parametrize("wrong", [{"share": 1.1}, {"share": -0.1}, {"kinds": ("503", "dragon")}])
def test_plan_refuses_what_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"share of faults|no such fault: 'dragon'"):
        FaultPlan(**wrong)


def test_order_for_a_fault_that_does_not_exist_is_refused() -> None:
    with Sandbox(world_of(1)) as sandbox, pytest.raises(ValueError, match="no such fault: 'x'"):
        sandbox.fail_next("x")


@pytest.mark.parametrize("retry_after", [False, True], ids=["silent", "with Retry-After"])
def test_rate_limit_counts_granted_requests_of_any_minute_of_the_world(
    *, retry_after: bool
) -> None:
    settings = Settings(requests_per_minute=2, retry_after=retry_after)
    with Sandbox(world_of(1), settings) as sandbox:
        statuses, waits = [], []
        for pause in (0, 20.5, 0, 39, 0.5, 0, 20, 0.5, 60):
            sandbox.world.advance(pause)
            reply = ask(sandbox)
            statuses.append(reply.status_code)
            waits.append(reply.headers.get("Retry-After"))

    assert statuses == [200, 200, 429, 429, 200, 429, 429, 200, 200]
    assert [wait for wait in waits if wait] == (["40", "1", "21", "1"] if retry_after else [])


def test_rate_limit_does_not_count_canned_replies() -> None:
    with Sandbox(world_of(1), Settings(requests_per_minute=1)) as sandbox:
        sandbox.answer_next(503)
        assert [ask(sandbox).status_code for _ in range(3)] == [503, 200, 429]


def test_tokens_of_a_listing_expire_so_many_seconds_after_it_began() -> None:
    with Sandbox(world_of(50), Settings(token_seconds=60)) as sandbox:
        first = ask(sandbox, page_size=5).json()["next_page_token"]
        sandbox.world.advance(59)
        second = ask(sandbox, page_size=5, page_token=first).json()["next_page_token"]
        sandbox.world.advance(1)
        expired = [ask(sandbox, page_size=5, page_token=token) for token in (first, second)]
        anew = ask(sandbox, page_size=5).json()["next_page_token"]
        assert ask(sandbox, page_size=5, page_token=anew).status_code == 200

    assert [reply.status_code for reply in expired] == [400, 400]
    assert expired[0].json() == {"detail": "page_token has expired"}


def test_tokens_of_a_listing_expire_so_many_pages_after_it_began() -> None:
    with Sandbox(world_of(50), Settings(token_requests=3)) as sandbox:
        reply = ask(sandbox, page_size=5)
        statuses = []
        while reply.status_code == 200:
            token = reply.json()["next_page_token"]
            reply = ask(sandbox, page_size=5, page_token=token)
            statuses.append(reply.status_code)
        sandbox.settings.token_requests = 0
        assert ask(sandbox, page_size=5, page_token=token).status_code == 200

    assert statuses == [200, 200, 400]


def test_port_is_free_again_after_the_end() -> None:
    with Sandbox(world_of(1)) as first:
        port = int(first.url.rpartition(":")[2])
        ask(first)
    with Sandbox(world_of(1), port=port) as second:
        assert second.url == first.url
        assert ask(second).status_code == 200


def test_command_line_serves_until_ctrl_c() -> None:
    command = [
        sys.executable,
        "-m",
        "llamacloud_sandbox",
        "--jobs",
        "50",
        "--port",
        "0",
        "--speed",
        "0",
    ]
    command += ["--start", "2026-03-04T10:30:00Z", "--prerender", "20", "--unknown-fields", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout
        assert process.stderr
        printed = list(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
        exports = dict(line[len("export ") :].split("=") for line in printed if "export" in line)
        url, key = (exports[f"LLAMA_CLOUD_{name}"].strip() for name in ("BASE_URL", "API_KEY"))
        headers = {"Authorization": f"Bearer {key}"}
        reply = requests.get(url + PATH, headers=headers, timeout=10).json()
        process.send_signal(signal.SIGINT)
        rest, errors = process.stdout.read(), process.stderr.read()

    assert (process.returncode, rest, errors) == (0, "", "")
    world = world_of(50)
    assert reply["items"] == world.jobs(world.project_ids[0])[::-1]
    for project_id in world.project_ids:
        assert any(project_id in line and "llx-sandbox-" in line for line in printed)


def test_command_line_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox(World.empty()) as sandbox:
        port = sandbox.url.rpartition(":")[2]
        assert main(["--jobs", "1", "--port", port]) == 2
    assert main(["--jobs", "-1"]) == 2

    taken, history = capsys.readouterr().err.splitlines()
    assert "Address already in use" in taken
    assert "no such history" in history


def test_command_line_takes_faults_and_limits() -> None:
    command = [
        sys.executable,
        "-m",
        "llamacloud_sandbox",
        "--jobs",
        "50",
        "--port",
        "0",
        "--speed",
        "0",
    ]
    command += ["--faults", "0.5", "--fault-kinds", "503,504", "--fault-seed", "4"]
    command += ["--requests-per-minute", "12", "--retry-after", "--token-seconds", "30"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        printed = list(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
        exports = dict(line[len("export ") :].split("=") for line in printed if "export" in line)
        url, key = (exports[f"LLAMA_CLOUD_{name}"].strip() for name in ("BASE_URL", "API_KEY"))
        headers = {"Authorization": f"Bearer {key}"}
        replies = [
            requests.get(f"{url}{PATH}?page_size=1", headers=headers, timeout=10) for _ in range(13)
        ]
        process.send_signal(signal.SIGINT)

    plan = FaultPlan(seed=4, share=0.5, kinds=("503", "504"))
    expected = [int(plan.kind_of(number) or 200) for number in range(1, 13)]
    assert [reply.status_code for reply in replies] == [*expected, 429]
    assert set(expected) == {200, 503, 504}
    assert replies[-1].headers["Retry-After"] == "60"
    page = next(reply.json() for reply in replies if reply.status_code == 200)
    assert b'"begun"' in base64.b64decode(page["next_page_token"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--faults", "2"], "share of faults is not between 0 and 1"),
        (["--fault-kinds", "503,dragon"], "no such fault: 'dragon'; there are 408, "),
    ],
    ids=["share", "kind"],
)
def test_command_line_says_which_fault_cannot_be(
    options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--jobs", "1", "--port", "0", *options]) == 2
    assert said in capsys.readouterr().err
