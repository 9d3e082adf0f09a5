"""The checkout, and the command line that it installs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
