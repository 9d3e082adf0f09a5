"""A copy of the package in which a function stands beside all its mutants; a name wakes one.

mutmut makes the mutants: it decides what is changed, and into what.
"""

from __future__ import annotations

import shutil
import sys
from importlib import import_module
from pathlib import Path

from mutmut.mutation.file_mutation import mutate_file_contents

from tests.mutants.modules import FOLDER, PACKAGE, ROOT, source_of
from tests.mutants.mutant import MARK, Mutant


def copied() -> None:
    """Copy the package into `FOLDER`; what was found out before stays there."""
    for name in (PACKAGE, "schemas"):
        shutil.rmtree(FOLDER / name, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, FOLDER / name, ignore=ignored)


def mutants_of(modules: list[str]) -> list[Mutant]:
    """Put all mutants of some modules into the copy; return them in their order."""
    found = []
    for module in modules:
        path = source_of(module)
        mutated = mutate_file_contents(str(path), (ROOT / path).read_text(encoding="utf-8"))
        (FOLDER / path).write_text(mutated.code, encoding="utf-8")
        dotted = str(path.with_suffix("")).replace("/", ".")
        for name in mutated.mutant_names:
            text = mutated.hash_by_function_name[name.partition(MARK)[0]]
            found.append(Mutant(f"{dotted}.{name}", module, text))
    return found


def import_copy() -> None:
    """Let everything from here on import the package from `FOLDER`."""
    sys.path.insert(0, str(FOLDER))
    package = import_module(PACKAGE)
    assert Path(package.__file__ or "").is_relative_to(FOLDER)
