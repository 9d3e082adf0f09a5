"""The sandbox keeps the API's promises over real HTTP; nothing here knows the tap."""

from __future__ import annotations

import base64
import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID

import pytest
import requests

from llamacloud_sandbox.__main__ import main
from llamacloud_sandbox.api.app import PATH, PROJECTS_PATH, V2_PATH
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
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.sandboxes import (
    DAY,
    START,
    V1,
    V2,
    Version,
    ask,
    each_version,
    exported,
    get,
    greeted,
    ids_of,
    listed,
    token_of,
    walk,
    world_of,
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(world_of(60, v2_jobs=60)) as running:
        yield running


# The history.


@each_version
def test_history_lists_exactly_its_jobs_in_the_days_before_the_start(version: Version) -> None:
    jobs = version.of(version.world(1003, days=30)).jobs()

    assert len(jobs) == len(set(ids_of(jobs))) == 1003
    assert stamp(START - timedelta(days=30)) <= jobs[0]["created_at"]
    assert jobs[-1]["created_at"] <= stamp(START)
    assert jobs == sorted(jobs, key=lambda job: job["created_at"])


@each_version
def test_history_is_the_same_for_the_same_seed_and_another_for_another(version: Version) -> None:
    once, again, other = (version.of(version.world(300, seed=seed)).jobs() for seed in (7, 7, 8))

    assert once == again
    assert not set(ids_of(once)) & set(ids_of(other))


@pytest.mark.parametrize(("version", "days", "steps"), [(V1, 10, 40), (V2, 0.5, 1200)])
def test_history_does_not_depend_on_the_steps_in_which_time_passes(
    version: Version, days: float, steps: int
) -> None:
    at_once, by_steps = (version.world(500, days=days) for _ in range(2))
    at_once.advance(days * DAY)
    for _ in range(steps):
        by_steps.advance(days * DAY / steps)
        version.of(by_steps).jobs()

    assert version.of(at_once).jobs() == version.of(by_steps).jobs()


@each_version
def test_new_jobs_arrive_at_about_the_rate_of_the_history(version: Version) -> None:
    world = version.world(900, days=90)
    world.advance(90 * DAY)

    assert 1700 < len(version.of(world).jobs()) < 1900


def test_v1_history_has_every_status_and_mode_and_as_many_rules_as_are_documented() -> None:
    jobs = world_of(5000).jobs()

    statuses = {job["status"] for job in jobs}
    assert statuses == {"PENDING", "SUCCESS", "ERROR", "PARTIAL_SUCCESS", "CANCELLED"}
    assert {job["mode"] for job in jobs} == {"FAST", "MULTIMODAL"}
    assert {None} < {job["error_message"] for job in jobs}
    assert any(not (job["error_message"] or "").isascii() for job in jobs)
    assert {len(job["rules"]) for job in jobs} == {1, 2, 3, 4, 5, 6}
    rules = [rule for job in jobs for rule in job["rules"]]
    assert all(1 <= len(rule["type"]) <= 50 for rule in rules)
    assert all(10 <= len(rule["description"]) <= 2000 for rule in rules)


@each_version
def test_unknown_fields_come_in_their_share_only(version: Version) -> None:
    assert not any("priority" in job for job in version.of(version.world(200)).jobs())

    jobs = version.of(version.world(2000, unknown_fields=0.25)).jobs()
    assert 400 < sum("priority" in job for job in jobs) < 600
    for job in jobs:
        is_odd = "priority" in job
        assert ("labels" in job if version is V2 else "tags" in job) == is_odd
        inner = job["configuration"] if version is V2 else job
        assert ("effort" in inner) == (is_odd and version is V2)
        assert ("weight" in inner["rules"][0]) == is_odd
        assert is_odd or not any("weight" in rule for rule in inner["rules"])


def test_v1_job_is_pending_until_it_finishes_and_then_keeps_its_end() -> None:
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


@each_version
def test_meddling_with_a_job_ends_its_course_and_leaves_the_other_version_alone(
    version: Version,
) -> None:
    other = V1 if version is V2 else V2
    world, undisturbed = (version.world(3000, days=1, **{other.setting: 50}) for _ in range(2))
    jobs, usual = version.of(world), version.of(undisturbed)
    undisturbed.advance(DAY)
    running = [job for job in jobs.jobs() if job["status"] != usual.job(job["id"])["status"]]
    put, gone, cancelled, moved, *_ = ids_of(running)
    literal = version.make(put, **{n: jobs.job(put)[n] for n in ("project_id", "status")})
    jobs.put(literal)
    jobs.delete(gone)
    jobs.touch(cancelled, status="CANCELLED")
    jobs.touch(moved, user_id="new")
    world.advance(DAY)

    assert jobs.job(put) == literal
    ids = ids_of(jobs.jobs())
    assert (ids.count(put), ids.count(gone)) == (1, 0)
    assert jobs.job(cancelled)["status"] == "CANCELLED"
    assert jobs.job(moved) == usual.job(moved) | {"user_id": "new"}
    assert other.of(world).jobs() == other.of(undisturbed).jobs()


@each_version
def test_touch_changes_a_job_and_moves_its_updated_at_to_now(version: Version) -> None:
    world = version.filled("a", status="RUNNING")
    world.advance(1.5)

    touched = version.of(world).touch("a", status="FAILED", error_message=None)
    assert touched == version.of(world).job("a")
    changes = {"status": "FAILED", "error_message": None}
    assert touched == version.make("a", updated_at="2026-03-04T10:30:01.500000Z", **changes)


@each_version
@pytest.mark.parametrize("method", ["delete", "touch", "job"])
def test_world_names_the_job_it_does_not_have(version: Version, method: str) -> None:
    with pytest.raises(KeyError, match="no job ghost is visible at 2026-03-04T10:30:00"):
        getattr(version.of(version.filled()), method)("ghost")


@each_version
def test_put_moves_a_job_to_another_project(version: Version) -> None:
    world = World.empty()
    first, second, _ = world.project_ids
    for project_id in (first, second):
        version.of(world).put(version.make("a", project_id=project_id))

    assert version.of(world).jobs(first) == []
    assert version.of(world).jobs(second) == [version.make("a", project_id=second)]


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
    [{"jobs": -1}, {"v2_jobs": -1}, {"days": 0}, {"projects": 0}, {"unknown_fields": 1.5}],
    ids=str,
)
def test_history_refuses_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no such history"):
        History(**wrong)


