"""Whatever goes wrong on the wire, a sync ends with every row or with one line that says why."""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus

import pytest
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.wire.faults import ABSURD_SECONDS, FAULTS, LARGE, OUTLASTABLE, RETRIED
from llamacloud_sandbox.wire.plan import FaultPlan
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.config import json_schema
from tap_llamaclassify.config.connections import resolve_connections
from tap_llamaclassify.http import outcomes
from tap_llamaclassify.singer import sync
from tests.support.builders import (
    STREAMS,
    V2_STREAMS,
    captured,
    catalog_with,
    job,
    new_tap,
    parse,
    written_by,
)
from tests.support.commands import Command
from tests.support.items import v2_job
from tests.support.runs import failure
from tests.support.simulated import ClientClock, Life
from tests.support.tally import Tally
from tests.support.windows import pages_in_any_order

Log = pytest.LogCaptureFixture
PAGE_SIZE = 10
PAGES = 5
MIDDLE = 3
"""The page in the middle that meets a fault."""
BOUND = 64 * 2**20
MARGIN = 20 * 2**20
"""Bytes that the network may hold while nobody reads."""

CUT = "failed: the reply was cut short or garbled"
REASONS = {
    "refused": "failed: the connection was refused",
    "closed-before": "failed: the connection broke",
    "reset-before": "failed: the connection broke",
    "reset-inside": CUT,
    "cut-length": CUT,
    "cut-chunked": CUT,
    "cut-close": "the reply was cut short",
    "stalled-before": "timed out",
    "stalled-inside": "timed out",
    "gzip-truncated": "the reply was cut short",
    "gzip-wrong": CUT,
}
"""Why a request is tried again, where it is not for a status."""

KEY_ADVICE = (
    "check api_key: it is wrong or revoked, or belongs to another region (api_url) or another "
    "project (project_id)"
)
ACCESS_ADVICE = "api_key has no access there; check project_id and organization_id"
TOKEN_ADVICE = (
    "the API no longer takes a page token that it gave; run again, and raise page_size, so that "
    "the listing is over sooner"
)
REDIRECT_ADVICE = (
    "redirects are not followed, because the key would go along; set api_url to the address that "
    "is meant"
)
TRY_LATER = "the API is busy or down; run again later, or raise retry_seconds"
SHAPE = "answered JSON of another shape than a page of jobs; check api_url"
ABSURD = f"and asks to wait {ABSURD_SECONDS:,} s"
LARGE_ADVICE = "answered more than 64 MiB: lower page_size"

STOPPED = {
    "408-after-absurd": f"answered 408 Request Timeout (try 1) {ABSURD}: {TRY_LATER}",
    "425-after-absurd": f"answered 425 Too Early (try 1) {ABSURD}: {TRY_LATER}",
    "429-after-absurd": (
        f"answered 429 Too Many Requests (try 1) {ABSURD}: the rate limit is used up; "
        "set requests_per_minute"
    ),
    "503-after-absurd": f"answered 503 Service Unavailable (try 1) {ABSURD}: {TRY_LATER}",
    "html-200": "answered HTML instead of JSON; check api_url and any proxy",
    "empty-object": SHAPE,
    "items-null": SHAPE,
    "redirect-same-host": (
        "answered 307 Temporary Redirect, a redirect to another path of the same host: "
        + REDIRECT_ADVICE
    ),
    "redirect-other-host": (
        f"answered 307 Temporary Redirect, a redirect to http://localhost:PORT: {REDIRECT_ADVICE}"
    ),
    "large": LARGE_ADVICE,
    "large-chunked": LARGE_ADVICE,
    "large-gzip": LARGE_ADVICE,
}
"""What stops a run at once, and what is said then."""

REFUSED = {
    "401": f"answered 401 Unauthorized{{tries}}: {KEY_ADVICE}",
    "403": f"answered 403 Forbidden{{tries}}: {ACCESS_ADVICE}",
}
REJECTED = {
    "token-400": f"answered 400 Bad Request: {TOKEN_ADVICE}",
    "token-404": f"answered 404 Not Found: {TOKEN_ADVICE}",
    "token-410": f"answered 410 Gone: {TOKEN_ADVICE}",
    "token-422": (f"answered 422 Unprocessable Entity (query.page_token): {TOKEN_ADVICE}"),
}


