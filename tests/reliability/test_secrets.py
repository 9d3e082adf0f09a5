"""No key, proxy password or page token in anything that is written, wherever it was put.

What a user writes into `stream_maps` and `batch_config.storage.root` is shown: it names columns,
streams and files in the output, and an expression that cannot be parsed is quoted. A key in there
is told apart by the form of LlamaCloud's keys alone, and only in errors.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote_plus

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.singer.tap import TapLlamaClassify
from tests.support.builders import captured, cases, catalog_with, job
from tests.support.commands import ROOT, Command, Ended, ended
from tests.support.runs import failure
from tests.support.tally import Tally

MARK = "MaRkEd7Qx2"
KEY = f"llx-{MARK}b9ZtV4kd0"
OTHER_KEY = f"sk_{MARK}/+b9ZtV4kd0=="
"""A key of a self-hosted API need not look like one of LlamaCloud's."""
TOKEN = f"+//+{MARK}=="
PASSWORD = f"{MARK}Pass"
NOBODY = "http://127.0.0.1:9"

LOGGING = """
version: 1
disable_existing_loggers: false
formatters:
  all: {format: '0 | %(levelname)s | %(name)s | %(message)s %(args)s %(exc_text)s'}
  structured: {(): singer_sdk.logging.StructuredFormatter}
handlers:
  all: {class: logging.StreamHandler, formatter: all, level: DEBUG}
  structured: {class: logging.StreamHandler, formatter: structured, level: DEBUG}
root: {level: DEBUG, handlers: [all, structured]}
loggers: {urllib3: {level: DEBUG}, urllib3.connectionpool: {level: DEBUG}, requests: {level: DEBUG}}
"""


@pytest.fixture
def told(quick_command: Command, tmp_path: Path, tally: Tally) -> Command:
    """Run the command with all that can be logged; nothing that it writes may hold the mark."""
    (tmp_path / "logging.yaml").write_text(LOGGING)
    loud = {
        "LOGLEVEL": "DEBUG",
        "TAP_LLAMACLASSIFY_LOGLEVEL": "DEBUG",
        "SINGER_SDK_LOG_CONFIG": str(tmp_path / "logging.yaml"),
    }

    def run(*arguments: Any, env: dict[str, str] | None = None) -> Ended:
        ended = quick_command(*arguments, env=loud | (env or {}))
        tally("places of secrets tried", 1)
        assert marked(ended.stdout + ended.stderr) == []
        assert "Traceback" not in ended.stderr
        return ended

    return run


def heavy_after(count: int, cases: Iterable[Any]) -> list[Any]:
    """Leave all but so many cases of a table to the heavy tests."""
    return [
        pytest.param(case, id=str(number), marks=[pytest.mark.heavy] if number >= count else [])
        for number, case in enumerate(cases)
    ]


def marked(text: str) -> list[str]:
    """Return the lines that hold the mark, however it is spelled."""
    return [line for line in text.splitlines() if MARK.lower() in line.lower()]


def config(**settings: Any) -> dict[str, Any]:
    """Make settings with a marked key, for an address where nobody answers."""
    return {"api_key": KEY, "api_url": NOBODY, "retry_seconds": 0} | settings


# The key where it belongs.


WAYS_TO_START: dict[str, int] = {
    "": 2,
    "--test": 7,
    "--test=schema": 0,
    "--check": 8,
    "--discover": 0,
    "--about": 0,
    "--about --format=json": 0,
    "--about --format=markdown": 0,
    "--version": 0,
}
"""Ways to start the command, and how many requests each sends."""


