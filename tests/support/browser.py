"""Debian's chromium without a screen: dumps, prints and photographs pages; it knows no report."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import program

PATIENCE = 120


def chromium() -> str:
    """Return the browser's path."""
    return program("chromium", "chromium")


@dataclass(frozen=True)
class Browser:
    """Runs chromium once for each question, with a profile below its folder."""

    folder: Path

    def dump(self, page: Path, *options: str) -> tuple[str, str]:
        """Return the page's elements after its scripts have run, and what the console said."""
        done = self._run(page, "--dump-dom", "--enable-logging=stderr", "--v=0", *options)
        said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done.stdout, "\n".join(said)

    def printed(self, page: Path) -> bytes:
        """Return the page as PDF."""
        file = self.folder / "page.pdf"
        self._run(page, f"--print-to-pdf={file}", "--no-pdf-header-footer")
        return file.read_bytes()

    def _run(self, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        profile = f"--user-data-dir={self.folder / 'profile'}"
        fixed = ("--headless=new", "--no-sandbox", "--disable-gpu", profile)
        return subprocess.run(
            [chromium(), *fixed, "--virtual-time-budget=5000", *options, page.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
