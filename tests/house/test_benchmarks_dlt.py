"""What `make bench` does with dlt: the same rows each way, within bounds, and nothing at home."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import dlt_loads, load_dlt
from benchmarks.dlt_loads import REST_API, SOURCE, TAP, WAYS
from benchmarks.measure import Cost
from llamacloud_sandbox.api.app import V2_PATH
from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.tables.tables import V2_JOBS, V2_PARSING_CONFIGS, V2_RULES


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with dlt_loads.serving(300) as running:
        yield running


@pytest.fixture(autouse=True)
def _in_this_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlt_loads, "own_python", lambda: Path(sys.executable))


@pytest.mark.heavy
@pytest.mark.parametrize("name", [SOURCE, REST_API])
def test_history_is_loaded_whole_and_dlt_leaves_nothing_at_home(
    name: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    sandbox.clear_requests()
    assert dlt_loads.loaded(WAYS[name], sandbox).wall > 0
    assert not [*tmp_path.iterdir()]
    assert V2_PATH in {request.path for request in sandbox.requests}


@pytest.mark.heavy
def test_history_that_is_not_loaded_whole_is_an_error(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, rules, configs = dlt_loads.rows_of(sandbox)
    monkeypatch.setattr(dlt_loads, "rows_of", lambda _: [jobs, rules + 1, configs])
    with pytest.raises(RuntimeError, match=rf"^\[{jobs}, {rules}, {configs}\] rows are loaded of"):
        dlt_loads.loaded(WAYS[SOURCE], sandbox)


def test_tap_is_piped_into_the_loader_with_the_same_file_and_schema(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlt_loads, "python_of", lambda *_: Path("somewhere/bin/python"))
    written: list[object] = []

    def file_with(content: object) -> str:
        written.append(content)
        return "file"

    monkeypatch.setattr(dlt_loads, "file_with", file_with)
    *shell, pipe = dlt_loads.singer(sandbox, "folder", 500)
    assert shell == ["/bin/sh", "-c"]
    assert pipe.endswith(" --config file | somewhere/bin/target-duckdb --config file")
    tap, target = written
    assert tap == {"api_url": sandbox.url, "api_key": sandbox.key, "page_size": 500}
    assert isinstance(target, dict)
    assert target["filepath"] == f"folder/{load_dlt.WAREHOUSE}"
    assert target["default_target_schema"] == load_dlt.DATASET


def test_tables_that_are_counted_are_the_v2_jobs() -> None:
    tables = (V2_JOBS, V2_RULES, V2_PARSING_CONFIGS)
    assert tuple(table.name for table in tables) == dlt_loads.TABLES


@pytest.mark.heavy
@pytest.mark.parametrize(("wall", "peak", "verdict"), [(2.5, 400.0, "ok"), (2.6, 400.1, "MISSED")])
def test_source_may_take_a_quarter_of_the_time_and_400_mib(
    wall: float, peak: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlt_loads, "JOBS", 30)
    monkeypatch.setattr(dlt_loads, "MANY", 30)
    commands: list[list[str]] = []

    def cost(command: list[str]) -> Cost:
        commands.append(command)
        its_own = "benchmarks.load_dlt" in command
        return Cost(wall if its_own else 10.0, 1.0, peak if its_own else 900.0)

    def rows(_: Path, tables: tuple[str, ...]) -> list[int]:
        assert tables == WAYS[REST_API if "WHERE" in tables[-1] else SOURCE].tables
        return [1]

    monkeypatch.setattr(dlt_loads, "cost_of", cost)
    monkeypatch.setattr(
        dlt_loads, "cost_in_folder", lambda way, *where: cost(way.command(where[0], "f", where[1]))
    )
    monkeypatch.setattr(dlt_loads, "rows_in", rows)
    monkeypatch.setattr(dlt_loads, "rows_of", lambda _: [1])
    monkeypatch.setattr(dlt_loads, "python_of", lambda *_: Path("python"))
    notes: dict[str, float] = {}
    figures = dlt_loads.side_by_side(3, notes)
    assert [figure.verdict for figure in figures] == [verdict] * 3
    assert len(commands) == 3 * (len(WAYS) + 2) + 1
    assert [command[-1] for command in commands].count("--in-parts") == 1
    assert any(TAP in name for name in notes)
