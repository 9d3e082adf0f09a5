"""Programs of Debian's that some tests need, and that no Python package brings."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300")


def program(name: str, package: str) -> str:
    """Return a program's path; root on Debian gets its package installed where there is none."""
    found = shutil.which(name)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for words in (("update",), ("install", "-y", "--no-install-recommends", package)):
            subprocess.run([*APT, *words], check=False, capture_output=True)
        found = shutil.which(name)
    if found is None:
        pytest.fail(f"there is no {name} here, and it cannot be installed: run as root on Debian")
    return found
