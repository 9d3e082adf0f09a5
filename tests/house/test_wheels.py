"""`make test-wheel` and `make test-lowest` test what was installed, and with which libraries."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import wheels
from tests.support.commands import ROOT

PINNED = "click==8.5.1\nnumpy==2.4 ; python_full_version < '3.12'\npytest==9.2.0\npluggy==1.7.0\n"
LOWEST = "click==8.2.0\npandas==2.0.0\n"
THE_REST = PINNED.removeprefix("click==8.5.1\n")


@pytest.mark.parametrize(
    ("libraries", "expected"),
    [
        ("pinned", PINNED),
        ("lowest", LOWEST + THE_REST),
        ("newest", "pytest==9.2.0\n"),
    ],
)
def test_libraries_are_those_asked_for_and_tools_are_always_pinned(
    libraries: str, expected: str
) -> None:
    assert wheels.constraints(libraries, PINNED, LOWEST) == expected


def test_tools_are_pinned_and_extras_are_declared() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert {*wheels.TOOLS} <= {wheels.named(line) for line in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {*wheels.EXTRAS} <= project["project"]["optional-dependencies"].keys()
    markers = project["tool"]["pytest"]["ini_options"]["markers"]
    assert {*re.findall("not ([a-z]+)", " ".join(wheels.OPTIONS))} == {
        marker.partition(":")[0] for marker in markers
    }


def test_tests_that_are_run_are_there_and_need_no_package_in_their_folder() -> None:
    ignored = [
        option.removeprefix("--ignore=")
        for option in wheels.OPTIONS
        if option.startswith("--ignore=")
    ]
    few = [test.partition("::")[0] for test in wheels.FEW]
    assert all((ROOT / path).exists() for path in (*wheels.TESTS, *few, *wheels.COPIED, *ignored))
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert "tap_llamaclassify" in packages
    assert not packages & {*wheels.COPIED}


def test_what_cannot_pass_somewhere_is_left_out_there_and_nowhere_else() -> None:
    assert wheels.left_out("linux", "pinned") == wheels.left_out("linux", "lowest") == []
    options = wheels.left_out("darwin", "newest")
    assert len(options) == len(wheels.OF_LINUX) + len(wheels.NOT_WITH_NEWEST)
    for option in options:
        file, _, name = option.removeprefix("--deselect=").partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert f"\ndef {name}(" in text
        assert "dlt" in file or "/dev/full" in text or "/proc" in text


@pytest.mark.parametrize(
    ("arguments", "libraries", "wheel", "tests", "codes", "code"),
    [
        ([], "pinned", None, wheels.TESTS, [0], 0),
        (["--libraries", "lowest", "--few"], "lowest", None, wheels.FEW, [1], 1),
        (["--wheel", "a.whl", "tests/api"], "pinned", Path("a.whl"), ["tests/api"], [5], 5),
        ([], "pinned", None, (), [], 2),
    ],
    ids=["all pass", "one fails", "no test is found", "it cannot be installed"],
)
def test_what_is_asked_for_is_tested_and_the_exit_code_says_how_it_went(
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    libraries: str,
    wheel: Path | None,
    tests: Sequence[str],
    codes: list[int],
    code: int,
) -> None:
    made: list[tuple[str, Path | None]] = []
    ran: list[tuple[str, Sequence[str]]] = []

    def make(asked: str, file: Path | None) -> Path:
        made.append((asked, file))
        if not codes:
            raise subprocess.CalledProcessError(2, "uv")
        return Path("env")

    def run(_: Path, asked: str, paths: Sequence[str]) -> int:
        ran.append((asked, paths))
        return codes[0]

    monkeypatch.setattr(wheels, "made", make)
    monkeypatch.setattr(wheels, "tested", run)
    assert wheels.main(arguments) == code
    assert made == [(libraries, wheel and wheel.resolve())]
    assert ran == [(libraries, tests)] * len(codes)
