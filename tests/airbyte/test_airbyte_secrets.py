"""No key in anything that the Airbyte source says, wherever it was put."""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.airbyte import command
from tests.reliability.test_secrets import ENVIRONMENTS, KEY, KEYS, TOKEN, WRONG, config, marked
from tests.support.airbyte import configured, source
from tests.support.builders import cases, job
from tests.support.items import v2_job
from tests.support.tally import Tally

COMMANDS = ("check", "discover", "read")
V2_JOBS, JOBS = "classify_v2_jobs", "classify_jobs"


@pytest.mark.parametrize("way", COMMANDS)
@cases("given, env, keys", KEYS)
def test_keys_and_page_tokens_are_in_no_message_of_any_command(
    sandbox: Sandbox,
    tmp_path: Path,
    way: str,
    given: dict[str, Any],
    env: dict[str, str],
    keys: list[str],
) -> None:
    sandbox.answer_next(200, {"items": [job("a")], "next_page_token": TOKEN})
    sandbox.answer_next(200, {"items": [v2_job("b") | {"configuration": None}]}, times=20)
    files: dict[str, Any] = {"config": given | {"api_url": sandbox.url}}
    if way == "read":
        files |= {"catalog": configured(V2_JOBS, JOBS), "state": []}
    said = source(tmp_path, way, env=env, **files)
    assert (said.code, said.messages != []) == (0, True)
    assert marked(json.dumps(said.messages) + said.stderr) == []
    sent = {request.headers["authorization"] for request in sandbox.requests}
    assert sent == ({f"Bearer {key}" for key in keys} if way != "discover" else set())


@pytest.fixture
def quick(tmp_path: Path, capfd: pytest.CaptureFixture[str], tally: Tally) -> Any:
    """Run a command in this process; nothing that it says may hold the mark."""
    logger = logging.getLogger("tap_llamaclassify")

    def run(*words: str, **files: Any) -> str:
        arguments = [*words]
        for name, content in files.items():
            (tmp_path / name).write_text(json.dumps(content))
            arguments += [f"--{name}", str(tmp_path / name)]
        lines: list[bytes] = []
        with (
            mock.patch("tap_llamaclassify.command.signals.obey"),
            mock.patch("tap_llamaclassify.command.standard_output.write", lines.append),
            mock.patch.multiple(logger, handlers=[], propagate=True, level=logging.WARNING),
            suppress(SystemExit),
        ):
            command.main(arguments)
        tally("places of secrets tried", 1)
        out, err = capfd.readouterr()
        said = b"".join(lines).decode() + out + err
        assert marked(said) == []
        assert "Traceback" not in said
        return said

    return run


@pytest.mark.parametrize("given", WRONG.values(), ids=range(len(WRONG)))
def test_key_in_a_wrong_setting_is_in_no_message(quick: Any, given: dict[str, Any]) -> None:
    assert '"FAILED"' in quick("check", config=given)
    assert '"ERROR"' in quick("read", config=given, catalog=configured(V2_JOBS), state=[])


@pytest.mark.parametrize("env", ENVIRONMENTS.values(), ids=range(len(ENVIRONMENTS)))
def test_key_in_a_wrong_variable_is_in_no_message(quick: Any, env: dict[str, str]) -> None:
    least = {"LLAMA_CLOUD_API_KEY": KEY, "LLAMA_CLOUD_BASE_URL": "https://127.0.0.1:9"}
    with mock.patch.dict(os.environ, least | env):
        assert "CONNECTION_STATUS" in quick("check", config={"retry_seconds": 0})


@pytest.mark.parametrize(
    "words",
    [(KEY,), (f"--{KEY}",), ("check",), ("check", f"--{KEY}"), ("check", "--config", f"/{KEY}/x")],
    ids=range(5),
)
def test_key_as_an_argument_is_in_no_message(quick: Any, words: tuple[str, ...]) -> None:
    assert quick(*words)


def entry(name: str, kept: Any) -> dict[str, Any]:
    return {
        "type": "STREAM",
        "stream": {"stream_descriptor": {"name": name}, "stream_state": kept},
    }


@pytest.mark.parametrize(
    "files",
    [
        {"catalog": {KEY: KEY}},
        {"catalog": {"streams": KEY}},
        {"catalog": {"streams": [KEY]}},
        {"catalog": configured(KEY)},
        {"catalog": configured(V2_JOBS, mode=KEY, generation_id=KEY)},
        {"state": KEY},
        {"state": [KEY]},
        {"state": [{KEY: KEY}]},
        {"state": [entry(KEY, {})]},
        {"state": [entry(V2_JOBS, KEY)]},
        {"state": [entry(V2_JOBS, {KEY: KEY})]},
        {"state": [entry(V2_JOBS, {"replication_key_value": KEY})]},
    ],
    ids=range(12),
)
def test_key_in_a_catalog_or_a_state_is_in_no_message(quick: Any, files: dict[str, Any]) -> None:
    given = {"config": config(), "catalog": configured(V2_JOBS), "state": []} | files
    assert '"ERROR"' in quick("read", **given)
