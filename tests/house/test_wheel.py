"""The wheel is whole: it works without the checkout, and shows what the checkout shows."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.commands import ROOT, Command, Ended, built_wheel, ended, ran
from tests.support.report_marts import ordinary

TYPED = {"tap_llamaclassify/py.typed", "llamacloud_sandbox/py.typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    return built_wheel(tmp_path_factory.mktemp("wheel"))


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
    uv = [Path(sys.executable).with_name("uv"), "pip", "install", "--offline", "--no-deps"]
    ran([*uv, "--python", sys.executable, "--target", site, wheel])
    ordinary().write(tmp_path / "marts.duckdb")
    environment = {"PATH": os.defpath, "PYTHONPATH": str(site), "DBT_FILEPATH": "marts.duckdb"}
    made = ended([site / "bin" / "llamaclassify-report"], cwd=tmp_path, env=environment)
    page = Path("output", "report.html")
    assert made == Ended(0, f"{page}\n", "")
    assert "<svg" in (tmp_path / page).read_text(encoding="utf-8")


def test_wheel_discovers_the_same_catalog_as_the_checkout(
    unpacked: Path, command: Command, tmp_path: Path
) -> None:
    code = (
        "import sys, tap_llamaclassify.singer.tap as tap\n"
        "sys.argv = ['tap-llamaclassify', '--discover']\n"
        f"assert tap.__file__.startswith({str(unpacked)!r}), tap.__file__\n"
        "tap.TapLlamaClassify.cli()"
    )
    environment = os.environ | {"PYTHONPATH": str(unpacked)}
    discovered = ran([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    assert discovered == command("--discover").stdout
