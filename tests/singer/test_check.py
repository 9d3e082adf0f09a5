"""`--check` tries each key and API once, shows a table, and fails when a stream is out of reach."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.builders import DEFAULT_STREAMS, LISTS, STREAMS, V2_STREAMS
from tests.support.commands import Command
from tests.support.runs import config_of, failure, put_v2, select

V1, V2 = "/api/v1/classifier/jobs", "/api/v2/classify"
PROJECTS = "/api/v1/projects"
PATHS = [V1, V2, "/api/v1/beta/files", *LISTS]
"""What is asked for of each connection."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run an API with a history of both versions."""
    with Sandbox(World(History(jobs=30, v2_jobs=20))) as running:
        yield running


def table(output: str) -> list[list[str]]:
    """Read a table by where its columns begin."""
    header, *lines = output.splitlines()
    words = [word for word in header.split("  ") if word.strip()]
    starts = [header.index(word.strip()) for word in words]
    ends = [*starts[1:], None]
    return [
        [line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines
    ]


def test_check_shows_host_key_apis_first_job_and_totals_with_one_request_each(
    sandbox: Sandbox, quick_command: Command, config: dict[str, Any]
) -> None:
    ended = quick_command("--config", config, "--check")
    assert (ended.code, ended.errors) == (0, [])
    host = sandbox.url.removeprefix("http://")
    v1, v2 = sandbox.world.jobs(sandbox.project_id), sandbox.world.v2_jobs(sandbox.project_id)
    week = stamp(sandbox.world.now() - timedelta(hours=168))
    lately = sum(job["created_at"] >= week for job in [*v1, *v2])
    assert table(ended.stdout) == [
        [host, "accepted", "v1", "yes", v1[-1]["created_at"], str(len(v1))],
        [host, "accepted", "v2", "yes", v2[-1]["created_at"], str(len(v2))],
        [host, "accepted", "files", "yes", "", str(len(sandbox.world.files(sandbox.project_id)))],
        [host, "accepted", "projects", "yes", "", "3"],
        [host, "accepted", "organizations", "yes", "", "1"],
        [host, "accepted", "configurations", "yes", "", "12"],
        [host, "accepted", "timings", "yes", "", str(lately)],
        [host, "accepted", "usage", "yes", "", "1 or more"],
    ]
    assert [request.path for request in sandbox.requests] == PATHS


def test_check_of_a_wrong_key_says_so_and_fails(
    sandbox: Sandbox, quick_command: Command, config: dict[str, Any]
) -> None:
    ended = quick_command("--config", config | {"api_key": "llx-wrong"}, "--check")
    said = {(line[1], line[3]) for line in table(ended.stdout)}
    assert said == {("refused", "no: 401 Unauthorized")}
    error = failure(ended)
    assert error.startswith("classify_jobs, classify_job_rules, classify_job_parsing_configs: GET")
    assert "check api_key" in error
    assert len(sandbox.requests) == len(PATHS) - 1


def test_check_takes_its_settings_from_the_environment_where_it_is_told_to(
    sandbox: Sandbox, quick_command: Command
) -> None:
    env = {"TAP_LLAMACLASSIFY_API_KEY": sandbox.key, "TAP_LLAMACLASSIFY_API_URL": sandbox.url}
    ended = quick_command("--config=ENV", "--check", env=env)
    assert (ended.code, ended.errors) == (0, [])
    assert {line[1] for line in table(ended.stdout)} == {"accepted"}


def test_check_retries_nothing(
    sandbox: Sandbox, quick_command: Command, config: dict[str, Any]
) -> None:
    sandbox.answer_next(503, times=len(PATHS) - 1)
    ended = quick_command("--config", config | {"retry_seconds": 600}, "--check")
    assert ended.code == 1
    said = {(line[1], line[3]) for line in table(ended.stdout)}
    assert said == {("?", "no: 503 Service Unavailable")}
    assert len(sandbox.requests) == len(PATHS) - 1


@pytest.mark.parametrize(
    ("gone", "selected", "code"),
    [
        (V1, STREAMS, 1),
        (V1, V2_STREAMS, 0),
        (V1, DEFAULT_STREAMS, 0),
        (V2, STREAMS, 0),
        (V2, V2_STREAMS, 1),
        (PROJECTS, STREAMS, 0),
        (PROJECTS, ("classify_projects",), 1),
    ],
)
def test_check_fails_only_when_a_selected_stream_cannot_be_read(
    sandbox: Sandbox,
    quick_command: Command,
    config: dict[str, Any],
    gone: str,
    selected: tuple[str, ...],
    code: int,
) -> None:
    catalog = select(sandbox, *selected)
    sandbox.settings.gone = {gone: 410}
    ended = quick_command("--config", config, "--catalog", catalog, "--check")
    assert ended.code == code
    assert len(ended.errors) == code
    left_out = "Left out by a sync: classify_jobs, classify_job_rules, "
    assert (left_out in ended.stderr) == (selected == DEFAULT_STREAMS)
    if code:
        assert f"or deselect {', '.join(selected)}" in ended.errors[0]


def test_check_tries_every_connection_and_names_the_one_that_fails(
    sandbox: Sandbox, quick_command: Command
) -> None:
    first, second, _ = sandbox.keys.values()
    connections = [
        {"name": "emea", "api_key": first},
        {"name": "apac", "api_key": "llx-revoked"},
        {"name": "us", "api_key_env": "US_KEY"},
    ]
    config = {"api_url": sandbox.url, "connections": connections}
    ended = quick_command("--config", config, "--check", env={"US_KEY": second})
    lines = table(ended.stdout)
    states = {line[0]: line[2] for line in lines}
    assert states == {"emea": "accepted", "apac": "refused", "us": "accepted"}
    assert len(lines) == len(PATHS) * 3
    error = failure(ended)
    assert error.startswith("apac: classify_jobs")
    assert "emea" not in error


def test_check_shows_what_has_some_though_the_api_does_not_count(quick_command: Command) -> None:
    with Sandbox(World.empty()) as empty:
        empty.settings.total_size = False
        put_v2(empty, "0", "1")
        ended = quick_command("--config", config_of(empty), "--check")
    assert (ended.code, ended.errors) == (0, [])
    assert [line[3] for line in table(ended.stdout)] == ["yes"] * len(PATHS)
    totals = [line[-1] for line in table(ended.stdout)]
    assert totals == ["0", "1 or more", "1", "3", "1", "1 or more", "0", "1 or more"]
