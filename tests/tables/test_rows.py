"""The API's items become the rows of each stream: whole rows, in the order of the items."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tap_llamaclassify.api.endpoints import (
    ORGANIZATIONS,
    PROJECTS,
    V1_JOBS,
    V1_RESULTS,
    V2_JOBS,
    Endpoint,
)
from tap_llamaclassify.api.models import MISFITS, Json
from tap_llamaclassify.errors import ReplyError
from tap_llamaclassify.tables.rows import due, job_rows, parsing_config_rows, rule_rows
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import TABLES, Table
from tests.support.builders import job
from tests.support.items import (
    CREATED_AT,
    UPDATED_AT,
    of_owner,
    organization,
    project,
    result,
    v2_job,
)

MAKES: dict[Endpoint, Callable[..., Json]] = {
    V1_JOBS: job,
    V2_JOBS: v2_job,
    V1_RESULTS: lambda identity, **fields: of_owner([result(identity, **fields)])[0],
    PROJECTS: project,
    ORGANIZATIONS: organization,
}

JOB_ROW = {
    "id": "a",
    "project_id": "project",
    "user_id": "user",
    "status": "SUCCESS",
    "mode": "FAST",
    "error_message": None,
    "job_record_id": None,
    "rule_count": 1,
    "created_at": CREATED_AT,
    "effective_at": CREATED_AT,
    "updated_at": UPDATED_AT,
    "additional_fields": None,
}
RULE_ROW = {
    "job_id": "a",
    "rule_index": 0,
    "project_id": "project",
    "type": "invoice",
    "description": "has an invoice number and an amount",
    "updated_at": UPDATED_AT,
    "additional_fields": None,
}
PARSING_CONFIG_ROW = {
    "job_id": "a",
    "project_id": "project",
    "lang": "en",
    "max_pages": 5,
    "target_pages": [0, 1],
    "updated_at": UPDATED_AT,
    "additional_fields": None,
}
BARE_JOB_ROW = dict.fromkeys(JOB_ROW) | {"id": "a", "rule_count": 0}


def test_job_rows_are_one_a_job_in_their_order() -> None:
    failed = job("b", error_message="too many pages", job_record_id="r", effective_at=UPDATED_AT)

    assert job_rows([job("a"), failed]) == [
        JOB_ROW,
        JOB_ROW
        | {
            "id": "b",
            "error_message": "too many pages",
            "job_record_id": "r",
            "effective_at": UPDATED_AT,
        },
    ]


def test_rule_rows_are_one_a_rule_with_its_position() -> None:
    rules = [{"type": "one", "description": "first"}, {"type": "two", "description": "second"}]

    assert rule_rows([job("a", rules=rules), job("b")]) == [
        RULE_ROW | {"type": "one", "description": "first"},
        RULE_ROW | {"rule_index": 1, "type": "two", "description": "second"},
        RULE_ROW | {"job_id": "b"},
    ]


def test_parsing_config_rows_are_one_a_job_that_has_one() -> None:
    jobs = [job("z", parsing_configuration=None), job("a"), job("b")]

    assert parsing_config_rows(jobs) == [PARSING_CONFIG_ROW, PARSING_CONFIG_ROW | {"job_id": "b"}]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_no_items_have_no_rows(table: Table) -> None:
    assert table.rows_of([]) == []


@pytest.mark.parametrize(
    "bare",
    [{"id": "a"}, {"id": "a"} | {name: None for name in job("a") if name != "id"}],
    ids=["absent", "null"],
)
def test_optional_fields_may_be_missing(bare: Json) -> None:
    assert job_rows([bare]) == [BARE_JOB_ROW]
    assert rule_rows([bare]) == []
    assert parsing_config_rows([bare]) == []


@pytest.mark.parametrize("fields", [{}, {"rules": None}, {"rules": []}], ids=str)
def test_job_without_rules_counts_none_and_has_no_rule_rows(fields: dict[str, Any]) -> None:
    bare = {"id": "a"} | fields

    assert job_rows([bare]) == [BARE_JOB_ROW]
    assert rule_rows([bare]) == []


@pytest.mark.parametrize("rule", [{}, {"type": None, "description": None}], ids=str)
def test_rule_without_fields_is_a_row_of_nulls(rule: Json) -> None:
    nulls = {"type": None, "description": None}

    assert rule_rows([job("a", rules=[rule])]) == [RULE_ROW | nulls]


@pytest.mark.parametrize(
    "config", [{}, {"lang": None, "max_pages": None, "target_pages": None}], ids=str
)
def test_parsing_configuration_without_fields_is_a_row_of_nulls(config: Json) -> None:
    nulls = {"lang": None, "max_pages": None, "target_pages": None}

    assert parsing_config_rows([job("a", parsing_configuration=config)]) == [
        PARSING_CONFIG_ROW | nulls
    ]


def test_rule_that_is_no_object_has_no_row_but_is_counted() -> None:
    rules = [None, {"type": "t", "description": "d"}, None]
    odd = job("a", rules=rules)

    assert rule_rows([odd]) == [
        RULE_ROW | {"rule_index": 1, "type": "t", "description": "d"},
    ]
    assert job_rows([odd]) == [JOB_ROW | {"rule_count": 3}]


def test_unknown_fields_and_misfits_land_in_the_stream_that_owns_them() -> None:
    odd: Json = job(
        "a",
        zone={"x": [1]},
        rules=[{"type": "t", "weight": 0.5, MISFITS: {"description": 7}}],
        parsing_configuration={"lang": "en", "ocr": None, MISFITS: {"max_pages": "ten"}},
    )
    odd |= {"alpha": 1, MISFITS: {"mode": 7}}
    del odd["mode"]

    rows = [job_rows([odd]), rule_rows([odd]), parsing_config_rows([odd])]
    assert rows == [
        [
            JOB_ROW
            | {"mode": None, "additional_fields": {"alpha": 1, "mode": 7, "zone": {"x": [1]}}},
        ],
        [
            RULE_ROW
            | {
                "type": "t",
                "description": None,
                "additional_fields": {"description": 7, "weight": 0.5},
            },
        ],
        [
            PARSING_CONFIG_ROW
            | {
                "max_pages": None,
                "target_pages": None,
                "additional_fields": {"max_pages": "ten", "ocr": None},
            },
        ],
    ]


def test_additional_fields_are_in_the_order_of_their_names() -> None:
    odd = job("a", zone=1, alpha=2, middle=3) | {MISFITS: {"mode": 7, "status": 8}}
    fields = job_rows([odd])[0]["additional_fields"]

    assert list(fields) == ["alpha", "middle", "mode", "status", "zone"]


def test_misfits_alone_are_additional_fields() -> None:
    assert job_rows([{"id": "a", MISFITS: {"rules": "none"}}]) == [
        BARE_JOB_ROW | {"additional_fields": {"rules": "none"}}
    ]


@pytest.mark.parametrize("levels", [1, 49, 50, 51, 500])
@pytest.mark.parametrize(
    ("opened", "inmost", "closed"),
    [("[", "", "]"), ("[", "1", "]"), ('{"a":', "1", "}"), ('{"a":', "{}", "}")],
    ids=["lists", "lists around a number", "objects", "objects around an empty one"],
)
def test_value_that_nests_deeper_than_loaders_read_becomes_its_text(
    levels: int, opened: str, inmost: str, closed: str
) -> None:
    around = levels - (inmost == "{}")
    text = opened * around + inmost + closed * around
    value = json.loads(text)
    odd: Json = job("a", zone=value, rules=[{"x": value}]) | {MISFITS: {"mode": [value, 1]}}
    shown = value if levels <= 50 else text

    assert job_rows([odd])[0]["additional_fields"] == {
        "mode": [value, 1] if levels < 50 else f"[{text},1]",
        "zone": shown,
    }
    assert rule_rows([odd])[0]["additional_fields"] == {"x": shown}


def test_value_too_deep_to_be_written_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ReplyError, match="nested too deeply"):
        job_rows([job("a", zone=value)])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_rows_leave_the_items_as_they_are(table: Table) -> None:
    rules = [{"x": 1, MISFITS: {"type": 7}}, None]
    parsing = {"x": 1, MISFITS: {"lang": 7}}
    fields: Json = {
        "zone": 1,
        "rules": rules,
        "parsing_configuration": parsing,
        "configuration": {"x": 1, "rules": rules, "parsing_configuration": parsing},
        "result": {"x": 1, MISFITS: {"type": 7}},
        "usage": {"x": 1, MISFITS: {"credits": "x"}},
        MISFITS: {"mode": 7},
    }
    items = [MAKES[table.endpoint]("a") | fields]
    before = copy.deepcopy(items)
    table.rows_of(items)

    assert items == before


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_rows_have_the_columns_of_their_schema_in_its_order(table: Table) -> None:
    (row,) = table.rows_of([MAKES[table.endpoint]("a")])

    assert [*row] == [*schema_of(table.name)["properties"]]


def test_items_that_are_due_are_those_updated_since_and_those_that_do_not_say() -> None:
    items: list[Json] = [
        {"id": "before", "updated_at": CREATED_AT},
        {"id": "then", "updated_at": UPDATED_AT},
        {"id": "null", "updated_at": None},
        {"id": "absent"},
    ]

    assert [item["id"] for item in due(items, UPDATED_AT)] == ["then", "null", "absent"]
    assert due(items, None) == items


def test_tables_are_in_the_order_in_which_their_rows_are_written() -> None:
    assert [(table.name, [*table.keys], table.replication_key) for table in TABLES] == [
        ("classify_jobs", ["id"], "updated_at"),
        ("classify_job_rules", ["job_id", "rule_index"], "updated_at"),
        ("classify_job_parsing_configs", ["job_id"], "updated_at"),
        ("classify_job_results", ["id"], "job_updated_at"),
        ("classify_v2_jobs", ["id"], "updated_at"),
        ("classify_v2_job_rules", ["job_id", "rule_index"], "updated_at"),
        ("classify_v2_job_parsing_configs", ["job_id"], "updated_at"),
        ("classify_projects", ["id"], None),
        ("classify_organizations", ["id"], None),
    ]
