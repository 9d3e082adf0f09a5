"""The command line in a process of its own: what it prints, how it fails, how it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from tests.support.batch_files import put_jobs
from tests.support.builders import ALL_STREAMS, LISTS, STREAMS, cases, catalog_with, job
from tests.support.commands import COMMAND, Command, ended
from tests.support.moments import PATIENCE
from tests.support.processes import started
from tests.support.runs import at_page, config_of, failure, put, success, warning

SECRET = "llx-marked-secret"
LOUD = {"TAP_LLAMACLASSIFY_LOGLEVEL": "DEBUG", "LOGLEVEL": "DEBUG"}
V1, V2 = "/api/v1/classifier/jobs", "/api/v2/classify"


# What needs no settings


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--version"], "llamaclassify"),
        (["--help"], "llamaclassify"),
        (["--about"], "Name: connections\n    Type: ['array', 'null']"),
        (["--about", "--format=json"], '"connections": {'),
        (["--about", "--format=markdown"], "| connections | False | None | Several keys"),
    ],
    ids=["version", "help", "about", "about as JSON", "about as Markdown"],
)
def test_command_needs_no_setting_to_describe_itself(
    command: Command, arguments: list[str], shown: str
) -> None:
    ended = command(*arguments)
    assert (ended.code, ended.errors) == (0, [])
    assert "llamaclassify" in ended.stdout
    assert shown in ended.stdout


# Settings and files


def test_later_file_wins_and_the_environment_wins_over_files(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    env = {"TAP_LLAMACLASSIFY_USER_AGENT": "env/1"}
    first = config | {"page_size": 2, "user_agent": "file/1"}
    ended = command("--config", first, "--config", {"page_size": 3}, "--config=ENV", env=env)
    assert ended.code == 0
    for request in sandbox.requests:
        assert (request.query["page_size"], request.headers["user-agent"]) == ("3", "env/1")


@pytest.mark.parametrize("content", ["", " \n", "{}"], ids=["no byte", "blank", "empty object"])
def test_empty_state_file_reads_from_the_beginning(
    sandbox: Sandbox, command: Command, config: dict[str, Any], tmp_path: Path, content: str
) -> None:
    put_jobs(sandbox, 2)
    (tmp_path / "state").write_text(content)
    assert len(command("--config", config, "--state", tmp_path / "state").output.ids()) == 2


# Failures: one line each

BROKEN_FILES = {
    "missing": None,
    "no JSON": '{"api_key": "sk_marked-key"',
    "a list": '["sk_marked-key"]',
    "a number": "7",
    "a text": '"text"',
    "null": "null",
    "no number": "NaN",
    "no text at all": "\x00",
    "nested too deeply to be read": '{"a": ' * 10_000 + "1" + "}" * 10_000,
    "nested too deeply to be copied": '{"a": ' * 300 + "1" + "}" * 300,
    "no text": b"\xff\xfe\x00sk_marked-key",
    "no quotes": '{"api_key": sk_marked-key}',
    "YAML": "api_key: sk_marked-key",
    "a mark of UTF-8": "\ufeffsk_marked-key",
    "a line end in a text": '{"api_key": "sk_marked-key\n"}',
    "no comma": '{"api_key": "sk_marked-key" "sk_marked-key"}',
}


@pytest.mark.parametrize("option", ["--config", "--state", "--catalog"])
@cases("content", BROKEN_FILES)
def test_broken_file_ends_in_one_line_that_names_its_option(
    quick_command: Command, config: dict[str, Any], tmp_path: Path, option: str, content: Any
) -> None:
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = quick_command("--config", config, option, path, env=LOUD)
    assert option in failure(ended, code=ended.code or 1)
    # Not masked by its form, as a key of LlamaCloud would be.
    assert "marked" not in ended.stderr + ended.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--config", {}], "api_key is missing"),
        (["--check"], "api_key is missing"),
        (["--config=ENV"], "page_size must be a whole number"),
        (["--config", {"page_size": SECRET}, "--test"], "page_size must be a whole number"),
        (["--config", {"page_size": SECRET}, "--test=schema"], "page_size must be a whole number"),
        (
            ["--config", {"api_key": SECRET, "stream_maps": {"classify_jobs": {"x": "1 +"}}}],
            "stream_maps: ",
        ),
        (
            ["--config", {"connections": [{"name": "emea", "api_key_env": "NOWHERE"}]}],
            "connections.emea.api_key_env names",
        ),
    ],
)
def test_wrong_setting_ends_in_one_line(
    quick_command: Command, arguments: list[Any], text: str
) -> None:
    ended = quick_command(*arguments, env=LOUD | {"TAP_LLAMACLASSIFY_PAGE_SIZE": SECRET})
    assert failure(ended).startswith(text)
    assert ended.stdout == ""
    assert SECRET not in ended.stderr


@pytest.mark.parametrize(
    ("content", "level"),
    [("{", ""), ("handlers: {x: {class: nope}}", ""), ("5", ""), (None, SECRET)],
    ids=["no YAML", "no such class", "a number", "a log level that is none"],
)
def test_logging_that_cannot_be_set_up_ends_in_one_line(
    command: Command, tmp_path: Path, content: str | None, level: str
) -> None:
    env = {"LOGLEVEL": level}
    if content:
        (tmp_path / "logging.yaml").write_text(content)
        env["SINGER_SDK_LOG_CONFIG"] = str(tmp_path / "logging.yaml")
    ended = command("--discover", env=env)
    assert ended.code == 1
    assert ended.stderr.startswith("ERROR: logging cannot be set up: LOGLEVEL must be DEBUG")
    assert SECRET not in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_log_level_that_is_empty_is_as_absent(command: Command) -> None:
    assert command("--discover", env={"LOGLEVEL": ""}).code == 0


def test_log_level_above_error_still_shows_the_error(command: Command) -> None:
    ended = command("--config", {"api_key": ""}, env={"LOGLEVEL": "CRITICAL"})
    assert ended.code == 1
    assert ended.stderr.startswith("ERROR: api_key is empty")


def test_catalog_that_selects_nothing_is_warned_about(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    ended = command("--config", config, "--catalog", {"streams": []})
    assert "selects no stream" in warning(ended)
    assert sandbox.requests == []


def test_unknown_option_ends_in_one_line(command: Command) -> None:
    assert "--catalogue" in failure(command("--catalogue", "x"), code=2)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (402, {"detail": "x"}, ["402 Payment Required", "out of credits"]),
        (404, {"detail": "Not Found"}, ["/api/v1/classifier/jobs", "404", "no longer", "api_url"]),
        (410, b"", ["/api/v1/classifier/jobs", "410 Gone", "no longer"]),
        (200, b"private", ["no JSON"]),
        (200, {"items": ["private"]}, ["page 1", "is no object", "position 0"]),
        (200, {"items": [{"id": "a"}, {"id": ""}]}, ["page 1", "no usable id", "position 1"]),
        (
            422,
            {"detail": [{"loc": ["query", "page_size"], "msg": "too large", "type": "x"}]},
            ["(query.page_size)", "change the setting page_size"],
        ),
    ],
)
def test_refusal_of_the_api_ends_in_one_line_that_says_what_to_do(
    sandbox: Sandbox,
    quick_command: Command,
    config: dict[str, Any],
    status: int,
    body: Any,
    words: list[str],
) -> None:
    sandbox.answer_next(status, body)
    ended = quick_command("--config", config, "--catalog", catalog_with(sandbox))
    line = failure(ended)
    assert ended.lines("WARNING") == []
    assert [word for word in [*words, "request 1", sandbox.url[7:]] if word not in line] == []
    assert "private" not in ended.stderr
    assert ended.output.of_type("RECORD") == ended.output.of_type("STATE") == []


@pytest.mark.parametrize(
    ("url", "bundle", "words"),
    [
        ("http://127.0.0.1:9", "", ["the connection was refused", "check api_url"]),
        ("https://host.invalid", "", ["the host is unknown", "check api_url"]),
        (
            "https://127.0.0.1:9",
            "/dev/null/nowhere",
            ["the file with trusted certificates is missing", "REQUESTS_CA_BUNDLE"],
        ),
    ],
    ids=["refused", "unknown", "no certificates"],
)
def test_host_that_cannot_be_reached_ends_in_one_line(
    command: Command, url: str, bundle: str, words: list[str]
) -> None:
    config = {"api_key": SECRET, "api_url": url, "retry_seconds": 0}
    env = {"REQUESTS_CA_BUNDLE": bundle} if bundle else {}
    line = failure(command("--config", config, env=env))
    assert [word for word in words if word not in line] == []


@pytest.mark.parametrize("more", [[], ["--test"]], ids=["a sync", "a test"])
@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_wrong_key_is_refused_and_never_shown_and_a_traceback_is_for_the_debug_level(
    sandbox: Sandbox, command: Command, level: str, more: list[str]
) -> None:
    config = config_of(sandbox, api_key=SECRET, project_id="marked-project")
    ended = command("--config", config, *more, env=dict.fromkeys(LOUD, level))
    assert ended.code == 1
    (error,) = ended.errors
    assert "check api_key" in error
    assert SECRET not in ended.stderr + ended.stdout
    assert "marked-project" not in ended.stderr
    for word in ("Raised at", "request.py"):
        assert (word in ended.stderr) == (level == "DEBUG")
    assert "Traceback" not in ended.stderr or level == "DEBUG"


def test_state_of_another_kind_ends_in_one_line(command: Command, config: dict[str, Any]) -> None:
    state = {"bookmarks": {"classify_jobs": {"replication_key_value": "soon"}}}
    assert failure(command("--config", config, "--state", state)).startswith(
        "state: bookmarks.classify_jobs.replication_key_value is no timestamp"
    )


def test_insecure_address_that_is_allowed_is_warned_about(command: Command) -> None:
    config = {"api_key": SECRET, "api_url": "http://10.255.255.1.invalid", "retry_seconds": 0}
    assert "allow_insecure_http" in command("--config", config).errors[0]
    ended = command("--config", config | {"allow_insecure_http": True})
    assert "the key travels unencrypted" in "".join(ended.lines("WARNING"))


# --test


def test_test_reads_one_page_and_one_record_of_each_stream(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    put_jobs(sandbox, 300)
    ended = command("--config", config, "--test")
    assert [len(success(ended).records(name)) for name in STREAMS] == [1, 1, 1]
    assert [request.path for request in sandbox.requests] == [V1, V2, *LISTS]
    assert "replication_key_value" not in ended.stdout


def test_test_schema_writes_schemas_and_asks_nothing(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    output = success(command("--config", config, "--test=schema"))
    assert {m["stream"] for m in output.of_type("SCHEMA")} == {*ALL_STREAMS}
    assert sandbox.requests == []


# Standard output


@pytest.mark.parametrize(
    ("redirected", "text"),
    [
        ("| true", "the loader has closed the pipe: see what it says of that, and run"),
        ("> /dev/full", "cannot write to standard output: No space left on device"),
        (">&-", "standard output is closed"),
    ],
    ids=["the loader closes the pipe", "the disk is full", "it is closed"],
)
def test_standard_output_that_takes_nothing_ends_the_run_in_one_line(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path, redirected: str, text: str
) -> None:
    put_jobs(sandbox, 100)
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = f"set -o pipefail; {COMMAND} --config {tmp_path}/config.json {redirected}"
    assert text in failure(ended(["bash", "-c", words]))


# Signals


HOLDS_THE_START_UP = "print(flush=True)\nimport time\ntime.sleep(60)\n"
CANNOT_BE_WOKEN = """
import signal, threading
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print(flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize(
    ("library", "number"),
    [
        (HOLDS_THE_START_UP, signal.SIGTERM),
        (HOLDS_THE_START_UP, signal.SIGINT),
        (CANNOT_BE_WOKEN, signal.SIGTERM),
    ],
    ids=["SIGTERM", "SIGINT", "it does not wake the main thread"],
)
def test_signal_while_the_command_starts_ends_it_with_the_right_code(
    tmp_path: Path, library: str, number: signal.Signals
) -> None:
    # A library of that name stands first in the way, and holds the start up when it is imported.
    (tmp_path / "singer_sdk.py").write_text(library)
    path = {"PYTHONPATH": str(tmp_path)}
    with started(tmp_path, env=path, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"\n"
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
    assert (tmp_path / "stderr").read_text() == (
        f"ERROR: stopped by {number.name}; run again to go on from the last STATE\n"
    )


def test_signal_while_nobody_reads_what_is_logged_ends_the_run_all_the_same(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    put_jobs(sandbox, 100)
    asked = threading.Event()
    readable, writable = os.pipe()

    def fill() -> None:
        os.set_blocking(writable, False)
        while select.select([], [writable], [], 0)[1]:
            os.write(writable, bytes(2**20))
        os.set_blocking(writable, True)
        asked.set()

    at_page(sandbox, 2, fill)
    settings = config | {"page_size": 50}
    with started(tmp_path, "--config", settings, stderr=writable) as process:
        assert asked.wait(30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    os.close(readable)
    os.close(writable)


def test_signal_while_a_retry_is_waited_for_ends_the_run_at_once(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    sandbox.answer_next(429, headers={"Retry-After": "200"})
    settings = config | {"retry_seconds": 600}
    with started(tmp_path, "--config", settings, stderr=subprocess.PIPE) as process:
        assert process.stderr
        for line in process.stderr:
            if b"Waiting 200.0 s" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM


def test_signal_while_the_loader_does_not_read_ends_the_run_at_once(
    sandbox: Sandbox, config: dict[str, Any], tmp_path: Path
) -> None:
    put_jobs(sandbox, 200, error_message="x" * 10_000)
    asked = threading.Event()
    at_page(sandbox, 2, asked.set)
    with started(tmp_path, "--config", config, stdout=subprocess.PIPE) as process:
        assert asked.wait(30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
        assert process.stdout
        assert b'"type":"STATE"' not in process.stdout.read()


# Text


def test_text_of_any_kind_survives_byte_for_byte(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    texts = ["naïve 日本語 🦙", 'quote " back \\ slash', "line\nbreak\ttab\r", "\u2028\x7f", "\x00"]
    texts += ["", "x" * 100_000, "ends in a newline\n", '"}\n{"type":"STATE"}']
    put(sandbox, *(job(f"{n}", error_message=t, extra={t: t}) for n, t in enumerate(texts)))
    records = command("--config", config).output.records("classify_jobs")
    found = {int(row["id"]): (row["error_message"], row["additional_fields"]) for row in records}
    assert found == {n: (text, {"extra": {text: text}}) for n, text in enumerate(texts)}
