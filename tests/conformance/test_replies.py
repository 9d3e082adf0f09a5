"""The accounting of `make conformance` finds every value that a table loses, or makes up."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.api.endpoints import (
    CONFIGURATIONS,
    FILES,
    ORGANIZATIONS,
    PROJECTS,
    TIMINGS,
    USAGE_METRICS,
    V1_JOBS,
    V1_RESULTS,
    V2_JOB,
    V2_JOBS,
    Endpoint,
)
from tap_llamaclassify.api.models import Json
from tap_llamaclassify.tables.rows import Row
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import Table
from tests.conformance.contract import Contract
from tests.conformance.replies import Reader, Reply, items_of, read_all
from tests.support.accounting import TABLES_OF, day, fixed
from tests.support.builders import job
from tests.support.items import (
    CREATED_AT,
    UPDATED_AT,
    configuration,
    data_point,
    file,
    organization,
    project,
    result,
    saved_configuration,
    usage_metric,
    v2_job,
)

MORE: Json = {"error_message": "why", "unknown": [{"deep": None}, 1.5]}
"""What an item has besides."""
RULE = {"type": "invoice", "description": "has an amount", "more": 1}
WHOLE: dict[Endpoint, Json] = {
    V1_JOBS: job(
        "a",
        job_record_id="record",
        rules=[RULE],
        parsing_configuration={"lang": "en", "max_pages": 5, "target_pages": [0], "more": 1},
    ),
    V1_RESULTS: result("a", classify_job_id="another"),
    V2_JOBS: v2_job(
        "a",
        transaction_id="t",
        configuration=configuration(
            rules=[RULE],
            parsing_configuration={"lang": "en", "max_pages": 5, "target_pages": "1", "more": 1},
        ),
    ),
    FILES: file("a", external_file_id="external", expires_at=CREATED_AT),
    PROJECTS: project("a"),
    ORGANIZATIONS: organization("a", metadata={"plan": "free"}),
    CONFIGURATIONS: saved_configuration("a"),
    TIMINGS: data_point(
        "a",
        state_transitions={
            f"{name}_at": UPDATED_AT
            for name in ("pending", "throttled", "running", "completed", "failed", "cancelled")
        },
    ),
    USAGE_METRICS: usage_metric("a"),
}
"""An item of each kind that has something for each column."""
COLUMNS = [
    pytest.param(table, name, id=f"{table.name}.{name}")
    for tables in TABLES_OF.values()
    for table in tables
    for name in schema_of(table.name)["properties"]
]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Run one that only sends what it is given."""
    with Sandbox(World.empty()) as running:
        yield running


def reply_of(endpoint: Endpoint) -> Reply:
    """Make a reply of one whole item."""
    item = copy.deepcopy(WHOLE[V2_JOBS if endpoint is V2_JOB else endpoint] | MORE)
    if endpoint is V2_JOB:
        return item
    return [item] if endpoint is PROJECTS else {"items": [item]}


def reader_of(endpoint: Endpoint, sandbox: Sandbox) -> Reader:
    return Reader(endpoint, sandbox, allows=lambda _: True)


def break_rows(monkeypatch: pytest.MonkeyPatch, table: Table, broken: Callable[[Row], Row]) -> None:
    """Let a table's rows be what is made of them."""

    def rows_of(items: Iterable[Json]) -> list[Row]:
        return [broken(row) for row in table.rows_of(items)]

    own = TABLES_OF[table.endpoint]
    changed = [replace(each, rows_of=rows_of) if each is table else each for each in own]
    monkeypatch.setitem(TABLES_OF, table.endpoint, changed)


