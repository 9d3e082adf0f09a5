"""What each survivor changes, and `survivors.json`, which says why nobody can see it."""

from __future__ import annotations

import ast
import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.modules import FOLDER, ROOT, TESTS, source_of
from tests.mutants.mutant import MARK, Mutant

LISTED = Path(__file__).with_name("survivors.json")


@dataclass(frozen=True)
class Change:
    """What a mutant changes.

    Attributes:
        function: Where: `module.Class.function`, the module below the package.
        was: The lines as they are in the checkout, without what stands around them.
        becomes: The lines in the mutant.
    """

    function: str
    was: str
    becomes: str

    def __str__(self) -> str:
        """Show it over some lines."""
        return f"{self.function}\n- {self.was}\n+ {self.becomes}"

    @property
    def module(self) -> str:
        """The module, as `modules.TESTS` has it; none where there is no such module any more."""
        names = (each for each in TESTS if self.function.startswith(f"{_dotted(each)}."))
        return next(names, "")

    def is_there(self) -> bool:
        """Tell whether the function is still there, with the lines that it changes."""
        if not self.module:
            return False
        tree: ast.AST | None = ast.parse((ROOT / source_of(self.module)).read_bytes())
        for name in self.function.removeprefix(f"{_dotted(self.module)}.").split("."):
            inner = ast.iter_child_nodes(tree) if tree else ()
            tree = next((node for node in inner if getattr(node, "name", "") == name), None)
        lines = {line.strip() for line in ast.unparse(tree).splitlines()} if tree else set()
        return {*self.was.splitlines()} <= lines and tree is not None


def changes_of(mutants: Iterable[Mutant]) -> Iterator[Change]:
    """Say what mutants change, read from the copy that holds them."""
    functions: dict[str, dict[str, list[str]]] = {}
    for mutant in mutants:
        if mutant.module not in functions:
            text = (FOLDER / source_of(mutant.module)).read_text(encoding="utf-8")
            functions[mutant.module] = dict(_functions(ast.parse(text)))
        name = mutant.name.rpartition(".")[2]
        mangled = name.partition(MARK)[0]
        lines = functions[mutant.module]
        was, becomes = _difference(lines[f"{mangled}{MARK}orig"], lines[name])
        readable = mangled.removeprefix("x").removeprefix("_").strip("ǁ").replace("ǁ", ".")
        yield Change(f"{_dotted(mutant.module)}.{readable}", was, becomes)


def listed() -> dict[Change, str]:
    """Return the survivors that were looked at, each with the reason why nobody can see it."""
    found = json.loads(LISTED.read_bytes())
    return {
        Change(function, was, becomes): reason
        for reason, changes in found.items()
        for function, was, becomes in changes
    }


def _dotted(module: str) -> str:
    return module.replace("/", ".")


def _functions(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and MARK in node.name:
            name, node.name = node.name, "_"
            yield name, ast.unparse(node).splitlines()


def _difference(was: list[str], becomes: list[str]) -> tuple[str, str]:
    matcher = difflib.SequenceMatcher(a=was, b=becomes, autojunk=False)
    parts = [each for each in matcher.get_opcodes() if each[0] != "equal"]
    old = [line.strip() for _, i, j, _, _ in parts for line in was[i:j]]
    new = [line.strip() for _, _, _, i, j in parts for line in becomes[i:j]]
    return "\n".join(old), "\n".join(new)
