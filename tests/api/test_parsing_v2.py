"""What is particular to v2 jobs, results and projects when they come in by the door."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tap_llamaclassify.api.endpoints import (
    PROJECTS,
    TIMINGS,
    USAGE_METRICS,
    V1_JOBS,
    V1_RESULTS,
    V2_JOB,
    V2_JOBS,
)
from tap_llamaclassify.api.models import MISFITS, Json, Page
from tap_llamaclassify.api.parsing import misfits_of
from tap_llamaclassify.errors import ReplyError
from tests.support.builders import cases, job
from tests.support.items import project, result, v2_job


def through_listing(item: Json) -> Json:
    """Read a v2 job as one of a page."""
    (read,) = V2_JOBS.parse(msgspec.json.encode({"items": [item]})).items
    return read


def through_get(item: Json) -> Json:
    """Read a v2 job by itself."""
    (read,) = V2_JOB.parse(msgspec.json.encode(item)).items
    return read


def without(name: str, item: Json) -> Json:
    """Leave a field out."""
    return {other: value for other, value in item.items() if other != name}


# v2 jobs


@pytest.mark.parametrize(
    ("text", "kept"),
    [("1" + "0" * 400, 10**400), ("9" * 5000, "9" * 5000), ("1e400", "1e400")],
    ids=["400 digits", "5,000 digits", "1e400"],
)
def test_number_that_a_float64_cannot_hold_is_a_misfit(text: str, kept: Any) -> None:
    body = f'{{"items": [{{"id": "a", "result": {{"confidence": {text}}}}}]}}'.encode()

    for read in (V2_JOBS.parse, V1_RESULTS.parse):
        page = read(body)
        assert page.items == [{"id": "a", "result": {MISFITS: {"confidence": kept}}}]
        assert page.has_misfits


OLDER = "document_input_value"
NEWER = "file_input"


@cases(
    "sent, expected",
    {
        "older alone": ({OLDER: "dfl-1"}, {NEWER: "dfl-1"}),
        "older beside null": ({OLDER: "dfl-1", NEWER: None}, {NEWER: "dfl-1"}),
        "both alike": ({OLDER: "dfl-1", NEWER: "dfl-1"}, {NEWER: "dfl-1"}),
        "older null": ({OLDER: None, NEWER: "dfl-1"}, {NEWER: "dfl-1"}),
        "older null alone": ({OLDER: None}, {NEWER: None}),
        "both, and not alike": ({OLDER: "old", NEWER: "new"}, {OLDER: "old", NEWER: "new"}),
        "older beside an empty one": ({OLDER: "old", NEWER: ""}, {OLDER: "old", NEWER: ""}),
        "older beside a misfit": ({OLDER: "old", NEWER: 7}, {OLDER: "old", MISFITS: {NEWER: 7}}),
        "older a misfit": ({OLDER: 7, NEWER: None}, {NEWER: None, MISFITS: {OLDER: 7}}),
        "newer alone": ({NEWER: "dfl-1"}, {NEWER: "dfl-1"}),
        "neither": ({}, {}),
    },
)
@pytest.mark.parametrize("read", [through_listing, through_get])
def test_file_input_takes_its_older_name_where_it_is_absent(
    read: Callable[[Json], Json], sent: Json, expected: Json
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


def test_v2_job_got_by_its_id_comes_in_as_one_of_a_page() -> None:
    times = {"created_at": "2026-11-01T09:00:00+02:00", "updated_at": "soon"}
    came = through_get(v2_job("a", usage={"credits": "many"}, x=[1]) | times)

    assert came == through_listing(v2_job("a", usage={"credits": "many"}, x=[1]) | times)
    assert came["created_at"] == "2026-11-01T07:00:00.000000Z"
    assert came[MISFITS] == {"updated_at": "soon"}
    assert came["usage"] == {MISFITS: {"credits": "many"}}


# Projects


def test_projects_are_read_from_a_bare_list_or_a_page() -> None:
    odd = project("b", created_at="2026-11-01T09:00:00+02:00", name="\ud800", is_default="yes")
    sent = [project("a", is_default=None, settings={"x": [1]}), odd]
    expected = without("is_default", odd) | {
        "created_at": "2026-11-01T07:00:00.000000Z",
        "name": "\ufffd",
        MISFITS: {"is_default": "yes"},
    }

    page = Page([sent[0], expected], None, None, replaced=1, has_misfits=True)
    assert PROJECTS.parse(json.dumps(sent).encode()) == page
    assert PROJECTS.parse(json.dumps({"items": sent}).encode()) == page
    assert PROJECTS.parse(b"[]").items == []


# The names of misfits


ODD_RULES = [{"type": 7, "description": []}, 5, {"type": 8}]


@cases(
    "read, item, names",
    {
        "v1 job that fits": (V1_JOBS.parse, job("a"), ""),
        "v1 job": (
            V1_JOBS.parse,
            job("a", mode=7, rules=ODD_RULES, parsing_configuration={"lang": 7, "x": {}}),
            "mode parsing_configuration.lang rules rules.description rules.type rules.type",
        ),
        "v1 job with unknown fields of those names": (
            V1_JOBS.parse,
            job("a", configuration="x", result=[], usage={"credits": "x"}),
            "",
        ),
        "v2 job": (
            V2_JOBS.parse,
            v2_job(
                "a",
                configuration={
                    "mode": 7,
                    "rules": ODD_RULES,
                    "parsing_configuration": {"target_pages": [1]},
                },
                result=7,
                usage={"credits": "many"},
                updated_at="soon",
            ),
            (
                "configuration.mode configuration.parsing_configuration.target_pages "
                "configuration.rules configuration.rules.description configuration.rules.type "
                "configuration.rules.type result updated_at usage.credits"
            ),
        ),
        "result": (V1_RESULTS.parse, result("a", result={"type": 7}), "result.type"),
    },
)
def test_misfits_are_named_by_their_path(
    read: Callable[[bytes], Page], item: Json, names: str
) -> None:
    page = read(msgspec.json.encode({"items": [item]}))

    assert " ".join(sorted(misfits_of(page.items[0]))) == names
    assert page.has_misfits is bool(names)


# What is particular to a form


def test_timestamp_inside_an_object_is_fixed_where_it_stands() -> None:
    sent = {
        "id": "a",
        "created_at": "2026-11-23",
        "state_transitions": {"pending_at": "2026-11-23T01:00:00+01:00", "running_at": "soon"},
    }
    page = TIMINGS.parse(msgspec.json.encode({"items": [sent, {"id": "b"}]}))

    assert page.items == [
        {
            "id": "a",
            "created_at": "2026-11-23T00:00:00.000000Z",
            "state_transitions": {
                "pending_at": "2026-11-23T00:00:00.000000Z",
                MISFITS: {"running_at": "soon"},
            },
        },
        {"id": "b"},
    ]
    assert page.has_misfits


@cases(
    "sent, day",
    {
        "a day": ("2026-11-23", "2026-11-23"),
        "an instant": ("2026-11-23T12:00:00.000000Z", "2026-11-23"),
        "an instant of another zone": ("2026-11-23T23:30:00-01:00", "2026-11-24"),
    },
)
def test_day_is_a_day_in_whatever_form_it_comes(sent: str, day: str) -> None:
    page = USAGE_METRICS.parse(msgspec.json.encode({"items": [{"id": "a", "day": sent}]}))

    assert page.items == [{"id": "a", "day": day}]
    assert page.has_misfits is False


def test_page_token_that_has_lost_characters_is_refused() -> None:
    with pytest.raises(ReplyError) as caught:
        V2_JOBS.parse(rb'{"items": [], "next_page_token": "a\ud800"}')

    assert str(caught.value) == ("answered a page token that cannot be sent back; tell LlamaCloud")