class WorldClock(ClientClock):
    """The clock of the sandbox's world, by which a closed listener opens when the tap waits."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(Life(sandbox))
        self.naps: list[float] = []

    @override
    def wait(self, seconds: float, end: threading.Event) -> None:
        super().wait(seconds, end)
        self.naps.append(seconds)
        self._life.sandbox.accept()


class Ran(NamedTuple):
    """What a run brought: the rows of each stream and the states, in order, and its error."""

    rows: dict[str, list[Any]]
    states: list[Any]
    error: str | None

    def ids(self) -> list[str]:
        """Return the ids of the jobs, in order."""
        return [row["id"] for row in self.rows["classify_jobs"]]

    def distinct(self) -> dict[str, set[str]]:
        """Return the rows of each stream, each once."""
        return {stream: set(map(repr, rows)) for stream, rows in self.rows.items()}


@pytest.fixture
def clock(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> WorldClock:
    """Make the clock that every run of the tap goes by."""
    made = WorldClock(sandbox)
    monkeypatch.setattr(sync, "Clock", lambda: made)
    return made


@pytest.fixture(autouse=True)
def log(sandbox: Sandbox, caplog: Log, tally: Tally) -> Iterator[Log]:
    """Take down the whole log, which may show no secret, and count the faults that were met."""
    caplog.set_level(logging.DEBUG)
    yield caplog
    tally("faults of the wire", met(sandbox))
    assert_quiet(caplog.text, sandbox)


@pytest.fixture
def history(sandbox: Sandbox) -> Sandbox:
    """Fill some pages with jobs, and let no listener stay closed for long."""
    fill(sandbox, PAGES * PAGE_SIZE)
    sandbox.settings.refuse_seconds = 3600
    return sandbox


def fill(sandbox: Sandbox, jobs: int) -> None:
    for number in range(jobs):
        update = f"2026-11-01T{number // 60 % 24:02}:{number % 60:02}:00.000000Z"
        one = job(f"job {number}", updated_at=update, project_id=sandbox.project_id)
        sandbox.world.put(one | {"created_at": update})


def config_of(sandbox: Sandbox, **changes: Any) -> dict[str, Any]:
    """Settings with values that no log may show; how long to go on trying is the default."""
    return {
        "project_id": sandbox.project_id,
        "organization_id": sandbox.world.organization_id,
        "page_size": PAGE_SIZE,
        "retry_seconds": None,
    } | changes


def run(sandbox: Sandbox, **changes: Any) -> Ran:
    """Sync once, and take what came of it."""
    tap = new_tap(sandbox, catalog=catalog_with(sandbox), **config_of(sandbox, **changes))
    text, caught = written_by(tap)
    error = str(caught) if caught else None
    assert_quiet(error or "", sandbox)
    output = parse(text)
    rows = {stream: output.records(stream) for stream in STREAMS}
    return Ran(rows, [message["value"] for message in output.of_type("STATE")], error)


@cache
def undisturbed(pages: int = PAGES, page_size: int = PAGE_SIZE) -> Ran:
    """Sync so many pages without faults."""
    with Sandbox(World.empty()) as calm:
        fill(calm, pages * page_size)
        ran = run(calm, page_size=page_size)
    assert (ran.error, len(ran.ids())) == (None, pages * page_size)
    return ran


def fail_at(sandbox: Sandbox, page: int, kind: str, *, times: int = 1, listings: int = 1) -> None:
    """Let requests for a page meet a fault, in the first so many listings."""
    if page == 1:
        sandbox.fail_next(kind, times=times)
        return
    left = [kind] * listings

    def before_page(number: int) -> None:
        if number == page - 1 and left:
            sandbox.fail_next(left.pop(), times=times)

    sandbox.before_page = before_page


def met(sandbox: Sandbox) -> int:
    """Count the requests that met a fault, or were refused."""
    return sum(request.fault is not None or request.status != 200 for request in sandbox.requests)


def waits_in(log: Log) -> list[tuple[float, str]]:
    """Return each wait that was logged: for how long, and why."""
    found = [re.fullmatch(r"Waiting (.*?) s \((.*)\); so far .*", m) for m in log.messages]
    return [(float(match[1]), match[2]) for match in found if match]


def reason_for(kind: str) -> str:
    """Say why a request is tried again after a fault."""
    if reason := REASONS.get(kind):
        return reason
    return f"answered {outcomes.status_text(int(kind[:3]))}"


def wait_after(kind: str) -> float:
    """Say how long the tap waits after a fault: what it is asked for, or what the dice say."""
    return 3.0 if kind.endswith(("-seconds", "-date")) else 1.0


def assert_quiet(text: str, sandbox: Sandbox) -> None:
    """Look for what no log may show: key, tokens, query values, addresses with them, replies."""
    secrets = {sandbox.key, "has an invoice number", "page_token=", "?page_size"}
    for request in sandbox.requests:
        secrets |= {text for name, text in request.query.items() if name != "page_size"}
    for secret in secrets:
        for form in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret)):
            assert form not in text


def assert_stopped(ran: Ran, page: int, words: str) -> None:
    """Look for an error that begins with its page and ends with these words, and for no state."""
    assert ran.error
    assert ran.error.startswith(f"page {page}: GET /api/v1/classifier/jobs at ")
    assert ran.error.endswith(words)
    assert ran.states == []


def assert_repeats_alone(ran: Ran) -> None:
    """Look for the rows and states of a run without faults, though rows may come twice."""
    expected = undisturbed()
    assert (ran.error, ran.states) == (None, expected.states)
    assert ran.distinct() == expected.distinct()


# What is outlasted.


@pytest.mark.parametrize("page", [1, MIDDLE], ids=["first page", "middle"])
@pytest.mark.parametrize("kind", OUTLASTABLE)
def test_fault_is_outlasted_with_one_wait_and_leaves_no_trace_in_rows_and_state(
    history: Sandbox, clock: WorldClock, log: Log, kind: str, page: int
) -> None:
    fail_at(history, page, kind)
    timeout = 1 if kind.startswith("stalled") else None
    ran = run(history, request_timeout_seconds=timeout)

    assert ran == undisturbed()
    assert (len(ran.ids()), met(history)) == (PAGES * PAGE_SIZE, 1)
    assert waits_in(log) == [(wait_after(kind), f"{reason_for(kind)}; try 2")]
    assert clock.naps == [wait_after(kind)]
    # The fault "refused" hits the next request, which then never arrives.
    assert len(history.requests) == PAGES + (kind != "refused")
    assert not [record for record in log.records if record.levelno >= logging.WARNING]


def test_fault_that_stays_is_retried_ever_more_slowly_and_then_named(
    history: Sandbox, clock: WorldClock, log: Log
) -> None:
    fail_at(history, MIDDLE, "503", times=50)
    ran = run(history)

    waits = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60, 60, 60, 57]
    tries = range(2, 2 + len(waits))
    reason = "answered 503 Service Unavailable"
    assert clock.naps == waits
    assert waits_in(log) == [
        (wait, f"{reason}; try {number}") for wait, number in zip(waits, tries, strict=True)
    ]
    assert_stopped(ran, MIDDLE, f" {reason} (try {len(waits) + 1}): {TRY_LATER}")


@pytest.mark.parametrize(
    "seed", [*range(1, 6), *(pytest.param(seed, marks=pytest.mark.heavy) for seed in range(6, 51))]
)
def test_mixed_faults_at_three_requests_in_ten_leave_no_trace_in_rows_and_state(
    sandbox: Sandbox, clock: WorldClock, log: Log, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    fill(sandbox, 200)
    sandbox.settings.refuse_seconds = 3600
    expected = undisturbed(40, 5)
    # Whole seconds are all that the settings can say, which would be long for stalled replies.
    briefly: dict[str, Any] = {"timeout": 0.3}
    monkeypatch.setattr(
        json_schema,
        "resolve_connections",
        lambda *given: tuple(replace(one, **briefly) for one in resolve_connections(*given)),
    )
    sandbox.faults = FaultPlan(seed=seed, share=0.3)

    assert run(sandbox, page_size=5) == expected
    # Nobody is left to be refused if the last request met "refused".
    felt = [request for request in sandbox.requests if request.fault not in {None, "refused"}]
    assert len(clock.naps) == len(waits_in(log)) >= len(felt) > 5
    assert all(re.search(r"; try [0-9]+$|^the rate limit", reason) for _, reason in waits_in(log))


# What stops a run.


@pytest.mark.parametrize("page", [1, MIDDLE], ids=["first page", "middle"])
@pytest.mark.parametrize("kind", STOPPED)
def test_fault_stops_the_run_at_once_without_state_and_says_what_to_do(
    history: Sandbox, clock: WorldClock, kind: str, page: int
) -> None:
    fail_at(history, page, kind)
    ran = run(history)

    address = history.url.removeprefix("http://")
    where = f"page {page}: GET /api/v1/classifier/jobs at {address}, request {page}, "
    assert ran.error == where + STOPPED[kind].replace("PORT", address.partition(":")[2])
    assert ran.states == []
    assert (clock.naps, len(history.requests)) == ([], page)
    # No redirect is followed, and no reply that is too large is read to its end.
    assert {request.headers["host"] for request in history.requests} == {address}
    assert not any(request.path.startswith("/moved") for request in history.requests)
    assert history.requests[-1].sent < BOUND + MARGIN < LARGE


@pytest.mark.parametrize("kind", [*STOPPED, *REFUSED])
def test_fault_that_stops_a_run_is_one_error_line_on_the_command_line(
    history: Sandbox, quick_command: Command, kind: str
) -> None:
    fail_at(history, 1 if kind in REFUSED else MIDDLE, kind)
    config = config_of(history, api_url=history.url, api_key=history.key, retry_seconds=600)
    ended = quick_command("--config", config)

    address = history.url.removeprefix("http://")
    said = (STOPPED | REFUSED)[kind].format(tries="").replace("PORT", address.partition(":")[2])
    assert failure(ended).endswith(said)
    assert ended.output.of_type("STATE") == []


# A key that is refused.


@pytest.mark.parametrize("kind", REFUSED)
def test_key_that_is_refused_once_is_tried_once_more_after_a_pause_on_any_page_but_the_first(
    history: Sandbox, clock: WorldClock, log: Log, kind: str
) -> None:
    history.before_page = lambda page: history.fail_next(kind) if page < PAGES else None

    # Each page is a request of its own: it is asked for once more, however the others went.
    assert run(history) == undisturbed()
    assert met(history) == PAGES - 1
    assert clock.naps == [10.0] * (PAGES - 1)
    assert waits_in(log) == [(10.0, f"{reason_for(kind)}; try 2")] * (PAGES - 1)


@pytest.mark.parametrize(("page", "times", "tries"), [(1, 1, ""), (MIDDLE, 2, " (try 2)")])
@pytest.mark.parametrize("kind", REFUSED)
def test_key_that_is_refused_on_the_first_page_or_twice_in_the_middle_stops_the_run(
    history: Sandbox, clock: WorldClock, kind: str, page: int, times: int, tries: str
) -> None:
    fail_at(history, page, kind, times=times)

    assert_stopped(run(history), page, REFUSED[kind].format(tries=tries))
    assert (len(clock.naps), met(history)) == (times - 1, times)
    assert len(history.requests) == page + times - 1


# A page token that is rejected.


@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
@pytest.mark.parametrize("kind", REJECTED)
def test_rejected_token_starts_the_listing_again_from_the_top_with_a_warning(
    history: Sandbox, clock: WorldClock, log: Log, kind: str, times: int
) -> None:
    fail_at(history, MIDDLE, kind, listings=times)
    ran = run(history)

    assert_repeats_alone(ran)
    pages = [request.query.get("page_token") is None for request in history.requests]
    assert (pages.count(True), len(pages)) == (1 + times, times * MIDDLE + PAGES)
    repeated = Counter(ran.ids())
    assert set(repeated.values()) == {1, 1 + times}
    assert len([count for count in repeated.values() if count > 1]) == (MIDDLE - 1) * PAGE_SIZE
    assert clock.naps == []
    warnings = [record for record in log.records if record.levelno == logging.WARNING]
    assert len(warnings) == times
    for number, record in enumerate(warnings, start=1):
        text = record.getMessage()
        assert text.startswith(f"page {MIDDLE}: ")
        assert text.endswith(f"Starting again from the top, for time {number} of 2 at most")


@pytest.mark.parametrize("kind", REJECTED)
def test_token_that_is_rejected_in_three_listings_stops_the_run(
    history: Sandbox, clock: WorldClock, kind: str
) -> None:
    fail_at(history, MIDDLE, kind, listings=3)

    assert_stopped(run(history), MIDDLE, REJECTED[kind])
    assert (clock.naps, met(history), len(history.requests)) == ([], 3, 3 * MIDDLE)


def test_tokens_that_expire_during_a_long_wait_cost_a_listing_and_no_rows(
    history: Sandbox, clock: WorldClock
) -> None:
    history.settings.token_seconds = 40
    fail_at(history, MIDDLE, "503", times=6)

    assert_repeats_alone(run(history))
    assert clock.naps == [1, 2, 4, 8, 16, 32]
    statuses = [request.status for request in history.requests]
    assert statuses == [200, 200, *[503] * 6, 400, *[200] * PAGES]


# The rate limit.


@pytest.mark.parametrize(
    ("retry_after", "most"),
    [(False, 65 + 4), (True, 65 + 1)],
    ids=["silent", "with Retry-After"],
)
def test_limit_of_20_requests_a_minute_is_outlasted_by_default(
    sandbox: Sandbox, clock: WorldClock, log: Log, *, retry_after: bool, most: int
) -> None:
    fill(sandbox, 65 * PAGE_SIZE)
    expected = undisturbed(65)
    sandbox.settings.requests_per_minute = 20
    sandbox.settings.retry_after = retry_after

    assert run(sandbox) == expected
    refused = [request for request in sandbox.requests if request.status == 429]
    assert len(expected.ids()) == 65 * PAGE_SIZE
    assert (len(sandbox.requests), len(refused)) == (most, most - 65)
    # A minute is waited for three times, once to find out.
    assert [reason[: len(LIMITED)] for _, reason in waits_in(log)][-2:] == [LIMITED] * 2
    assert len(waits_in(log)) == len(refused) + 2
    assert sum(clock.naps) < 4 * 60


@pytest.mark.parametrize("retry_after", [False, True], ids=["silent", "with Retry-After"])
@pytest.mark.parametrize("at_once", [1, 4, 8])
def test_limit_of_20_requests_a_minute_is_outlasted_by_windows_side_by_side(
    sandbox: Sandbox, clock: WorldClock, log: Log, at_once: int, *, retry_after: bool
) -> None:
    for number in range(650):
        at = stamp(sandbox.world.now() - timedelta(hours=number))
        sandbox.world.put_v2(v2_job(f"clj-{number}", created_at=at, updated_at=at))
    config = config_of(sandbox, project_id=None, page_size=10, parallel_windows=at_once)
    names = (*STREAMS, *V2_STREAMS)
    chosen = {name: {"selected": name == V2_STREAMS[0]} for name in names}
    catalog = catalog_with(sandbox, **chosen)
    captured(new_tap(sandbox, catalog=catalog, **config))
    asked = len(sandbox.requests)
    sandbox.clear_requests()
    sandbox.settings.requests_per_minute = 20
    sandbox.settings.retry_after = retry_after

    # By the world's clock one request leaves at a time: several are in the tests of the limit.
    with pages_in_any_order(seed=1):
        output = captured(new_tap(sandbox, catalog=catalog, **config))
    assert len({row["id"] for row in output.records("classify_v2_jobs")}) == 650
    assert 65 <= asked <= 65 * 1.15
    assert len(sandbox.requests) <= 1.2 * asked
    assert any(reason.startswith(LIMITED) for _, reason in waits_in(log))
    assert sum(clock.naps) > 2 * 60


LIMITED = "the rate limit, which seems to be "


def test_own_pace_never_meets_the_limit(sandbox: Sandbox, clock: WorldClock, log: Log) -> None:
    fill(sandbox, 65 * PAGE_SIZE)
    expected = undisturbed(65)
    sandbox.settings.requests_per_minute = 20

    assert run(sandbox, requests_per_minute=20) == expected
    assert {request.status for request in sandbox.requests} == {200}
    assert len(sandbox.requests) == 65
    assert waits_in(log) == [(60.0, "requests_per_minute")] * 3
    assert clock.naps == [60.0] * 3


def test_every_fault_of_the_sandbox_is_in_a_test_here() -> None:
    assert {*OUTLASTABLE, *STOPPED, *REFUSED, *REJECTED} == set(FAULTS)
    assert {str(status) for status in RETRIED} <= set(OUTLASTABLE)
