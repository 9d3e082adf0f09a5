"""What the tap leans on in singer-sdk is named, and singer-sdk still has it.

`pytest --noconftest` runs this file, too, where singer-sdk has moved what the tap imports: nothing
of the tap is imported before the first tests have said so.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FunctionType

import pytest

from tests.support.seams import CALLS, EXPORTING, OWNERS, SEAMS, Seam

PACKAGE = Path(__file__).parents[2] / "tap_llamaclassify"
SDK = f"singer-sdk {metadata.version('singer-sdk')}"
NAMED = {seam.name for seam in SEAMS}
MODULES = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(text)
    for path in sorted(PACKAGE.rglob("*.py"))
    if "singer_sdk" in (text := path.read_text(encoding="utf-8"))
}
"""The modules that know singer-sdk."""


@pytest.mark.parametrize("seam", SEAMS, ids=lambda seam: seam.name)
def test_singer_sdk_still_has_what_the_tap_leans_on(seam: Seam) -> None:
    moved = f"{SDK} has moved {seam.name}, on which {seam.by} leans ({seam.use})"
    try:
        found = pkgutil.resolve_name(seam.name)
    except (AttributeError, ImportError) as error:
        pytest.fail(f"{moved}: {error}")
    if lost := [name for name in seam.takes if name not in inspect.signature(found).parameters]:
        pytest.fail(f"{moved}: it does not take {', '.join(lost)}")
    if lost := [name for name in seam.has if not has(found, name)]:
        pytest.fail(f"{moved}: it does not have {', '.join(lost)}")


def has(found: object, name: str) -> bool:
    """Return whether an object has an attribute, or whether the objects of a class have it."""
    kinds = found.__mro__ if isinstance(found, type) else ()
    return hasattr(found, name) or any(name in own_attributes(kind) for kind in kinds)


@cache
def own_attributes(kind: type) -> set[str]:
    """Return what a class of singer-sdk declares, and what its methods give its objects."""
    if not kind.__module__.startswith("singer_sdk"):
        return set()
    given = {
        node.attr
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind))))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if isinstance(node.value, ast.Name) and node.value.id == "self"
    }
    return given | vars(kind).keys() | getattr(kind, "__annotations__", {}).keys()


@pytest.mark.parametrize(("caller", "call"), CALLS)
def test_singer_sdk_still_calls_what_the_tap_overrides(caller: str, call: str) -> None:
    assert call in inspect.getsource(pkgutil.resolve_name(caller)), (
        f"{SDK} has changed {caller}, where it called `{call}`: see singer/streams.py"
    )


def test_singer_sdk_takes_the_catalog_for_stream_maps_alone() -> None:
    folder = Path(inspect.getfile(pkgutil.resolve_name("singer_sdk"))).parent
    texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*.py")]
    uses = sum(len(re.findall(r"\b(?:self|tap)\.catalog\b", text)) for text in texts)
    assert uses == 1, f"{SDK} takes Tap.catalog for more than stream maps: see singer/tap.py"


def test_overrides_take_whatever_singer_sdk_may_pass() -> None:
    seen = 0
    for kind in (kind for module in MODULES for kind in classes_of(module).values()):
        for name in [name for name, each in vars(kind).items() if is_method(each)]:
            base = next((base for base in bases_of(kind) if name in vars(base)), None)
            if base is None or name.startswith("__"):
                continue
            seen += 1
            ours, theirs = (
                inspect.signature(getattr(owner, name)).parameters for owner in (kind, base)
            )
            takes_any = any(each.kind is each.VAR_KEYWORD for each in ours.values())
            lost = [] if takes_any else [*(theirs.keys() - ours.keys())]
            assert not lost, (
                f"{SDK} may pass {', '.join(lost)} to {base.__name__}.{name}, which "
                f"{kind.__module__} overrides without it"
            )
    assert seen > 15


def is_method(member: object) -> bool:
    """Return whether a member of a class is called."""
    return isinstance(member, FunctionType | classmethod | staticmethod)


def classes_of(module: str) -> dict[str, type]:
    """Return the classes of a module of ours that are made of singer-sdk's, by name."""
    name = ".".join([PACKAGE.name, *module.removesuffix(".py").split("/")])
    members = vars(importlib.import_module(name)).values()
    ours = [each for each in members if isinstance(each, type) and each.__module__ == name]
    return {each.__name__: each for each in ours if bases_of(each)}


def bases_of(kind: type) -> list[type]:
    """Return the classes of singer-sdk that a class is made of, the nearest first."""
    return [base for base in kind.__mro__ if base.__module__.startswith("singer_sdk")]


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield what a module imports of singer-sdk that is not exported there."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (each.name for each in names if each.name.startswith("singer_sdk."))
            case ast.ImportFrom(module=str(source), names=names) if (
                source.partition(".")[0] == "singer_sdk"
            ):
                module = importlib.import_module(source)
                exported = module.__all__ if source in EXPORTING else ()
                for name in [each.name for each in names if each.name not in exported]:
                    is_module = inspect.ismodule(getattr(module, name))
                    yield f"{source}{'.' if is_module else ':'}{name}"


def touched(module: str, tree: ast.Module) -> Iterator[str]:
    """Yield the private names of singer-sdk's classes that a module overrides or uses.

    A name that the tap has made up for itself is among them, if singer-sdk has it as well.
    """
    classes = classes_of(module)
    handed = [pkgutil.resolve_name(name) for name in OWNERS]
    for node in tree.body:
        bases = bases_of(classes.get(getattr(node, "name", ""), object))
        for inner in ast.walk(node):
            match inner:
                case ast.FunctionDef(name=name):
                    owners = bases
                case ast.Attribute(attr=name, value=ast.Name("self" | "cls")):
                    owners = bases
                case ast.Attribute(attr=name):
                    owners = handed
                case _:
                    continue
            if name.startswith("_") and not name.endswith("__"):
                yield from {f"{seen_as(owner)}.{name}" for owner in owners if has(owner, name)}


def seen_as(owner: type) -> str:
    """Return what the tap calls a class of singer-sdk, or one that it is made of."""
    of = [name for name in OWNERS if issubclass(pkgutil.resolve_name(name), owner)]
    return of[0] if of else f"{owner.__module__}:{owner.__name__}"


@pytest.mark.parametrize("module", MODULES)
def test_whatever_is_not_documented_is_named_as_a_seam(module: str) -> None:
    tree = MODULES[module]
    unnamed = {*imported(tree), *touched(module, tree)} - NAMED
    assert not unnamed, (
        f"{module} leans on {', '.join(sorted(unnamed))}: do without, or name it in "
        "tests/support/seams.py"
    )


def test_no_private_method_is_named_that_nothing_uses() -> None:
    used = {name for module, tree in MODULES.items() for name in touched(module, tree)}
    assert {name for name in NAMED if ":" in name and "._" in name.partition(":")[2]} == used


def test_modules_that_lean_on_a_seam_are_there() -> None:
    assert {module for seam in SEAMS for module in seam.by.split(", ")} <= MODULES.keys()


def test_docstring_of_streams_names_seams() -> None:
    text = ast.get_docstring(MODULES["singer/streams.py"]) or ""
    named = {f"singer_sdk:{name}" for name in re.findall(r"`((?:Stream|Tap)\.\w+)`", text)}
    assert named - NAMED == {"singer_sdk:Stream.sync", "singer_sdk:Stream.ABORT_AT_RECORD_COUNT"}
