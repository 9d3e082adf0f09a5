"""The workflows, which GitHub runs: what they may do, and that their commands do it here."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.commands import ROOT, built_wheel, ended, ran
from tests.support.loaders import installed

GITHUB = ROOT / ".github"
WORKFLOWS: dict[str, dict[str, Any]] = {
    path.stem: yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506  (knows texts only, so that `on` stays one)
    for path in sorted((GITHUB / "workflows").glob("*.yml"))
}
JOBS = {
    f"{name}: {job}": its
    for name, workflow in WORKFLOWS.items()
    for job, its in workflow["jobs"].items()
}
TEXT = "".join(path.read_text(encoding="utf-8") for path in (GITHUB / "workflows").iterdir())
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
VERSION = PROJECT["version"]
OWN_WORKFLOW = "$/.github/workflows/wheel.yml"
MAY_WRITE = {
    "release: attest": {"attestations", "id-token"},
    "release: publish": {"id-token"},
    "release: github": {"contents"},
}
"""The only jobs that may do more than read, and what."""


def steps_of(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a job's steps; one that calls a workflow has none."""
    yield from job.get("steps", [])


def runs_of(workflow: str, job: str) -> list[str]:
    """Return the commands of a job."""
    return [step["run"] for step in steps_of(JOBS[f"{workflow}: {job}"]) if "run" in step]


# Workflows


def test_actions_and_images_are_pinned_to_what_cannot_move_and_say_their_version() -> None:
    used = re.findall(r"uses: (.+)", TEXT)
    pinned = r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"
    assert not [each for each in used if each != OWN_WORKFLOW and not re.fullmatch(pinned, each)]
    assert len({each.partition("@")[0] for each in used}) == len({*used})
    images = re.findall(r"image: (.+)", TEXT)
    assert images
    assert not [each for each in images if not re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", each)]


def test_nothing_runs_with_more_rights_than_it_needs() -> None:
    assert {name for name, its in WORKFLOWS.items() if its["permissions"] == {}} == {*WORKFLOWS}
    written = {
        name: {scope for scope, right in its["permissions"].items() if right == "write"}
        for name, its in JOBS.items()
    }
    assert {name: scopes for name, scopes in written.items() if scopes} == MAY_WRITE
    assert "pull_request_target" not in TEXT
    assert "workflow_run" not in TEXT
    assert "secrets." not in TEXT
    checkouts = [s for job in JOBS.values() for s in steps_of(job) if "checkout@" in str(s)]
    assert {step["with"]["persist-credentials"] for step in checkouts} == {"false"}


def test_what_may_publish_runs_no_code_but_the_actions() -> None:
    for name, scopes in MAY_WRITE.items():
        if "id-token" in scopes:
            assert not [step for step in steps_of(JOBS[name]) if "run" in step], name
    assert JOBS["release: publish"]["environment"] == "pypi"


def test_only_what_was_tested_is_published() -> None:
    needs = {name: its.get("needs") for name, its in JOBS.items() if name.startswith("release")}
    assert needs == {
        "release: check": None,
        "release: wheel": "check",
        "release: attest": "wheel",
        "release: publish": "attest",
        "release: github": "publish",
    }
    assert JOBS["release: wheel"]["uses"] == JOBS["test: wheel"]["uses"] == OWN_WORKFLOW
    built = [name for name in JOBS if "hatchling build" in str(JOBS[name])]
    assert built == ["wheel: build"]
    published = [s for s in steps_of(JOBS["release: publish"]) if "download-artifact" in s["uses"]]
    assert [step["with"] for step in published] == [{"name": "dist", "path": "dist"}]


def test_wheel_is_tested_with_each_python_of_the_classifiers_and_others_stop_nothing() -> None:
    tried = JOBS["wheel: test"]["strategy"]["matrix"]["include"]
    promised = re.findall(r"Python :: (\d\.\d+)", " ".join(PROJECT["classifiers"]))
    firm = [
        (it["os"], it["python"], it["libraries"]) for it in tried if it["experimental"] != "true"
    ]
    assert {("ubuntu-latest", python, "pinned") for python in promised} <= {*firm}
    assert {python for _, python, _ in firm} == {*promised}
    assert {libraries for *_, libraries in firm} == {"pinned", "lowest", "newest"}
    assert {it["os"] for it in tried} == {"ubuntu-latest", "macos-latest"}
    assert {it["python"] for it in tried} == {*promised, "3.14"}


def test_commands_of_workflows_name_targets_and_files_that_there_are() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [step["run"] for job in JOBS.values() for step in steps_of(job) if "run" in step]
    targets = [word for line in commands for word in re.findall(r"^make ([a-z-]+)", line)]
    assert targets
    assert not [t for t in targets if not re.search(rf"^{t}:", makefile, re.MULTILINE)]
    paths = [
        word for line in commands for word in re.findall(r"(?:^|\s)((?:tests/|\.ci/)\S+)", line)
    ]
    assert paths
    assert all((ROOT / path).is_file() for path in paths)


@pytest.mark.heavy
def test_zizmor_and_actionlint_find_nothing_in_the_workflows(tmp_path: Path) -> None:
    zizmor = installed("zizmor", "zizmor==1.32.0") / "bin" / "zizmor"
    # A fork of actionlint whose wheel brings its binary: actionlint's own downloads it.
    actionlint = installed("jactionlint", "jactionlint==2.3.0") / "bin" / "jactionlint"
    found = [zizmor, "--offline", "--no-config", "--persona", "auditor"]
    files = sorted((GITHUB / "workflows").iterdir())
    ran([*found, GITHUB])
    ran([actionlint, "--shellcheck=", *files])

    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    bad = folder / "bad.yml"
    text = files[0].read_text(encoding="utf-8")
    bad.write_text(re.sub("@[0-9a-f]{40}.*", "@v1", text).replace("needs:", "need:"))
    assert "unpinned-uses" in ended([*found, bad]).stdout
    assert "need" in ended([actionlint, "--shellcheck=", bad]).stdout


@pytest.mark.heavy
def test_wheel_and_source_distribution_are_built_by_the_workflow_and_are_the_same(
    tmp_path: Path,
) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "__pycache__", "output"))
    shutil.copy(ROOT / ".gitignore", checkout)
    tool = installed("python-alone", "pip")
    for command in runs_of("wheel", "build"):
        ran(["bash", "-ec", command], cwd=checkout, env=on_path(tool))
    (wheel,), (archive,) = (
        sorted((checkout / "dist").glob(f"*.{end}")) for end in ("whl", "tar.gz")
    )
    with tarfile.open(archive) as whole:
        whole.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert contents(built_wheel(tmp_path / "again", unpacked)) == contents(wheel)
    assert wheel.name.startswith(f"tap_llamaclassify-{VERSION}-")