# The listing.


@each_version
@pytest.mark.parametrize("tokens", get_args(Tokens))
@pytest.mark.parametrize("order", get_args(Order))
def test_listing_has_each_job_of_the_key_once_in_its_order(
    version: Version, order: Order, tokens: Tokens
) -> None:
    world = version.world(300)
    with Sandbox(world, Settings(order=order, tokens=tokens, empty_pages=2)) as sandbox:
        jobs = listed(sandbox, version.path, page_size=37)

    oldest = version.shown(version.of(world).jobs(sandbox.project_id))
    newest = sorted(oldest, key=lambda job: job["created_at"], reverse=True)
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
    with Sandbox(world_of(300, v2_jobs=300), Settings(page_size_limit=120)) as sandbox:
        for path in (PATH, V2_PATH):
            assert [len(page["items"]) for page in walk(sandbox, path)][:-1] == [100, 100]
            assert len(ask(sandbox, path, page_size=7).json()["items"]) == 7
        assert len(ask(sandbox, PATH, page_size=120).json()["items"]) == 120
        sandbox.settings.page_size_limit = 20
        assert len(ask(sandbox, V2_PATH, page_size=100).json()["items"]) == 100


@pytest.mark.parametrize("tokens", get_args(Tokens))
def test_token_is_opaque_and_must_be_encoded_for_the_url(tokens: Tokens) -> None:
    with Sandbox(world_of(300), Settings(tokens=tokens)) as sandbox:
        token = token_of(sandbox, page_size=10)
        reply = ask(sandbox, f"{PATH}?page_size=10&page_token={token}")

    assert token.startswith("+//+")
    assert token.endswith("==")
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", "page_token"]


