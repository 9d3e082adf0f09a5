"""v2 jobs, results and projects become rows: what nests has columns, or is kept under its path."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tap_llamaclassify.api.models import MISFITS, Json
from tap_llamaclassify.tables.rows import project_rows, result_rows
from tap_llamaclassify.tables.v2_rows import v2_job_rows, v2_parsing_config_rows, v2_rule_rows
from tests.support.items import (
    CREATED_AT,
    OWNER,
    UPDATED_AT,
    configuration,
    of_owner,
    project,
    result,
    v2_job,
)

JOB_ROW = {
    "id": "a",
    "project_id": "project",
    "user_id": "user",
    "status": "COMPLETED",
    "mode": "FAST",
    "configuration_id": "cfg",
    "document_input_type": "file_id",
    "file_input": "dfl-1",
    "parse_job_id": "pjb-1",
    "transaction_id": None,
    "error_message": None,
    "result_type": "invoice",
    "result_confidence": 0.75,
    "result_reasoning": "it has an amount",
    "usage_credits": 1.5,
    "usage_parse_credits": 1,
    "rule_count": 1,
    "created_at": CREATED_AT,
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
    "target_pages": "1,3,5-7",
    "updated_at": UPDATED_AT,
    "additional_fields": None,
}
RESULT_ROW = {
    "id": "a",
    "job_id": "job",
    "project_id": "project",
    "file_id": "file",
    "type": "invoice",
    "confidence": 0.75,
    "reasoning": "it has an amount",
    "created_at": CREATED_AT,
    "updated_at": UPDATED_AT,
    "job_updated_at": OWNER["updated_at"],
    "additional_fields": None,
}
PROJECT_ROW = {
    "id": "a",
    "name": "Invoices",
    "organization_id": "organization",
    "is_default": True,
    "created_at": CREATED_AT,
    "updated_at": UPDATED_AT,
    "additional_fields": None,
}
BARE_JOB_ROW = dict.fromkeys(JOB_ROW) | {"id": "a", "rule_count": 0}
NO_OUTCOME = {"type": None, "confidence": None, "reasoning": None}


def nulls(item: Json) -> Json:
    """Make every field null but the id."""
    return dict.fromkeys(item) | {"id": item["id"]}


# v2 jobs


def test_v2_job_rows_are_one_a_job_in_their_order() -> None:
    failed = v2_job("b", status="FAILED", error_message="no text", transaction_id="t")
    changes = {"id": "b", "status": "FAILED", "error_message": "no text", "transaction_id": "t"}

    assert v2_job_rows([v2_job("a"), failed]) == [JOB_ROW, JOB_ROW | changes]


@pytest.mark.parametrize(
    "bare",
    [
        {"id": "a"},
        nulls(v2_job("a")),
        nulls(v2_job("a")) | {"configuration": {}, "result": {}, "usage": {}},
        nulls(v2_job("a"))
        | {
            "configuration": dict.fromkeys(configuration()),
            "result": dict.fromkeys(v2_job("a")["result"]),
            "usage": dict.fromkeys(v2_job("a")["usage"]),
        },
    ],
    ids=["absent", "null", "empty objects", "objects of nulls"],
)
def test_v2_optional_fields_may_be_missing(bare: Json) -> None:
    assert v2_job_rows([bare]) == [BARE_JOB_ROW]
    assert v2_rule_rows([bare]) == []
    assert v2_parsing_config_rows([bare]) == []


def test_numbers_of_a_v2_job_are_as_they_were_sent() -> None:
    (row,) = v2_job_rows([v2_job("a", result={"confidence": 1}, usage={"credits": 2.0})])

    assert repr(row["result_confidence"]) == "1"
    assert repr(row["usage_credits"]) == "2.0"


def test_v2_rule_rows_are_one_a_rule_with_its_position() -> None:
    rules = [{"type": "one", "description": "first"}, None, {"type": "two", "weight": 1}]
    odd = v2_job("a", configuration=configuration(rules=rules))

    assert v2_rule_rows([odd, v2_job("b")]) == [
        RULE_ROW | {"type": "one", "description": "first"},
        RULE_ROW
        | {"rule_index": 2, "type": "two", "description": None}
        | {"additional_fields": {"weight": 1}},
        RULE_ROW | {"job_id": "b"},
    ]
    assert v2_job_rows([odd]) == [JOB_ROW | {"rule_count": 3}]


def test_v2_parsing_config_rows_are_one_a_job_that_has_one() -> None:
    jobs = [v2_job("z", configuration=configuration(parsing_configuration=None)), v2_job("a")]

    assert v2_parsing_config_rows(jobs) == [PARSING_CONFIG_ROW]


def test_rows_of_a_v2_jobs_rules_take_nothing_of_its_own_from_the_configuration() -> None:
    clash = {"id": "x", "project_id": "y", "updated_at": "z"}
    odd = v2_job("a", configuration=configuration(**clash), rules=[{"type": "no"}])

    assert v2_rule_rows([odd]) == [RULE_ROW]
    assert v2_parsing_config_rows([odd]) == [PARSING_CONFIG_ROW]
    assert v2_job_rows([odd]) == [
        JOB_ROW | {"additional_fields": {"configuration": clash, "rules": [{"type": "no"}]}}
    ]


def test_what_a_v2_job_nests_beyond_the_columns_is_kept_under_its_path_in_order() -> None:
    odd = v2_job(
        "a",
        zone={"x": [1]},
        configuration={
            "zeal": 1,
            "cache": None,
            "rules": [{"weight": 1, MISFITS: {"type": 7}}],
            "parsing_configuration": {"ocr": True, MISFITS: {"target_pages": [1]}},
            MISFITS: {"mode": 7},
        },
        result={"reasoning": "r", "page": 3, MISFITS: {"confidence": "high"}},
        usage={"seconds": 2, MISFITS: {"credits": "1"}},
    ) | {MISFITS: {"status": 7}, "document_input_value": "old"}
    del odd["status"]
    (row,) = v2_job_rows([odd])

    assert row == JOB_ROW | {
        "status": None,
        "mode": None,
        "result_type": None,
        "result_confidence": None,
        "result_reasoning": "r",
        "usage_credits": None,
        "usage_parse_credits": None,
        "additional_fields": {
            "configuration": {"cache": None, "mode": 7, "zeal": 1},
            "document_input_value": "old",
            "result": {"confidence": "high", "page": 3},
            "status": 7,
            "usage": {"credits": "1", "seconds": 2},
            "zone": {"x": [1]},
        },
    }
    fields = row["additional_fields"]
    assert [*fields] == sorted(fields)
    assert [*fields["configuration"]] == ["cache", "mode", "zeal"]
    (rule,) = v2_rule_rows([odd])
    assert rule["additional_fields"] == {"type": 7, "weight": 1}
    (parsing,) = v2_parsing_config_rows([odd])
    assert parsing["additional_fields"] == {"ocr": True, "target_pages": [1]}


@pytest.mark.parametrize("name", ["configuration", "result", "usage"])
def test_v2_object_of_another_shape_is_an_additional_field(name: str) -> None:
    odd = {"id": "a", MISFITS: {name: ["other"]}}

    assert v2_job_rows([odd]) == [BARE_JOB_ROW | {"additional_fields": {name: ["other"]}}]


@pytest.mark.parametrize("levels", [48, 49, 50, 51])
def test_nested_value_is_as_deep_as_loaders_read_where_it_ends_up(levels: int) -> None:
    text = "[" * levels + "]" * levels
    value: Any = json.loads(text)
    odd = v2_job("a", zone=value, result={"zone": value})
    (row,) = v2_job_rows([odd])

    assert row["additional_fields"] == {
        "result": {"zone": value if levels <= 49 else text},
        "zone": value if levels <= 50 else text,
    }


# Results


def test_result_rows_are_one_a_result_with_their_job() -> None:
    other = OWNER | {"id": "other", "updated_at": None}
    results = of_owner([result("a")]) + of_owner([result("b", classify_job_id="other")], other)

    assert result_rows(results) == [
        RESULT_ROW,
        RESULT_ROW | {"id": "b", "job_id": "other", "job_updated_at": None},
    ]


def test_result_needs_its_id_and_its_job_only() -> None:
    expected = dict.fromkeys(RESULT_ROW) | {"id": "a", "job_id": "job"}

    assert result_rows(of_owner([{"id": "a"}], {"id": "job"})) == [expected]
    assert result_rows(of_owner([nulls(result("a"))], {"id": "job"})) == [expected]


@pytest.mark.parametrize("value", [None, {}, NO_OUTCOME], ids=["null", "empty", "nulls"])
def test_result_without_an_outcome_is_a_row_of_nulls(value: Any) -> None:
    assert result_rows(of_owner([result("a", result=value)])) == [RESULT_ROW | NO_OUTCOME]


def test_result_of_another_job_than_the_one_asked_for_says_so() -> None:
    (row,) = result_rows(of_owner([result("a", classify_job_id="other")]))

    assert row == RESULT_ROW | {"additional_fields": {"classify_job_id": "other"}}


def test_what_a_result_has_beyond_the_columns_is_kept_under_its_path_in_order() -> None:
    odd = result(
        "a", zone=1, job_id="x", project_id="y", result={"page": 3, MISFITS: {"type": 7}}
    ) | {MISFITS: {"file_id": 7, "classify_job_id": 8}}
    del odd["file_id"], odd["classify_job_id"]
    (row,) = result_rows(of_owner([odd]))

    assert row == RESULT_ROW | NO_OUTCOME | {
        "file_id": None,
        "additional_fields": {
            "classify_job_id": 8,
            "file_id": 7,
            "job_id": "x",
            "project_id": "y",
            "result": {"page": 3, "type": 7},
            "zone": 1,
        },
    }
    assert [*row["additional_fields"]] == sorted(row["additional_fields"])


# Projects


def test_project_rows_are_one_a_project_in_their_order() -> None:
    assert project_rows([project("a"), project("b", is_default=False)]) == [
        PROJECT_ROW,
        PROJECT_ROW | {"id": "b", "is_default": False},
    ]


@pytest.mark.parametrize("bare", [{"id": "a"}, nulls(project("a"))], ids=["absent", "null"])
def test_project_needs_its_id_only(bare: Json) -> None:
    assert project_rows([bare]) == [dict.fromkeys(PROJECT_ROW) | {"id": "a"}]


def test_what_a_project_has_beyond_the_columns_is_kept_in_order() -> None:
    odd = project("a", zone=1, budget={"x": 1}) | {MISFITS: {"name": 7}}
    del odd["name"]
    (row,) = project_rows([odd])

    fields = {"budget": {"x": 1}, "name": 7, "zone": 1}
    assert row == PROJECT_ROW | {"name": None, "additional_fields": fields}
    assert [*row["additional_fields"]] == [*fields]
