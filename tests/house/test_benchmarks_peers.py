"""What `make bench-peers` counts, what it says of a way that fails, and that its scripts exist."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_peers
from benchmarks.bench_peers import PEERS, Seen, Way
from benchmarks.measure import Cost
from benchmarks.server import Served
from tests.support.builders import STREAMS
from tests.support.commands import ROOT

SERVED = Served("http://127.0.0.1:1", "key", 10, 1, "2026-11-23T00:00:00Z", lambda: 1)
JOBS, RULES, CONFIGS = STREAMS


def python(code: str) -> Way:
    return Way("way", "1.0", lambda _, folder: [sys.executable, "-c", code, folder])


@pytest.mark.parametrize(
    ("message", "streams"),
    [
        pytest.param({"type": "RECORD", "stream": "a", "record": {}}, ["a"], id="Singer"),
        pytest.param({"type": "RECORD", "record": {"stream": "a"}}, ["a"], id="Airbyte"),
        pytest.param({"stream": "a", "record": {"type": "x"}}, ["a"], id="no type"),
        pytest.param({"type": "SCHEMA", "stream": "a"}, [], id="Singer's schema"),
        pytest.param({"type": "STATE", "state": {"stream": {}}}, [], id="Airbyte's state"),
    ],
)
def test_streams_of_message(message: dict[str, Any], streams: list[str]) -> None:
    assert bench_peers.streams_of(message) == streams


def test_rows_are_counted_in_output_and_in_files_that_dlt_loaded() -> None:
    code = f"""
import pathlib, sys
print('{{"stream": "{CONFIGS}", "record": {{}}}}')
for table, lines in {{
    "{JOBS}": ['{{"parsing_configuration__lang": "en"}}', "{{}}"],
    "{JOBS}__rules": ["{{}}"] * 3,
    "_dlt_loads": ["{{}}"],
}}.items():
    folder = pathlib.Path(sys.argv[1], "loaded", "data", table)
    folder.mkdir(parents=True)
    (folder / "1.jsonl").write_text("\\n".join(lines))
"""
    assert bench_peers.rows_of(python(code), SERVED) == {JOBS: 2, RULES: 3, CONFIGS: 2}


@pytest.mark.parametrize(
    ("code", "line"),
    [
        pytest.param("raise ValueError('no luck')", "ValueError: no luck", id="traceback"),
        pytest.param("print('{}'); exit(1)", "{}", id="on standard output"),
        pytest.param("exit(1)", "it said nothing", id="silent"),
    ],
)
def test_way_that_fails_is_named_with_its_last_line(code: str, line: str) -> None:
    failed: dict[str, str] = {}
    assert dict(bench_peers.looked_at([python(code)], SERVED, failed)) == {}
    assert failed == {"way": line}
    assert bench_peers.in_turn([python(code)], SERVED, failed) == {}


def test_way_that_fails_in_a_round_is_named_with_its_last_line() -> None:
    failed: dict[str, str] = {}
    way = python("raise ValueError('no luck')")
    assert bench_peers.in_turn([way], SERVED, failed) == {}
    assert failed == {"way": "ValueError: no luck"}


def test_way_that_works_in_a_round_is_measured() -> None:
    assert list(bench_peers.in_turn([python("")], SERVED, {})) == ["way"]


@pytest.mark.parametrize(("rules", "complete"), [(3, True), (2, False)])
def test_result_is_complete_with_as_many_rows_of_each_stream_as_the_tap(
    rules: int, *, complete: bool
) -> None:
    way = python("")
    seen = {
        bench_peers.TAP: Seen(Counter({JOBS: 2, RULES: 3, CONFIGS: 1}), 1),
        "way": Seen(Counter({JOBS: 2, RULES: rules, CONFIGS: 1}), 4),
    }
    rounds = [
        {bench_peers.PLAIN: Cost(1.0, 1.0, 30.0), "way": Cost(wall, 2.0, 50.0)}
        for wall in (2.0, 9.0, 4.0)
    ]
    result = bench_peers.result(way, SERVED, seen, rounds=rounds)
    assert vars(result) == {
        "name": "way",
        "version": "1.0",
        "wall": 4.0,
        "ratio": 4.0,
        "jobs_per_second": 2,
        "peak_mib": 50.0,
        "requests": 4,
        "rows": {JOBS: 2, RULES: rules, CONFIGS: 1},
        "complete": complete,
    }


def test_peers_are_scripts_and_scripts_are_peers() -> None:
    scripts = {path.stem for path in Path(ROOT, "benchmarks", "peers").glob("*.py")}
    assert {peer.script for peer in PEERS} == scripts - {"__init__", "environments"}


def test_peers_pin_every_version() -> None:
    assert all("==" in pin for peer in PEERS for pin in peer.pins)
