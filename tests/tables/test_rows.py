"""The API's items become the rows of each stream: whole rows, in the order of the items.

What nests has columns of its own, or is kept under its path.
"""

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
from tap_llamaclassify.tables.rows import due, job_rows, project_rows, result_rows, rule_rows
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import TABLES, Table
from tap_llamaclassify.tables.v2_rows import v2_job_rows
from tests.support.builders import job
from tests.support.items import (
    CREATED_AT,
    OWNER,
    UPDATED_AT,
    configuration,
    of_owner,
    organization,
    project,
    result,
    v2_job,
)

Rows = list[dict[str, Any]]
ROWS_OF = {table.name: table.rows_of for table in TABLES}


def a_result(identity: str, **fields: Any) -> Json:
    """Make a result with its job beside it."""
    return of_owner([result(identity, **fields)])[0]


def v2_job_asking(identity: str, **asked: Any) -> Json:
    """Make a v2 job by what it was asked to do."""
    return v2_job(identity, configuration=configuration(**asked))


MAKES: dict[Endpoint, Callable[..., Json]] = {
    V1_JOBS: job,
    V2_JOBS: v2_job,
    V1_RESULTS: a_result,
    PROJECTS: project,
    ORGANIZATIONS: organization,
}
each_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def row_of(table: str, item: Json, **others: Any) -> Json:
    """Make a table's row that holds an item's fields under their own names, and others."""
    return {name: item.get(name) for name in schema_of(table)["properties"]} | others


def prefixed(name: str, fields: Json) -> Json:
    """Name fields as the columns of an object that nests in a job are named."""
    return {f"{name}_{field}": value for field, value in fields.items()}


NESTED = prefixed("result", v2_job("a")["result"]) | prefixed("usage", v2_job("a")["usage"])
OF_JOB = {"job_id": "a", "project_id": "project", "updated_at": UPDATED_AT}
RULE_ROW = row_of("classify_job_rules", job("a")["rules"][0], rule_index=0, **OF_JOB)
RESULT_ROW = row_of(
    "classify_job_results",
    result("a") | result("a")["result"],
    job_id="job",
    project_id="project",
    job_updated_at=OWNER["updated_at"],
)
PROJECT_ROW = row_of("classify_projects", project("a"))


class Version:
    """How the jobs of a version become rows.

    Attributes:
        asking: Makes a job by what it was asked to do.
        job, config: The rows of the job "a" and of its parsing configuration.
    """

    def __init__(
        self, prefix: str, make: Callable[..., Json], asking: Callable[..., Json], **columns: Any
    ) -> None:
        kinds = ("s", "_rules", "_parsing_configs")
        self.job_rows, self.rule_rows, self.config_rows = (
            ROWS_OF[f"{prefix}{kind}"] for kind in kinds
        )
        self.make, self.asking = make, asking
        made = make("a")
        self.job = row_of(f"{prefix}s", made, rule_count=1, **columns)
        config = made.get("configuration", made)["parsing_configuration"]
        self.config = row_of(f"{prefix}_parsing_configs", config, **OF_JOB)

    def all_rows(self, made: Json) -> list[Rows]:
        """Return a job's rows in each table."""
        return [self.job_rows([made]), self.rule_rows([made]), self.config_rows([made])]


V1 = Version("classify_job", job, job)
V2 = Version("classify_v2_job", v2_job, v2_job_asking, mode="FAST", **NESTED)
each_version = pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])


# One row an item


@each_version
def test_job_rows_are_one_a_job_in_their_order(version: Version) -> None:
    own = {"effective_at": UPDATED_AT, "job_record_id": "r"}
    changes = {"id": "b", "status": "FAILED", "error_message": "no text"}
    changes |= own if version is V1 else {"transaction_id": "t"}

    assert version.job_rows([version.make("a"), version.make("a") | changes]) == [
        version.job,
        version.job | changes,
    ]


