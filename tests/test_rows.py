"""Jobs become the rows of three streams: whole rows, in the types of their schemas."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import job
from tap_llamaclassify.errors import ReplyError
from tap_llamaclassify.models import MISFITS, Json, read_page
from tap_llamaclassify.rows import Row, job_rows, parsing_config_rows, rule_rows
from tap_llamaclassify.schemas import schema_of

UPDATED_AT = "2026-11-01T08:00:00.000000Z"
CREATED_AT = "2026-11-01T07:59:00.000000Z"
IS_FIXED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII).fullmatch

MAKERS: dict[str, Callable[[Sequence[Json]], list[Row]]] = {
    "classify_jobs": job_rows,
    "classify_job_rules": rule_rows,
    "classify_job_parsing_configs": parsing_config_rows,
}
SCHEMAS = {stream: schema_of(stream)["properties"] for stream in MAKERS}

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


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_no_jobs_have_no_rows(maker: Callable[[Sequence[Json]], list[Row]]) -> None:
    assert maker([]) == []


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


def test_rows_leave_the_jobs_as_they_are() -> None:
    jobs: list[Json] = [
        job("a", zone=1, rules=[{"x": 1, MISFITS: {"type": 7}}, None]) | {MISFITS: {"mode": 7}},
        job("b", parsing_configuration={"x": 1, MISFITS: {"lang": 7}}),
    ]
    before = copy.deepcopy(jobs)
    for maker in MAKERS.values():
        maker(jobs)

    assert jobs == before


@pytest.mark.parametrize("stream", MAKERS)
def test_rows_have_the_columns_of_their_schema(stream: str) -> None:
    (row,) = MAKERS[stream]([job("a")])

    assert sorted(row) == sorted(SCHEMAS[stream])


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, -(2**63) - 1, 10**400]),
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


def objects(**fields: Any) -> st.SearchStrategy[Json]:
    """Draw objects that have each of the fields, have it with another value, or lack it."""
    known = {name: usual | JSON for name, usual in fields.items()}
    return st.builds(
        lambda unknown, some: unknown | some,
        st.dictionaries(st.text(max_size=3), JSON, max_size=2),
        st.fixed_dictionaries({}, optional=known),
    )


RULES = objects(type=st.text(max_size=3), description=st.text(max_size=3))
CONFIGS = objects(
    lang=st.text(max_size=3),
    max_pages=st.integers(-(2**64), 2**64),
    target_pages=st.lists(st.integers(0, 9) | SCALARS, max_size=3),
)
JOBS = st.builds(
    lambda fields, identity: fields | {"id": identity},
    objects(
        project_id=st.text(max_size=3),
        status=st.text(max_size=3),
        rules=st.lists(RULES | JSON, max_size=3),
        parsing_configuration=CONFIGS,
        created_at=st.datetimes().map(str),
        updated_at=st.datetimes().map(str),
    ),
    st.text(min_size=1, max_size=3),
)


def fits(value: Any, column: Json) -> bool:
    """Say whether a value has the type that a schema gives a column."""
    types = column["type"] if isinstance(column["type"], list) else [column["type"]]
    if "date-time" in column.get("format", "") and isinstance(value, str):
        return IS_FIXED(value) is not None
    if "array" in types and isinstance(value, list):
        return all(fits(item, column["items"]) for item in value)
    if "integer" in types and type(value) is int:
        return -(2**63) <= value < 2**63
    python = {"string": str, "object": dict, "null": type(None)}
    return any(type(value) is python.get(name) for name in types)


@pytest.mark.parametrize(
    ("value", "column", "fitting"),
    [
        (None, {"type": ["string", "null"]}, True),
        (None, {"type": "string"}, False),
        (7, {"type": "string"}, False),
        (True, {"type": ["integer", "null"]}, False),
        (2**63, {"type": ["integer", "null"]}, False),
        ([1, None], {"type": ["array", "null"], "items": {"type": "integer"}}, False),
        ("2026-11-23", {"type": ["string", "null"], "format": "date-time"}, False),
        (UPDATED_AT, {"type": ["string", "null"], "format": "date-time"}, True),
    ],
    ids=lambda value: str(value)[:30],
)
def test_fits_can_say_no(value: Any, column: Json, fitting: bool) -> None:  # noqa: FBT001 - a column of the table
    assert fits(value, column) is fitting


@given(st.lists(JOBS, max_size=3) | JSON, st.booleans())
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_passes_the_door_becomes_rows_that_fit_their_schema(
    items: Any,
    ascii_only: bool,  # noqa: FBT001 - drawn
) -> None:
    page = json.dumps({"items": items}, ensure_ascii=ascii_only)
    try:
        jobs = read_page(page.encode("utf-8", "surrogatepass")).jobs
    except ReplyError:
        # Well-formed jobs are never refused: only JSON of another kind is.
        assert not is_list_of_jobs(items)
        return
    assert len(jobs) == len(items)
    for stream, maker in MAKERS.items():
        for row in maker(jobs):
            assert [name for name in row if not fits(row[name], SCHEMAS[stream][name])] == []
            assert msgspec.json.decode(msgspec.json.encode(row)) == row


def is_list_of_jobs(items: Any) -> bool:
    """Say whether this is what a page may have as its items."""
    return isinstance(items, list) and all(
        isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"] for item in items
    )


@given(st.lists(JOBS, max_size=3))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_nothing_that_a_job_has_is_lost(items: list[Json]) -> None:
    body = json.dumps({"items": items}).encode()
    replaced = json.loads(
        re.sub(r"[\ud800-\udfff]", "\ufffd", json.dumps(items, ensure_ascii=False))
    )
    rows = job_rows(read_page(body).jobs)

    for item, row in zip(replaced, rows, strict=True):
        kept = row | (row["additional_fields"] or {})
        for name in item.keys() - {"rules", "parsing_configuration", "created_at", "updated_at"}:
            assert kept[name] == item[name]
