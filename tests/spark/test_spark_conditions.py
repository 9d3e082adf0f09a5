"""Conditions that are taken from Spark choose exactly the rows that Spark would choose."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tap_llamaclassify.replication.cuts import Narrowed
from tap_llamaclassify.spark.conditions import Condition, condition_of, holding, may_have, narrowed
from tests.support.builders import cases, connection

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
AT_NOON = "2026-11-01T12:00:00.000000Z"
JUST_AFTER = "2026-11-01T12:00:00.000001Z"
LATER = "2026-11-02T12:00:00.000000Z"
ROWS = [{"created_at": at} for at in (None, "2026-11-01T11:59:59.999999Z", AT_NOON, JUST_AFTER)]


def of(column: str, kind: str, value: Any) -> Condition:
    condition = condition_of(column, kind, value)
    assert condition
    return condition


@cases(
    "kind, value, places",
    {
        "=": ("EqualTo", NOON, [2]),
        "<=>": ("EqualNullSafe", NOON, [2]),
        ">": ("GreaterThan", NOON, [3]),
        ">=": ("GreaterThanOrEqual", NOON, [2, 3]),
        "<": ("LessThan", NOON, [1]),
        "<=": ("LessThanOrEqual", NOON, [1, 2]),
        "IN": ("In", (NOON, datetime(2020, 1, 1, tzinfo=UTC)), [2]),
        "IS NOT NULL": ("IsNotNull", None, [1, 2, 3]),
    },
)
def test_condition_holds_as_in_sql_and_for_no_null(
    kind: str, value: Any, places: list[int]
) -> None:
    condition = of("created_at", kind, value)
    assert holding(ROWS, [condition]) == [ROWS[place] for place in places]
    begin, end = condition.span
    for place in places:
        assert (begin or "") <= (ROWS[place]["created_at"] or "") < (end or "9999")


@cases(
    "column, kind, value",
    {
        "another column": ("id", "EqualTo", "a"),
        "an order of texts": ("status", "GreaterThan", "A"),
        "a null": ("status", "EqualNullSafe", None),
        "a null among others": ("status", "In", ("A", None)),
        "none of none": ("status", "In", ()),
        "a time without a zone": ("created_at", "LessThan", datetime(2026, 1, 1)),  # noqa: DTZ001
        "no time": ("created_at", "LessThan", 5),
        "another kind": ("status", "StringStartsWith", "A"),
        "a null only": ("status", "IsNull", None),
        "what is not so": ("status", "Not", None),
    },
)
def test_condition_is_left_to_spark(column: str, kind: str, value: Any) -> None:
    assert condition_of(column, kind, value) is None


def test_api_is_asked_for_what_all_conditions_have_in_common() -> None:
    conditions = [
        of("created_at", "GreaterThan", NOON),
        of("created_at", "LessThanOrEqual", datetime(2026, 11, 2, 12, tzinfo=UTC)),
        of("created_at", "IsNotNull", None),
        of("updated_at", "GreaterThan", NOON),
        of("status", "IsNotNull", None),
        of("status", "In", ("FAILED", "COMPLETED")),
        of("status", "EqualTo", "FAILED"),
    ]
    assert narrowed(conditions) == Narrowed(JUST_AFTER, "2026-11-02T12:00:00.000001Z", "FAILED")
    assert narrowed([]) == Narrowed()


@pytest.mark.parametrize("value", [("PAUSED",), ("FAILED", "COMPLETED")], ids=str)
def test_status_that_the_api_may_refuse_or_several_are_not_asked_for(value: Any) -> None:
    assert narrowed([of("status", "In", value)]) == Narrowed()


def test_connection_of_another_project_has_no_rows() -> None:
    conditions = [of("project_id", "In", ("a", "b"))]
    assert may_have(connection(scope={}), conditions)
    assert may_have(connection(scope={"project_id": "a"}), conditions)
    assert may_have(connection(scope={"project_id": "A"}), conditions)
    assert may_have(connection(scope={"project_id": "c"}), [of("project_id", "IsNotNull", None)])
    assert not may_have(connection(scope={"project_id": "c"}), conditions)