@pytest.mark.parametrize("tokens", get_args(Tokens))
@pytest.mark.parametrize(("version", "query"), [(V1, {}), (V2, {"status": "COMPLETED"})])
def test_job_created_during_a_listing_repeats_jobs_by_position_only(
    version: Version, query: dict[str, Any], tokens: Tokens
) -> None:
    world = version.filled(*("failed", "failed too") if query else (), status="FAILED")
    jobs = version.of(world)
    for minute in range(6):
        jobs.put(version.make(f"job {minute}", created_at=f"2026-03-04T10:0{minute}:00Z"))
    with Sandbox(world, Settings(tokens=tokens)) as sandbox:
        sandbox.before_page = lambda page: (
            jobs.put(version.make("late", created_at="2026-03-04T10:09:00Z")) if page == 2 else None
        )
        ids = ids_of(listed(sandbox, version.path, page_size=3, **query))

    repeated = {"cursor": [], "position": ["job 3"]}[tokens]
    assert ids == ["job 5", "job 4", "job 3", *repeated, "job 2", "job 1", "job 0"]


def test_before_page_is_told_the_number_of_each_page_and_may_see_of_which_listing() -> None:
    asked: list[tuple[str, int]] = []
    with Sandbox(world_of(30, v2_jobs=30, projects=1)) as sandbox:
        sandbox.before_page = lambda page: asked.append((sandbox.requests[-1].path, page))
        for path, size in ((V2_PATH, 20), (PATH, 30), (PATH, 12)):
            walk(sandbox, path, page_size=size)

    pages = [(PATH, 1), (PATH, 1), (PATH, 2), (PATH, 3)]
    assert asked == [(V2_PATH, 1), (V2_PATH, 2), *pages]


def test_what_before_page_raises_is_answered_500_and_raised_at_the_end() -> None:
    def fail(_: int) -> None:
        message = "the test's own mistake"
        raise RuntimeError(message)

    sandbox = Sandbox(world_of(1))
    sandbox.before_page = fail
    with pytest.raises(RuntimeError, match="the test's own mistake"), sandbox:
        assert ask(sandbox).status_code == 500


@each_version
@pytest.mark.parametrize(
    ("at_end", "expected"),
    [("null", {"next_page_token": None}), ("empty", {"next_page_token": ""}), ("absent", {})],
)
def test_listing_ends_in_the_form_set(
    version: Version, at_end: AtEnd, expected: dict[str, Any]
) -> None:
    with Sandbox(World.empty(), Settings(at_end=at_end)) as sandbox:
        page = ask(sandbox, version.path).json()

    assert page == {"items": [], "total_size": 0} | expected


@each_version
def test_total_size_counts_the_jobs_of_the_project_or_is_null(version: Version) -> None:
    with Sandbox(version.world(50)) as sandbox:
        count = len(version.of(sandbox.world).jobs(sandbox.project_id))
        assert ask(sandbox, version.path, page_size=1).json()["total_size"] == count
        sandbox.settings.total_size = False
        assert ask(sandbox, version.path, page_size=1).json()["total_size"] is None


@pytest.mark.parametrize("tokens", get_args(Tokens))
def test_empty_pages_come_with_a_token_after_every_so_many_full_ones(tokens: Tokens) -> None:
    world = V1.filled(*(f"job {number}" for number in range(8)))
    with Sandbox(world, Settings(tokens=tokens, empty_pages=2)) as sandbox:
        pages = walk(sandbox, page_size=2)

    assert [len(page["items"]) for page in pages] == [2, 2, 0, 2, 2, 0]
    assert len({job["id"] for page in pages for job in page["items"]}) == 8


def test_cursor_outlives_the_jobs_it_has_seen() -> None:
    world = V1.filled(*(f"job {number}" for number in range(4)))

    def forget(page: int) -> None:
        if page == 2:
            world.delete("job 3")
            world.delete("job 2")

    with Sandbox(world, Settings(empty_pages=1)) as sandbox:
        sandbox.before_page = forget
        assert ids_of(listed(sandbox, page_size=2)) == ["job 3", "job 2", "job 1", "job 0"]


@each_version
def test_items_made_by_hand_are_listed_as_they_are(version: Version) -> None:
    odd = ["no job", None, 7, {"id": 5, "rules": "none", "usage": "much"}, {"created_at": 12}]
    world = World.empty()
    jobs, second = version.of(world), world.project_ids[1]
    for item in odd:
        jobs.put_raw(item)
    jobs.put_raw("of the second", project_id=second)
    jobs.put({"id": "x", "rules": [], "project_id": "elsewhere"})
    jobs.put_raw({"id": "x"})
    with Sandbox(world, Settings(order="oldest", usage_in_list=True)) as sandbox:
        items = listed(sandbox, version.path, page_size=2)
        assert listed(sandbox, version.path, key=sandbox.keys[second]) == ["of the second"]

    assert items == [*odd, {"id": "x"}, {"id": "x", "rules": [], "project_id": "elsewhere"}]


