"""How the package is built: imports point one way, and singer-sdk calls what is overridden."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import metadata
from pathlib import Path

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.plugin_base import PluginBase, SingerCommand

from tap_llamaclassify.singer import streams
from tests.support.commands import ROOT, Ended, ended, ran
from tests.support.imports import imports_of

PACKAGE = ROOT / "tap_llamaclassify"

MODULES = [path.relative_to(PACKAGE).as_posix() for path in sorted(PACKAGE.rglob("*.py"))]

CLOSED = {
    "config": {"http", "api", "tables", "replication", "singer", "airbyte", "spark"},
    "http": {"api", "tables", "replication", "singer", "airbyte", "spark"},
    "api": {"tables", "replication", "singer", "airbyte", "spark"},
    "tables": {"http", "replication", "singer", "airbyte", "spark"},
    "replication": {"singer", "airbyte", "spark"},
    "singer": {"airbyte", "spark"},
    "airbyte": {"singer", "spark"},
    "spark": {"singer", "airbyte"},
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
        "standard_output.py",
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


@pytest.mark.parametrize(
    ("caller", "call"),
    [
        (Stream.sync, "self.log(log_msg, *log_args)"),
        (Stream.sync, "self._write_schema_message()"),
        (Stream.sync, "self._write_activate_version_message(self._stream_version)"),
        (Stream.sync, "self._sync_batches(batch_config, context=context)"),
        (Stream.sync, "for _ in self._sync_records(context=context):"),
        (Stream.sync, "level=logging.ERROR"),
        (Stream._write_schema_message, "self._generate_schema_messages()"),  # noqa: SLF001 - read, not called
        (Tap.run_sync_dry_run, "stream.ABORT_AT_RECORD_COUNT = dry_run_record_limit"),
        (Tap.run_sync_dry_run, "stream.selected = True"),
        (Tap.write_schemas, "stream._write_schema_message()"),
        (Tap.setup_mapper, "self.mapper.register_raw_streams_from_catalog(self.catalog)"),
        (PluginBase._setup_signal_handlers, "signal.SIGTERM, self._handle_termination"),  # noqa: SLF001 - read, not called
    ],
)
def test_singer_sdk_still_calls_what_the_tap_overrides(caller: object, call: str) -> None:
    source = inspect.getsource(caller)  # type: ignore[arg-type] # a function
    assert call in source, "singer-sdk has changed: see the docstring of streams.py"


def test_singer_sdk_takes_the_catalog_for_stream_maps_alone() -> None:
    folder = Path(inspect.getfile(Tap)).parent
    texts = [path.read_text(encoding="utf-8") for path in folder.rglob("*.py")]
    assert sum(len(re.findall(r"\b(?:self|tap)\.catalog\b", text)) for text in texts) == 1


LEANED_ON = re.findall(r"`([A-Za-z_]+(?:\.[A-Za-z_]+)+)`", streams.__doc__ or "")
OWNERS = {"Stream": Stream, "Tap": Tap, "SingerCommand": SingerCommand}


@pytest.mark.parametrize("name", LEANED_ON)
def test_singer_sdk_still_has_what_the_docstring_of_streams_names(name: str) -> None:
    owner, _, last = name.rpartition(".")
    assert hasattr(OWNERS[owner], last) if owner in OWNERS else importlib.util.find_spec(name)


def test_docstring_of_streams_names_all_that_is_private_to_singer_sdk() -> None:
    used = {name for module in MODULES for name in private_names(module)}
    named = {name.rpartition(".")[2] for name in LEANED_ON}
    assert used == {name for name in named if name.startswith("_")}


def private_names(module: str) -> Iterator[str]:
    """Yield what a module imports, overrides or calls that is private to singer-sdk."""
    path = PACKAGE / module
    imported = [name for name in imports_of(path) if name.startswith("singer_sdk")]
    yield from (part for name in imported for part in name.split(".") if part.startswith("_"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef(name=name) | ast.Attribute(attr=name) if imported:
                is_private = name.startswith("_") and not name.endswith("__")
                if is_private and any(hasattr(owner, name) for owner in OWNERS.values()):
                    yield name
