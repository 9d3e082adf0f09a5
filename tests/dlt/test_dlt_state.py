"""What dlt has not loaded is not claimed, whatever becomes of packages, state and machine."""

from __future__ import annotations

from typing import Any, Literal

import duckdb
import pytest
from dlt.common.storages.load_package import PackageStorage
from dlt.pipeline.exceptions import PipelineStepFailed

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tests.support.builders import STREAMS, V2_STREAMS, job
from tests.support.dlt_pipelines import DATASET, DLTS_OWN, JOBS, V2_JOBS, Warehouse, sent
from tests.support.runs import at_page, put, put_v2

pytestmark = pytest.mark.filterwarnings(DLTS_OWN)

A_MONTH = 30 * 86_400
Refresh = Literal["drop_sources", "drop_resources", "drop_data"]


def put_some(sandbox: Sandbox, name: str, count: int = 5) -> None:
    """Let a month go by; then add jobs of both APIs."""
    sandbox.world.advance(A_MONTH)
    now = stamp(sandbox.world.now())
    for number in range(count):
        put(sandbox, job(f"{name}-{number}", created_at=now, updated_at=now))
        put_v2(sandbox, f"{name}-{number}", created_at=now, updated_at=now)


def test_second_run_goes_on_from_the_bookmark(sandbox: Sandbox, warehouse: Warehouse) -> None:
    put_some(sandbox, "first")
    warehouse.run()
    put_some(sandbox, "second", 2)
    assert sent(warehouse.run())[V2_JOBS] == 7
    put_some(sandbox, "third", 2)
    # The newest of before are looked at once more.
    assert sent(warehouse.run())[V2_JOBS] == 4
    assert warehouse.is_world()


def test_extraction_that_fails_claims_nothing(sandbox: Sandbox, warehouse: Warehouse) -> None:
    put_some(sandbox, "first")
    warehouse.run()
    before = warehouse.pipeline().state["sources"]
    put_some(sandbox, "second")
    sandbox.fail_next("500")
    with pytest.raises(PipelineStepFailed):
        warehouse.run()
    assert warehouse.pipeline().state["sources"] == before
    warehouse.run()
    assert warehouse.is_world()


