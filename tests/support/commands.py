"""The checkout, the command line that it installs, and commands that are run to their end."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.builders import Output, parse

ROOT = Path(__file__).parents[2]
COMMAND = shutil.which("tap-llamaclassify", path=Path(sys.executable).parent) or ""


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> Output:
        """The Singer messages that it wrote."""
        return parse(self.stdout)

    @property
    def errors(self) -> list[str]:
        """The texts of its ERROR lines."""
        return [line.split("|", 3)[3].strip() for line in self.lines("ERROR")]

    def lines(self, level: str) -> list[str]:
        """Return the log lines of a level."""
        return [line for line in self.stderr.splitlines() if f"| {level}" in line]


Command = Callable[..., Ended]


def words_of(arguments: Sequence[Any], folder: Path, prefix: str = "") -> list[str]:
    """Return the words of a command line, for which dictionaries and lists become files."""
    words = []
    for number, argument in enumerate(arguments):
        path = folder / f"{prefix}{number}.json"
        if isinstance(argument, dict | list):
            path.write_text(json.dumps(argument), encoding="utf-8")
        words.append(str(path if isinstance(argument, dict | list) else argument))
    return words


def ended(command: Sequence[Any], given: str | None = None, **options: Any) -> Ended:
    """Run a command to its end, in the checkout unless told otherwise, with an input or none."""
    stdin: dict[str, Any] = {"stdin": subprocess.DEVNULL} if given is None else {"input": given}
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        check=False,
        encoding="utf-8",
        **stdin | {"cwd": ROOT} | options,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def ran(command: Sequence[Any], given: str | None = None, **options: Any) -> str:
    """Run a command to its good end; return what it wrote to standard output."""
    done = ended(command, given, **options)
    assert done.code == 0, done.stdout + done.stderr
    return done.stdout


def built_wheel(folder: Path, checkout: Path = ROOT) -> Path:
    """Build a checkout's wheel in a folder below another; return the file."""
    words = ["-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist"]
    ran([sys.executable, *words], cwd=checkout)
    (file,) = (folder / "dist").glob("*.whl")
    return file
