"""Which modules are changed, those that decide what is read, kept and written, and who judges."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".cache" / "mutants"
"""The copy of the package that holds the mutants, and what was found out about them."""
PACKAGE = "tap_llamaclassify"

_LISTINGS = ("api/test_pagination", "replication/test_sync", "replication/test_v2_requests")
_ROWS = ("tables/test_rows", "tables/test_tables", "singer/test_streams", "singer/test_shapes")
_STATE = (
    *("replication/test_partitions", "replication/test_state_texts", "replication/test_state"),
    *("replication/test_shared_state", "replication/test_unfinished"),
    *("replication/test_increments", "replication/test_no_date"),
    *("replication/test_earlier_states", "replication/test_start_date", "replication/test_sync"),
    *("replication/test_v2", "replication/test_v2_bounds", "replication/test_results"),
)
_WINDOWS = (
    *("replication/test_windows", "replication/test_window_plan", "replication/test_side_by_side"),
    *("replication/test_cuts", "replication/test_read_spans", "replication/test_v2"),
    *("replication/test_partitions", "replication/test_increments", "replication/test_state"),
)
_BATCHES = (
    *("singer/test_batch_names", "singer/test_batches", "singer/test_storage"),
    "test_record_batches",
)

TESTS = {
    "api/pagination": _LISTINGS,
    "api/parsing": ("api/test_parsing_v2", "api/test_parsing"),
    "http/pacing": ("http/test_pacing", "http/test_rate_limit", "http/test_client"),
    "replication/bookmarks": ("replication/test_bookmarks", *_STATE),
    "replication/listing_bookmarks": (
        "replication/test_listing_bookmarks",
        "replication/test_bookmarks",
    ),
    "replication/state": _STATE,
    "replication/stream_state": _STATE[:3],
    "replication/unfinished": ("replication/test_unfinished", *_STATE),
    "replication/windows": _WINDOWS,
    "singer/batches": _BATCHES,
    "singer/writers": ("singer/test_writers", "singer/test_streams"),
    "tables/arrow": ("tables/test_arrow", "tables/test_tables", *_BATCHES),
    "tables/row_store": ("tables/test_row_store", "tables/test_arrow"),
    "tables/rows": _ROWS,
    "tables/v2_rows": _ROWS,
}
"""Of each module: the files of tests that judge its mutants, the nearest first."""
NEAR = 2
"""How many files judge where there is little time."""
SMALL = "replication/unfinished"
"""A module whose mutants take little time."""


def source_of(module: str) -> Path:
    """Return the file of a module, below the checkout."""
    return Path(PACKAGE, f"{module}.py")


def files_of(modules: list[str], most: int | None = None) -> list[str]:
    """Return the files of tests that judge some modules, each once; of a module at most so many."""
    names = (name for each in modules for name in TESTS[each][:most])
    return list(dict.fromkeys(f"tests/{name}.py" for name in names))


def judged_by(file: str, modules: list[str]) -> list[str]:
    """Return those of some modules that a file of tests judges."""
    return [module for module in modules if file in files_of([module])]
