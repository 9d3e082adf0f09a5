"""`make test-singer-sdk` runs what knows singer-sdk, with another singer-sdk than all else."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata

import pytest

from tests.support import newest_singer_sdk as newest
from tests.support.commands import ROOT

USUAL = metadata.version("singer-sdk")


def test_constraints_lose_singer_sdk_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    left = newest.without_pin("\n".join([*lines, ""])).splitlines()
    assert [line for line in lines if line not in left] == [f"singer-sdk=={USUAL}"]


@pytest.mark.parametrize(
    ("version", "codes", "code", "tried"),
    [
        (USUAL, [], 0, []),
        ("9.9.0b1", [0, 0], 0, [newest.SEAMS, newest.TESTS]),
        ("9.9.0b1", [1], 1, [newest.SEAMS]),
        ("9.9.0b1", [0, 5], 5, [newest.SEAMS, newest.TESTS]),
    ],
    ids=["the usual one", "all pass", "something has moved", "no test is found"],
)
def test_what_has_moved_is_told_before_all_else_fails(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    version: str,
    codes: list[int],
    code: int,
    tried: list[tuple[str, ...]],
) -> None:
    ran: list[tuple[str, ...]] = []

    def tested(arguments: tuple[str, ...]) -> int:
        ran.append(arguments)
        return codes[len(ran) - 1]

    monkeypatch.setattr(newest, "installed", lambda: version)
    monkeypatch.setattr(newest, "tested", tested)
    assert newest.main() == code
    assert ran == tried
    assert capsys.readouterr().out.startswith(f"singer-sdk {version}")


def test_environment_that_cannot_be_made_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed() -> str:
        raise subprocess.CalledProcessError(2, "uv")

    monkeypatch.setattr(newest, "installed", installed)
    assert newest.main() == 2


def test_tests_that_are_run_are_there_and_of_no_marker() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    markers = re.findall(r'^  "([a-z]+): ', project, re.MULTILINE)
    assert {*re.findall("not ([a-z]+)", " ".join(newest.TESTS))} == {*markers}
    paths = [each for each in (*newest.SEAMS, *newest.TESTS) if each.startswith("tests/")]
    assert len(paths) == 3
    assert all((ROOT / path).exists() for path in paths)
