"""How the package is built: imports point one way, modules are small."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest

from tests.support.commands import ROOT, Ended, ended, ran
from tests.support.imports import imports_of

PACKAGE = ROOT / "tap_llamaclassify"

MODULES = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))]

CLOSED = {
    "command": {"config", "http", "api", "tables", "replication", "singer", "airbyte", "spark"},
    "config": {"http", "api", "tables", "replication", "singer", "airbyte", "spark"},
    "http": {"api", "tables", "replication", "singer", "airbyte", "spark"},
    "api": {"tables", "replication", "singer", "airbyte", "spark"},
    "tables": {"http", "replication", "singer", "airbyte", "spark"},
    "replication": {"singer", "airbyte", "spark"},
    "singer": {"airbyte", "spark"},
    "airbyte": {"singer", "spark"},
    "spark": {"singer", "airbyte", "command"},
}
"""What each folder may not import; any of them may import the modules beside the folders."""

ONLY = {
    "requests": {"http/"},
    "urllib3": {"http/"},
    "pydantic": {"config/settings.py", "api/"},
    "pydantic_core": {"api/"},
    "singer_sdk": {"singer/", "config/batch_config.py", "config/json_schema.py"},
    "click": {"singer/"},
    "pyarrow": {"tables/arrow.py", "tables/row_store.py", "python_api.py", "dlt_", "spark/"},
    "pyspark": {"spark/source.py", "spark/lakeflow.py"},
    "dlt": {"dlt_"},
    "fsspec": {"singer/storage.py"},
}
"""Where a library may be known."""


def own_imports_of(module: str) -> set[str]:
    """Return the modules of the package that one imports, as paths in it."""
    names = [
        n.partition(".")[2] for n in imports_of(PACKAGE / module) if n.startswith(PACKAGE.name)
    ]
    return {path for name in names if (path := f"{name.replace('.', '/')}.py") in MODULES}


def folder_of(module: str) -> str:
    """Return the folder that a module is in; nothing for one beside the folders."""
    return module.rpartition("/")[0]


def test_every_folder_has_its_rule_and_says_what_is_in_it() -> None:
    assert {folder for module in MODULES if (folder := folder_of(module))} == CLOSED.keys()
    for folder in CLOSED:
        tree = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8"))
        assert ast.get_docstring(tree)
        is_door = folder == "spark"
        assert is_door or len(tree.body) == 1, "nothing is exported once more"


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_nothing_from_further_along_the_way(module: str) -> None:
    reached = {folder_of(imported) for imported in own_imports_of(module)} - {""}
    assert not reached & CLOSED.get(folder_of(module), set())


@pytest.mark.parametrize(
    "module",
    [
        *("errors.py", "timestamps.py", "json_text.py", "nesting.py", "concurrency.py"),
    ],
)
def test_what_every_folder_uses_imports_none_of_them(module: str) -> None:
    assert not {folder_of(imported) for imported in own_imports_of(module)} - {""}


def test_fronts_do_not_know_each_other() -> None:
    known = {module: own_imports_of(module) for module in MODULES}
    singer, airbyte, spark = (
        {module for module in MODULES if folder_of(module) == front}
        for front in ("singer", "airbyte", "spark")
    )
    dlt, python = {"dlt_source.py", "dlt_reading.py"}, {"python_api.py"}
    assert not [m for m in dlt | python if known[m] & (singer | airbyte | spark)]
    assert not [m for m in MODULES if m not in dlt and known[m] & dlt]
    assert not [m for m in singer | airbyte | spark if known[m] & python]


def test_no_import_leads_back_to_where_it_came_from() -> None:
    graph = {module: own_imports_of(module) - {module} for module in MODULES}
    assert [*TopologicalSorter(graph).static_order()]


@pytest.mark.parametrize("library", ONLY)
def test_library_is_known_to_few_modules(library: str) -> None:
    knowing = {
        module
        for module in MODULES
        if any(name.split(".")[0] == library for name in imports_of(PACKAGE / module))
    }
    assert knowing
    assert not [m for m in knowing if not any(m.startswith(place) for place in ONLY[library])]


@pytest.mark.parametrize(
    ("package", "extras"),
    [
        ("tap_llamaclassify", ["dlt", "spark"]),
        ("llamacloud_sandbox", ["sandbox"]),
        ("llamaclassify_report", ["report"]),
    ],
)
def test_every_library_that_is_imported_is_declared_and_the_reports_extra_brings_no_other(
    package: str, extras: list[str]
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = [line for each in extras for line in project["optional-dependencies"][each]]
    declared = {
        re.split("[^A-Za-z0-9._-]", line)[0].replace("_", "-").lower()
        for line in (*project["dependencies"], *extra)
    }
    names = {name.split(".")[0] for p in (ROOT / package).rglob("*.py") for name in imports_of(p)}
    others = names - sys.stdlib_module_names - {package}
    if extras == ["report"]:
        assert others == {re.split("[<>=]", line)[0].removesuffix("-binary") for line in extra}
    libraries = others - {"tap_llamaclassify"}
    owners = metadata.packages_distributions()
    assert len(libraries) > 2
    assert not [
        library
        for library in libraries
        # Spark is not installed here.
        if declared.isdisjoint(o.replace("_", "-").lower() for o in owners.get(library, [library]))
    ]


@pytest.mark.parametrize("library", ["pyarrow", "pydantic", "pydantic_core"])
def test_importing_the_tap_loads_no_heavy_library_and_says_nothing(library: str) -> None:
    code = f"import sys, tap_llamaclassify.singer.tap; sys.exit({library!r} in sys.modules)"
    assert ended([sys.executable, "-c", code]) == Ended(0, "", "")


def test_importing_the_package_imports_nothing_else() -> None:
    code = """
import sys
before = {*sys.modules}
import tap_llamaclassify
assert {*sys.modules} - before == {"tap_llamaclassify"}
from tap_llamaclassify import record_batches
assert callable(record_batches)
"""
    ran([sys.executable, "-c", code])


SANDBOX = sorted((ROOT / "llamacloud_sandbox").rglob("*.py"))


@pytest.mark.parametrize("path", [*(PACKAGE / module for module in MODULES), *SANDBOX], ids=str)
def test_module_opens_with_a_sentence_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert (ast.get_docstring(tree) or "").partition("\n")[0].endswith(".")
    assert text.count("\n") <= 300
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.end_lineno:
            code = node.body[1:] if ast.get_docstring(node) else node.body
            assert not code or node.end_lineno - code[0].lineno < 40, node.name
