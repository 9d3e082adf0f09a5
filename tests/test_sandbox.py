"""The sandbox keeps the API's promises over real HTTP; nothing here knows the tap."""

import signal
import subprocess
import sys
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import requests

from sandbox.__main__ import main
from sandbox.api import PATH
from sandbox.clock import Clock, stamp
from sandbox.history import History, Job
from sandbox.server import Sandbox
from sandbox.settings import AtEnd, Order, Settings, Tokens
from sandbox.world import World

ROOT = Path(__file__).parents[1]
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


def test_port_is_free_again_after_the_end() -> None:
    with Sandbox(world_of(1)) as first:
        port = int(first.url.rpartition(":")[2])
        ask(first)
    with Sandbox(world_of(1), port=port) as second:
        assert second.url == first.url
        assert ask(second).status_code == 200


def test_command_line_serves_until_ctrl_c() -> None:
    command = [sys.executable, "-m", "sandbox", "--jobs", "50", "--port", "0", "--speed", "0"]
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
