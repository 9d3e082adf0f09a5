"""What `make conformance` takes for right and wrong, and the answers that it expects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.conformance.contract import REFUSED, Contract, Schema
from tests.conformance.drawing import Drawing
from tests.conformance.expected import ANOTHERS, NO, OWN, WRONG, Expected
from tests.conformance.wire import Asked, Verdict, verdict, verdicts

PATH = "/jobs/{job_id}"
UUID_OR_NULL = {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]}


def parameter(name: str, schema: Schema, **more: Any) -> Schema:
    return {"name": name, "in": "query", "schema": schema} | more


CONTRACT = Contract(
    {
        "paths": {
            PATH: {
                "get": {
                    "parameters": [
                        parameter("job_id", {"type": "string"}) | {"in": "path"},
                        parameter("session", {"type": "string"}) | {"in": "cookie"},
                        parameter("project_id", UUID_OR_NULL),
                        parameter("organization_id", UUID_OR_NULL),
                        parameter("page_token", {"type": "string"}),
                        parameter("page_size", {"type": "integer"}),
                    ],
                    "responses": {"200": {}},
                    "security": [{"HTTPBearer": []}],
                },
                "delete": {},
            },
            "/jobs": {
                "get": {
                    "parameters": [parameter("kind", {"type": "string"}, required=True)],
                    "responses": {"200": {}},
                }
            },
            "/sent": {"post": {}},
        },
        "components": {"schemas": {"ClassifyJob": {"properties": {"parsing_configuration": {}}}}},
    }
)


@pytest.mark.parametrize(
    ("schema", "texts", "right"),
    [
        ({"type": "string"}, [""], True),
        ({"type": "string"}, ["a", "b"], True),
        ({"type": "string", "enum": ["A", "B"]}, ["A"], True),
        ({"type": "string", "enum": ["A", "B"]}, ["a"], False),
        ({"type": "string", "enum": ["A", "B"]}, ["a", "B"], True),
        ({"type": "integer"}, ["-12"], True),
        ({"type": "integer"}, ["1.0"], None),
        ({"type": "integer"}, ["+1"], None),
        ({"type": "integer"}, [""], False),
        ({"type": "integer"}, ["null"], False),
        ({"type": "integer"}, ["1.5"], False),
        ({"type": "integer", "minimum": 1, "maximum": 9}, ["9"], True),
        ({"type": "integer", "minimum": 1, "maximum": 9}, ["0"], False),
        ({"type": "integer", "minimum": 1, "maximum": 9}, ["10"], False),
        ({"type": "number"}, ["1e3"], True),
        ({"type": "number"}, ["nan"], None),
        ({"type": "number"}, ["one"], False),
        ({"type": "boolean"}, ["true"], True),
        ({"type": "boolean"}, ["Yes"], None),
        ({"type": "boolean"}, ["2"], False),
        ({"type": "null"}, ["null"], False),
        (UUID_OR_NULL, ["3F4A4BEA-7673-45c6-95f8-9156563ae2df"], True),
        (UUID_OR_NULL, ["3f4a4bea767345c695f89156563ae2df"], None),
        (UUID_OR_NULL, ["null"], False),
        ({"type": "string", "format": "date-time"}, ["2026-11-23T12:00:00.5+01:00"], True),
        ({"type": "string", "format": "date-time"}, ["2026-11-23t12:00:00z"], True),
        ({"type": "string", "format": "date-time"}, ["1990-12-31T23:59:60Z"], None),
        ({"type": "string", "format": "date-time"}, ["2026-11-23"], None),
        ({"type": "string", "format": "date-time"}, ["yesterday"], False),
        ({"type": "array", "items": {"type": "string", "enum": ["A"]}}, ["A", "A"], True),
        ({"type": "array", "items": {"type": "string", "enum": ["A"]}}, ["A", "B"], False),
        ({"type": "array", "items": {"type": "integer"}}, ["1", "2.0"], None),
    ],
    ids=str,
)
def test_value_of_a_query_is_judged_as_it_was_written(
    schema: Schema,
    texts: list[str],
    right: Verdict,
) -> None:
    assert verdict(schema, texts) is right


def test_request_is_read_from_its_url_and_what_is_required_is_missed() -> None:
    asked = Asked.by("http://localhost:1/jobs/a%2Fb?page_token=%C3%A9&page_token=", PATH)
    assert asked.path == {"job_id": "a/b"}
    assert asked.last("page_token") == ""
    assert asked.last("page_size") is None
    assert verdicts(CONTRACT, PATH, asked) == {"job_id": True, "page_token": True}
    assert verdicts(CONTRACT, "/jobs", Asked.by("http://localhost:1/jobs", "/jobs")) == {
        "kind": False
    }


@pytest.fixture(scope="module")
def expected() -> Expected:
    """What is to be expected of a sandbox with some jobs; it need not run."""
    world = World(History(jobs=40, v2_jobs=40))
    return Expected(Sandbox(world), CONTRACT, PATH)


OTHER_UUID = UUID(int=1)


@pytest.mark.parametrize(
    ("job", "query", "key", "statuses"),
    [
        ("known", "", OWN, {200}),
        ("known", "", NO, {401}),
        ("known", "page_size=x", WRONG, {401}),
        ("unknown", "", OWN, {404}),
        ("known", "", ANOTHERS, {404}),
        ("known", f"project_id={OTHER_UUID}", OWN, {401}),
        ("known", f"organization_id={OTHER_UUID}", OWN, {403}),
        ("unknown", f"project_id={OTHER_UUID}&organization_id={OTHER_UUID}", OWN, {401, 403}),
        ("known", "project_id=x", OWN, {422}),
        ("known", f"project_id={OTHER_UUID}&page_size=x", OWN, {401, 422}),
        ("known", "page_size=9", OWN, {200, 422}),
        ("known", "page_token=given", OWN, {200}),
        ("known", "page_token=another", OWN, {200, 422}),
        ("unknown", "page_size=1.0", OWN, {404, 422}),
    ],
)
def test_answer_that_is_expected_depends_on_key_scope_parameters_and_on_what_there_is(
    job: str, query: str, key: str, statuses: set[int], expected: Expected
) -> None:
    expected.given_out = {"given"}
    id_ = expected.known["job_id"][0] if job == "known" else job
    asked = Asked.by(f"http://localhost:1/jobs/{id_}?{query}", PATH)
    assert expected.statuses(asked, key) == statuses


def test_document_that_is_checked_against_has_what_is_known_besides() -> None:
    checked = CONTRACT.as_checked()
    operation = checked["paths"][PATH]["get"]
    assert {*operation["responses"]} == {"200", *REFUSED}
    assert "security" not in operation
    assert {each["in"] for each in operation["parameters"]} == {"path", "query"}
    assert {*checked["paths"]["/jobs"]["get"]["responses"]} == {"200", "401"}
    fields = checked["components"]["schemas"]["ClassifyJob"]["properties"]
    assert fields["parsing_configuration"] == {"anyOf": [{}, {"type": "null"}]}
    assert CONTRACT.paths == [PATH, "/jobs"]
    assert CONTRACT.path_like("/jobs/{id}") == PATH
    assert CONTRACT.path_like("/jobs/{id}/results") is None


@pytest.mark.parametrize("content", ["[]", "{}", '{"paths": 1}', "no JSON"])
def test_file_that_is_no_openapi_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r".+"):
        Contract.read(file)
    file.write_text(json.dumps(CONTRACT.document))
    assert Contract.read(file) == CONTRACT


SCHEMAS: list[Schema] = [
    {"type": "string", "minLength": 10, "maxLength": 50},
    {"type": "integer", "minimum": 1},
    {"type": "integer", "exclusiveMinimum": 0.0, "maximum": 7200.0},
    {"type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0},
    {"type": "number", "minimum": 0.0, "maximum": 1.0},
    {"type": "array", "items": {"type": "integer"}, "minItems": 1},
    {"type": "array", "items": {}, "maxItems": 1},
    {"enum": ["a", "b"], "type": "string"},
    {
        "type": "object",
        "properties": {"a": {"anyOf": [{"type": "boolean"}, {"type": "null"}]}},
        "required": ["a"],
    },
    {"type": "object", "additionalProperties": False, "properties": {"a": {"const": 1}}},
    {"type": "object", "additionalProperties": {"type": "string"}},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_what_is_drawn_is_what_a_schema_allows(schema: Schema, data: st.DataObject) -> None:
    drawn = data.draw(Drawing(CONTRACT).of(schema))
    Draft202012Validator(schema).validate(drawn)


def test_schema_that_says_what_none_has_said_so_far_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="binary"):
        Drawing(CONTRACT).of({"type": "binary"})
    with pytest.raises(NotImplementedError, match="binary"):
        verdict({"type": "binary"}, ["a"])
