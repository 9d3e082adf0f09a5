"""What is particular to v2 jobs, results and projects when they come in by the door."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tap_llamaclassify.api.endpoints import PROJECTS, V1_JOBS, V1_RESULTS, V2_JOB, V2_JOBS
from tap_llamaclassify.api.models import MISFITS, Json, Page
from tap_llamaclassify.api.parsing import misfits_of
from tap_llamaclassify.errors import ReplyError
from tests.support.builders import cases, job
from tests.support.items import configuration, project, result, v2_job

Reader = Callable[[Json], Json]


def through_listing(item: Json) -> Json:
    """Read a v2 job as one of a page."""
    (read,) = V2_JOBS.parse(msgspec.json.encode({"items": [item]})).items
    return read


def through_get(item: Json) -> Json:
    """Read a v2 job by itself."""
    (read,) = V2_JOB.parse(msgspec.json.encode(item)).items
    return read


@pytest.fixture(params=[through_listing, through_get], ids=["listed", "got by its id"])
def read(request: pytest.FixtureRequest) -> Reader:
    """Both ways that a v2 job comes in."""
    reader: Reader = request.param
    return reader


def without(name: str, item: Json) -> Json:
    """Leave a field out."""
    return {other: value for other, value in item.items() if other != name}


# v2 jobs


@cases(
    "fields",
    {
        "all there": {},
        "null": {"configuration": None, "result": None, "usage": None},
        "empty": {"configuration": {}, "result": {}, "usage": {}},
        "empty inside": {
            "configuration": configuration(rules=[], parsing_configuration=None, mode=None)
        },
        "unknown in the configuration": {
            "configuration": configuration(cache={"x": [1]}, rules=[{"type": "t", "weight": 1}])
        },
        "unknown in the parsing configuration": {
            "configuration": configuration(parsing_configuration={"target_pages": None, "x": 1})
        },
        "unknown in the result": {
            "result": {"type": None, "confidence": 0, "reasoning": "", "page": 3}
        },
        "unknown in the usage": {"usage": {"credits": None, "seconds": 1}},
    },
)
def test_v2_job_that_fits_stays_as_it_came(read: Reader, fields: Json) -> None:
    fitting = v2_job("a", **fields)

    assert read(fitting) == fitting


def test_v2_job_needs_its_id_only(read: Reader) -> None:
    assert read({"id": "a"}) == {"id": "a"}


@pytest.mark.parametrize("value", ["none", 7, True, [], [{"mode": "FAST"}]], ids=repr)
@pytest.mark.parametrize("name", ["configuration", "result", "usage"])
def test_v2_object_of_another_type_becomes_a_misfit(read: Reader, name: str, value: Any) -> None:
    expected = without(name, v2_job("a")) | {MISFITS: {name: value}}

    assert read(v2_job("a") | {name: value}) == expected


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        ("configuration", "mode", 7),
        ("configuration", "mode", {"name": "FAST"}),
        ("configuration", "rules", "none"),
        ("configuration", "rules", {"0": {}}),
        ("configuration", "parsing_configuration", [1]),
        ("result", "type", 7),
        ("result", "confidence", "high"),
        ("result", "confidence", True),
        ("result", "confidence", [0.5]),
        ("result", "confidence", "0.5"),
        ("result", "reasoning", ["because"]),
        ("usage", "credits", "1.5"),
        ("usage", "parse_credits", {"sum": 1}),
    ],
)
def test_v2_value_that_does_not_fit_becomes_a_misfit_of_its_owner(
    read: Reader, owner: str, name: str, value: Any
) -> None:
    sent: Json = v2_job("a")[owner] | {"x": 1}
    expected = without(name, sent) | {MISFITS: {name: value}}

    assert read(v2_job("a") | {owner: sent | {name: value}}) == v2_job("a") | {owner: expected}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lang", 7),
        ("max_pages", "ten"),
        ("max_pages", 2.0),
        ("max_pages", 2**63),
        ("target_pages", [0, 1]),
        ("target_pages", 3),
    ],
)
def test_v2_parsing_value_that_does_not_fit_becomes_a_misfit_of_the_parsing_configuration(
    read: Reader, name: str, value: Any
) -> None:
    fitting = {"lang": "en", "max_pages": 5, "target_pages": "1,3", "ocr": True}
    parsing = without(name, fitting) | {MISFITS: {name: value}}
    sent = configuration(parsing_configuration=fitting | {name: value})

    expected = v2_job("a", configuration=configuration(parsing_configuration=parsing))
    assert read(v2_job("a", configuration=sent)) == expected


@pytest.mark.parametrize(
    "value", [0, 1, -3, 7.5, 1e-300, 1e300, -0.0, 2**53, -(2**53), 1.0, None], ids=repr
)
def test_number_that_fits_stays_as_it_was_sent(read: Reader, value: Any) -> None:
    came = read(v2_job("a", result={"confidence": value}, usage={"credits": value}))

    for kept in (came["result"]["confidence"], came["usage"]["credits"]):
        assert (repr(kept), type(kept)) == (repr(value), type(value))
    assert MISFITS not in came["result"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (str(2**53 + 1), 2**53 + 1),
        (str(-(2**53) - 1), -(2**53) - 1),
        ("1" + "0" * 400, 10**400),
        ("9" * 5000, "9" * 5000),
        ("1e400", "1e400"),
        ('"NaN"', "NaN"),
        ('"Infinity"', "Infinity"),
    ],
    ids=["2^53+1", "-2^53-1", "400 digits", "5,000 digits", "1e400", "NaN", "Infinity"],
)
def test_number_that_a_float64_cannot_hold_is_a_misfit(text: str, kept: Any) -> None:
    body = f'{{"items": [{{"id": "a", "result": {{"confidence": {text}}}}}]}}'.encode()

    for read in (V2_JOBS.parse, V1_RESULTS.parse):
        page = read(body)
        assert page.items == [{"id": "a", "result": {MISFITS: {"confidence": kept}}}]
        assert page.has_misfits


@pytest.mark.parametrize("rule", ["text", None, 7, [], [{"type": "t"}]], ids=repr)
def test_v2_rule_that_is_no_object_keeps_its_position_and_the_raw_rules_are_kept(
    read: Reader, rule: Any
) -> None:
    rules: list[Any] = [{"type": 7, "description": "first"}, rule, {"type": "third"}]
    expected = configuration(
        rules=[{"description": "first", MISFITS: {"type": 7}}, None, {"type": "third"}]
    ) | {MISFITS: {"rules": copy.deepcopy(rules)}}

    came = read(v2_job("a", configuration=configuration(rules=rules)))
    assert came == v2_job("a", configuration=expected)


@cases(
    "sent, expected",
    {
        "older alone": ({"document_input_value": "dfl-1"}, {"file_input": "dfl-1"}),
        "older beside null": (
            {"document_input_value": "dfl-1", "file_input": None},
            {"file_input": "dfl-1"},
        ),
        "both alike": (
            {"document_input_value": "dfl-1", "file_input": "dfl-1"},
            {"file_input": "dfl-1"},
        ),
        "older null": (
            {"document_input_value": None, "file_input": "dfl-1"},
            {"file_input": "dfl-1"},
        ),
        "older null alone": ({"document_input_value": None}, {"file_input": None}),
        "both, and not alike": (
            {"document_input_value": "old", "file_input": "dfl-1"},
            {"document_input_value": "old", "file_input": "dfl-1"},
        ),
        "older beside an empty one": (
            {"document_input_value": "old", "file_input": ""},
            {"document_input_value": "old", "file_input": ""},
        ),
        "older beside a misfit": (
            {"document_input_value": "old", "file_input": 7},
            {"document_input_value": "old", MISFITS: {"file_input": 7}},
        ),
        "older a misfit": (
            {"document_input_value": 7, "file_input": None},
            {"file_input": None, MISFITS: {"document_input_value": 7}},
        ),
        "newer alone": ({"file_input": "dfl-1"}, {"file_input": "dfl-1"}),
        "neither": ({}, {}),
    },
)
def test_file_input_takes_its_older_name_where_it_is_absent(
    read: Reader, sent: Json, expected: Json
) -> None:
    assert read({"id": "a"} | sent) == {"id": "a"} | expected


# The call that gets one v2 job


@cases(
    "body, text",
    {
        "list": (b"[]", "answered a job that is no object"),
        "null": (b"null", "answered a job that is no object"),
        "empty object": (b"{}", "answered a job that has no usable id"),
        "id with a lone surrogate": (rb'{"id": "a\ud800"}', "answered a job that has no usable id"),
        "page": (b'{"items": [{"id": "a"}]}', "answered a job that has no usable id"),
        "HTML": (b"<html>", "answered HTML instead of JSON; check api_url and any proxy"),
        "too deep": (
            b'{"id": "a", "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
            "answered JSON that is nested too deeply to be a job",
        ),
    },
)
def test_what_is_no_v2_job_is_refused(body: bytes, text: str) -> None:
    with pytest.raises(ReplyError) as caught:
        V2_JOB.parse(body)

    assert (type(caught.value), str(caught.value)) == (ReplyError, text)


def test_v2_job_got_by_its_id_has_timestamps_in_the_fixed_form() -> None:
    came = through_get(v2_job("a", created_at="2026-11-01T09:00:00+02:00", updated_at="soon"))

    assert came["created_at"] == "2026-11-01T07:00:00.000000Z"
    assert came[MISFITS] == {"updated_at": "soon"}


# Results


@pytest.mark.parametrize("value", [None, {}, {"type": None}, {"confidence": 2, "page": 3}], ids=str)
def test_outcome_of_a_result_that_fits_stays_as_it_came(value: Any) -> None:
    fitting = result("a", result=value, classify_job_id="other", x=1)

    assert V1_RESULTS.parse(msgspec.json.encode({"items": [fitting]})).items == [fitting]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("invoice", {MISFITS: {"result": "invoice"}}),
        ([{"type": "t"}], {MISFITS: {"result": [{"type": "t"}]}}),
        ({"type": 7, "x": 1}, {"result": {"x": 1, MISFITS: {"type": 7}}}),
        ({"confidence": "high"}, {"result": {MISFITS: {"confidence": "high"}}}),
    ],
    ids=["text", "list", "type a number", "confidence text"],
)
def test_outcome_of_a_result_that_does_not_fit_is_set_aside(value: Any, expected: Json) -> None:
    (read,) = V1_RESULTS.parse(msgspec.json.encode({"items": [result("a", result=value)]})).items

    assert read == without("result", result("a")) | expected


# Projects


def test_projects_are_read_from_a_bare_list_or_a_page() -> None:
    projects = [project("a"), project("b", is_default=None, settings={"x": [1]})]
    bare = PROJECTS.parse(msgspec.json.encode(projects))

    assert bare == Page(projects, next_page_token=None, total_size=None)
    assert PROJECTS.parse(msgspec.json.encode({"items": projects})) == bare
    assert PROJECTS.parse(b"[]").items == []


def test_bare_list_of_projects_comes_in_as_a_page_does() -> None:
    odd = project("a", created_at="2026-11-01T09:00:00+02:00", name="\ud800", is_default="yes")
    page = PROJECTS.parse(json.dumps([odd]).encode())
    expected = without("is_default", odd) | {
        "created_at": "2026-11-01T07:00:00.000000Z",
        "name": "\ufffd",
        MISFITS: {"is_default": "yes"},
    }

    assert page == Page([expected], None, None, replaced=1, has_misfits=True)


@pytest.mark.parametrize("value", [0, 1, "true", [True], {}], ids=repr)
def test_is_default_that_is_neither_true_nor_false_becomes_a_misfit(value: Any) -> None:
    (read,) = PROJECTS.parse(msgspec.json.encode([project("a", is_default=value)])).items

    assert read == without("is_default", project("a")) | {MISFITS: {"is_default": value}}


# The names of misfits


ODD_RULES = [{"type": 7, "description": []}, 5, {"type": 8}]


@pytest.mark.parametrize(
    ("read", "item", "names"),
    [
        (V1_JOBS.parse, job("a"), ""),
        (
            V1_JOBS.parse,
            job("a", mode=7, rules=ODD_RULES, parsing_configuration={"lang": 7, "x": {}}),
            "mode parsing_configuration.lang rules rules.description rules.type rules.type",
        ),
        (V1_JOBS.parse, job("a", configuration="x", result=[], usage={"credits": "x"}), ""),
        (V1_JOBS.parse, job("a", parsing_configuration=7), "parsing_configuration"),
        (V2_JOBS.parse, v2_job("a"), ""),
        (
            V2_JOBS.parse,
            v2_job("a", configuration=7, result=7, usage=7, updated_at="soon"),
            "configuration result updated_at usage",
        ),
        (
            V2_JOBS.parse,
            v2_job(
                "a",
                configuration={
                    "mode": 7,
                    "rules": ODD_RULES,
                    "parsing_configuration": {"target_pages": [1]},
                },
                result={"confidence": "high"},
                usage={"credits": "many"},
            ),
            (
                "configuration.mode configuration.parsing_configuration.target_pages "
                "configuration.rules configuration.rules.description configuration.rules.type "
                "configuration.rules.type result.confidence usage.credits"
            ),
        ),
        (V1_RESULTS.parse, result("a", file_id=7, result={"type": 7}), "file_id result.type"),
        (PROJECTS.parse, project("a", name=7), "name"),
    ],
    ids=[
        "v1 job that fits",
        "v1 job",
        "v1 job with unknown fields of those names",
        "v1 job without a configuration",
        "v2 job that fits",
        "v2 job without objects",
        "v2 job",
        "result",
        "project",
    ],
)
def test_misfits_are_named_by_their_path(
    read: Callable[[bytes], Page], item: Json, names: str
) -> None:
    page = read(msgspec.json.encode({"items": [item]}))

    assert " ".join(sorted(misfits_of(page.items[0]))) == names
    assert page.has_misfits is bool(names)
