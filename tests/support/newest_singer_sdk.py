"""`make test-singer-sdk`: the tests of the Singer front, with the newest singer-sdk.

That is the newest that pyproject.toml allows, pre-releases among them; all else is as in
constraints.txt. It gets an environment of its own, `.venvs/singer-sdk`. First of all, and without
the fixtures of the others, which import the tap, come the tests that say what has moved.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".venvs" / "singer-sdk"
NAME = "singer-sdk"
SAY = f"from importlib import metadata; print(metadata.version({NAME!r}))"
SEAMS = ("--noconftest", "tests/singer/test_seams.py")
TESTS = (
    *("-n", "2", "--dist", "loadfile", "-m", "not heavy and not pipeline"),
    *("tests/singer", "tests/config"),
)


def installed() -> str:
    """Make the environment; return which singer-sdk is in it.

    Raises:
        CalledProcessError: It cannot be made; uv has said why.
    """
    uv, python = Path(sys.executable).with_name("uv"), FOLDER / "bin" / "python"
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    others = FOLDER.with_suffix(".txt")
    others.parent.mkdir(exist_ok=True)
    others.write_text(without_pin(pins), encoding="utf-8")
    wanted = ("-c", others, "-e", ".", "--group", "dev", "--prerelease-package", f"{NAME}=allow")
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER],
        [uv, "pip", "install", "--quiet", "--python", python, *wanted],
    ]
    for command in commands:
        subprocess.run(command, cwd=ROOT, check=True)
    said = subprocess.run(
        [python, "-c", SAY], capture_output=True, check=True, encoding="utf-8"
    ).stdout
    return said.strip()


def without_pin(constraints: str) -> str:
    """Take singer-sdk out of constraints."""
    return re.sub(rf"^{NAME}==.*\n", "", constraints, flags=re.MULTILINE)


def tested(arguments: tuple[str, ...]) -> int:
    """Run tests in the environment; return the exit code."""
    return subprocess.run([FOLDER / "bin" / "pytest", *arguments], cwd=ROOT, check=False).returncode


def main() -> int:
    """Test the newest, unless it is what every other test runs with. The exit code is pytest's."""
    try:
        newest = installed()
    except subprocess.CalledProcessError as error:
        return error.returncode
    is_usual = newest == metadata.version(NAME)
    sys.stdout.write(f"{NAME} {newest}{', as in .venv: nothing to test' * is_usual}\n")
    sys.stdout.flush()
    return 0 if is_usual else tested(SEAMS) or tested(TESTS)


if __name__ == "__main__":
    sys.exit(main())
