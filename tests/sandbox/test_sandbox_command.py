"""The sandbox for people who test pipelines of their own: its command, its wheel, its examples."""

from __future__ import annotations

import doctest
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

import llamacloud_sandbox
from llamacloud_sandbox.__main__ import main
from llamacloud_sandbox.command import COMMAND
from llamacloud_sandbox.server import Sandbox
from tests.support.commands import ROOT, Ended, built_wheel, ended, ran
from tests.support.sandboxes import greeted


def test_help_names_v2_first_and_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())

    assert stopped.value.code == 0
    assert "In tests of your own: from llamacloud_sandbox.server import Sandbox" in shown
    assert "None" not in shown
    used, explained = shown.split("A LlamaCloud classify API")
    for option in re.findall(r"\[(--[a-z0-9-]+)", used):
        assert re.search(rf"{option} (?!--)", explained), option
    (v2, v1) = (
        re.search(rf"--{name} N .*?default: (\d+)", explained) for name in ("v2-jobs", "jobs")
    )
    assert v2
    assert v1
    assert v2.start() < v1.start()
    assert int(v2[1]) >= int(v1[1])


def test_time_that_is_none_is_refused_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--start", "noon"])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("--start: no time such as 2026-11-23T12:00:00Z: 'noon'")


@pytest.mark.parametrize("missing", ["fastapi", "starlette", "uvicorn"])
def test_command_without_the_extra_says_what_to_install(missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from llamacloud_sandbox.__main__ import main; sys.exit(main(['--port', '0']))"
    )
    advice = "pip install 'tap-llamaclassify[sandbox]' brings it"
    said = f"{COMMAND}: {missing} is not installed; {advice}\n"
    assert ended([sys.executable, "-c", code]) == Ended(1, "", said)


def test_sandbox_of_a_test_has_jobs_of_both_apis() -> None:
    world = Sandbox().world
    assert len(world.v2_jobs()) >= len(world.jobs()) > 100


def test_example_of_the_package_runs_as_it_stands() -> None:
    failed, attempted = doctest.testmod(llamacloud_sandbox)
    assert (failed, attempted > 0) == (0, True)


def test_example_of_the_docs_runs_as_it_stands(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "sandbox.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- sandbox -->\n```python\n(.+?)```", text, re.DOTALL)
    assert found
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    names: dict[str, object] = {}
    exec(found[1], names)  # noqa: S102 - the page's code is what is tested
    tests = [made for name, made in names.items() if name.startswith("test_")]
    for test in tests:
        assert callable(test)
        test()
    assert len(tests) == 1
    assert '"type":"STATE"' in capfd.readouterr().out


def bare(**more: str) -> dict[str, str]:
    """Make an environment that knows nothing of the checkout."""
    return {"PATH": os.defpath, "UV_SYSTEM_CERTS": "1"} | more


@pytest.mark.heavy
def test_wheel_with_the_extra_serves_what_its_greeting_tells_the_tap_to_read(
    tmp_path: Path,
) -> None:
    wheel = built_wheel(tmp_path)
    uv, bin_ = Path(sys.executable).with_name("uv"), tmp_path / "venv" / "bin"
    ran([uv, "venv", "--python", sys.executable, bin_.parent])
    ran([uv, "pip", "install", "--python", bin_ / "python", f"{wheel}[sandbox]"])

    alone: dict[str, Any] = {
        "cwd": tmp_path,
        "env": bare(PATH=f"{bin_}:{os.defpath}", NO_PROXY="*"),
    }
    options = "--v2-jobs 40 --jobs 30 --projects 1"
    with greeted(options, [bin_ / "llamacloud-sandbox"], cwd=tmp_path, env=bare()) as lines:
        script = [line for line in lines if line.startswith(("export ", "tap-llamaclassify"))]
        printed = ran(["sh", "-ec", "".join(script)], **alone)
    assert len(script) == 4
    assert {line.split()[-1] for line in printed.splitlines()[1:]} >= {"40", "30", "1"}
    output = shlex.split(script[-1])[-1]
    kinds = (tmp_path / output).read_text(encoding="utf-8")
    assert kinds.count('"type":"RECORD","stream":"classify_v2_jobs"') == 40