def in_connections(*connections: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Make settings with connections, for an address where nobody answers."""
    return config(api_key=None, connections=[*connections], **settings)


SECOND_KEY = f"llx-{MARK}second"
TWO = ({"name": "emea", "api_key": KEY}, {"name": "apac", "api_key_env": "KEY_OF_APAC"})
VARIABLES = ("TAP_LLAMACLASSIFY_API_KEY", "LLAMA_CLOUD_API_KEY", "LLAMA_PARSE_API_KEY")
KEYS: dict[str, tuple[dict[str, Any], dict[str, str], list[str]]] = {
    "one": (config(api_key=OTHER_KEY), dict.fromkeys(VARIABLES, OTHER_KEY), [OTHER_KEY]),
    "connections": (in_connections(*TWO), {"KEY_OF_APAC": SECOND_KEY}, [KEY, SECOND_KEY]),
}


@cases("given, env, keys", KEYS)
@pytest.mark.parametrize("way", WAYS_TO_START)
def test_keys_are_shown_by_no_way_to_start_the_command(
    sandbox: Sandbox,
    told: Command,
    way: str,
    given: dict[str, Any],
    env: dict[str, str],
    keys: list[str],
) -> None:
    expected = sorted(f"Bearer {key}" for key in keys * WAYS_TO_START[way])
    sandbox.answer_next(200, {"items": [job("a", organization_id="o")]}, times=len(expected))
    given = given | {"api_url": sandbox.url}
    ended = told("--config", given, "--config=ENV", *way.split(), env=env)
    assert (ended.code, ended.stdout != "") == (0, True)
    assert sorted(request.headers["authorization"] for request in sandbox.requests) == expected


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        ([], {"LLAMA_CLOUD_API_KEY": OTHER_KEY}),
        ([], {"LLAMA_PARSE_API_KEY": OTHER_KEY}),
        (
            ["--config=ENV"],
            {"TAP_LLAMACLASSIFY_CONNECTIONS": json.dumps(TWO), "KEY_OF_APAC": SECOND_KEY},
        ),
    ],
    ids=["the variable", "the older variable", "connections"],
)
def test_keys_in_the_environment_and_page_tokens_are_not_shown_by_a_whole_run(
    sandbox: Sandbox, told: Command, arguments: list[str], env: dict[str, str]
) -> None:
    sandbox.answer_next(200, {"items": [job("a")], "next_page_token": TOKEN})
    sandbox.answer_next(200, {"items": [job("b")]}, times=4)
    ended = told(*arguments, env=env | {"LLAMA_CLOUD_BASE_URL": sandbox.url})
    assert (ended.code, {*ended.output.ids()}) == (0, {"a", "b"})
    assert {request.query.get("page_token") for request in sandbox.requests} == {None, TOKEN}
    structured = [json.loads(line) for line in ended.stderr.splitlines() if line.startswith("{")]
    points = [line["metric_info"] for line in structured if "metric_info" in line]
    asked = [point for point in points if point["metric"] == "http_request_duration"]
    assert {p["tags"]["endpoint"] for p in asked} == {r.path for r in sandbox.requests}
    assert len(points) > len(asked) == len(sandbox.requests)


def test_project_stands_in_rows_and_nowhere_else(sandbox: Sandbox, told: Command) -> None:
    given = config(api_url=sandbox.url, project_id=MARK, organization_id=MARK)
    sandbox.answer_next(200, {"items": [job("a", project_id="p")]}, times=2)
    assert told("--config", given).code == 0
    assert sandbox.requests[0].query["project_id"] == MARK
    sandbox.answer_next(403, {"detail": f"project {MARK}"})
    assert told("--config", given).code == 1


# The key where it does not belong.

URLS = [
    f"https://{KEY}@host.invalid",
    f"https://user:{KEY}@host.invalid",
    f"https://{KEY}:@host.invalid",
    f"https://host.invalid/?key={KEY}",
    f"https://host.invalid#{KEY}",
    f"https://host.invalid:{KEY}",
    f"https://{KEY} .invalid",
    f"https://[{KEY}]",
    f"{KEY}://host.invalid",
    f"//{KEY}@host.invalid",
    f"{NOBODY}/{KEY}",
]
WRONG_KEYS: list[Any] = [
    *([KEY], {KEY: KEY}, {"key": [KEY]}),
    *(f"{KEY} {KEY}", f"{KEY}\nX-Key: {KEY}", f"\u00e9{KEY}", f"{KEY}\x00"),
]
SETTINGS_OF_SINGER_SDK = (
    *("stream_maps", "stream_map_config", "faker_config", "batch_config", "flattening_enabled"),
    *("flattening_max_depth", "flattening_max_key_length", "flattening_separator"),
    "emit_activate_version_messages",
)
OTHER_SETTINGS = (*(name for name in Settings.model_fields if name != "api_key"),)
STREAM_MAPS: list[Any] = [
    *({"classify_jobs": [KEY]}, {"classify_jobs": {"x": [KEY]}}, {"__else__": KEY}),
    *({"classify_jobs": {"__else__": [KEY]}}, {"classify_jobs": {"__alias__": [KEY]}}),
    *({"classify_jobs": {"x": f"'{KEY}' +"}}, {"classify_jobs": {"x": f"nope('{KEY}')"}}),
]
LOCAL = {"root": "file:///dev/null/nowhere"}
BATCH_CONFIGS: list[Any] = [
    {"encoding": KEY},
    {"encoding": {"format": KEY}, "storage": LOCAL},
    {"encoding": {"format": "jsonl", "compression": KEY}, "storage": LOCAL},
    {"encoding": {"format": "jsonl"}, "storage": LOCAL | {"params": {"password": KEY}}},
    {"encoding": {"format": "jsonl"}, "storage": LOCAL, KEY: KEY},
    {"encoding": {"format": "jsonl"}, "storage": LOCAL, "batch_size": KEY},
]
WRONG_CONNECTIONS: list[dict[str, Any]] = [
    *({"name": KEY}, {"name": f"a {KEY}"}, {KEY: KEY}, {"apikey": KEY}, {"api_key": [KEY]}),
    *({"api_key": f"{KEY} x"}, {"api_key": {KEY: KEY}}, {"api_key_env": KEY}),
    *({"api_key": None, "api_key_env": KEY}, {"api_key": None, "api_key_env": [KEY]}),
    *({"api_key": None, "api_key_env": f"A {KEY}"}, {"project_id": KEY}, {"project_id": [KEY]}),
    *({"api_url": url} for url in URLS),
]
WRONG: dict[str, dict[str, Any]] = {
    **{
        f"connections: {change}": in_connections({"name": "emea", "api_key": KEY} | change)
        for change in WRONG_CONNECTIONS
    },
    "the same name": in_connections(*[{"name": "emea", "api_key": KEY}] * 2),
    "adopt_state": in_connections({"name": "emea", "api_key": KEY}, adopt_state=KEY),
    **{f"api_key: {value!r}": config(api_key=value) for value in WRONG_KEYS},
    **{f"api_url: {url}": config(api_url=url) for url in URLS},
    **{f"stream_maps: {maps}": config(stream_maps=maps) for maps in STREAM_MAPS},
    **{f"batch_config: {batch}": config(batch_config=batch) for batch in BATCH_CONFIGS},
    "a setting's name": config(**{KEY: 1}),
    "an unknown setting": config(apikey=KEY),
    "seed of Faker": config(faker_config={"seed": {"a": KEY}}),
    "locale of Faker": config(faker_config={"locale": KEY}, stream_maps={"classify_jobs": {}}),
}
SHAPES: dict[str, Any] = {
    "text": KEY,
    "list": [KEY],
    "object": {KEY: KEY},
    "objects in a list": [{"key": KEY}],
    "deep": {"a": {"b": [KEY]}},
}
SHAPED = {
    f"{name}, {shape}": config(**{name: value})
    for name, (shape, value) in itertools.product(
        (*OTHER_SETTINGS, *SETTINGS_OF_SINGER_SDK), SHAPES.items()
    )
}
MASKED = {
    name: given
    for name, given in (WRONG | SHAPED).items()
    # Shown as what they stand for: a setting's name, an expression, a host. The command masks them.
    if KEY in given
    or "stream_maps" in given
    or given["api_url"] == KEY
    or any(KEY in each for each in given.get("connections", ()))
}
NEVER_SHOWN = {name: given for name, given in (WRONG | SHAPED).items() if name not in MASKED}


@pytest.mark.parametrize("given", heavy_after(len(MASKED), (MASKED | WRONG | SHAPED).values()))
def test_key_in_a_wrong_place_is_in_no_line(told: Command, given: dict[str, Any]) -> None:
    failure(told("--config", given))


@pytest.mark.parametrize("given", NEVER_SHOWN.values(), ids=range(len(NEVER_SHOWN)))
def test_key_in_a_wrong_place_is_in_no_error_of_a_library(
    given: dict[str, Any], caplog: pytest.LogCaptureFixture, tally: Tally
) -> None:
    caplog.set_level(logging.DEBUG)
    tally("places of secrets tried", 1)
    text = ""
    try:
        captured(TapLlamaClassify(config=given))
    except Exception as error:  # noqa: BLE001 - whatever it is, it may not tell
        text = "".join((*traceback.format_exception(error), str(error), repr(error)))
    assert marked(text + caplog.text) == []


ENVIRONMENTS: dict[str, dict[str, str]] = {
    **{
        f"TAP_LLAMACLASSIFY_{name.upper()}": {f"TAP_LLAMACLASSIFY_{name.upper()}": f'{{"{KEY}'}
        for name in ("api_key", "api_url", "page_size", "start_date", "user_agent", "stream_maps")
    },
    **{f"key {key!r}": {"LLAMA_CLOUD_API_KEY": key} for key in (f"{KEY} x", f"\u00e9{KEY}")},
    **{f"address {url}": {"LLAMA_CLOUD_BASE_URL": url} for url in URLS[:6]},
    "connections": {"TAP_LLAMACLASSIFY_CONNECTIONS": f'[{{"name": "{KEY}"'},
    "key of a connection": {
        "TAP_LLAMACLASSIFY_CONNECTIONS": '[{"name": "emea", "api_key_env": "KEY_OF_EMEA"}]',
        "KEY_OF_EMEA": f"{KEY} {KEY}",
    },
    "log level": {"LOGLEVEL": KEY, "TAP_LLAMACLASSIFY_LOGLEVEL": KEY},
    "certificates": {"REQUESTS_CA_BUNDLE": f"/dev/null/nowhere/{MARK}"},
}


@pytest.mark.parametrize("env", heavy_after(8, ENVIRONMENTS.values()))
def test_key_in_a_wrong_variable_is_in_no_line(told: Command, env: dict[str, str]) -> None:
    least = {"LLAMA_CLOUD_API_KEY": KEY, "LLAMA_CLOUD_BASE_URL": "https://127.0.0.1:9"}
    assert told("--config=ENV", "--config", {"retry_seconds": 0}, env=least | env).code == 1


ARGUMENTS = [
    *([KEY], [f"--{KEY}"], [f"--api-key={KEY}"], ["--config", KEY], ["--config", f"/{KEY}/x"]),
    *(["--state", KEY], ["--catalog", KEY], ["--about", "--format", KEY], [f"--test={KEY}"]),
    *([f"--discover={KEY}"], [f"--about={KEY}"]),
]


@pytest.mark.parametrize("arguments", heavy_after(5, ARGUMENTS))
def test_key_as_an_argument_is_in_no_line(told: Command, arguments: list[str]) -> None:
    assert told(*arguments).code != 0


CATALOGS: list[Any] = [
    *({KEY: KEY}, {"streams": [KEY]}, {"streams": KEY}, {"streams": [{KEY: KEY}]}),
    {"streams": [{"tap_stream_id": KEY, "stream": KEY, "schema": {}, "metadata": []}]},
]
CHANGES_OF_A_STREAM: list[dict[str, Any]] = [
    *({"stream": KEY}, {"key_properties": [KEY]}, {"replication_method": KEY}),
    *({"replication_key": KEY}, {"metadata": [KEY]}, {"schema": KEY}, {"schema": {"type": KEY}}),
    *({"table_name": KEY}, {KEY: KEY}),
    {"metadata": [{"breadcrumb": ["properties", KEY], "metadata": {"selected": KEY}}]},
]


@pytest.mark.parametrize("change", heavy_after(3, CHANGES_OF_A_STREAM))
def test_key_in_a_stream_of_the_catalog_is_in_no_line(
    sandbox: Sandbox, told: Command, change: dict[str, Any]
) -> None:
    catalog = catalog_with(sandbox)
    catalog["streams"][0] |= change
    assert told("--config", config(), "--catalog", catalog).code == 1


@pytest.mark.parametrize("catalog", heavy_after(1, CATALOGS))
def test_key_in_another_catalog_is_in_no_line(told: Command, catalog: Any) -> None:
    told("--config", config(), "--catalog", catalog)


STATES: list[Any] = [
    *({KEY: KEY}, {"bookmarks": KEY}, {"bookmarks": {KEY: KEY}}, {"bookmarks": {KEY: {}}}),
    {"type": "STATE", "value": {KEY: KEY}},
    {"bookmarks": {"classify_jobs": KEY}},
    {"bookmarks": {"classify_jobs": {"replication_key_value": KEY}}},
    {"bookmarks": {"classify_jobs": {"replication_key": KEY, "replication_key_value": "2026"}}},
    {"bookmarks": {"classify_jobs": {"partitions": [KEY]}}},
    {"bookmarks": {"classify_jobs": {"partitions": [{"context": {KEY: KEY}}]}}},
    {"bookmarks": {"classify_jobs": {"partitions": [{"context": {"connection": KEY}}]}}},
    {"bookmarks": {"classify_v2_jobs": {"unfinished": {KEY: KEY}}}},
    {"bookmarks": {"classify_v2_jobs": {"created_at_read_until": KEY}}},
    {"bookmarks": {"classify_jobs": {"progress_markers": {KEY: KEY}}}},
]


@pytest.mark.parametrize("state", heavy_after(4, STATES))
def test_key_in_the_state_is_in_no_line(told: Command, state: Any) -> None:
    assert told("--config", config(), "--state", state).code == 1


# Replies that show what was sent.

Echo = tuple[int, Any, dict[str, str]]


def echoes_of(*sent: str) -> dict[str, Echo]:
    """Make replies that show what was sent: the key, and perhaps a token after it."""
    texts = [*sent, quote_plus(sent[-1]), f"Bearer {sent[0]}"]
    echo, last = " ".join(texts), sent[-1]
    asked = f"/{KEY}?page_token={quote_plus(last)}"
    return {
        "401": (401, {"detail": echo}, {"WWW-Authenticate": echo}),
        "422 in words": (422, {"detail": echo}, {}),
        "422": (422, {"detail": [{"loc": ["query", *texts], "msg": echo, "input": echo}]}, {}),
        "422 with names": (422, {"detail": [{echo: echo, "loc": {KEY: last}, "msg": [KEY]}]}, {}),
        "redirect": (302, b"", {"Location": asked}),
        "redirect to a user": (307, b"", {"Location": f"https://{KEY}:{MARK}@h.invalid/{last}"}),
        "redirect to a host": (308, b"", {"Location": f"https://{KEY}.invalid/"}),
        "HTML": (500, f"<html>{echo}</html>", {}),
        "HTML as a page": (200, f"<html>{echo}</html>", {}),
        "text as a page": (200, echo, {}),
        "another shape": (200, {KEY: echo}, {}),
        "no job": (200, {"items": [echo]}, {}),
        "a job without an id": (200, {"items": [{KEY: echo}]}, {}),
        "a page that is cut": (200, f'{{"items": [{{"id": "{KEY}', {}),
        "headers": (503, b"", dict.fromkeys(("Retry-After", "Date", "Server", "X-Key"), echo)),
        "encoding": (200, b"{}", {"Content-Encoding": KEY, "Content-Type": echo}),
        "wrong gzip": (200, echo, {"Content-Encoding": "gzip"}),
    }


THE_TOKEN_AGAIN: Echo = (200, {"items": [job("a")], "next_page_token": TOKEN}, {})
ECHOES = [THE_TOKEN_AGAIN, *echoes_of(KEY, TOKEN).values()]
ECHOES_OF_THE_KEY = echoes_of(KEY)


@pytest.mark.parametrize("echo", heavy_after(10, ECHOES))
def test_reply_that_shows_what_was_sent_is_not_shown(
    sandbox: Sandbox, told: Command, echo: Echo
) -> None:
    status, body, headers = echo
    sandbox.answer_next(200, {"items": [job("a")], "next_page_token": TOKEN})
    sandbox.answer_next(status, body, headers=headers, times=9)
    failure(told("--config", config(api_url=sandbox.url, allow_insecure_http=True)))
    assert sandbox.requests[1].query["page_token"] == TOKEN


@pytest.mark.parametrize("echo", heavy_after(3, ECHOES_OF_THE_KEY.values()))
def test_reply_that_shows_the_key_is_not_shown_by_a_check_or_of_a_connection(
    sandbox: Sandbox, told: Command, echo: Echo
) -> None:
    status, body, headers = echo
    sandbox.answer_next(status, body, headers=headers, times=20)
    checked = told("--config", config(api_url=sandbox.url), "--check")
    failure(checked)
    assert len(checked.stdout.splitlines()) == 1 + WAYS_TO_START["--check"]
    given = in_connections(*TWO, api_url=sandbox.url)
    error = failure(told("--config", given, env={"KEY_OF_APAC": SECOND_KEY}))
    assert error.startswith("2 of 2 connections failed (")


def test_check_does_not_show_what_a_job_holds_in_place_of_its_date(
    sandbox: Sandbox, told: Command
) -> None:
    shown = job("a", created_at=KEY, organization_id="o")
    sandbox.answer_next(200, {"items": [shown], "total_size": KEY}, times=WAYS_TO_START["--check"])
    assert told("--config", config(api_url=sandbox.url), "--check").code == 0


# Proxies.


class Proxy(BaseHTTPRequestHandler):
    """Refuses whatever it is asked for, and takes down who asked."""

    def refuse(self) -> None:
        """Return with the status that the server was given."""
        self.server.asked.append((self.command, dict(self.headers)))  # type: ignore[attr-defined]
        self.send_response(self.server.status, f"No {PASSWORD}")  # type: ignore[attr-defined]
        self.send_header("Proxy-Authenticate", f"Basic realm={PASSWORD}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_CONNECT = do_GET = refuse  # noqa: N815 - names that http.server looks for

    def log_message(self, *_: Any) -> None:
        """Write nothing."""


@pytest.fixture
def proxy() -> Iterator[Any]:
    """Run a proxy that refuses."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        server.asked, server.status = [], 407  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def behind(address: str) -> dict[str, str]:
    """Make an environment that sends everything through a proxy."""
    return {"NO_PROXY": "", "HTTP_PROXY": address, "HTTPS_PROXY": address}


@pytest.mark.parametrize("status", [407, 403, 502])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_that_refuses_is_told_without_its_password(
    proxy: Any, told: Command, scheme: str, status: int
) -> None:
    proxy.status = status
    address = f"http://user:{PASSWORD}@127.0.0.1:{proxy.server_port}"
    given = config(api_url=f"{scheme}://host.invalid", allow_insecure_http=True)
    failure(told("--config", given, env=behind(address)))
    ((method, headers),) = proxy.asked
    assert "Proxy-Authorization" in headers
    # Over TLS no proxy ever sees the key.
    assert (method, "Authorization" in headers) == (
        ("CONNECT", False) if scheme == "https" else ("GET", True)
    )


PROXIES = [
    *(f"http://user:{PASSWORD}@127.0.0.1:9", f"http://user:{PASSWORD}@{PASSWORD}.invalid:9"),
    *(f"http://user:{PASSWORD}@[::1", f"http://user:{PASSWORD}@127.0.0.1:port"),
    *(f"https://user:{PASSWORD}@127.0.0.1:9", f"user:{PASSWORD}@127.0.0.1:9"),
    *(f"http://user:{PASSWORD}@", f"http://user:{PASSWORD}@a b:9", f"socks5://user:{PASSWORD}@h:9"),
    *(f"ftp://user:{PASSWORD}@127.0.0.1:9", f"http://user:{PASSWORD}/@127.0.0.1:9"),
    *(f"http://user:{PASSWORD}#@127.0.0.1:9", f"http://user:{PASSWORD}@127.0.0.1:99999"),
    *(f"http://user:{PASSWORD}@a..b:9", f"://user:{PASSWORD}@h", f"http://{PASSWORD}:{PASSWORD}"),
    f"http://user:{PASSWORD}\u00e9@127.0.0.1:9",
]


@pytest.mark.parametrize("address", heavy_after(4, PROXIES))
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_that_cannot_be_used_is_told_without_its_password(
    told: Command, address: str, scheme: str
) -> None:
    given = config(api_url=f"{scheme}://host.invalid", allow_insecure_http=True)
    assert "defect" not in failure(told("--config", given, env=behind(address)))


# The net that conftest.py casts over all tests.

LEAKS = {
    "a print": 'print("llx-sandbox-1")',
    "a log line": 'logging.getLogger("x").warning("llx-sandbox-1")',
    "standard error": 'os.write(2, b"llx-sandbox-1")',
    "what a tap writes": 'standard_output.write(b"llx-sandbox-1")',
    "a process": 'subprocess.run(["echo", "llx-sandbox-1"], capture_output=True, check=True)',
}


def test_key_in_the_output_of_any_test_fails_it(tmp_path: Path) -> None:
    imports = (
        "import logging, os, subprocess\nfrom tap_llamaclassify.command import standard_output\n"
    )
    lines = [imports, "def test_quiet():\n    print('llx-...', 'llx-***')\n"]
    lines += [f"def test_{number}():\n    {leak}\n" for number, leak in enumerate(LEAKS.values())]
    (tmp_path / "test_leaks.py").write_text("\n".join(lines))
    leaked = ended(
        [
            *(sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml"),
            *("-p", "tests.conftest", "-p", "no:cacheprovider"),
            *("-q", "-rN", "--show-capture=no", "--tb=no"),
            *("--rootdir", tmp_path, tmp_path / "test_leaks.py"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert f"{len(LEAKS)} failed, 1 passed" in leaked.stdout
