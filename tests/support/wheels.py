"""`make test-wheel` and `make test-lowest`: the tests that need no source, with the wheel alone.

The wheel is installed into an environment of its own, `.venvs/wheel-lowest` and so on, and the
tests run from a folder below it that has no package: whatever they import is what was installed.
With it come the libraries of constraints.txt; or the lowest that pyproject.toml allows, which are
in constraints-lowest.txt; or the newest. The tests' own tools are always those of constraints.txt.

It runs with a Python that has uv, and nothing else of the project.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIBRARIES = ("pinned", "lowest", "newest")
EXTRAS = ("dlt", "report", "sandbox")
"""Not `s3`: one of the tests is of what is said without it."""

TOOLS = (
    *("hypothesis", "pandas", "polars", "psutil", "pytest", "pytest-xdist", "pyyaml", "tqdm"),
    *("trustme", "uv"),
)
COPIED = (
    *("constraints.txt", "docs", "meltano.yml", "pyproject.toml", "README.md", "src", "tests"),
    "transform",
)
"""What tests read."""

TESTS = (
    *("tests/airbyte", "tests/api", "tests/config", "tests/dlt", "tests/http", "tests/replication"),
    *("tests/marts", "tests/sandbox", "tests/singer", "tests/spark", "tests/tables"),
    *("tests/test_history.py", "tests/test_record_batches.py", "tests/test_timestamps.py"),
)
FEW = (
    *("tests/api/test_parsing.py", "tests/config", "tests/marts/test_report_command.py"),
    *("tests/sandbox/test_sandbox_command.py", "tests/singer/test_check.py"),
    *("tests/singer/test_streams.py", "tests/tables/test_row_store.py"),
    "tests/dlt/test_dlt_source.py::test_all_tables_equal_the_api_cell_by_cell_after_each_of_two_runs",
)
"""Those that call each library, in half a minute."""

OPTIONS = (
    *("-n", "2", "--dist", "loadfile", "-m", "not heavy and not pipeline"),
    "-pno:anyio",  # a plugin of starlette's, of any age, which no test uses
    "--ignore=tests/sandbox/test_sandbox_architecture.py",  # it reads the source
    "--ignore=tests/singer/test_seams.py",  # as that
    "--ignore-glob=tests/sandbox/test_vendor*",  # they are of the vendor's client
)

OF_LINUX = (
    "airbyte/test_airbyte.py::test_standard_output_that_takes_nothing_is_one_line_on_standard_error",
    "singer/test_command.py::test_standard_output_that_takes_nothing_ends_the_run_in_one_line",
    "singer/test_storage.py::test_place_that_cannot_be_used_is_one_line_that_names_its_setting",
    "tables/test_row_store.py::test_disk_that_is_full_is_an_error_that_says_where",
)
"""Tests of which a case or more needs Linux's own /dev/full or /proc."""

NOT_WITH_NEWEST = (
    "dlt/test_dlt_source.py::test_dataset_is_read_back_as_arrow_and_as_a_data_frame",
    "dlt/test_dlt_source.py::test_dev_mode_fills_a_dataset_of_its_own_each_time",
)
"""dlt 1.31 reads no dataset with DuckDB 2, which it does not rule out."""


def named(line: str) -> str:
    """Return the library that a line of constraints is about."""
    return line.partition("==")[0]


def constraints(libraries: str, pinned: str, lowest: str) -> str:
    """Return the constraints that hold, of those that are pinned and the lowest."""
    pins = pinned.splitlines()
    if libraries == "lowest":
        first = lowest.splitlines()
        taken = {named(line) for line in first}
        pins = [*first, *(line for line in pins if named(line) not in taken)]
    elif libraries == "newest":
        pins = [line for line in pins if named(line) in TOOLS]
    return "".join(f"{line}\n" for line in pins)


def left_out(platform: str, libraries: str) -> list[str]:
    """Return pytest's options that leave out what cannot pass there."""
    tests = OF_LINUX * (platform != "linux") + NOT_WITH_NEWEST * (libraries == "newest")
    return [f"--deselect=tests/{test}" for test in tests]


def made(libraries: str, wheel: Path | None) -> Path:
    """Make the environment, with a wheel or one that is built; return its folder.

    Raises:
        CalledProcessError: It cannot be made; uv has said why.
    """
    uv = Path(sys.executable).with_name("uv")
    folder = ROOT / ".venvs" / f"wheel-{libraries}"
    python = folder / "bin" / "python"
    _run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
    if wheel is None:
        _run(uv, "build", "--quiet", "--wheel", "--out-dir", folder / "dist")
        (wheel,) = (folder / "dist").glob("*.whl")
    names = ("constraints.txt", "constraints-lowest.txt")
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in names]
    chosen = folder / "constraints.txt"
    chosen.write_text(constraints(libraries, *texts), encoding="utf-8")
    install = (uv, "pip", "install", "--quiet", "--python", python)
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    _run(*install, "-r", "pyproject.toml", *extras, *TOOLS, "-c", chosen)
    _run(*install, "--no-deps", wheel)
    _run(uv, "pip", "check", "--quiet", "--python", python)
    _run(uv, "pip", "list", "--python", python)
    return folder


def tested(folder: Path, libraries: str, tests: Sequence[str]) -> int:
    """Run tests in an environment, in a folder without the package; return the exit code."""
    apart = folder / "apart"
    apart.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, apart / name)
    options = [*OPTIONS, *left_out(sys.platform, libraries)]
    command: list[str | Path] = [folder / "bin" / "pytest", *options, *tests]
    return subprocess.run(command, cwd=apart, check=False).returncode


def _run(*command: str | Path) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Install and test. The exit code is uv's or pytest's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheel", type=Path, help="the one to test (default: of this checkout)")
    parser.add_argument("--libraries", choices=LIBRARIES, default="pinned")
    parser.add_argument("--few", action="store_true", help="those that lean on libraries the most")
    parser.add_argument("tests", nargs="*", help="what pytest is given (default: all that can be)")
    options = parser.parse_args(arguments)
    tests = options.tests or (FEW if options.few else TESTS)
    try:
        folder = made(options.libraries, options.wheel and options.wheel.resolve())
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    return tested(folder, options.libraries, tests)


if __name__ == "__main__":
    sys.exit(main())
