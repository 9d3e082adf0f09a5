"""The command line in a process of its own: what it prints, how it fails, how it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tests.support.builders import ALL_STREAMS, STREAMS, catalog_with, job, parse
from tests.support.commands import COMMAND, Command

SECRET = "llx-marked-secret"
V1, V2 = "/api/v1/classifier/jobs", "/api/v2/classify"


def put_jobs(sandbox: Sandbox, count: int, **fields: Any) -> None:
    for number in range(count):
        sandbox.world.put(job(f"j{number:04}", project_id=sandbox.project_id, **fields))


# What needs no settings


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--about"], ["--about", "--format=json"], ["--help"]]
)
def test_command_needs_no_setting_to_describe_itself(
    command: Command, arguments: list[str]
) -> None:
    ended = command(*arguments)
    assert (ended.code, ended.errors) == (0, [])
    assert "llamaclassify" in ended.stdout


def test_discover_needs_no_setting_and_prints_a_catalog(command: Command) -> None:
    ended = command("--discover")
    assert (ended.code, ended.errors) == (0, [])
    catalog = json.loads(ended.stdout)
    assert {entry["tap_stream_id"] for entry in catalog["streams"]} == {*ALL_STREAMS}


def test_catalog_that_was_discovered_can_be_synced(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    put_jobs(sandbox, 3)
    catalog = json.loads(command("--discover").stdout)
    ended = command("--config", config, "--catalog", catalog)
    assert ended.code == 0
    assert len(ended.output.ids()) == 3


# Settings and files


def test_settings_come_from_a_file(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    put_jobs(sandbox, 3)
    ended = command("--config", config | {"page_size": 2, "user_agent": "me/1"})
    assert len(ended.output.ids()) == 3
    assert [r.query["page_size"] for r in sandbox.requests] == ["2", "2", "2"]
    assert {r.headers["user-agent"] for r in sandbox.requests} == {"me/1"}


def test_later_file_wins_and_the_environment_wins_over_files(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    env = {"TAP_LLAMACLASSIFY_USER_AGENT": "env/1"}
    first = config | {"page_size": 2, "user_agent": "file/1"}
    ended = command("--config", first, "--config", {"page_size": 3}, "--config=ENV", env=env)
    assert ended.code == 0
    for request in sandbox.requests:
        assert (request.query["page_size"], request.headers["user-agent"]) == ("3", "env/1")


def test_every_setting_can_come_from_the_environment(sandbox: Sandbox, command: Command) -> None:
    put_jobs(sandbox, 1)
    settings = {
        "API_KEY": sandbox.key,
        "API_URL": sandbox.url,
        "ALLOW_INSECURE_HTTP": "false",
        "PROJECT_ID": sandbox.project_id,
        "ORGANIZATION_ID": sandbox.world.organization_id,
        "PAGE_SIZE": "7",
        "START_DATE": "2026-01-01",
        "LOOKBACK_SECONDS": "0",
        "REQUEST_TIMEOUT_SECONDS": "30",
        "RETRY_SECONDS": "0",
        "REQUESTS_PER_MINUTE": "20",
        "USER_AGENT": "env/1",
        "STREAM_MAPS": '{"classify_jobs": {"status": "status.lower()"}}',
    }
    env = {f"TAP_LLAMACLASSIFY_{name}": value for name, value in settings.items()}
    ended = command("--config=ENV", env=env)
    assert (ended.code, ended.errors) == (0, [])
    assert ended.output.records("classify_jobs")[0]["status"] == "success"
    asked = {
        "organization_id": sandbox.world.organization_id,
        "page_size": "7",
        "project_id": sandbox.project_id,
    }
    v1, v2 = sandbox.requests
    assert (v1.path, v1.query) == (V1, asked)
    assert (v2.path, v2.query.items() >= asked.items()) == (V2, True)


def test_llama_cloud_variables_are_enough(sandbox: Sandbox, command: Command) -> None:
    put_jobs(sandbox, 1)
    env = {"LLAMA_CLOUD_API_KEY": sandbox.key, "LLAMA_CLOUD_BASE_URL": sandbox.url}
    assert command(env=env).output.ids() == ["j0000"]


@pytest.mark.parametrize("content", ["", " \n", "{}"], ids=["no byte", "blank", "empty object"])
def test_empty_state_file_reads_from_the_beginning(
    sandbox: Sandbox, command: Command, config: dict[str, Any], tmp_path: Path, content: str
) -> None:
    put_jobs(sandbox, 2)
    (tmp_path / "state").write_text(content)
    assert len(command("--config", config, "--state", tmp_path / "state").output.ids()) == 2


def test_state_of_one_run_is_the_next_ones_start(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    put_jobs(sandbox, 2, updated_at="2026-10-01T00:00:00Z")
    sandbox.world.put(job("new", project_id=sandbox.project_id))
    state = command("--config", config).output.state
    assert command("--config", config, "--state", state).output.ids() == ["new"]


# Failures: one line each

BROKEN_FILES = {
    "missing": None,
    "no JSON": '{"api_key": "llx-marked-secret"',
    "a list": '["llx-marked-secret"]',
    "nested too deeply to be read": '{"a": ' * 10_000 + "1" + "}" * 10_000,
    "nested too deeply to be copied": '{"a": ' * 300 + "1" + "}" * 300,
    "no text": b"\xff\xfe\x00llx-marked-secret",
}


@pytest.mark.parametrize("option", ["--config", "--state", "--catalog"])
@pytest.mark.parametrize("content", BROKEN_FILES.values(), ids=BROKEN_FILES)
def test_broken_file_ends_in_one_line_that_names_its_option(
    command: Command, config: dict[str, Any], tmp_path: Path, option: str, content: Any
) -> None:
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = command("--config", config, option, path)
    assert ended.code != 0
    assert len(ended.errors) == 1
    assert option in ended.errors[0]
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "api_key is missing"),
        ({"api_key": ""}, "api_key is empty"),
        ({"api_key": SECRET, "page_size": 0}, "page_size must be at least 1"),
        ({"api_key": SECRET, "start_date": SECRET}, "start_date is no ISO 8601"),
        ({"api_key": SECRET, SECRET: 1}, "is not a setting of this tap"),
        ({"api_key": [SECRET]}, "api_key must be text"),
        ({"api_key": SECRET, "stream_maps": {"classify_jobs": {"x": "1 +"}}}, "stream_maps: "),
    ],
)
def test_wrong_setting_ends_in_one_line(
    command: Command, config: dict[str, Any], text: str
) -> None:
    ended = command("--config", config, env={"TAP_LLAMACLASSIFY_LOGLEVEL": "DEBUG"})
    assert ended.code == 1
    assert ended.stdout == ""
    assert len(ended.errors) == 1
    assert text in ended.errors[0]
    assert SECRET not in ended.stderr


@pytest.mark.parametrize("mode", ["--test", "--test=schema"])
def test_wrong_setting_of_a_test_ends_in_one_line(command: Command, mode: str) -> None:
    ended = command("--config", {"api_key": SECRET, "page_size": SECRET}, mode)
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.errors == ["page_size must be a whole number"]
    assert SECRET not in ended.stderr


def test_wrong_environment_text_ends_in_one_line(command: Command) -> None:
    ended = command("--config=ENV", env={"TAP_LLAMACLASSIFY_PAGE_SIZE": SECRET})
    assert (ended.code, ended.errors) == (1, ["page_size must be a whole number"])


def test_log_level_that_is_none_is_refused(command: Command) -> None:
    ended = command("--discover", env={"LOGLEVEL": SECRET})
    assert ended.code == 1
    assert ended.stderr.startswith("ERROR: logging cannot be set up: LOGLEVEL must be DEBUG")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("content", ["{", "handlers: {x: {class: nope}}", "5"])
def test_logging_file_that_is_none_is_refused(
    command: Command, tmp_path: Path, content: str
) -> None:
    (tmp_path / "logging.yaml").write_text(content)
    ended = command("--discover", env={"SINGER_SDK_LOG_CONFIG": str(tmp_path / "logging.yaml")})
    assert ended.code == 1
    assert ended.stderr.startswith("ERROR: logging cannot be set up")
    assert ended.stderr.count("\n") == 1


def test_log_level_that_is_empty_is_as_absent(command: Command) -> None:
    assert command("--discover", env={"LOGLEVEL": ""}).code == 0


def test_log_level_above_error_still_shows_the_error(command: Command) -> None:
    ended = command("--config", {"api_key": ""}, env={"LOGLEVEL": "CRITICAL"})
    assert ended.code == 1
    assert ended.stderr.startswith("ERROR: api_key is empty")


def test_missing_certificate_bundle_ends_in_one_line(command: Command) -> None:
    config = {"api_key": SECRET, "api_url": "https://127.0.0.1:9"}
    ended = command("--config", config, env={"REQUESTS_CA_BUNDLE": "/dev/null/nowhere"})
    assert ended.code == 1
    (line,) = ended.errors
    assert "the file with trusted certificates is missing" in line
    assert "REQUESTS_CA_BUNDLE" in line


def test_catalog_that_selects_nothing_is_warned_about(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    ended = command("--config", config, "--catalog", {"streams": []})
    assert ended.code == 0
    assert "selects no stream" in "".join(ended.lines("WARNING"))
    assert sandbox.requests == []


def test_unknown_option_ends_in_one_line(command: Command) -> None:
    ended = command("--catalogue", "x")
    assert ended.code == 2
    assert len(ended.errors) == 1
    assert "--catalogue" in ended.errors[0]


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, {"detail": "Invalid"}, ["401 Unauthorized", "check api_key", "project_id"]),
        (402, {"detail": "x"}, ["402 Payment Required", "out of credits"]),
        (403, {"detail": "x"}, ["403 Forbidden", "no access", "organization_id"]),
        (404, {"detail": "Not Found"}, ["/api/v1/classifier/jobs", "404", "no longer", "api_url"]),
        (410, b"", ["/api/v1/classifier/jobs", "410 Gone", "no longer"]),
        (200, b"<html>private</html>", ["HTML instead of JSON", "api_url"]),
        (200, b"private", ["no JSON"]),
        (200, {"private": []}, ["another shape"]),
        (200, {"items": ["private"]}, ["page 1", "is no object", "position 0"]),
        (200, {"items": [{"id": "a"}, {"id": ""}]}, ["page 1", "no usable id", "position 1"]),
        (503, b"private", ["503 Service Unavailable", "retry_seconds"]),
        (429, b"", ["429 Too Many Requests", "requests_per_minute"]),
        (
            422,
            {"detail": [{"loc": ["query", "page_size"], "msg": "too large", "type": "x"}]},
            ["(query.page_size)", "change the setting page_size"],
        ),
    ],
)
def test_refusal_of_the_api_ends_in_one_line_that_says_what_to_do(
    sandbox: Sandbox,
    command: Command,
    config: dict[str, Any],
    status: int,
    body: Any,
    words: list[str],
) -> None:
    sandbox.answer_next(status, body)
    ended = command("--config", config, "--catalog", catalog_with(sandbox))
    assert ended.code == 1
    (line,) = ended.errors
    assert ended.lines("WARNING") == []
    assert [word for word in [*words, "request 1", sandbox.url[7:]] if word not in line] == []
    assert "Traceback" not in ended.stderr
    assert "private" not in ended.stderr
    assert ended.output.of_type("RECORD") == ended.output.of_type("STATE") == []


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9", "the connection was refused"),
        ("https://host.invalid", "the host is unknown"),
    ],
)
def test_host_that_cannot_be_reached_ends_in_one_line(
    command: Command, url: str, words: str
) -> None:
    ended = command("--config", {"api_key": SECRET, "api_url": url, "retry_seconds": 0})
    assert ended.code == 1
    (line,) = ended.errors
    assert words in line
    assert "check api_url" in line


def test_wrong_key_is_refused_and_never_shown(sandbox: Sandbox, command: Command) -> None:
    for level in ("INFO", "DEBUG"):
        ended = command(
            "--config",
            {"api_key": SECRET, "api_url": sandbox.url, "project_id": "marked-project"},
            env={"TAP_LLAMACLASSIFY_LOGLEVEL": level, "LOGLEVEL": level},
        )
        assert ended.code == 1
        assert "check api_key" in ended.errors[0]
        assert SECRET not in ended.stderr + ended.stdout
        assert "marked-project" not in ended.stderr


def test_traceback_is_for_the_debug_level(sandbox: Sandbox, command: Command) -> None:
    config = {"api_key": SECRET, "api_url": sandbox.url}
    ended = command("--config", config, env={"TAP_LLAMACLASSIFY_LOGLEVEL": "DEBUG"})
    assert len(ended.errors) == 1
    assert "Raised at" in ended.stderr
    assert "request.py" in ended.stderr


def test_debug_level_shows_no_page_token(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    put_jobs(sandbox, 4)
    config |= {"page_size": 2}
    ended = command("--config", config, env={"TAP_LLAMACLASSIFY_LOGLEVEL": "DEBUG"})
    assert ended.code == 0
    token = sandbox.requests[1].query["page_token"]
    assert token not in ended.stderr
    assert "page_token" not in ended.stderr


def test_state_of_another_kind_ends_in_one_line(command: Command, config: dict[str, Any]) -> None:
    state = {"bookmarks": {"classify_jobs": {"replication_key_value": "soon"}}}
    ended = command("--config", config, "--state", state)
    assert ended.code == 1
    assert ended.errors[0].startswith(
        "state: bookmarks.classify_jobs.replication_key_value is no timestamp"
    )


def test_insecure_address_that_is_allowed_is_warned_about(command: Command) -> None:
    config = {"api_key": SECRET, "api_url": "http://10.255.255.1.invalid", "retry_seconds": 0}
    assert "allow_insecure_http" in command("--config", config).errors[0]
    ended = command("--config", config | {"allow_insecure_http": True})
    assert "the key travels unencrypted" in "".join(ended.lines("WARNING"))


# --test


def test_test_of_a_wrong_key_ends_in_one_line(sandbox: Sandbox, command: Command) -> None:
    ended = command("--config", {"api_key": SECRET, "api_url": sandbox.url}, "--test")
    assert ended.code == 1
    assert len(ended.errors) == 1
    assert "check api_key" in ended.errors[0]
    assert "Traceback" not in ended.stderr


def test_test_reads_one_page_and_one_record_of_each_stream(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    put_jobs(sandbox, 300)
    ended = command("--config", config, "--test")
    assert (ended.code, ended.errors) == (0, [])
    assert [len(ended.output.records(name)) for name in STREAMS] == [1, 1, 1]
    assert [request.path for request in sandbox.requests] == [
        V1,
        V2,
        "/api/v1/projects",
        "/api/v2/organizations",
    ]
    assert "replication_key_value" not in ended.stdout


def test_test_schema_writes_schemas_and_asks_nothing(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    ended = command("--config", config, "--test=schema")
    assert ended.code == 0
    assert {m["stream"] for m in ended.output.of_type("SCHEMA")} == {*ALL_STREAMS}
    assert sandbox.requests == []


# Standard output


@contextmanager
def running(
    config: dict[str, Any],
    tmp_path: Path,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a sync and leave it running; it is killed at the end, should it still be."""
    path = tmp_path / "running.json"
    path.write_text(json.dumps(config))
    with subprocess.Popen(
        [COMMAND, "--config", path], stdout=stdout, stderr=stderr, env=os.environ
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_loader_that_closes_the_pipe_ends_the_run_in_one_line(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    put_jobs(sandbox, 100)
    with running(config, tmp_path) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        stderr = process.stderr.read().decode()
        assert process.wait(30) == 1
    assert stderr.count("ERROR") == 1
    assert stderr.endswith(
        "the loader has closed the pipe: see what it says of that, and run again\n"
    )
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr


def test_full_disk_ends_in_one_line(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    put_jobs(sandbox, 100)
    with Path("/dev/full").open("wb") as full, running(config, tmp_path, full) as process:
        assert process.stderr
        stderr = process.stderr.read().decode()
        assert process.wait(30) == 1
    assert stderr.count("ERROR") == 1
    assert "cannot write to standard output: No space left on device" in stderr
    assert "Exception ignored" not in stderr


def test_standard_output_that_is_closed_ends_in_one_line(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    put_jobs(sandbox, 1)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    command = ["sh", "-c", f"exec {COMMAND} --config {path} >&-"]
    ended = subprocess.run(command, check=False, capture_output=True, encoding="utf-8")
    assert ended.returncode == 1
    assert ended.stderr.count("ERROR") == 1
    assert "standard output is closed" in ended.stderr


# Signals


def assert_stopped(stderr: bytes, number: signal.Signals) -> None:
    """One line says so, the last one."""
    stopped = f"ERROR: stopped by {number.name}; run again to go on from the last STATE\n"
    assert stderr.endswith(stopped.encode())
    assert stderr.count(b"ERROR") == 1
    assert b"Traceback" not in stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_the_command_starts_ends_it_with_the_right_code(
    tmp_path: Path, number: signal.Signals
) -> None:
    # A library of that name stands first in the way, and holds the start up when it is imported.
    (tmp_path / "singer_sdk.py").write_text("print(flush=True)\nimport time\ntime.sleep(60)\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"\n"
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert process.stderr
        assert_stopped(process.stderr.read(), number)


CANNOT_BE_WOKEN = """
import signal, threading
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print(flush=True)
threading.Event().wait()
"""


def test_signal_that_does_not_wake_the_main_thread_ends_the_command_all_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "singer_sdk.py").write_text(CANNOT_BE_WOKEN)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        [COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"\n"
        process.terminate()
        try:
            assert process.wait(30) == 128 + signal.SIGTERM
            assert process.stderr
            assert_stopped(process.stderr.read(), signal.SIGTERM)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_the_api_is_waited_for_ends_the_run_at_once_without_state(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    put_jobs(sandbox, 100)
    asked, release = threading.Event(), threading.Event()

    def hold(page: int) -> None:
        if page == 2:
            asked.set()
            release.wait(60)

    sandbox.before_page = hold
    try:
        with running(config | {"page_size": 50}, tmp_path) as process:
            assert asked.wait(30)
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=30)
            assert process.returncode == 128 + number
    finally:
        release.set()
    assert parse(stdout.decode()).of_type("STATE") == []
    assert b" Broken off after " in stderr
    assert_stopped(stderr, number)


def test_signal_while_nobody_reads_what_is_logged_ends_the_run_all_the_same(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    put_jobs(sandbox, 100)
    asked = threading.Event()
    readable, writable = os.pipe()

    def fill(page: int) -> None:
        if page == 2:
            os.set_blocking(writable, False)
            while select.select([], [writable], [], 0)[1]:
                os.write(writable, bytes(2**20))
            os.set_blocking(writable, True)
            asked.set()

    sandbox.before_page = fill
    with running(config | {"page_size": 50}, tmp_path, stderr=writable) as process:
        assert asked.wait(30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    os.close(readable)
    os.close(writable)


def test_signal_while_a_retry_is_waited_for_ends_the_run_at_once(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    sandbox.answer_next(429, headers={"Retry-After": "200"})
    with running(config | {"retry_seconds": 600}, tmp_path) as process:
        assert process.stderr
        for line in process.stderr:
            if b"Waiting 200.0 s" in line:
                break
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 128 + signal.SIGTERM


def test_signal_while_the_loader_does_not_read_ends_the_run_at_once(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    put_jobs(sandbox, 200, error_message="x" * 10_000)
    asked = threading.Event()
    sandbox.before_page = lambda page: asked.set() if page == 2 else None
    with running(config, tmp_path) as process:
        assert asked.wait(30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
        assert process.stdout
        assert b'"type":"STATE"' not in process.stdout.read()


# Text


def test_text_of_any_kind_survives_byte_for_byte(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    texts = [
        "naïve 日本語 🦙",
        'quote " back \\ slash',
        "line\nbreak\ttab\r",
        "\u2028\x7f",
        "\x00",
        "",
    ]
    texts += ["x" * 100_000, "ends in a newline\n", '"}\n{"type":"STATE"}']
    for number, text in enumerate(texts):
        sandbox.world.put(
            job(f"{number}", project_id=sandbox.project_id, error_message=text, extra={text: text})
        )
    records = command("--config", config).output.records("classify_jobs")
    found = {int(record["id"]): record for record in records}
    for number, text in enumerate(texts):
        assert found[number]["error_message"] == text
        assert found[number]["additional_fields"] == {"extra": {text: text}}
