"""Whatever items the API sends, their rows fit their table, and hold all that was sent, once."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tap_llamaclassify.api.decoding import decode
from tap_llamaclassify.api.endpoints import (
    CONFIGURATIONS,
    FILES,
    ORGANIZATIONS,
    PROJECTS,
    TIMINGS,
    USAGE_METRICS,
    V1_JOBS,
    V1_RESULTS,
    V2_JOBS,
    Endpoint,
)
from tap_llamaclassify.api.models import MISFITS, Json
from tap_llamaclassify.errors import ReplyError
from tap_llamaclassify.tables.arrow import Columns
from tap_llamaclassify.tables.rows import due, job_rows, rule_rows
from tap_llamaclassify.tables.v2_rows import v2_job_rows
from tests.support.accounting import SCHEMAS, TABLES_OF, fits, kept_leaves, sent_leaves
from tests.support.builders import job
from tests.support.items import CREATED_AT, OWNER, UPDATED_AT, of_owner, v2_job

# What is drawn


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**53 + 1, 2**63, -(2**63) - 1, 10**400]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.characters(categories=["Cs"]),
    st.sampled_from(["2026-11-23T14:33:08+02:00", "2026-11-23", "0001-01-01T00:00:00+01:00"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
TEXT = st.text(max_size=3)
TIME = st.datetimes().map(str)
NUMBER = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)


ELSEWHERE = ("id", "project_id", "updated_at", "rules", "type")
"""Fields that some objects have; in others they are as unknown as any."""


def objects(**fields: Any) -> st.SearchStrategy[Json]:
    """Draw objects that have each of the fields, have it with another value, or lack it."""
    known = {name: usual | JSON for name, usual in fields.items()}
    return st.builds(
        lambda unknown, some: unknown | some,
        st.dictionaries(TEXT | st.sampled_from([*fields, *ELSEWHERE]), JSON, max_size=2),
        st.fixed_dictionaries({}, optional=known),
    )


def items(**fields: Any) -> st.SearchStrategy[list[Json]]:
    """Draw lists of objects with ids that differ."""
    one = st.builds(
        lambda item, identity: item | {"id": identity},
        objects(**fields, created_at=TIME, updated_at=TIME),
        # Beside a lone surrogate the door refuses an id that might have held one.
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd"), min_size=1),
    )
    return st.lists(one, max_size=3, unique_by=lambda item: item["id"])


RULES = st.lists(objects(type=TEXT, description=TEXT) | JSON, max_size=3)
V1_PAGES = st.lists(st.integers(0, 9) | SCALARS, max_size=3)
PAGES = st.integers(-(2**64), 2**64)
PRODUCTS = st.sampled_from(["classify_v2", "classify", "extract_v2", ""])
CLASSIFICATION = objects(type=TEXT, confidence=NUMBER, reasoning=TEXT)
ITEMS = {
    V1_JOBS: items(
        project_id=TEXT,
        status=TEXT,
        effective_at=TIME,
        rules=RULES,
        parsing_configuration=objects(lang=TEXT, max_pages=PAGES, target_pages=V1_PAGES),
    ),
    V2_JOBS: items(
        project_id=TEXT,
        status=TEXT,
        configuration=objects(
            rules=RULES,
            mode=TEXT,
            parsing_configuration=objects(lang=TEXT, max_pages=PAGES, target_pages=TEXT),
        ),
        file_input=TEXT,
        document_input_value=TEXT,
        result=CLASSIFICATION,
        usage=objects(credits=NUMBER, parse_credits=NUMBER),
    ),
    V1_RESULTS: items(
        classify_job_id=TEXT | st.just(OWNER["id"]), file_id=TEXT, result=CLASSIFICATION
    ),
    PROJECTS: items(name=TEXT, organization_id=TEXT, is_default=st.booleans()),
    ORGANIZATIONS: items(name=TEXT),
    TIMINGS: items(
        status=TEXT,
        custom_tag=TEXT,
        state_transitions=objects(pending_at=TIME, running_at=TIME, completed_at=TIME),
    ),
    USAGE_METRICS: items(
        day=TIME,
        event_type=TEXT,
        value=PAGES,
        credits=NUMBER,
        usage_tags=st.lists(TEXT | SCALARS, max_size=3),
        properties=st.dictionaries(TEXT, JSON, max_size=2),
    ),
    CONFIGURATIONS: items(
        name=TEXT,
        product_type=PRODUCTS,
        parameters=objects(
            product_type=PRODUCTS,
            rules=RULES,
            mode=TEXT,
            parsing_configuration=objects(lang=TEXT, max_pages=PAGES, target_pages=TEXT),
        ),
    ),
    FILES: items(name=TEXT, file_type=TEXT, last_modified_at=TIME, download_url=TEXT),
}
SOURCES_AND_ITEMS = st.sampled_from([*ITEMS]).flatmap(
    lambda source: st.tuples(st.just(source), ITEMS[source])
)


def read(source: Endpoint, sent: Any, *, ascii_only: bool = True) -> list[Json]:
    """Let items in by the door."""
    page = json.dumps({"items": sent}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    came = [*source.parse(page).items]
    return of_owner(came) if source is V1_RESULTS else came


# Types, keys and order


@pytest.mark.parametrize(
    ("value", "column", "fitting"),
    [
        (None, {"type": ["string", "null"]}, True),
        (None, {"type": "string"}, False),
        (7, {"type": "string"}, False),
        (True, {"type": ["integer", "null"]}, False),
        (2**63, {"type": ["integer", "null"]}, False),
        (True, {"type": ["number", "null"]}, False),
        (2**53 + 1, {"type": ["number", "null"]}, False),
        (2**53, {"type": ["number", "null"]}, True),
        (0.5, {"type": ["number", "null"]}, True),
        (1, {"type": ["boolean", "null"]}, False),
        ([1, None], {"type": ["array", "null"], "items": {"type": "integer"}}, False),
        ("2026-11-23", {"type": ["string", "null"], "format": "date-time"}, False),
        (UPDATED_AT, {"type": ["string", "null"], "format": "date-time"}, True),
    ],
    ids=lambda value: str(value)[:30],
)
def test_fits_can_say_no(value: Any, column: Json, fitting: bool) -> None:  # noqa: FBT001 - a column of the table
    assert fits(value, column) is fitting


def check_rows(source: Endpoint, came: list[Json]) -> None:
    """Make sure that the rows of items fit the tables of their source."""
    before = copy.deepcopy(came)
    for table in TABLES_OF[source]:
        rows = table.rows_of(came)
        assert came == before
        columns = SCHEMAS[table.name]["properties"]
        keys = [tuple(row[key] for key in table.keys) for row in rows]
        assert len({*keys}) == len(keys)
        for row in rows:
            assert [*row] == [*columns]
            assert [name for name in row if not fits(row[name], columns[name])] == []
            assert row["additional_fields"] != {}
            assert msgspec.json.decode(msgspec.json.encode(row)) == row
        batch = Columns(table.name, SCHEMAS[table.name], table.keys).batch(rows)
        assert batch.num_rows == len(rows)


@given(SOURCES_AND_ITEMS, st.booleans())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_items_are_sent_become_rows_that_fit_their_tables_with_keys_that_differ(
    drawn: tuple[Endpoint, list[Json]],
    ascii_only: bool,  # noqa: FBT001 - drawn
) -> None:
    source, sent = drawn
    came = read(source, sent, ascii_only=ascii_only)

    assert len(came) == len(sent)
    check_rows(source, came)


@given(st.sampled_from([*ITEMS]), JSON)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_only_items_that_are_no_list_of_objects_with_ids_are_refused(
    source: Endpoint, sent: Any
) -> None:
    try:
        came = read(source, sent)
    except ReplyError:
        assert not is_list_of_items(sent)
    else:
        assert is_list_of_items(sent)
        assert len(came) == len(sent)


def is_list_of_items(sent: Any) -> bool:
    """Say whether this is what a page may have as its items."""
    return isinstance(sent, list) and all(
        isinstance(item, dict)
        and isinstance(item.get("id"), str)
        and item["id"]
        and not re.search("[\ud800-\udfff]", item["id"])
        for item in sent
    )


@given(SOURCES_AND_ITEMS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_rows_do_not_depend_on_the_order_of_fields_nor_on_the_other_items(
    drawn: tuple[Endpoint, list[Json]],
) -> None:
    source, sent = drawn
    turned = [dict(reversed(item.items())) for item in sent]
    for table in TABLES_OF[source]:
        rows = msgspec.json.encode(table.rows_of(read(source, sent)))
        assert msgspec.json.encode(table.rows_of(read(source, turned))) == rows
        alone = [row for item in sent for row in table.rows_of(read(source, [item]))]
        assert msgspec.json.encode(alone) == rows


# Nothing is lost, nothing comes twice

ODD_RULES = [{"type": "one", "weight": 1}, None, {}, {"type": 7}, None]
ODD_RESULT = {"reasoning": "r", "page": 3, "confidence": "high"}
ODD_V2_JOB = v2_job(
    "a",
    zone={"x": [1]},
    configuration={
        "id": "x",
        "cache": None,
        "mode": 7,
        "rules": ODD_RULES,
        "parsing_configuration": {"ocr": True, "target_pages": [1]},
    },
    document_input_value="old",
    result=ODD_RESULT,
    usage={"seconds": 2, "credits": "1"},
    rules=[{"type": "no"}],
)


@given(SOURCES_AND_ITEMS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@example((V1_JOBS, [job("a", rules=ODD_RULES, parsing_configuration={}), {"id": "b"}]))
@example((V2_JOBS, [ODD_V2_JOB, v2_job("b"), {"id": "c"}]))
@example((V1_RESULTS, [{"id": "a", "result": ODD_RESULT, "classify_job_id": "other"}]))
def test_all_that_an_item_holds_is_in_its_rows_once(drawn: tuple[Endpoint, list[Json]]) -> None:
    source, items_drawn = drawn
    body = json.dumps({"items": items_drawn}).encode()
    for sent, came in zip(decode(body)[0]["items"], read(source, items_drawn), strict=True):
        assert kept_leaves(source, came) == sent_leaves(source, sent)


def test_what_has_no_column_is_kept_in_the_order_of_its_names_inside_objects_too() -> None:
    many = dict.fromkeys("dacbfe", 1)
    (row,) = v2_job_rows([v2_job("a", configuration=many, **many)])
    left = row["additional_fields"]
    assert [*left] == ["a", "b", "c", "configuration", "d", "e", "f"]
    assert [*left["configuration"]] == [*"abcdef"]


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


def test_items_that_are_due_are_those_updated_since_and_those_that_do_not_say() -> None:
    items: list[Json] = [
        {"id": "before", "updated_at": CREATED_AT},
        {"id": "then", "updated_at": UPDATED_AT},
        {"id": "null", "updated_at": None},
        {"id": "absent"},
    ]

    assert [item["id"] for item in due(items, UPDATED_AT)] == ["then", "null", "absent"]
    assert due(items, None) == items
