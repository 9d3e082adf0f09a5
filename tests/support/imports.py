"""What a module imports, for the rules between folders."""

from __future__ import annotations

import ast
from pathlib import Path


def imports_of(module: Path) -> set[str]:
    """Return the names of all that a module imports, and of the modules that they are in."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: relative"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return found
