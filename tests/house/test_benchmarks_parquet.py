"""What `make bench` does with Parquet: the same rows on both sides, within the bounds."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks import load_files, parquet
from benchmarks.measure import Cost, cost_of
from benchmarks.parquet import in_turn_loaded, into_files, rows_in
from benchmarks.server import Served, serving
from tap_llamaclassify.singer.tap import TapLlamaClassify
from tests.support.builders import STREAMS


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """Run the benchmark's own server with few jobs."""
    with serving(2_000, 500) as running:
        yield running


@pytest.fixture(scope="module")
def files(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    cost_of(into_files(served, folder=folder))
    return folder


@pytest.mark.heavy
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_writing_files_keeps_the_bound_of_memory_and_begins_with_an_empty_folder(
    served: Served, tmp_path: Path, form: str
) -> None:
    (tmp_path / "classify_jobs-old.parquet").touch()
    assert cost_of(into_files(served, folder=tmp_path, form=form)).peak < 200
    assert {path.suffix for path in tmp_path.iterdir()} == {f".{form}"}
    assert [path.name.partition("-")[0] for path in sorted(tmp_path.iterdir())] == sorted(STREAMS)


def test_files_are_loaded_whole_and_a_row_replaces_the_one_with_its_key(
    served: Served, files: Path, tmp_path: Path
) -> None:
    for path in files.iterdir():
        shutil.copy(path, tmp_path / path.name)
        shutil.copy(path, tmp_path / path.name.replace("-000001", "-000002"))
    load_files.main(str(tmp_path), str(tmp_path / "warehouse.duckdb"))
    rows = rows_in(tmp_path / "warehouse.duckdb")
    assert rows[0] == served.jobs
    with duckdb.connect() as connection:
        assert rows == [len(connection.read_parquet(f"{files}/{name}-*")) for name in STREAMS]


def test_load_has_the_keys_that_the_loader_is_told() -> None:
    catalog: Any = TapLlamaClassify(validate_config=False).catalog_dict
    keys = {each["stream"]: ", ".join(each["key_properties"]) for each in catalog["streams"]}
    assert {name: keys[name] for name in STREAMS} == load_files.KEYS


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Make an environment with a loader that loads `loaded.duckdb`, whatever it is sent."""
    folder = tmp_path / "bin"
    folder.mkdir()
    programs = {
        "python": f'exec "{sys.executable}" "$@"',
        parquet.LOADER: f"""
            target=$(sed 's/.*"filepath": "\\([^"]*\\)".*/\\1/' "$2")
            read -r line
            [ "$line" = "a line" ] && cp "{tmp_path}/loaded.duckdb" "$target"
        """,
    }
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    (tmp_path / "lines.jsonl").write_text("a line\n", encoding="utf-8")
    return folder / "python"


def test_loads_are_compared_unless_the_loader_has_lost_a_row(
    files: Path, python: Path, tmp_path: Path
) -> None:
    load_files.main(str(files), str(tmp_path / "loaded.duckdb"))
    lines = tmp_path / "lines.jsonl"
    ours, theirs = in_turn_loaded(python, files, lines, scratch=str(tmp_path))
    assert ours.wall > 0 < theirs.wall

    with duckdb.connect(str(tmp_path / "loaded.duckdb")) as connection:
        connection.execute(
            "DELETE FROM llamacloud.classify_job_rules WHERE job_id IN "
            "(SELECT job_id FROM llamacloud.classify_job_rules LIMIT 1)"
        )
    with pytest.raises(RuntimeError, match="target-duckdb has loaded"):
        in_turn_loaded(python, files, lines, scratch=str(tmp_path))


@pytest.mark.parametrize(("many", "ratio", "verdict"), [(12.0, 2.25, "ok"), (14.0, 2.75, "MISSED")])
def test_cost_per_job_leaves_out_start_up_and_is_at_most_two_and_a_half_plain_loops(
    many: float, ratio: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def costs(*_: Any) -> dict[str, tuple[Cost, Cost]]:
        took = {"plain loop": (1.0, 5.0), "Parquet": (3.0, many), "Arrow": (3.0, 11.0)}
        return {
            name: (Cost(few, few, 1), Cost(more, more, 1)) for name, (few, more) in took.items()
        }

    def not_serving(jobs: int, page_size: int) -> Any:
        return nullcontext(Served("", "", jobs, page_size, "", lambda: 0))

    monkeypatch.setattr(parquet, "in_turn", costs)
    monkeypatch.setattr(parquet, "serving", not_serving)
    figures = parquet.throughput(3, {})
    assert [(figure.value, figure.verdict) for figure in figures] == [(ratio, verdict)] * 2