@pytest.mark.parametrize("endpoint", [*WHOLE, V2_JOB], ids=lambda each: each.path)
def test_whole_item_fills_every_column_and_nothing_of_it_is_missed(
    endpoint: Endpoint, sandbox: Sandbox
) -> None:
    reader = reader_of(endpoint, sandbox)
    reader.read([reply_of(endpoint)], ascii_only=False)

    assert (reader.tally.replies, reader.tally.pages, reader.tally.items) == (1, 0, 1)
    assert reader.tally.values > 5


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_column_that_is_left_empty_is_found(
    table: Table, column: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[Any] = []

    def without(row: Row) -> Row:
        emptied.append(row[column])
        return row | {column: None}

    break_rows(monkeypatch, table, without)
    with pytest.raises(AssertionError):
        reader_of(table.endpoint, sandbox).read([reply_of(table.endpoint)], ascii_only=True)
    assert emptied
    assert None not in emptied


@pytest.mark.parametrize(
    "broken",
    [
        lambda row: row | {"additional_fields": row["additional_fields"] | {"made_up": 1}},
        lambda row: row | {"user_id": "another's"},
        lambda row: row | {"created_at": "2026-11-01T07:59:00Z"},
        lambda row: row | {"additional_fields": {"unknown": [{"deep": None}, 2.5]}},
        lambda row: row | {"additional_fields": {"unknown": [{"deep": None}, 1.5], "mode": "FAST"}},
    ],
    ids=["made up", "another's", "in another form", "changed inside", "there twice"],
)
def test_value_that_is_another_or_there_twice_is_found(
    broken: Callable[[Row], Row], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_rows(monkeypatch, TABLES_OF[V1_JOBS][0], broken)
    with pytest.raises(AssertionError, match="not sent"):
        reader_of(V1_JOBS, sandbox).read([reply_of(V1_JOBS)], ascii_only=True)


@pytest.mark.parametrize("rows", [0, 2])
def test_row_that_is_missing_or_there_twice_is_found(
    rows: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    (table,) = TABLES_OF[FILES]
    monkeypatch.setitem(
        TABLES_OF, FILES, [replace(table, rows_of=lambda items: table.rows([*items]) * rows)]
    )
    with pytest.raises(AssertionError):
        reader_of(FILES, sandbox).read([reply_of(FILES)], ascii_only=True)


def test_presigned_address_and_configuration_of_another_product_are_left_out_on_purpose(
    sandbox: Sandbox,
) -> None:
    address = {"url": "https://files.example.com/a", "expires_at": UPDATED_AT}
    for endpoint, item in (
        (FILES, file("a", download_url=address)),
        (CONFIGURATIONS, saved_configuration("a", product_type="parse_v2")),
    ):
        reader_of(endpoint, sandbox).read([{"items": [item]}], ascii_only=True)


def test_pages_of_a_listing_are_read_one_after_the_other_with_the_tokens_that_were_sent(
    sandbox: Sandbox,
) -> None:
    pages = [{"items": [file(each)], "next_page_token": f"{each} & 日"} for each in "abc"]
    del pages[-1]["next_page_token"]
    reader = reader_of(FILES, sandbox)
    reader.read(pages, ascii_only=False)

    assert (reader.tally.replies, reader.tally.pages, reader.tally.items) == (3, 3, 3)


def test_item_that_the_door_lets_fall_is_found(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {"items": [file("a"), file("b")]}
    parse = Endpoint.parse

    def parse_one(endpoint: Endpoint, body: bytes) -> Any:
        page = parse(endpoint, body)
        page.items = page.items[:1]
        return page

    monkeypatch.setattr(Endpoint, "parse", parse_one)
    with pytest.raises(AssertionError, match="1 items of 2 were read"):
        reader_of(FILES, sandbox).read([two], ascii_only=True)


CONTRACT = Contract(
    {
        "paths": {
            FILES.path: {
                "get": {
                    "responses": {
                        "200": {
                            "content": {
                                "application/json": {
                                    "schema": {"$ref": "#/components/schemas/Files"}
                                }
                            }
                        }
                    }
                }
            }
        },
        "components": {
            "schemas": {
                "Files": {
                    "type": "object",
                    "required": ["items"],
                    "properties": {
                        "items": {"type": "array", "items": {"$ref": "#/components/schemas/File"}},
                        "next_page_token": {"type": "string"},
                    },
                },
                "File": {
                    "type": "object",
                    "required": ["id", "name"],
                    "properties": {
                        "id": {"type": "string"},
                        "name": {"type": "string"},
                        "expires_at": {
                            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]
                        },
                    },
                },
            }
        },
    }
)


def test_replies_are_drawn_and_read_until_there_are_as_many_as_were_wanted() -> None:
    drawn: list[Reply] = []

    def note(reply: Reply) -> bool:
        drawn.append(reply)
        return True

    tally = read_all(CONTRACT, FILES, FILES.path, replies=80, seed=1, allows=note)

    assert tally.loss is None
    assert 80 <= tally.replies == len(drawn) < 160
    assert 0 < tally.pages < tally.replies
    assert tally.items == sum(len(items_of(FILES, reply)) for reply in drawn)
    assert tally.values > tally.items > 20


def test_loss_is_told_with_a_small_reply_of_which_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (table,) = TABLES_OF[FILES]
    break_rows(monkeypatch, table, lambda row: row | {"name": row["name"][:20]})
    tally = read_all(CONTRACT, FILES, FILES.path, replies=80, seed=1, allows=lambda _: True)

    assert tally.loss
    assert "lost: [(('name',), " in tally.loss
    assert 1 <= tally.loss.count('"id"') <= 2


def test_reply_that_is_drawn_and_not_allowed_is_no_reply() -> None:
    tally = read_all(CONTRACT, FILES, FILES.path, replies=9, seed=1, allows=lambda _: False)

    assert "not allowed" in (tally.loss or "")
    assert tally.replies == 0


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2026-11-23T14:33:08+02:00", "2026-11-23T12:33:08.000000Z"),
        ("2026-11-23t14:33:08.1234567z", "2026-11-23T14:33:08.123456Z"),
        ("2026-11-23T23:30:00.5-01:00", "2026-11-24T00:30:00.500000Z"),
        ("2026-11-23", "2026-11-23T00:00:00.000000Z"),
        ("1990-12-31T23:59:60Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+00:01", None),
        ("2026-02-30T00:00:00Z", None),
        ("soon", None),
    ],
)
def test_timestamp_is_read_by_the_accounting_itself(text: str, form: str | None) -> None:
    assert fixed(text) == form
    assert day(text) == (form and form[:10])