@each_version
def test_rule_rows_are_one_a_rule_with_its_position_and_none_for_what_is_no_object(
    version: Version,
) -> None:
    rules = [{"type": "one", "description": "first"}, None, {"type": "two", "weight": 1}, None]
    odd = version.asking("a", rules=rules)

    assert version.rule_rows([odd, version.make("b")]) == [
        RULE_ROW | {"type": "one", "description": "first"},
        RULE_ROW
        | {"rule_index": 2, "type": "two", "description": None}
        | {"additional_fields": {"weight": 1}},
        RULE_ROW | {"job_id": "b"},
    ]
    assert version.job_rows([odd]) == [version.job | {"rule_count": 4}]


@each_version
def test_parsing_config_rows_are_one_a_job_that_has_one(version: Version) -> None:
    without = version.asking("z", parsing_configuration=None)

    assert version.config_rows([without, version.make("a"), version.make("b")]) == [
        version.config,
        version.config | {"job_id": "b"},
    ]


def test_result_rows_are_one_a_result_with_their_job() -> None:
    other = OWNER | {"id": "other", "updated_at": None}
    results = [a_result("a"), *of_owner([result("b", classify_job_id="other")], other)]

    assert result_rows(results) == [
        RESULT_ROW,
        RESULT_ROW | {"id": "b", "job_id": "other", "job_updated_at": None},
    ]


@each_table
def test_no_items_have_no_rows(table: Table) -> None:
    assert table.rows_of([]) == []


@each_table
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


# What is missing


def nulls(item: Json) -> Json:
    """Make every field null but the id, and the job that a result comes with."""
    return {name: value if name in {"id", "job"} else None for name, value in item.items()}


def hollow(item: Json) -> Json:
    """Make every field of the objects that an item nests null, too."""
    return {
        name: dict.fromkeys(value) if isinstance(value, dict) else None
        for name, value in item.items()
    } | {"id": item["id"]}


@each_version
def test_job_needs_its_id_only_and_no_rules(version: Version) -> None:
    bare = dict.fromkeys(version.job) | {"id": "a", "rule_count": 0}
    for without in ({"id": "a"}, nulls(version.make("a"))):
        assert version.all_rows(without) == [[bare], [], []]
    nothing: tuple[Any, ...] = (None, [])
    for none in nothing:
        free = version.all_rows(version.asking("a", rules=none))
        assert free == [[version.job | {"rule_count": 0}], [], [version.config]]


def test_objects_of_a_v2_job_may_be_empty_or_of_nulls() -> None:
    bare = dict.fromkeys(V2.job) | {"id": "a", "rule_count": 0}
    empty: Json = {"id": "a", "configuration": {}, "result": {}, "usage": {}}

    assert V2.all_rows(empty) == V2.all_rows(hollow(v2_job("a"))) == [[bare], [], []]


@each_version
def test_rule_or_parsing_configuration_without_fields_is_a_row_of_nulls(version: Version) -> None:
    no_rule = RULE_ROW | {"type": None, "description": None}
    pages = {"lang": None, "max_pages": None, "target_pages": None}
    for rule, parsing in (({}, {}), ({"type": None, "description": None}, pages)):
        bare = version.asking("a", rules=[rule], parsing_configuration=parsing)
        assert version.rule_rows([bare]) == [no_rule]
        assert version.config_rows([bare]) == [version.config | pages]


NO_OUTCOME = {"type": None, "confidence": None, "reasoning": None}


def test_result_or_project_needs_no_more_than_its_id_and_a_result_its_job() -> None:
    alone = dict.fromkeys(RESULT_ROW) | {"id": "a", "job_id": "job"}
    for bare in ({"id": "a"}, nulls(result("a"))):
        assert result_rows(of_owner([bare], {"id": "job"})) == [alone]
    for bare in ({"id": "a"}, nulls(project("a"))):
        assert project_rows([bare]) == [dict.fromkeys(PROJECT_ROW) | {"id": "a"}]
    for outcome in (None, {}, NO_OUTCOME):
        assert result_rows([a_result("a", result=outcome)]) == [RESULT_ROW | NO_OUTCOME]