def test_request_without_a_key_of_the_project_is_refused(sandbox: Sandbox) -> None:
    other = list(sandbox.keys)[1]
    replies = [
        requests.get(sandbox.url + PATH, timeout=10),
        ask(sandbox, key="llx-wrong"),
        ask(sandbox, project_id=other),
        ask(sandbox, project_id=str(UUID(int=1)), page_size=0),
    ]

    assert [reply.status_code for reply in replies] == [401] * 4
    assert all(isinstance(reply.json()["detail"], str) for reply in replies)


SCOPE = ("project_id", "organization_id")
UNREADABLE = ("", "garbage", "bnVsbA==", "+//+e30=", "ümlaut")


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        *((PATH, "page_size", value) for value in ("0", "-1", "21", "many", "", "1.5")),
        *((V2_PATH, "page_size", value) for value in ("0", "-1", "101", "many", "")),
        *((path, name, "none") for path in (PATH, V2_PATH) for name in SCOPE),
        *((V2_PATH, "status", value) for value in ("DONE", "completed", "")),
        (V2_PATH, "created_at_on_or_after", "yesterday"),
        (V2_PATH, "created_at_on_or_before", "2026-13-01"),
        (V2_PATH, "created_at_on_or_after", ""),
        *((path, "page_token", value) for path in (PATH, V2_PATH) for value in UNREADABLE),
    ],
)
def test_parameter_that_cannot_be_is_named_in_a_422(path: str, name: str, value: str) -> None:
    with Sandbox(world_of(1, v2_jobs=1), Settings(page_size_limit=20)) as sandbox:
        reply = ask(sandbox, path, **{name: value})

    assert reply.status_code == 422
    (problem,) = reply.json()["detail"]
    assert problem["loc"] == ["query", name]
    assert problem["msg"]
    assert problem["type"]
    assert name != "page_token" or "page_token cannot be read" in problem["msg"]


@pytest.mark.parametrize(
    ("version", "changed"),
    [
        *((version, {"project_id": None}) for version in (V1, V2)),
        *((version, {"organization_id": None}) for version in (V1, V2)),
        *((version, {"page_size": size}) for version in (V1, V2) for size in (None, 3)),
        (V2, {"status": "FAILED"}),
        (V2, {"job_ids": ["clj-a"]}),
        (V2, {"configuration_id": None}),
        (V2, {"created_at_on_or_after": "2025-01-01"}),
        (V2, {"created_at_on_or_before": None}),
    ],
    ids=lambda value: value.name if isinstance(value, Version) else str(value),
)
def test_token_wants_the_whole_query_again(version: Version, changed: dict[str, Any]) -> None:
    ids = [f"job {number}" for number in range(10)]
    with Sandbox(version.filled(*ids)) as sandbox:
        query: dict[str, Any] = {
            "page_size": 2,
            "project_id": sandbox.project_id,
            "organization_id": sandbox.world.organization_id,
        }
        if version is V2:
            query |= {"status": "COMPLETED", "configuration_id": "cfg", "job_ids": ids[:9]}
            query["created_at_on_or_after"] = "2026-01-01"
            query["created_at_on_or_before"] = "2026-12-31"
        token = token_of(sandbox, version.path, **query)
        assert ask(sandbox, version.path, **query, page_token=token).status_code == 200
        reply = ask(sandbox, version.path, **query | changed, page_token=token)

    assert reply.status_code == 422
    assert f"with {next(iter(changed))} " in reply.json()["detail"][0]["msg"]


@pytest.mark.parametrize(("name", "value"), [("order", "oldest"), ("tokens", "position")])
def test_token_is_refused_by_the_other_version_and_by_a_listing_of_another_order(
    sandbox: Sandbox, name: str, value: str
) -> None:
    tokens = {path: token_of(sandbox, path, page_size=5) for path in (PATH, V2_PATH)}
    for path, other in ((PATH, V2_PATH), (V2_PATH, PATH)):
        assert ask(sandbox, other, page_size=5, page_token=tokens[path]).status_code == 422
    setattr(sandbox.settings, name, value)
    for path, token in tokens.items():
        assert ask(sandbox, path, page_size=5, page_token=token).status_code == 422


