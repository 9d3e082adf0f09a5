"""`make test-pythons`: what `make test` runs, on each Python of 3.11 and up that this machine has.

Each gets an environment of its own, `.venvs/python3.12` and so on. Tests marked `pipeline` are left
out: Meltano and dbt run them, whose Python is not the tap's, and they are the slow ones. Of Pythons
between the oldest and the newest, where the others pass, those tests are enough that hang on what
Python itself brings.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLDEST = (3, 11)
IS_PYTHON = re.compile(r"python3\.\d+").fullmatch
PATIENCE = 30
"""Seconds for a Python to say which it is."""

SAY = """
import json, sys, sysconfig
is_usual = sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
print(json.dumps([*sys.version_info[:4], is_usual]))
"""
TESTS = ("-n", "2", "--dist", "loadfile", "-m", "not heavy and not pipeline")
BETWEEN = tuple(f"tests/{folder}" for folder in ("airbyte", "api", "config", "http", "singer"))


@dataclass(frozen=True)
class Python:
    """A Python of this machine.

    Attributes:
        minor: Such as `3.12`.
        version: Such as `3.12.1`.
        path: What is called to run it.
    """

    minor: str
    version: str
    path: Path


def found(path: str, home: Path) -> list[Python]:
    """List one Python of each minor version, oldest first: those of PATH before pyenv's."""
    pythons: dict[str, Python] = {}
    for candidate in _candidates(path, home):
        if (python := _answering(candidate)) and python.minor not in pythons:
            pythons[python.minor] = python
    return sorted(pythons.values(), key=lambda python: int(python.minor.partition(".")[2]))


def _candidates(path: str, home: Path) -> Iterator[Path]:
    for folder in map(Path, filter(None, path.split(os.pathsep))):
        if folder.is_dir():
            yield from sorted(each for each in folder.iterdir() if IS_PYTHON(each.name))
    yield from sorted((home / ".pyenv" / "versions").glob("*/bin/python"), reverse=True)


def _answering(path: Path) -> Python | None:
    """Ask a Python which it is; None for one that is too old, unfinished, or does not run here."""
    try:
        said = subprocess.run(
            [path, "-c", SAY], capture_output=True, check=True, timeout=PATIENCE
        ).stdout
        major, minor, micro, level, is_usual = json.loads(said)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if (major, minor) < OLDEST or level != "final" or not is_usual:
        return None
    return Python(f"{major}.{minor}", f"{major}.{minor}.{micro}", path)


def tested(python: Python, *paths: str) -> int:
    """Make the environment of a Python, and run tests in it, or all; return the exit code."""
    folder = ROOT / ".venvs" / f"python{python.minor}"
    bin_ = folder / "bin"
    uv = Path(sys.executable).with_name("uv")
    pinned = ("-c", "constraints.txt", "-e", ".", "--group", "dev")
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", "--python", python.path, folder],
        [uv, "pip", "install", "--quiet", "--python", bin_ / "python", *pinned],
        [bin_ / "pytest", *TESTS, *paths],
    ]
    codes = (subprocess.run(command, cwd=ROOT, check=False).returncode for command in commands)
    return next(filter(None, codes), 0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Test each Python, and say which they were. The exit code is 1 if any of them fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--others", action="store_true", help="leave out the version of this one")
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    left_out = {own} if parser.parse_args(arguments).others else set()
    lines = []
    failed = False
    pythons = found(os.environ.get("PATH", ""), Path.home())
    for python in pythons:
        if python.minor in left_out:
            continue
        _say(f"Python {python.version}, {python.path}")
        began = time.monotonic()
        code = tested(python, *(BETWEEN if python in pythons[1:-1] else ()))
        failed |= code != 0
        verdict = "failed" if code else "passed"
        seconds = time.monotonic() - began
        lines.append(f"Python {python.version:10} {verdict} in {seconds:4.0f} s  {python.path}")
    _say(*lines or [f"No {'other ' * len(left_out)}Python of 3.11 and up was found"])
    return int(failed)


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
