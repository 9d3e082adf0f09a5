"""Refuses a release that is not what its tag says, and writes the notes of one that is.

`python -m release check v1.2.3` is the first step of the workflow of releases, and
`python -m release notes` one of its last.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACEHOLDER = "example.invalid"
"""A host that can never be: what stands for an address that the project does not have yet."""
WITH_PLACEHOLDERS = ("pyproject.toml", ".github/CODEOWNERS")


def version_of(root: Path) -> str:
    """Return the version that the package is built with."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


def notes_of(root: Path, version: str) -> str:
    """Return what the changelog says of a version; nothing where it does not begin with it."""
    sections = (root / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")
    heading, _, text = sections[1].partition("\n")
    return text.strip() if heading == version else ""


def complaints(root: Path, tag: str) -> Iterator[str]:
    """Yield what speaks against the release of a tag, in a line each."""
    version = version_of(root)
    if tag != f"v{version}":
        yield f"the tag is {tag}, but pyproject.toml says {version}: its tag is v{version}"
    if not notes_of(root, version):
        yield f"CHANGELOG.md does not begin with {version}: say there what has changed"
    for name in WITH_PLACEHOLDERS:
        lines = (root / name).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            if re.search(rf"^[^#]*{re.escape(PLACEHOLDER)}", line):
                yield f"{name}:{number} has a placeholder: write the real one in place of it"


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Check a tag, or write notes. The exit code is 1 if there is something against it."""
    parser = argparse.ArgumentParser(prog="release", description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="refuse what is not ready").add_argument("tag")
    commands.add_parser("notes", help="print the changelog of this version")
    options = parser.parse_args(arguments)
    if options.command == "notes":
        sys.stdout.write(f"{notes_of(root, version_of(root))}\n")
        return 0
    against = [*complaints(root, options.tag)]
    sys.stderr.writelines(f"{line}\n" for line in against)
    return int(bool(against))


if __name__ == "__main__":
    sys.exit(main())