def test_date_of_every_reply_is_the_worlds(sandbox: Sandbox) -> None:
    before = ask(sandbox).headers
    sandbox.world.advance(3600.9)
    after = [ask(sandbox), ask(sandbox, "/nowhere"), ask(sandbox, page_size=0)]

    assert before["Date"] == "Wed, 04 Mar 2026 10:30:00 GMT"
    assert {reply.headers["Date"] for reply in after} == {"Wed, 04 Mar 2026 11:30:00 GMT"}
    assert "Server" not in before


def test_requests_are_recorded_with_every_value_of_a_parameter_and_their_answers(
    sandbox: Sandbox,
) -> None:
    ask(sandbox, page_size=5, page_token="a+b/c==")
    ask(sandbox, V2_PATH, job_ids=["b", "a", "b", ""], status="FAILED")
    first, second = sandbox.requests
    sandbox.clear_requests()
    assert sandbox.requests == []

    assert (first.method, first.path, first.status) == ("GET", PATH, 422)
    assert first.query == {"page_size": "5", "page_token": "a+b/c=="}
    assert first.target == f"{PATH}?page_size=5&page_token=a%2Bb%2Fc%3D%3D"
    assert first.headers["authorization"] == "Bearer llx-sandbox-1"
    assert second.values("job_ids") == ["b", "a", "b", ""]
    assert second.values("status") == ["FAILED"]
    assert second.values("page_token") == []
    assert second.query == {"job_ids": "", "status": "FAILED"}


def test_answer_next_goes_before_the_real_reply_in_order(sandbox: Sandbox) -> None:
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


def test_cut_reply_breaks_off_in_the_middle(sandbox: Sandbox) -> None:
    sandbox.answer_next(200, {"items": []}, cut=True)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        ask(sandbox)
    assert ask(sandbox).status_code == 200


@pytest.mark.parametrize("kind", ["held back", "late", "stalled-before", "stalled-inside"])
def test_reply_that_does_not_come_does_not_hold_up_the_end(kind: str) -> None:
    with Sandbox(world_of(1), Settings(latency_ms=60_000 if kind == "late" else 0)) as sandbox:
        if kind == "held back":
            sandbox.answer_next(200, delay_ms=60_000)
        elif kind != "late":
            sandbox.fail_next(kind)
        with pytest.raises((requests.ConnectionError, requests.ReadTimeout)):
            get(sandbox, timeout=0.1)


@pytest.mark.parametrize(
    ("version", "made"),
    [(V1, {"page_size": 51}), (V2, {"page_size": 50, "status": "FAILED"})],
    ids=["v1", "v2"],
)
def test_prerendered_pages_equal_the_real_ones_and_answer_no_other_request(
    version: Version, made: dict[str, Any]
) -> None:
    path, other = version.path, V1.path if version is V2 else V2.path
    with Sandbox(world_of(500, v2_jobs=500, unknown_fields=0.1)) as sandbox:
        second = list(sandbox.keys.values())[1]
        queries: list[dict[str, Any]] = [
            {"page_size": 50, "project_id": sandbox.project_id},
            {"page_size": 50, "key": second},
        ]
        real, others = ([walk(sandbox, each, **q) for q in queries] for each in (path, other))
        pages = sandbox.prerender(50, project_id=sandbox.project_id, api=version.name)
        pages += sandbox.prerender(50, key=second, api=version.name)
        called: list[int] = []
        sandbox.before_page = called.append

        assert [walk(sandbox, path, **query) for query in queries] == real
        assert sum(map(len, real)) == pages
        assert called == []
        assert ask(sandbox, path, page_size=50, key="llx-wrong").status_code == 401
        narrowed = ask(sandbox, path, **queries[0] | made)
        assert narrowed.json()["items"] != real[0][0]["items"]
        assert called == [1]
        assert [walk(sandbox, other, **query) for query in queries] == others


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
def test_fault_of_a_status_answers_it_once_with_no_retry_after_or_any(
    sandbox: Sandbox, status: int
) -> None:
    forms = {
        "-after-seconds": "3",
        "-after-date": "Wed, 04 Mar 2026 10:30:03 GMT",
        "-after-past": "Wed, 04 Mar 2026 09:30:00 GMT",
        "-after-absurd": str(ABSURD_SECONDS),
    }
    waits = {"": None} | (forms if status in WITH_RETRY_AFTER else {})
    for form in waits:
        sandbox.fail_next(f"{status}{form}")
    replies = [ask(sandbox) for _ in waits]

    assert [reply.headers.get("Retry-After") for reply in replies] == list(waits.values())
    assert {reply.status_code for reply in replies} == {status}
    assert ask(sandbox).json()["items"]
    noted = [(request.status, request.fault) for request in sandbox.requests]
    assert noted == [*((status, f"{status}{form}") for form in waits), (200, None)]


