"""The checkout's commit, which figures name."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def checkout_commit(*paths: str) -> str:
    """Return the commit in 12 digits, `-dirty` when a file has changed since; nothing without git.

    Args:
        *paths: Files and folders that are looked at; all if there are none.
    """
    said = _git("rev-parse", "--short=12", "HEAD").stdout.strip()
    is_changed = _git("diff", "--quiet", "HEAD", "--", *paths).returncode
    return said + ("-dirty" if said and is_changed else "")


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, encoding="utf-8")
