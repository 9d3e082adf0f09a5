"""Options of the Spark source are the tap's settings, as texts, and a few of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.spark.request import Request, parse_options
from tests.support.builders import cases

KEY = "llx-secret-key"
TABLE = {"table": "classify_v2_jobs"}


def parse(options: dict[str, str], **environ: str) -> Request:
    return parse_options(TABLE | options, environ)


def test_settings_are_taken_from_texts_whatever_the_case_of_their_names() -> None:
    request = parse(
        {"API_Key": KEY, "page_size": "50", "fetch_usage": "true", "maxPagesPerTrigger": "7"}
    )
    (connection,) = request.connections
    assert (connection.api_key, connection.page_size) == (KEY, 50)
    assert (request.settings.fetch_usage, request.max_pages) == (True, 7)


def test_connections_are_json_and_name_environment_variables() -> None:
    connections = [{"name": "a", "api_key_env": "A"}, {"name": "b", "api_key": KEY}]
    request = parse({"connections": json.dumps(connections)}, A="llx-of-a")
    assert [each.api_key for each in request.connections] == ["llx-of-a", KEY]


@cases(
    "options, environ, key",
    {
        "an option": ({"api_key": KEY}, {"LLAMA_CLOUD_API_KEY": "llx-no"}, KEY),
        "a variable by its name": ({"api_key_env": "MINE"}, {"MINE": KEY}, KEY),
        "the usual variable": ({}, {"LLAMA_CLOUD_API_KEY": KEY}, KEY),
    },
)
def test_key_comes_from(options: dict[str, str], environ: dict[str, str], key: str) -> None:
    (connection,) = parse(options, **environ).connections
    assert connection.api_key == key


def test_columns_are_in_the_order_in_which_they_are_asked_for() -> None:
    request = parse({"api_key": KEY, "columns": "status, id,status"})
    assert request.columns == ["status", "id"]
    assert [*request.schema["properties"]] == ["status", "id"]
    assert len(parse({"api_key": KEY}).columns) > 10


@cases(
    "options, text",
    {
        "no table": ({"table": ""}, "option table is missing; there are classify_jobs, "),
        "another table": ({"table": "jobs"}, "there is no table jobs; there are classify_jobs, "),
        "another column": ({"columns": "id,size"}, "classify_v2_jobs has no column 'size'; it has"),
        "a table that costs": (
            {"table": "classify_job_results"},
            "classify_job_results takes a request a job, which fetch_results allows: set it",
        ),
        "another option": ({"pagesize": "5"}, "is not a setting of this tap; did you mean page_si"),
        "no number": ({"page_size": "many"}, "page_size must be a whole number"),
        "no pages": ({"maxPagesPerTrigger": "0"}, "option maxPagesPerTrigger must be a whole numb"),
        "no JSON": ({"connections": f"[{KEY}"}, "option connections is no JSON"),
        "JSON without an end": ({"usage_event_types": "[" * 100_000}, "usage_event_types is no JS"),
        "two keys": ({"api_key_env": "MINE"}, "api_key and api_key_env are both set"),
    },
)
def test_option_that_is_wrong_is_named_and_no_value_is_shown(
    options: dict[str, str], text: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse({"api_key": KEY, **options}, MINE=KEY)
    assert text in str(caught.value)
    assert KEY not in str(caught.value)


@cases(
    "value, text",
    {
        "that is not set": (None, "api_key_env names an environment variable that is not set"),
        "that holds no key": ("a b", "api_key_env names a variable that holds characters"),
    },
)
def test_variable(value: Any, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        parse({"api_key_env": KEY}, **({KEY: value} if value else {}))


def test_request_shows_no_key() -> None:
    connections = [{"name": "b", "api_key": KEY}]
    assert KEY not in repr(parse({"api_key": KEY}))
    assert KEY not in repr(parse({"connections": json.dumps(connections)}))