# What has no column


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
    fields = {
        "configuration": {"cache": None, "mode": 7, "zeal": 1},
        "document_input_value": "old",
        "result": {"confidence": "high", "page": 3},
        "status": 7,
        "usage": {"credits": "1", "seconds": 2},
        "zone": {"x": [1]},
    }
    nothing = dict.fromkeys(["status", "mode", *NESTED]) | {"result_reasoning": "r"}
    (row,) = v2_job_rows([odd])

    assert row == V2.job | nothing | {"additional_fields": fields}
    assert [*row["additional_fields"]] == [*fields]
    assert [*row["additional_fields"]["configuration"]] == ["cache", "mode", "zeal"]
    (rule,), (parsing,) = V2.rule_rows([odd]), V2.config_rows([odd])
    assert rule["additional_fields"] == {"type": 7, "weight": 1}
    assert parsing["additional_fields"] == {"ocr": True, "target_pages": [1]}


@pytest.mark.parametrize(
    ("version", "name"),
    [(V1, "rules"), (V2, "configuration"), (V2, "result"), (V2, "usage")],
    ids=["rules", "configuration", "result", "usage"],
)
def test_field_of_another_shape_is_an_additional_field(version: Version, name: str) -> None:
    (row,) = version.job_rows([{"id": "a", MISFITS: {name: ["other"]}}])
    expected = {"id": "a", "rule_count": 0, "additional_fields": {name: ["other"]}}

    assert row == dict.fromkeys(version.job) | expected


def test_rows_of_a_v2_jobs_rules_take_nothing_of_its_own_from_the_configuration() -> None:
    clash = {"id": "x", "project_id": "y", "updated_at": "z"}
    odd = v2_job_asking("a", **clash) | {"rules": [{"type": "no"}]}
    fields = {"configuration": clash, "rules": [{"type": "no"}]}

    assert V2.all_rows(odd) == [
        [V2.job | {"additional_fields": fields}],
        [RULE_ROW],
        [V2.config],
    ]


def test_result_of_another_job_than_the_one_asked_for_says_so() -> None:
    (row,) = result_rows([a_result("a", classify_job_id="other")])

    assert row == RESULT_ROW | {"additional_fields": {"classify_job_id": "other"}}


# What values are


@pytest.mark.parametrize("levels", [1, 48, 49, 50, 51, 500])
@pytest.mark.parametrize(
    ("opened", "inmost", "closed"),
    [("[", "", "]"), ("[", "1", "]"), ('{"a":', "1", "}"), ('{"a":', "{}", "}")],
    ids=["lists", "lists around a number", "objects", "objects around an empty one"],
)
def test_value_that_nests_deeper_than_loaders_read_where_it_ends_up_becomes_its_text(
    levels: int, opened: str, inmost: str, closed: str
) -> None:
    around = levels - (inmost == "{}")
    text = opened * around + inmost + closed * around
    value = json.loads(text)
    odd: Json = job("a", zone=value, rules=[{"x": value}]) | {MISFITS: {"mode": [value, 1]}}
    shown = value if levels <= 50 else text
    (row,) = v2_job_rows([v2_job("a", zone=value, result={"zone": value})])

    assert job_rows([odd])[0]["additional_fields"] == {
        "mode": [value, 1] if levels < 50 else f"[{text},1]",
        "zone": shown,
    }
    assert rule_rows([odd])[0]["additional_fields"] == {"x": shown}
    nested = {"zone": value if levels < 50 else text}
    assert row["additional_fields"] == {"result": nested, "zone": shown}


def test_value_too_deep_to_be_written_is_refused() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ReplyError, match="nested too deeply"):
        job_rows([job("a", zone=value)])


# The tables


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
