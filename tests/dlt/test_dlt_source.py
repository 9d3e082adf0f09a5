"""The dlt source into DuckDB: what is selected, asked for, told, and lands."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.configuration.specs.base_configuration import is_secret_hint
from dlt.pipeline.exceptions import PipelineStepFailed

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify import read_table
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.dlt_source import llamaclassify
from tap_llamaclassify.errors import SettingsError, TapError
from tests.conftest import refuse_key
from tests.support.api_rows import api_shows
from tests.support.builders import ALL_STREAMS, DEFAULT_STREAMS, V2_STREAMS, job
from tests.support.commands import ran
from tests.support.dlt_pipelines import JOBS, V2_JOBS, Warehouse
from tests.support.loaders import AWKWARD, AWKWARD_V2, NUMBERS, check_two_runs, put_awkward
from tests.support.runs import config_of, put, put_v2

V1, V2, PROJECTS = "/api/v1/classifier/jobs", "/api/v2/classify", "/api/v1/projects"
# DuckDB's text can hold U+0000.
NUL = AWKWARD | {"rules": [{"type": "nul", "description": "\x00"}, *AWKWARD["rules"]]}


@pytest.fixture
def _history(sandbox: Sandbox) -> None:
    for number in range(5):
        put(sandbox, job(f"one-{number}"))
        put_v2(sandbox, f"two-{number}")


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse of an API with jobs of all kinds."""
    with Sandbox(World(History(jobs=400, v2_jobs=400, days=30, unknown_fields=0.2))) as running:
        running.settings.data_points_reach = "bounds"
        put_awkward(running, NUL, v2=AWKWARD_V2)
        yield Warehouse(running, tmp_path)


def paths(sandbox: Sandbox) -> list[str]:
    """Return the paths that were asked for, in order."""
    return [request.path for request in sandbox.requests]


@pytest.mark.usefixtures("_own_folder")
def test_all_tables_equal_the_api_cell_by_cell_after_each_of_two_runs(large: Warehouse) -> None:
    check_two_runs(large.sandbox, large.run_all, large.tables, partial(api_shows, large.sandbox))
    with duckdb.connect(str(large.file), read_only=True) as connection:
        sql = "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        types = {f"{table}.{name}": kind for table, name, kind in connection.sql(sql).fetchall()}
    assert {name for name in types if types[name] == "DOUBLE"} == NUMBERS
    assert {types[f"{name}.additional_fields"] for name in ALL_STREAMS} == {"JSON"}
    assert types["classify_projects.is_default"] == "BOOLEAN"
    assert types["classify_usage.day"] == "DATE"
    assert types["classify_job_parsing_configs.target_pages"] == "JSON"
    assert types["classify_v2_jobs.updated_at"] == "TIMESTAMP WITH TIME ZONE"


