"""Hashes of texts: what was found out holds as long as all that was run is as it was."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from tests.mutants.modules import PACKAGE, ROOT

RUN = (PACKAGE, "llamacloud_sandbox", "schemas", "tests", "constraints.txt")
"""What a test may run, and the libraries: files and folders of the checkout."""
_IMPORTED = re.compile(r"^from (tests[\w.]*\.test_\w+) import", re.MULTILINE)


def file_of(test: str) -> str:
    """Return the file of a test that pytest names."""
    return test.partition("::")[0]


@cache
def hash_of(path: str | Path) -> str:
    """Return a short hash of a file in the checkout, as it was when first asked for."""
    return _hash((ROOT / path).read_bytes())


def text_of(files: Iterable[str]) -> str:
    """Return a hash of some files of tests, of those they import, and of all that is no test."""
    found: set[str] = set()
    ahead = [*files]
    while ahead:
        file = ahead.pop()
        if file not in found:
            found.add(file)
            ahead += _imported_by(file)
    return _hash("".join([_around(), *map(hash_of, sorted(found))]).encode())


@cache
def _imported_by(file: str) -> list[str]:
    names = _IMPORTED.findall((ROOT / file).read_text(encoding="utf-8"))
    return [f"{name.replace('.', '/')}.py" for name in names]


@cache
def _around() -> str:
    """Return a hash of what any test may run: the package, the sandbox, what helps tests."""
    roots = [ROOT / name for name in RUN]
    paths = [path for root in roots for path in ([root] if root.is_file() else root.rglob("*"))]
    files = sorted(path.relative_to(ROOT) for path in paths if path.is_file())
    return _hash("".join(f"{file} {hash_of(file)}\n" for file in files if _helps(file)).encode())


def _helps(file: Path) -> bool:
    is_test = file.parts[0] == "tests" and file.name.startswith("test_")
    is_other = "__pycache__" in file.parts or file.parts[:2] == ("tests", "mutants")
    return not is_test and not is_other


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