@pytest.mark.parametrize("last", ["extract", "normalize"])
def test_package_that_is_thrown_away_is_read_again(
    last: str, sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    warehouse.run()
    put_some(sandbox, "second")
    pipeline = warehouse.pipeline()
    pipeline.extract(warehouse.source())
    if last == "normalize":
        pipeline.normalize()
    put_some(sandbox, "third")
    pipeline = warehouse.pipeline()
    pipeline.abort_packages()
    pipeline.run(warehouse.source())
    assert warehouse.is_world()


@pytest.mark.parametrize("last", ["extract", "normalize"])
def test_package_that_was_left_is_loaded_by_the_next_run_and_the_one_after_goes_on(
    last: str, sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    warehouse.run()
    put_some(sandbox, "second", 1)
    pipeline = warehouse.pipeline()
    pipeline.extract(warehouse.source())
    if last == "normalize":
        pipeline.normalize()
    put_some(sandbox, "third")
    warehouse.run()
    assert warehouse.ids() == {"second-0", *(f"first-{number}" for number in range(5))}
    warehouse.run()
    assert warehouse.is_world()


@pytest.mark.parametrize("table", [JOBS, "classify_v2_job_rules"])
def test_load_that_ended_between_a_copy_and_its_note_doubles_nothing(
    table: str, sandbox: Sandbox, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_some(sandbox, "first")

    def end(self: PackageStorage, load_id: str, file_name: str) -> str:
        if file_name.startswith(f"{table}."):
            raise KeyboardInterrupt
        return complete_job(self, load_id, file_name)

    complete_job = PackageStorage.complete_job
    with monkeypatch.context() as patched:
        patched.setattr(PackageStorage, "save_pending_transition", lambda *_: None)
        patched.setattr(PackageStorage, "complete_job", end)
        with pytest.raises(PipelineStepFailed):
            warehouse.run()
    # The rows are in the staging table, and dlt does not know it.
    warehouse.run()
    assert warehouse.is_world()


def test_package_that_was_left_is_lost_with_the_machine_and_read_again(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    warehouse.run()
    put_some(sandbox, "second")
    pipeline = warehouse.pipeline()
    pipeline.extract(warehouse.source())
    pipeline.normalize()
    warehouse.lose_working_folder()
    warehouse.run()
    assert warehouse.is_world()


def test_new_machine_goes_on_from_what_the_destination_has(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    put_some(sandbox, "second")
    warehouse.run()
    warehouse.lose_working_folder()
    put_some(sandbox, "third", 2)
    assert sent(warehouse.run())[V2_JOBS] == 7
    assert warehouse.is_world()


@pytest.mark.parametrize("is_new_machine", [False, True])
def test_dataset_that_was_dropped_is_filled_from_the_beginning(
    is_new_machine: bool,  # noqa: FBT001 - a column of the table above
    sandbox: Sandbox,
    warehouse: Warehouse,
) -> None:
    put_some(sandbox, "first")
    warehouse.run()
    with duckdb.connect(str(warehouse.file)) as connection:
        connection.sql(f"DROP SCHEMA {DATASET} CASCADE")
    if is_new_machine:
        warehouse.lose_working_folder()
    put_some(sandbox, "second")
    warehouse.run()
    assert warehouse.is_world()


@pytest.mark.heavy
@pytest.mark.parametrize("refresh", ["drop_sources", "drop_resources", "drop_data"])
def test_refresh_reads_from_the_beginning_and_lets_go_of_what_is_no_more(
    refresh: Refresh, sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    put_some(sandbox, "second")
    warehouse.run()
    sandbox.world.delete("first-1")
    warehouse.pipeline().run(warehouse.source(), refresh=refresh)
    assert "first-1" not in warehouse.ids(JOBS)
    assert warehouse.is_world()


def test_refresh_of_one_table_leaves_the_bookmarks_of_the_others(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    put_some(sandbox, "second")
    warehouse.run()
    pipeline = warehouse.pipeline()
    before = pipeline.state["sources"]["llamaclassify"]["resources"]
    pipeline.run(warehouse.source(V2_JOBS), refresh="drop_resources")
    assert sent(pipeline) == {V2_JOBS: 10}
    after = pipeline.state["sources"]["llamaclassify"]["resources"]
    assert "bookmark" in after[V2_JOBS]
    assert all(after[name] == before[name] for name in {*STREAMS, *V2_STREAMS[1:]})
    assert warehouse.is_world()


def test_table_that_is_selected_later_gets_its_whole_history(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    put_some(sandbox, "second")
    warehouse.run(V2_JOBS)
    warehouse.run(*V2_STREAMS)
    assert warehouse.is_world(*V2_STREAMS)


def test_source_that_was_run_reads_anew_when_it_is_run_again(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    source = warehouse.source()
    pipeline = warehouse.pipeline()
    for name in ("first", "second", "third"):
        put_some(sandbox, name)
        pipeline.run(source.clone())
        assert warehouse.is_world()


@pytest.mark.heavy
@pytest.mark.parametrize("disposition", ["merge", "replace"])
@pytest.mark.parametrize(("page", "fault"), [(1, "401"), (3, "500")])
def test_source_whose_run_failed_reads_anew_when_it_is_run_again(
    page: int, fault: str, disposition: Any, sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first", 8)
    warehouse.run()
    put_some(sandbox, "second", 8)
    source = warehouse.source(page_size=3)
    at_page(sandbox, page, lambda: sandbox.fail_next(fault))
    with pytest.raises(PipelineStepFailed):
        warehouse.pipeline().run(source, write_disposition=disposition)
    sandbox.before_page = None
    sandbox.forget_faults()
    warehouse.pipeline().run(source, write_disposition=disposition)
    assert warehouse.is_world()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_source_whose_rows_nobody_took_reads_anew(
    error: type[BaseException], sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    source = warehouse.source()
    is_wrong = True

    def fail(batch: Any) -> Any:
        if is_wrong:
            raise error
        return batch

    source.resources["classify_v2_job_rules"].add_map(fail)
    with pytest.raises(PipelineStepFailed):
        warehouse.pipeline().run(source)
    is_wrong = False
    warehouse.pipeline().run(source)
    assert warehouse.is_world()


def test_table_under_another_name_has_a_bookmark_of_its_own(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    for name in ("second", "third"):
        source = warehouse.source()
        source.resources["again"] = source.resources[V2_JOBS].with_name("again")
        source.resources["again"].apply_hints(table_name="again")
        sandbox.clear_requests()
        warehouse.pipeline().run(source)
        listings = [each for each in sandbox.requests if each.path == "/api/v2/classify"]
        assert len(listings) == 2
        assert warehouse.ids("again") == warehouse.ids()
        assert warehouse.is_world()
        put_some(sandbox, name)


def test_table_of_valid_and_retired_rows_is_read_in_full(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    for name in ("second", "third"):
        source = warehouse.source(V2_JOBS)
        scd2: Any = {"disposition": "merge", "strategy": "scd2"}
        source.resources[V2_JOBS].apply_hints(write_disposition=scd2)
        warehouse.pipeline().extract(source)
        warehouse.pipeline().abort_packages()
        assert [request.query.get("created_at_on_or_after") for request in sandbox.requests] == [
            None
        ]
        sandbox.clear_requests()
        put_some(sandbox, name)


def test_resource_by_itself_reads_its_table_without_a_pipeline(
    sandbox: Sandbox, warehouse: Warehouse
) -> None:
    put_some(sandbox, "first")
    batches: list[Any] = [*warehouse.source().resources[V2_JOBS]]
    assert sum(batch.num_rows for batch in batches) == 5
    assert {request.path for request in sandbox.requests} == {"/api/v2/classify"}