@pytest.mark.usefixtures("_history")
def test_one_listing_of_each_api_serves_all_tables_that_are_selected_anyway(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    warehouse.run()
    assert paths(sandbox) == [V1, V2]
    assert warehouse.there() == {*DEFAULT_STREAMS}


@pytest.mark.usefixtures("_history")
@pytest.mark.parametrize(
    ("tables", "asked"),
    [
        (["classify_v2_job_rules"], [V2]),
        ([*V2_STREAMS, "classify_projects"], [V2, PROJECTS]),
        (["classify_job_results"], [V1, *[f"{V1}/one-{number}/results" for number in range(5)]]),
    ],
)
def test_table_that_is_not_selected_costs_no_request(
    tables: list[str], asked: list[str], sandbox: Sandbox, warehouse: Warehouse
) -> None:
    warehouse.run(*tables, fetch_results=True)
    assert sorted(paths(sandbox)) == sorted(asked)
    assert warehouse.there() == {*tables}


def test_table_without_rows_is_there_with_its_columns(warehouse: Warehouse) -> None:
    warehouse.run()
    assert warehouse.there() == {*DEFAULT_STREAMS}
    assert warehouse.ids() == set()


def test_results_are_selected_where_they_may_be_fetched(warehouse: Warehouse) -> None:
    assert {*warehouse.source().selected_resources} == {*DEFAULT_STREAMS}
    with_results = warehouse.source(fetch_results=True)
    assert {*with_results.selected_resources} == {*DEFAULT_STREAMS, "classify_job_results"}


def test_columns_have_the_schemas_descriptions_types_and_keys(warehouse: Warehouse) -> None:
    source = warehouse.source()
    rules = source.resources["classify_v2_job_rules"].compute_table_schema()
    assert rules["write_disposition"] == "merge"
    columns = rules["columns"]
    assert [name for name in columns if columns[name].get("primary_key")] == [
        "job_id",
        "rule_index",
    ]
    assert [name for name in columns if not columns[name]["nullable"]] == ["job_id", "rule_index"]
    assert all(column["description"] for column in columns.values())
    assert columns["additional_fields"]["data_type"] == "json"
    assert columns["updated_at"]["data_type"] == "timestamp"


@pytest.mark.usefixtures("_history")
def test_dataset_is_read_back_as_arrow_and_as_a_data_frame(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    jobs = warehouse.run().dataset()[V2_JOBS]
    ours = read_table(V2_JOBS, config_of(sandbox))
    columns = ["id", "rule_count", "status"]
    theirs: Any = jobs.arrow()
    theirs = theirs.select(columns).sort_by("id")
    assert theirs.to_pylist() == ours.select(columns).sort_by("id").to_pylist()
    frame: Any = jobs.df()
    assert sorted(frame["id"]) == sorted(ours["id"].to_pylist())


@pytest.mark.usefixtures("_history")
def test_dev_mode_fills_a_dataset_of_its_own_each_time(
    warehouse: Warehouse, sandbox: Sandbox
) -> None:
    for _ in range(2):
        pipeline = warehouse.pipeline(dev_mode=True)
        pipeline.run(warehouse.source(V2_JOBS))
        jobs: Any = pipeline.dataset()[V2_JOBS].arrow()
        assert len(jobs) == 5
    assert paths(sandbox) == [V2, V2]


@pytest.mark.usefixtures("_history")
def test_limit_reads_so_many_pages_and_moves_no_bookmark(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    pipeline = warehouse.pipeline()
    pipeline.run(warehouse.source(page_size=2).add_limit(1))
    assert paths(sandbox) == [V1, V2]
    assert len(warehouse.ids()) == len(warehouse.ids(JOBS)) == 2
    warehouse.run()
    assert warehouse.is_world()


@pytest.mark.usefixtures("_history")
def test_limit_on_one_table_moves_its_bookmark_not(sandbox: Sandbox, warehouse: Warehouse) -> None:
    sandbox.world.advance(30 * 86_400)
    put_v2(sandbox, "later", updated_at="2026-12-20T00:00:00Z", created_at="2026-12-20T00:00:00Z")
    source = warehouse.source()
    source.resources["classify_v2_job_rules"].add_limit(0)
    warehouse.pipeline().run(source)
    warehouse.run()
    assert warehouse.is_world()


def test_row_that_comes_in_two_versions_lands_once_in_the_later_one(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    sandbox.settings.tokens, sandbox.settings.order = "position", "newest"
    for number in range(6):
        put(sandbox, job(f"one-{number}", created_at=f"2026-10-0{number + 1}T00:00:00Z"))

    def change(page: int) -> None:
        if page == 1:
            put(sandbox, job("new"))
            # Its updated_at says nothing of it.
            put(sandbox, job("one-3", created_at="2026-10-04T00:00:00Z", status="CANCELLED"))

    sandbox.before_page = change
    warehouse.run(JOBS, page_size=3)
    statuses = {key: row["status"] for key, row in warehouse.tables({JOBS: ("id",)})[JOBS].items()}
    assert statuses["one-3",] == "CANCELLED"


# Settings.


def test_source_has_an_argument_for_every_setting() -> None:
    names = {*inspect.signature(llamaclassify).parameters}
    assert names == {*Settings.model_fields, "max_jobs"}


def test_keys_are_secrets_to_dlt() -> None:
    fields = llamaclassify.spec.get_resolvable_fields()
    assert {n for n in fields if is_secret_hint(fields[n])} == {"api_key", "connections"}


SCRIPT = """
import dlt
from tap_llamaclassify.dlt_source import llamaclassify

pipeline = dlt.pipeline("x", destination=dlt.destinations.duckdb("x.duckdb"))
pipeline.run(llamaclassify().with_resources("classify_jobs"))
"""


@pytest.mark.usefixtures("_history", "_own_folder")
def test_settings_come_from_dlts_files_and_environment(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".dlt"
    folder.mkdir()
    section = "[sources.llamaclassify]\n"
    (folder / "secrets.toml").write_text(f'{section}api_key = "{sandbox.key}"\n')
    (folder / "config.toml").write_text(
        f'{section}api_url = "{sandbox.url}"\npage_size = 2\nstart_date = 2026-01-01\n'
    )
    monkeypatch.setenv("SOURCES__LLAMACLASSIFY__RETRY_SECONDS", "0")
    (tmp_path / "run.py").write_text(SCRIPT)
    ran([sys.executable, "run.py"], cwd=tmp_path)
    assert [request.query["page_size"] for request in sandbox.requests] == ["2", "2", "2"]


@pytest.mark.usefixtures("_history")
def test_connections_come_from_dlts_secrets(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'[{{"name": "a", "api_key": "{sandbox.key}"}}]'
    monkeypatch.setenv("SOURCES__LLAMACLASSIFY__CONNECTIONS", text)
    warehouse.run(api_key=None)
    assert warehouse.is_world()


@pytest.mark.usefixtures("_history")
def test_key_comes_from_the_taps_own_environment_and_from_no_other_programs(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "PROJECT_ID", "SOURCES__API_KEY", "PAGE_SIZE"):
        monkeypatch.setenv(name, "of another")
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", sandbox.key)
    warehouse.run(api_key=None)
    assert warehouse.is_world()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"page_size": 0}, "page_size must be at least 1"),
        ({"max_jobs": 0}, "max_jobs must be at least 1"),
        ({"start_date": "soon"}, "start_date "),
    ],
)
def test_wrong_setting_is_an_error_before_anything_runs(
    config: dict[str, Any], text: str, warehouse: Warehouse
) -> None:
    with pytest.raises(SettingsError, match=text):
        warehouse.source(**config)


def test_start_date_may_be_a_date(warehouse: Warehouse) -> None:
    warehouse.source(start_date=date(2026, 1, 1))


def test_folder_for_rows_that_cannot_be_made_is_one_line(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(warehouse.folder / "nowhere"))
    with pytest.raises(PipelineStepFailed, match="rows cannot be put aside: No such file"):
        warehouse.run()


# What is told.


@pytest.mark.usefixtures("_history")
def test_error_is_our_one_line_in_dlts_and_no_key_is_in_traces_state_or_logs(
    sandbox: Sandbox, warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("dlt").addHandler(caplog.handler)
    warehouse.run()
    sandbox.fail_next("401")
    pipeline = warehouse.pipeline()
    with pytest.raises(PipelineStepFailed) as raised:
        pipeline.run(warehouse.source())
    (line,) = [line for line in str(raised.value).split("\n") if "401" in line]
    assert "classify_jobs" in line
    cause: BaseException | None = raised.value
    while not isinstance(cause, TapError):
        assert cause
        cause = cause.__cause__
    assert str(cause) in line
    trace = pipeline.last_trace
    assert trace
    for text in (
        str(raised.value),
        str(trace.asdict()),
        trace.asstr(verbosity=2),
        str(pipeline.state),
        caplog.text,
    ):
        refuse_key(text, "what dlt tells")
    for path in warehouse.folder.rglob("*"):
        if path.is_file():
            refuse_key(path.read_bytes(), str(path))


class Counting(dlt.common.runtime.collector.DictCollector):
    """Keeps what was counted when a step ends."""

    def _stop(self) -> None:
        self.kept = getattr(self, "kept", {}) | dict(self.counters)
        super()._stop()


@pytest.mark.usefixtures("_history")
def test_progress_counts_pages_and_jobs(warehouse: Warehouse) -> None:
    counting = Counting()
    warehouse.pipeline(progress=counting).run(warehouse.source(V2_JOBS))
    assert counting.kept["LlamaCloud pages"] == 1
    assert counting.kept["LlamaCloud jobs"] == 5


@pytest.mark.usefixtures("_history")
@pytest.mark.parametrize("progress", ["tqdm", "log"])
def test_progress_is_shown_by_dlts_own_collectors(
    progress: Any, warehouse: Warehouse, capsys: pytest.CaptureFixture[str]
) -> None:
    warehouse.pipeline(progress=progress).run(warehouse.source(V2_JOBS))
    shown = capsys.readouterr()
    assert "LlamaCloud jobs" in shown.out + shown.err


@pytest.mark.usefixtures("_history")
def test_dlt_warns_of_nothing(warehouse: Warehouse, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("dlt").addHandler(caplog.handler)
    warehouse.run()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []
