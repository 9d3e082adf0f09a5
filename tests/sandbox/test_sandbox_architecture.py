"""How the sandbox is built: a world that knows no HTTP, calls that know no sockets, and no tap."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT
from tests.support.imports import imports_of

PACKAGE = ROOT / "llamacloud_sandbox"
NAME = PACKAGE.name
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")

MAY = {
    "world": {"world"},
    "settings": set[str](),
    "api": {"api", "settings", "world"},
    "wire": {"wire", "settings", "world"},
    "server": {"api", "settings", "wire", "world"},
    "command": {"server", "settings", "wire", "world"},
    "__main__": {"command"},
}
"""Which other parts each part of the package may import."""

LIBRARIES = {
    "world": set[str](),
    "settings": set[str](),
    "api": {"fastapi", "msgspec", "pydantic"},
    "wire": {"msgspec", "starlette", "typing_extensions", "uvicorn"},
    "server": set[str](),
    "command": set[str](),
    "__main__": set[str](),
}
"""Which libraries each part may import, besides Python's own."""


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_rules_name_every_part() -> None:
    assert {part_of(module) for module in MODULES} == MAY.keys() == LIBRARIES.keys()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_what_its_part_may(module: Path) -> None:
    names = [name.split(".") for name in imports_of(module)]
    assert {parts[1] for parts in names if parts[0] == NAME and parts[1:]} <= MAY[part_of(module)]
    others = {parts[0] for parts in names} - sys.stdlib_module_names - {NAME}
    assert others <= LIBRARIES[part_of(module)]