BEFORE = {"closed-before": "closed", "reset-before": "reset", "stalled-before": "silent"}


@pytest.mark.parametrize(("kind", "ending"), BEFORE.items())
def test_fault_before_a_reply_sends_nothing(sandbox: Sandbox, kind: str, ending: str) -> None:
    sandbox.fail_next(kind)
    assert raw(sandbox, patience=patience_for(kind)) == (b"", ending)
    assert sandbox.requests[0].status is None
    assert ask(sandbox).status_code == 200


@pytest.mark.parametrize("prerendered", [False, True], ids=["made", "prerendered"])
@pytest.mark.parametrize(
    ("kind", "line", "ending"),
    [
        ("cut-length", "content-length: {}", "closed"),
        ("cut-close", "connection: close", "closed"),
        ("cut-chunked", "transfer-encoding: chunked", "closed"),
        ("reset-inside", "content-length: {}", "reset"),
        ("stalled-inside", "content-length: {}", "silent"),
    ],
)
def test_fault_inside_a_reply_sends_the_first_half_of_it(
    kind: str, line: str, ending: str, *, prerendered: bool
) -> None:
    with Sandbox(world_of(50)) as sandbox:
        whole = ask(sandbox, page_size=20).content
        if prerendered:
            sandbox.prerender(20)
        sandbox.fail_next(kind)
        received, ended = raw(sandbox, "?page_size=20", patience=patience_for(kind))
        assert sandbox.requests[1].status == 200

    head, body = parts_of(received)
    half = whole[: len(whole) // 2]
    chunk_without_a_last_one = b"%x\r\n%s\r\n" % (len(half), half)
    assert body == (chunk_without_a_last_one if kind == "cut-chunked" else half)
    assert (head[0], ended) == ("http/1.1 200 ok", ending)
    assert line.format(len(whole)) in head
    assert ("content-length" in "".join(head)) == ("length" in line)


def test_gzip_is_truncated_or_none_at_all_under_the_right_length(sandbox: Sandbox) -> None:
    whole = ask(sandbox).content
    sandbox.fail_next("gzip-truncated")
    sandbox.fail_next("gzip-wrong")
    truncated, wrong = (parts_of(raw(sandbox)[0]) for _ in range(2))

    packed = gzip.compress(whole, mtime=0)
    assert (truncated[1], wrong[1]) == (packed[: len(packed) // 2], whole)
    for head, body in (truncated, wrong):
        assert {"content-encoding: gzip", f"content-length: {len(body)}"} <= set(head)


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("html-200", 200, "<!doctype html><title>Sign in</title>"),
        ("empty-object", 200, "{}"),
        ("items-null", 200, '{"items": null, "next_page_token": null}'),
        ("401", 401, '{"detail": "Invalid API key"}'),
        ("403", 403, '{"detail": "No access to this project"}'),
    ],
)
def test_fault_of_the_content_answers_it(
    sandbox: Sandbox, kind: str, status: int, text: str
) -> None:
    sandbox.fail_next(kind)
    reply = ask(sandbox)

    assert (reply.status_code, reply.text) == (status, text)
    is_html = reply.headers["Content-Type"] == "text/html"
    assert is_html == (kind == "html-200")


@each_version
@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_token_is_rejected_by_the_next_request_that_has_one(version: Version, status: int) -> None:
    path = version.path
    with Sandbox(version.world(30)) as sandbox:
        sandbox.fail_next(f"token-{status}")
        token = token_of(sandbox, path, page_size=5)
        ask(sandbox, PROJECTS_PATH)
        ask(sandbox, f"{V2_PATH}/x")
        assert sandbox.unmet == 1
        rejected = ask(sandbox, path, page_size=5, page_token=token)
        assert sandbox.unmet == 0
        assert ask(sandbox, path, page_size=5, page_token=token).status_code == 200

    assert rejected.status_code == status
    assert ("page_token" in rejected.text) == (status in {400, 422})


@pytest.mark.parametrize(
    ("kind", "target", "host", "status"),
    [
        ("redirect-same-host", "/moved{path}?page_size=5", "127.0.0.1", 404),
        ("redirect-other-host", "http://localhost:{port}{path}?page_size=5", "localhost", 401),
    ],
)
def test_redirect_shows_whether_a_client_follows_it(
    sandbox: Sandbox, kind: str, target: str, host: str, status: int
) -> None:
    sandbox.fail_next(kind)
    (reply,) = ask(sandbox, page_size=5).history
    followed = sandbox.requests[1]

    place = {"path": PATH, "port": sandbox.url.rpartition(":")[2]}
    assert (reply.status_code, reply.headers["Location"]) == (307, target.format(**place))
    assert (followed.status, followed.headers["host"]) == (status, f"{host}:{place['port']}")


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
        with get(sandbox, stream=True) as reply:
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


def test_large_reply_ends_when_the_client_has_gone(sandbox: Sandbox) -> None:
    sandbox.fail_next("large")
    with get(sandbox, stream=True) as reply:
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


def test_faults_come_in_the_order_given_and_after_canned_replies(sandbox: Sandbox) -> None:
    sandbox.faults = FaultPlan(share=1, kinds=("502",))
    sandbox.fail_next("503", times=2)
    sandbox.fail_next("504")
    sandbox.answer_next(418)
    statuses = [ask(sandbox).status_code for _ in range(5)]
    sandbox.faults = None
    statuses.append(ask(sandbox).status_code)

    assert statuses == [418, 503, 503, 504, 502, 200]
    with pytest.raises(ValueError, match="no such fault: 'dragon'"):
        sandbox.fail_next("dragon")


def test_plan_brings_the_same_faults_for_the_same_seed_in_its_share() -> None:
    plan = FaultPlan(seed=7, share=0.3)
    kinds = [plan.kind_of(number) for number in range(2000)]

    assert kinds == [FaultPlan(seed=7, share=0.3).kind_of(number) for number in range(2000)]
    assert kinds != [FaultPlan(seed=8, share=0.3).kind_of(number) for number in range(2000)]
    assert 500 < sum(kind is not None for kind in kinds) < 700
    assert set(kinds) - {None} == set(OUTLASTABLE)
    assert not any(FaultPlan(share=0).kind_of(number) for number in range(100))


def test_plan_decides_by_the_number_of_the_request_since_it_was_set(sandbox: Sandbox) -> None:
    plan = FaultPlan(seed=3, share=0.5, kinds=("429", "503"))
    expected = [int(plan.kind_of(number) or 200) for number in range(1, 13)]
    for _ in range(2):
        sandbox.faults = plan
        assert [ask(sandbox).status_code for _ in expected] == expected

    assert set(expected) == {200, 429, 503}


def test_plan_rejects_no_token_where_there_is_none(sandbox: Sandbox) -> None:
    sandbox.faults = FaultPlan(share=1, kinds=("token-400",))
    token = token_of(sandbox, page_size=5)
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
def test_plan_of_faults_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"share of faults|no such fault: 'dragon'"):
        FaultPlan(**wrong)


