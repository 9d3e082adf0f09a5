"""The wheel is whole: it works without the checkout, and shows what the checkout shows."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.support.commands import ROOT, Command
from tests.support.report_marts import ordinary

TYPED = {"tap_llamaclassify/py.typed", "llamacloud_sandbox/py.typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (file,) = (folder / "dist").glob("*.whl")
    return file


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel into a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


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


def test_wheels_report_works_in_a_folder_of_ones_own(tmp_path: Path, wheel: Path) -> None:
    site = tmp_path / "site"
    uv: list[str | Path] = [Path(sys.executable).with_name("uv"), "pip", "install"]
    options = ["--offline", "--no-deps", "--python", sys.executable]
    subprocess.run([*uv, *options, "--target", site, wheel], check=True, capture_output=True)
    ordinary().write(tmp_path / "marts.duckdb")
    ended = subprocess.run(
        [site / "bin" / "llamaclassify-report"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        encoding="utf-8",
        env={"PATH": os.defpath, "PYTHONPATH": str(site), "DBT_FILEPATH": "marts.duckdb"},
    )
    page = Path("output", "report.html")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{page}\n", "")
    assert "<svg" in (tmp_path / page).read_text(encoding="utf-8")


def test_extra_of_the_report_names_all_that_the_report_imports() -> None:
    imported = set()
    for path in (ROOT / "llamaclassify_report").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add((node.module or "").partition(".")[0])
    others = imported - sys.stdlib_module_names - {"llamaclassify_report"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["report"]
    names = {re.split("[<>=]", requirement)[0].removesuffix("-binary") for requirement in extra}
    assert others == names


def test_wheel_discovers_the_same_catalog_as_the_checkout(
    unpacked: Path, command: Command, tmp_path: Path
) -> None:
    code = (
        "import sys, tap_llamaclassify.singer.tap as tap\n"
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
