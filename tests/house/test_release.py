"""A release: a tag that says the version, a changelog, no placeholder, bounds that were tested."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from release.__main__ import PLACEHOLDER, WITH_PLACEHOLDERS, main, notes_of, version_of
from tests.support.commands import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
LOWEST_EXTRAS = ("dlt", "report", "s3", "sandbox", "spark")


def name_of(requirement: str) -> str:
    """Return the library that a requirement is about."""
    return re.split("[^A-Za-z0-9._-]", requirement)[0].lower()


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """Make a checkout of which version 1.2.3 can be released."""
    changes = "# Changelog\n\n## 1.2.3\n\n### On an upgrade\n\n- None.\n\n## 1.2.2\n\n- One.\n"
    (tmp_path / ".github").mkdir()
    for name, text in {
        "pyproject.toml": '[project]\nversion = "1.2.3"\nurls = {Repository = "https://git.test"}\n',
        "CHANGELOG.md": changes,
        ".github/CODEOWNERS": f"# {PLACEHOLDER} no longer\n* somebody@git.test\n",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_tag_of_this_version_is_released_with_its_part_of_the_changelog(
    ready: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "v1.2.3"], ready) == 0
    assert main(["notes"], ready) == 0
    assert capsys.readouterr() == ("### On an upgrade\n\n- None.\n", "")


@pytest.mark.parametrize(
    ("tag", "file", "old", "new", "said"),
    [
        (
            "v1.2.4",
            "",
            "",
            "",
            "the tag is v1.2.4, but pyproject.toml says 1.2.3: its tag is v1.2.3",
        ),
        ("1.2.3", "", "", "", "the tag is 1.2.3, but pyproject.toml says 1.2.3: its tag is v1.2.3"),
        *(
            ("v1.2.3", "CHANGELOG.md", "1.2.3", version, "CHANGELOG.md does not begin with 1.2.3")
            for version in ("1.2.30", "Unreleased")
        ),
        ("v1.2.3", "pyproject.toml", "git.test", PLACEHOLDER, "pyproject.toml:3 has a placeholder"),
        ("v1.2.3", ".github/CODEOWNERS", "git.test", PLACEHOLDER, ".github/CODEOWNERS:2 has a"),
    ],
    ids=["another version", "no v", "a longer one", "unreleased", "an address", "the owner"],
)
def test_release_is_refused_in_a_line_that_says_why(
    ready: Path,
    capsys: pytest.CaptureFixture[str],
    tag: str,
    file: str,
    old: str,
    new: str,
    said: str,
) -> None:
    if file:
        path = ready / file
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    assert main(["check", tag], ready) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


def test_changelog_begins_with_this_version_and_says_what_to_do_on_an_upgrade() -> None:
    assert version_of(ROOT) == VERSION
    assert notes_of(ROOT, VERSION).startswith("### On an upgrade\n")


def test_connector_for_lakeflow_has_this_version_and_needs_it() -> None:
    (connector,) = (ROOT / "src").rglob("pyproject.toml")
    its = tomllib.loads(text_of(connector))["project"]
    assert its["version"] == VERSION
    assert f"{PROJECT['name']}>={VERSION}" in its["dependencies"]


def test_placeholders_are_in_the_two_files_that_the_check_reads() -> None:
    assert all(PLACEHOLDER in url for url in PROJECT["urls"].values())
    roots = [path for path in ROOT.iterdir() if path.name[0] != "." and path.name != "output"]
    files = [ROOT / ".github", *roots]
    found = {
        path.relative_to(ROOT).as_posix()
        for root in files
        for path in ([root] if root.is_file() else root.rglob("*"))
        if path.is_file() and path.suffix != ".pyc" and PLACEHOLDER in text_of(path)
    }
    assert found == {*WITH_PLACEHOLDERS, "release/__main__.py"}


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def test_forms_ask_for_what_there_is_and_for_no_key() -> None:
    forms = {
        path.stem: yaml.safe_load(text_of(path))
        for path in (ROOT / ".github" / "ISSUE_TEMPLATE").iterdir()
    }
    assert forms.pop("config") == {"blank_issues_enabled": False}
    assert {*forms} == {"bug", "feature"}
    for form in forms.values():
        ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
        assert len({*ids}) == len(ids)
        assert "no key" in json.dumps(form).lower()
    assert f"tap-llamaclassify v{VERSION}" in text_of(
        ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml"
    )


# Bounds


def test_lowest_versions_that_are_tested_are_the_bounds_that_are_declared() -> None:
    lowest = dict(
        line.split("==")
        for line in text_of(ROOT / "constraints-lowest.txt").splitlines()
        if ";" not in line
    )
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for name in LOWEST_EXTRAS for line in extras[name])]
    bounds = {name_of(line): re.findall(r">=([\d.]+)", line) for line in lines}
    assert {name: [Version(lowest[name])] for name in bounds} == {
        name: [Version(bound) for bound in found] for name, found in bounds.items()
    }