def on_path(environment: Path) -> dict[str, str]:
    """Return the environment's variables, for commands that find its Python first."""
    return os.environ | {"PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def contents(wheel: Path) -> dict[str, int]:
    """Return the names in a wheel, and what their bytes add up to."""
    return {each.filename: each.CRC for each in zipfile.ZipFile(wheel).infolist()}


@pytest.mark.heavy
def test_sbom_lists_what_the_wheel_brings_and_the_audit_would_ask_for_all_of_it(
    tmp_path: Path,
) -> None:
    (command,) = runs_of("wheel", "sbom")
    wheel = built_wheel(tmp_path)
    ran(["bash", "-ec", command.replace("dist/*.whl", str(wheel))])
    bill = json.loads((ROOT / "output" / "sbom.cdx.json").read_text(encoding="utf-8"))
    whole = bill["metadata"]["component"]
    assert (whole["name"], whole["version"]) == (PROJECT["name"], VERSION)
    names = {each["name"].lower().replace("_", "-") for each in bill["components"]}
    assert {name_of(line) for line in PROJECT["dependencies"]} <= names
    assert "pytest" not in names

    (audit,) = runs_of("test", "audit")
    ended_well = ended(["bash", "-ec", f"{audit} AUDIT=--dry-run"])
    assert ended_well.code == 0, ended_well.stderr
    audited = (ROOT / "output" / "audited.txt").read_text(encoding="utf-8").splitlines()
    assert f"would have audited {len(audited)} packages" in ended_well.stderr
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    assert {name_of(line) for line in [*PROJECT["dependencies"], *extras]} <= {
        line.partition("==")[0] for line in audited
    }


def name_of(requirement: str) -> str:
    """Return the library that a requirement is about."""
    return re.split("[^A-Za-z0-9._-]", requirement)[0].lower()
