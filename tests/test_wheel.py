"""The wheel is whole: it works without the checkout, and shows what the checkout shows."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT, Command

TYPED = {"tap_llamaclassify/py.typed"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and unpack it into a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_wheel_holds_the_packages_and_the_schemas_only(unpacked: Path) -> None:
    found = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*.*")}
    code = {
        path.relative_to(ROOT).as_posix()
        for package in ("tap_llamaclassify", "llamaclassify_report", "llamacloud_sandbox")
        for path in (ROOT / package).rglob("*.*")
        if path.suffix in {".py", ".j2"}
    }
    schemas = {f"tap_llamaclassify/schemas/{path.name}" for path in (ROOT / "schemas").iterdir()}
    assert {name for name in found if ".dist-info" not in name} == code | schemas | TYPED
    assert len(list(unpacked.rglob("LICENSE"))) == 1


def test_wheel_discovers_the_same_catalog_as_the_checkout(
    unpacked: Path, command: Command, tmp_path: Path
) -> None:
    code = (
        "import sys, tap_llamaclassify.tap as tap\n"
        "sys.argv = ['tap-llamaclassify', '--discover']\n"
        f"assert tap.__file__.startswith({str(unpacked)!r}), tap.__file__\n"
        "tap.TapLlamaClassify.cli()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        cwd=tmp_path,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(unpacked)},
    )
    assert ended.stdout == command("--discover").stdout
