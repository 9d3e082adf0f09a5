"""Packages one after the other: a long history in parts, and what can be read before an error."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify import dlt_source
from tap_llamaclassify.dlt_source import load
from tap_llamaclassify.errors import ApiError
from tests.support.builders import STREAMS, V2_STREAMS, job
from tests.support.dlt_pipelines import DLTS_OWN, JOBS, V2_JOBS, Warehouse, sent
from tests.support.items import file
from tests.support.runs import put, put_v2
from tests.support.windows import small_windows, spans_of

pytestmark = pytest.mark.filterwarnings(DLTS_OWN)

V1 = "/api/v1/classifier/jobs"

FILES = "classify_files"


def put_history(sandbox: Sandbox, jobs: int, days: float = 60, name: str = "two") -> None:
    """Add v2 jobs that were created in so many days."""
    now = sandbox.world.now()
    for number in range(jobs):
        created = stamp(now - timedelta(days=days * (number + 1) / jobs))
        put_v2(sandbox, f"{name}-{number:03}", created_at=created, updated_at=created)


def connections(*keys: str) -> dict[str, Any]:
    """Make settings of several connections in place of one."""
    several = [{"name": f"c{number}", "api_key": key} for number, key in enumerate(keys)]
    return {"api_key": None, "connections": several}


# A long history in parts.


@pytest.mark.heavy
@pytest.mark.parametrize("parallel_windows", [1, 4])
def test_run_stops_at_max_jobs_and_the_next_one_goes_on_with_the_windows_that_are_missing(
    parallel_windows: int,
    sandbox: Sandbox,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 120)
    config = {"max_jobs": 30, "page_size": 4, "parallel_windows": parallel_windows}
    entries: list[Any] = [None]
    while "replication_key_value" not in (entries[-1] or {}):
        pipeline = warehouse.run(V2_JOBS, **config)
        entries.append(pipeline.state["sources"]["llamaclassify"]["resources"][V2_JOBS]["bookmark"])
        assert entries[-1] != entries[-2]
    assert all(map(spans_of, entries[1:-1]))
    runs = len(entries) - 1
    # Side by side, windows are under way when a run stops, and are read anew.
    assert runs > 2 if parallel_windows > 1 else 2 < runs <= 6
    assert warehouse.is_world(V2_JOBS)


@pytest.mark.heavy
@pytest.mark.parametrize("max_jobs", [10, 1000])
def test_load_runs_until_nothing_is_left(
    max_jobs: int, sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60)
    for number in range(10):
        put(sandbox, job(f"one-{number}"))
    config = {"max_jobs": max_jobs, "page_size": 4}
    loads = load(warehouse.pipeline(), warehouse.source(**config))
    assert (len(loads) == 1) == (max_jobs == 1000)
    assert warehouse.is_world()
    for name in ("second", "third"):
        sandbox.world.advance(2 * 86_400)
        put_history(sandbox, 12, days=1, name=name)
        load(warehouse.pipeline(), warehouse.source(**config))
        assert warehouse.is_world()


@pytest.mark.heavy
def test_load_has_parts_though_nobody_says_how_large(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    monkeypatch.setattr(dlt_source, "JOBS_A_LOAD", 20)
    put_history(sandbox, 60)
    assert len(load(warehouse.pipeline(), warehouse.source(page_size=4))) > 1
    assert warehouse.is_world()


def test_load_takes_first_what_an_earlier_run_left(sandbox: Sandbox, warehouse: Warehouse) -> None:
    put_history(sandbox, 10)
    warehouse.run()
    put_history(sandbox, 2, days=0.01, name="left")
    warehouse.pipeline().extract(warehouse.source())
    put_history(sandbox, 2, days=0.001, name="later")
    load(warehouse.pipeline(), warehouse.source())
    assert warehouse.is_world()


@pytest.mark.heavy
@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("order", ["newest", "oldest", "shuffled"])
def test_parts_end_and_list_v1_once_however_many_jobs_v1_has(
    order: Any,
    total: bool,  # noqa: FBT001 - a column of the table above
    sandbox: Sandbox,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_windows(monkeypatch)
    sandbox.settings.order, sandbox.settings.total_size = order, total
    put_history(sandbox, 60)
    for number in range(12):
        put(sandbox, job(f"one-{number}"))
    load(warehouse.pipeline(), warehouse.source(max_jobs=1, page_size=4))
    assert warehouse.is_world()
    assert len([request for request in sandbox.requests if request.path == V1]) == 3
    for name in ("second", "third"):
        sandbox.world.advance(3600)
        put_history(sandbox, 5, days=0.04, name=name)
        load(warehouse.pipeline(), warehouse.source(max_jobs=1, page_size=4))
        assert warehouse.is_world()


@pytest.mark.heavy
def test_load_refreshes_once(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60)
    warehouse.run()
    pipeline = warehouse.pipeline(refresh="drop_sources")
    load(pipeline, warehouse.source(max_jobs=10, page_size=4))
    assert warehouse.is_world()
    assert pipeline.refresh == "drop_sources"


def test_load_ends_where_there_is_but_a_look_or_nothing_to_read(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_history(sandbox, 5)
    load(warehouse.pipeline(), warehouse.source(page_size=2).add_limit(1))
    nothing = warehouse.source()
    for resource in nothing.resources.values():
        resource.selected = False
    load(warehouse.pipeline(), nothing)
    assert len(warehouse.ids()) == 2


@pytest.mark.heavy
def test_what_was_read_before_an_error_is_loaded_and_not_read_again(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60)
    pages = 0

    def fail_late(_: int) -> None:
        nonlocal pages
        pages += 1
        if pages == 12:
            sandbox.fail_next("500")

    sandbox.before_page = fail_late
    source = warehouse.source(*V2_STREAMS, page_size=4, parallel_windows=1)
    with pytest.raises(ApiError, match="500"):
        load(warehouse.pipeline(), source)
    loaded = warehouse.ids()
    assert 20 < len(loaded) < 60
    sandbox.before_page = None
    sandbox.clear_requests()
    load(warehouse.pipeline(), source)
    assert warehouse.is_world(*V2_STREAMS)
    assert len(sandbox.requests) < 20


# Several connections.


def test_connections_fill_the_same_tables_each_from_its_own_bookmark(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    first, second = [*sandbox.keys][:2]
    for number, project in enumerate((first, second)):
        sandbox.world.put(job(f"one-{number}", project_id=project))
    config = connections(sandbox.keys[first], sandbox.keys[second])
    pipeline = warehouse.run(JOBS, **config)
    assert warehouse.ids(JOBS) == {"one-0", "one-1"}
    entry = pipeline.state["sources"]["llamaclassify"]["resources"][JOBS]["bookmark"]
    assert [each["context"] for each in entry["partitions"]] == [
        {"connection": "c0"},
        {"connection": "c1"},
    ]
    sandbox.world.advance(30 * 86_400)
    sandbox.world.put(job("later", project_id=second, updated_at=stamp(sandbox.world.now())))
    pipeline = warehouse.run(JOBS, **config)
    assert sent(pipeline)[JOBS] == 3
    assert warehouse.ids(JOBS) == {"one-0", "one-1", "later"}


def test_connection_that_cannot_be_read_keeps_a_run_from_loading_and_load_not(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_history(sandbox, 5)
    config = connections("llx-wrong", sandbox.key)
    with pytest.raises(PipelineStepFailed, match=r"1 of 2 connections failed \(c0\)"):
        warehouse.run(V2_JOBS, **config)
    assert warehouse.pipeline().state.get("sources", {}) == {}
    with pytest.raises(PipelineStepFailed, match=r"1 of 2 connections failed \(c0\)"):
        warehouse.run(V2_JOBS, max_jobs=1, **config)
    with pytest.raises(ApiError, match=r"1 of 2 connections failed \(c0\), all others are read"):
        load(warehouse.pipeline(), warehouse.source(V2_JOBS, **config))
    assert warehouse.is_world(V2_JOBS)


def test_load_goes_on_though_a_connection_fails_in_each_part(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60)
    config = connections("llx-wrong", sandbox.key) | {"max_jobs": 10, "page_size": 4}
    with pytest.raises(ApiError, match=r"1 of 2 connections failed \(c0\)"):
        load(warehouse.pipeline(), warehouse.source(V2_JOBS, **config))
    assert warehouse.is_world(V2_JOBS)


def test_two_sources_of_one_name_in_one_run_are_refused(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_history(sandbox, 5)
    with pytest.raises(PipelineStepFailed, match="two llamaclassify sources in one run share"):
        warehouse.pipeline().run([warehouse.source(), warehouse.source()])


# Tables that are replaced.


def replaced(warehouse: Warehouse, *tables: str, **config: Any) -> Any:
    """Make a source whose tables are replaced."""
    source = warehouse.source(*tables, **config)
    for resource in source.selected_resources.values():
        resource.apply_hints(write_disposition="replace")
    return source


def test_table_that_is_replaced_is_what_the_api_shows_each_row_once(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    sandbox.settings.tokens, sandbox.settings.order = "position", "newest"
    put_history(sandbox, 30)
    for number in range(9):
        put(sandbox, job(f"one-{number}", created_at=f"2026-10-0{number + 1}T00:00:00Z"))
    warehouse.run()
    sandbox.world.delete("one-3")

    def put_another(page: int) -> None:
        if page == 1:
            put(sandbox, job("new"))

    sandbox.before_page = put_another
    for _ in range(2):
        warehouse.pipeline().run(replaced(warehouse, page_size=3))
        assert warehouse.is_world()


def test_run_may_say_that_all_tables_are_replaced(sandbox: Sandbox, warehouse: Warehouse) -> None:
    put(sandbox, job("one"), job("two"))
    warehouse.run(*STREAMS)
    sandbox.world.delete("one")
    pipeline = warehouse.pipeline()
    pipeline.run(warehouse.source(*STREAMS), write_disposition="replace")
    assert warehouse.is_world(*STREAMS)
    assert "bookmark" not in pipeline.state["sources"]["llamaclassify"]["resources"][JOBS]


def test_table_that_merges_after_it_was_replaced_begins_at_its_beginning(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_history(sandbox, 5)
    warehouse.run()
    warehouse.pipeline().run(replaced(warehouse))
    warehouse.run()
    assert warehouse.is_world()


@pytest.mark.parametrize("by", [dlt_source.load, lambda pipeline, source: pipeline.run(source)])
def test_table_is_not_replaced_by_half_of_it(
    by: Any, sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_history(sandbox, 30)
    warehouse.run()
    config = connections(sandbox.key, "llx-wrong")
    with pytest.raises(PipelineStepFailed):
        by(warehouse.pipeline(), replaced(warehouse, V2_JOBS, **config))
    with pytest.raises(PipelineStepFailed, match="max_jobs is set, and classify_v2_jobs is repl"):
        by(warehouse.pipeline(), replaced(warehouse, V2_JOBS, max_jobs=10))
    assert warehouse.is_world()


def test_files_are_not_replaced_by_those_of_the_newest_jobs(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_history(sandbox, 3)
    source = warehouse.source(V2_JOBS, FILES)
    source.resources[FILES].apply_hints(write_disposition="replace")
    with pytest.raises(PipelineStepFailed, match="classify_files is replaced, and has only"):
        warehouse.pipeline().run(source)
    with pytest.raises(PipelineStepFailed, match="classify_files is replaced, and has only"):
        warehouse.pipeline().run(warehouse.source(FILES), write_disposition="replace")
    whole = warehouse.source(V2_JOBS, FILES)
    warehouse.pipeline().run(whole, write_disposition="replace")
    assert warehouse.there() == {V2_JOBS, FILES}


def test_timings_are_not_replaced_by_those_of_the_last_days(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_history(sandbox, 3)
    source = warehouse.source("classify_job_timings")
    with pytest.raises(PipelineStepFailed, match="the API shows the last days only: let it merge"):
        warehouse.pipeline().run(source, write_disposition="replace")


def test_usage_is_not_replaced_by_nothing_where_it_is_taken_away(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_history(sandbox, 3)
    warehouse.run("classify_usage")
    before = warehouse.ids("classify_usage")
    assert before
    sandbox.settings.gone = {"/api/v1/beta/usage-metrics": 403}
    with pytest.raises(PipelineStepFailed, match="or deselect classify_usage"):
        warehouse.pipeline().run(warehouse.source("classify_usage"), write_disposition="replace")
    assert warehouse.ids("classify_usage") == before


def test_files_come_with_the_jobs_of_each_part(
    sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_windows(monkeypatch)
    put_history(sandbox, 60)
    for job_ in sandbox.world.v2_jobs():
        sandbox.world.put_v2(job_ | {"file_input": f"dfl-{job_['id']}"})
        sandbox.world.put_file(file(f"dfl-{job_['id']}", project_id=sandbox.project_id))
    source = warehouse.source(V2_JOBS, FILES, max_jobs=10, page_size=4)
    loaded = dlt_source.load(warehouse.pipeline(), source)
    assert len(loaded) > 1
    assert warehouse.ids(FILES) == {f"dfl-{id_}" for id_ in warehouse.ids()}


def test_beta_that_is_not_there_leaves_its_table_empty_and_all_else_is_loaded(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_history(sandbox, 3)
    sandbox.settings.gone = {"/api/v1/beta/usage-metrics": 403}
    warehouse.run(V2_JOBS, "classify_usage")
    assert warehouse.is_world(V2_JOBS)
    assert warehouse.ids("classify_usage") == set()
    with pytest.raises(PipelineStepFailed, match="or deselect classify_usage"):
        warehouse.run(V2_JOBS, "classify_usage", require_all=True)


def test_table_of_an_api_that_is_gone_is_not_replaced_by_nothing(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put(sandbox, job("one"))
    put_history(sandbox, 5)
    warehouse.run()
    sandbox.settings.gone = {V1: 410}
    with pytest.raises(PipelineStepFailed, match="deselect classify_jobs"):
        warehouse.pipeline().run(replaced(warehouse))
    assert warehouse.is_world()
    sandbox.world.advance(30 * 86_400)
    put_history(sandbox, 2, days=1, name="later")
    warehouse.run()
    assert warehouse.is_world()
