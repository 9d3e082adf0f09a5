"""An environment for each peer, with the versions that are pinned for it."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENTS = Path(".venvs")
UV = Path(sys.executable).with_name("uv")


class InstallError(Exception):
    """An environment could not be made; the text is the last line that was said about it."""


def python_of(name: str, pins: Sequence[str]) -> Path:
    """Tell the interpreter of an environment, which is made if it is missing or has other pins.

    Raises:
        InstallError: It could not be made.
    """
    folder = ENVIRONMENTS / f"bench-{name}"
    python = folder / "bin" / "python"
    made_of, wanted = folder / "requirements.txt", "".join(f"{pin}\n" for pin in pins)
    if not made_of.exists() or made_of.read_text(encoding="utf-8") != wanted:
        _uv("venv", "--clear", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--compile-bytecode", "--python", str(python), *pins)
        made_of.write_text(wanted, encoding="utf-8")
    return python


def _uv(*arguments: str) -> None:
    ended = subprocess.run([UV, "--quiet", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise InstallError((ended.stderr.strip() or "uv failed").splitlines()[-1])
