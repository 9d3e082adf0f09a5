"""`make test-pythons` finds each Python once, and fails with any of them."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import pythons
from tests.support.commands import ROOT
from tests.support.pythons import Python, found, main


def put(folder: Path, name: str, answer: str) -> Path:
    """Make what answers as a Python would."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{answer}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_each_python_is_found_once_those_of_the_path_first(tmp_path: Path) -> None:
    home, one, two = tmp_path / "home", tmp_path / "one", tmp_path / "two"
    versions = home / ".pyenv" / "versions"
    usual = put(two, "python3.12", '[3, 12, 1, "final", true]')
    put(two, "python3.12-config", '[3, 17, 0, "final", true]')
    put(one, "python3.13", "command not found")
    put(one, "python3.9", '[3, 9, 9, "final", true]')
    put(one, "python3.15", '[3, 15, 0, "candidate", true]')
    put(versions / "3.12.9" / "bin", "python", '[3, 12, 9, "final", true]')
    put(versions / "3.13.0t" / "bin", "python", '[3, 13, 0, "final", false]')
    pyenvs = put(versions / "3.13.0" / "bin", "python", '[3, 13, 0, "final", true]')

    assert found(f"{one}:{tmp_path / 'none'}:{two}:", home) == [
        Python("3.12", "3.12.1", usual),
        Python("3.13", "3.13.0", pyenvs),
    ]


THIS = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize(
    ("arguments", "codes", "code", "tried"),
    [
        ([], {THIS: 0, "3.99": 0}, 0, [THIS, "3.99"]),
        ([], {THIS: 1, "3.99": 0}, 1, [THIS, "3.99"]),
        (["--others"], {"3.99": 0}, 0, ["3.99"]),
        (["--others"], {"3.99": 5}, 1, ["3.99"]),
    ],
    ids=["all pass", "one fails", "the others pass", "another fails"],
)
def test_every_python_is_tried_and_named_though_one_fails(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    codes: dict[str, int],
    code: int,
    tried: list[str],
) -> None:
    both = [Python(minor, f"{minor}.0", Path("python")) for minor in (THIS, "3.99")]
    monkeypatch.setattr(pythons, "found", lambda *_: both)
    monkeypatch.setattr(pythons, "tested", lambda python, *_: codes[python.minor])

    assert main(arguments) == code
    last = capsys.readouterr().out.splitlines()[-len(tried) :]
    assert [line.split()[1:3] for line in last] == [
        [f"{minor}.0", "failed" if codes[minor] else "passed"] for minor in tried
    ]


def test_oldest_and_newest_get_all_tests_and_those_between_some_that_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    three = [Python(minor, f"{minor}.0", Path("python")) for minor in ("3.97", "3.98", "3.99")]
    given: dict[str, tuple[str, ...]] = {}

    def tested(python: Python, *paths: str) -> int:
        given[python.minor] = paths
        return 0

    monkeypatch.setattr(pythons, "found", lambda *_: three)
    monkeypatch.setattr(pythons, "tested", tested)
    assert main([]) == 0
    assert given == {"3.97": (), "3.98": pythons.BETWEEN, "3.99": ()}
    assert all((ROOT / path).is_dir() for path in pythons.BETWEEN)


def test_tests_of_the_pipeline_only_are_left_out() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    markers = project["tool"]["pytest"]["ini_options"]["markers"]
    assert {*re.findall("not ([a-z]+)", " ".join(pythons.TESTS))} == {
        marker.partition(":")[0] for marker in markers
    }