@pytest.mark.parametrize("retry_after", [False, True], ids=["silent", "with Retry-After"])
def test_rate_limit_counts_granted_requests_not_canned_of_any_minute_of_the_world(
    *, retry_after: bool
) -> None:
    settings = Settings(requests_per_minute=2, retry_after=retry_after)
    with Sandbox(world_of(1), settings) as sandbox:
        statuses, waits = [], []
        sandbox.answer_next(503)
        for pause in (0, 0, 20.5, 0, 39, 0.5, 0, 20, 0.5, 60):
            sandbox.world.advance(pause)
            reply = ask(sandbox)
            statuses.append(reply.status_code)
            waits.append(reply.headers.get("Retry-After"))

    assert statuses == [503, 200, 200, 429, 429, 200, 429, 429, 200, 200]
    assert [wait for wait in waits if wait] == (["40", "1", "21", "1"] if retry_after else [])


@each_version
def test_tokens_of_a_listing_expire_so_many_seconds_after_it_began(version: Version) -> None:
    path = version.path
    with Sandbox(version.world(50), Settings(token_seconds=60)) as sandbox:
        first = token_of(sandbox, path, page_size=5)
        sandbox.world.advance(59)
        second = token_of(sandbox, path, page_size=5, page_token=first)
        sandbox.world.advance(1)
        expired = [ask(sandbox, path, page_size=5, page_token=each) for each in (first, second)]
        anew = token_of(sandbox, path, page_size=5)
        assert ask(sandbox, path, page_size=5, page_token=anew).status_code == 200

    for reply in expired:
        assert (reply.status_code, reply.json()) == (400, {"detail": "page_token has expired"})


@each_version
def test_tokens_of_a_listing_expire_so_many_pages_of_any_version_after_it_began(
    version: Version,
) -> None:
    path, other = version.path, V1.path if version is V2 else V2.path
    with Sandbox(version.world(50), Settings(token_requests=4)) as sandbox:
        token = token_of(sandbox, path, page_size=5)
        statuses = []
        for asked in (path, other, path, path):
            its = {"page_token": token} if asked == path else {}
            reply = ask(sandbox, asked, page_size=5, **its)
            statuses.append(reply.status_code)
            token = reply.json().get("next_page_token") or token
        sandbox.settings.token_requests = 0
        assert ask(sandbox, path, page_size=5, page_token=token).status_code == 200

    assert statuses == [200, 200, 200, 400]


def test_port_is_free_again_after_the_end() -> None:
    with Sandbox(world_of(1)) as first:
        port = int(first.url.rpartition(":")[2])
        ask(first)
    with Sandbox(world_of(1), port=port) as second:
        assert second.url == first.url
        assert ask(second).status_code == 200


def test_command_line_serves_jobs_of_both_versions_in_many_projects_until_ctrl_c() -> None:
    options = "--jobs 50 --v2-jobs 60 --projects 4 --prerender 20 --unknown-fields 0"
    with greeted(f"{options} --start 2026-03-04T10:30:00Z") as printed:
        url, key = exported(printed)
        jobs, v2_jobs = (
            requests.get(url + path, headers={"Authorization": f"Bearer {its}"}, timeout=10)
            for path, its in ((PATH, key), (V2_PATH, "llx-sandbox-4"))
        )

    world = world_of(50, v2_jobs=60, projects=4)
    ids = world.project_ids
    assert jobs.json()["items"] == world.jobs(ids[0])[::-1]
    assert v2_jobs.json()["items"] == V2.shown(world.v2_jobs(ids[3])[::-1])
    lines = [line for line in printed if line.startswith("project ")]
    assert [line.split()[1] for line in lines] == list(ids)
    for line, project_id in zip(lines, ids, strict=True):
        counts = len(world.v2_jobs(project_id)), len(world.jobs(project_id))
        assert "llx-sandbox-" in line
        assert line.endswith("  {} v2 jobs, {} v1 jobs\n".format(*counts))


def test_command_line_takes_faults_and_limits() -> None:
    faults = "--faults 0.5 --fault-kinds 503,504 --fault-seed 4"
    limits = "--requests-per-minute 12 --retry-after --token-seconds 30"
    with greeted(f"--jobs 50 {faults} {limits}") as printed:
        url, key = exported(printed)
        headers = {"Authorization": f"Bearer {key}"}
        replies = [
            requests.get(f"{url}{PATH}?page_size=1", headers=headers, timeout=10) for _ in range(13)
        ]

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
        ("--jobs -1", "no such history"),
        ("--jobs 1 --port {taken}", "Address already in use"),
        ("--jobs 1 --port 0 --faults 1.1", "share of faults is not between 0 and 1"),
        (
            "--jobs 1 --port 0 --fault-kinds 503,dragon",
            "no such fault: 'dragon'; there are 408, ",
        ),
    ],
    ids=["history", "port", "share", "kind"],
)
def test_command_line_says_in_one_line_what_cannot_be(
    options: str, said: str, capsys: pytest.CaptureFixture[str], sandbox: Sandbox
) -> None:
    assert main(options.format(taken=sandbox.url.rpartition(":")[2]).split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
