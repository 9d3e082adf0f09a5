"""Many keys in one configuration: what makes a connection, and which error names which of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tap_llamaclassify.config.connections import Connection, resolve_connections
from tap_llamaclassify.config.json_schema import parse_configuration, read_environment
from tap_llamaclassify.config.settings import parse_settings
from tap_llamaclassify.config.settings_schema import config_jsonschema
from tap_llamaclassify.config.validators import DEFAULT_API_URL
from tap_llamaclassify.errors import SettingsError

SECRET = "llx-marked-secret"
EMEA = {"name": "emea", "api_key": "llx-emea"}
APAC = {"name": "apac", "api_key_env": "LLAMA_KEY_APAC"}
HTTP = {"api_url": "http://api.example.com"}
ENVIRON = {"LLAMA_KEY_APAC": " llx-apac\n"}


def connected(
    *connections: dict[str, Any], environ: dict[str, str] | None = None, **config: Any
) -> tuple[Connection, ...]:
    return resolve_connections(
        parse_settings({"connections": [*connections]} | config), environ or ENVIRON
    )


def refused(config: dict[str, Any]) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_configuration(config, config_jsonschema(), {})
    text = str(caught.value)
    assert SECRET not in text
    assert "\n" not in text
    return text


def test_connections_come_in_the_order_given_each_with_its_own_key_scope_and_address() -> None:
    eu = "https://api.cloud.eu.llamaindex.ai"
    own = {"project_id": "p", "organization_id": "o", "api_url": f"{eu}/"}

    settled = connected(EMEA | own, APAC | {"project_id": "q"}, page_size=7)

    assert [(c.name, c.api_key, c.scope, c.api_url, c.page_size) for c in settled] == [
        ("emea", "llx-emea", {"organization_id": "o", "project_id": "p"}, eu, 7),
        ("apac", "llx-apac", {"project_id": "q"}, DEFAULT_API_URL, 7),
    ]


def test_connection_without_an_address_takes_that_beside_connections_then_the_environments() -> (
    None
):
    environ = ENVIRON | {"LLAMA_CLOUD_BASE_URL": "https://variable.example.com"}
    own = APAC | {"api_url": "own.example.com"}
    beside = connected(EMEA, own, environ=environ, api_url="beside.example.com")

    assert [c.api_url for c in beside] == ["https://beside.example.com", "https://own.example.com"]
    assert [c.api_url for c in connected(EMEA, own, environ=environ)] == [
        "https://variable.example.com",
        "https://own.example.com",
    ]


def test_key_of_the_environment_is_not_used_where_there_are_connections() -> None:
    environ = ENVIRON | {"LLAMA_CLOUD_API_KEY": "llx-other", "LLAMA_PARSE_API_KEY": "llx-other"}
    assert [c.api_key for c in connected(EMEA, APAC, environ=environ)] == ["llx-emea", "llx-apac"]
    with pytest.raises(SettingsError, match=r"^connections\.apac\.api_key_env"):
        connected(APAC, environ={"LLAMA_CLOUD_API_KEY": "llx-other"})


def test_fields_given_as_null_count_as_left_out() -> None:
    nulls = {"api_key_env": None, "project_id": None, "organization_id": None, "api_url": None}
    assert connected(EMEA | nulls, api_key=None, project_id=None) == connected(EMEA)


@pytest.mark.parametrize("name", ["a", "EMEA.prod_2-b", "7", "x" * 64])
def test_name_may_be_letters_digits_dots_dashes_and_underscores(name: str) -> None:
    (connection,) = connected(EMEA | {"name": name}, adopt_state=name)
    assert connection.name == name


@pytest.mark.parametrize(
    ("connections", "text"),
    [
        ([], "connections is an empty list"),
        ({}, "connections must be a list"),
        (SECRET, "connections must be a list"),
        ([EMEA, SECRET], "connections[1] must be an object"),
        ([{"api_key": SECRET}], "connections[0].name is missing"),
        ([{"name": 5, "api_key": SECRET}], "connections[0].name must be text"),
        *(
            ([EMEA | {"name": name}], "connections[0].name must be 1 to 64 characters out of")
            for name in ("", "x" * 65, "süd", "a b", "emea\n")
        ),
        ([EMEA | {"name": SECRET}], "connections[0].name holds a key: the name is one of your"),
        ([EMEA, APAC, EMEA], "connections[2].name is that of another connection"),
        ([{"name": "emea"}], "connections.emea has no key: set one of api_key and api_key_env"),
        ([EMEA | APAC], "connections.apac has both api_key and api_key_env: set one of"),
        ([APAC, EMEA | {"api_key": 5}], "connections.emea.api_key must be text"),
        ([{"name": "!", "api_key": ""}], "connections[0].name must be 1"),
        ([APAC | {"api_key_env": SECRET}], "connections.apac.api_key_env is a key: it goes into"),
        ([APAC | {"api_key_env": "A B"}], "connections.apac.api_key_env is no name of an env"),
        ([EMEA | {"api_key": " "}], "connections.emea.api_key is empty"),
        ([EMEA | {"api_key": f"{SECRET}\n."}], "connections.emea.api_key holds characters"),
        ([EMEA | {"project_id": ""}], "connections.emea.project_id is empty"),
        ([EMEA | {"api_url": f"https://{SECRET}"}], "connections.emea.api_url is a key"),
        (
            [EMEA | {"projectid": SECRET}],
            "connections.emea.projectid is not a setting of a connection; did you mean project_id?",
        ),
        ([EMEA | {"\ud800": SECRET}], "connections.emea"),
    ],
)
def test_wrong_connection_is_named_with_the_reason_and_without_its_value(
    connections: Any, text: str
) -> None:
    assert refused({"connections": connections}).startswith(text)


def test_every_wrong_connection_is_named_in_one_text() -> None:
    given = {"connections": [EMEA | {"api_key": ""}, {"api_key": ""}], "page_size": 0}
    assert refused(given) == (
        "connections.emea.api_key is empty; connections[1].name is missing; "
        "connections[1].api_key is empty; page_size must be at least 1"
    )


@pytest.mark.parametrize("name", ["api_key", "project_id", "organization_id"])
def test_what_belongs_to_one_connection_is_refused_beside_connections(name: str) -> None:
    text = refused({"connections": [EMEA], name: SECRET})
    assert text == f"connections is set: move {name} into it"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({}, "adopt_state is set, and connections is not: it names one of them"),
        ({"connections": [EMEA, APAC]}, "adopt_state is the name of none of the connections"),
    ],
    ids=["no connections", "another name"],
)
def test_adopt_state_must_name_one_of_the_connections(config: dict[str, Any], text: str) -> None:
    assert refused(config | {"adopt_state": SECRET}) == text
    assert (
        parse_settings({"connections": [EMEA, APAC], "adopt_state": "apac"}).adopt_state == "apac"
    )


def test_every_variable_without_a_key_is_reported_with_its_connection() -> None:
    given = [{"name": f"c{number}", "api_key_env": f"KEY_{number}"} for number in range(3)]
    with pytest.raises(SettingsError) as caught:
        connected(*given, environ={"KEY_0": " ", "KEY_1": f"{SECRET} {SECRET}", "KEY_2": "llx-2"})
    assert str(caught.value) == (
        "connections.c0.api_key_env names an environment variable that is not set; "
        "connections.c1.api_key_env names an environment variable that holds characters that no "
        "key has"
    )


@pytest.mark.parametrize(
    ("own", "beside", "environ", "text"),
    [
        (HTTP, {}, {}, "connections.emea.api_url is an http:// address"),
        ({}, HTTP, {}, "api_url (for connections.emea) is an http://"),
        ({}, {}, HTTP["api_url"], "LLAMA_CLOUD_BASE_URL (for connections.emea) is an http:// add"),
        ({}, {}, f"https://{SECRET}", "LLAMA_CLOUD_BASE_URL (for connections.emea) is a key"),
    ],
    ids=["its own", "the one beside", "the environment's", "no address"],
)
def test_address_that_the_key_must_not_travel_to_is_named_with_its_connection(
    own: dict[str, str], beside: dict[str, str], environ: Any, text: str
) -> None:
    variables = {"LLAMA_CLOUD_BASE_URL": environ} if environ else {}
    with pytest.raises(SettingsError) as caught:
        connected(EMEA | own, environ=variables, **beside)
    assert str(caught.value).startswith(text)
    assert SECRET not in str(caught.value)


def test_http_is_allowed_for_all_connections_at_once() -> None:
    settled = connected(EMEA | HTTP, APAC, allow_insecure_http=True)
    assert [c.insecure for c in settled] == [True, False]


def test_environments_json_becomes_connections() -> None:
    text = json.dumps([EMEA, APAC])
    read = read_environment(
        config_jsonschema(),
        "TAP_LLAMACLASSIFY_",
        {"TAP_LLAMACLASSIFY_CONNECTIONS": text, "TAP_LLAMACLASSIFY_ADOPT_STATE": "apac"},
    )
    assert read == {"connections": [EMEA, APAC], "adopt_state": "apac"}
    assert [c.name for c in resolve_connections(parse_settings(read), ENVIRON)] == ["emea", "apac"]


def test_schema_for_singer_sdk_describes_a_connection_and_marks_its_key_as_secret() -> None:
    described = config_jsonschema()["properties"]["connections"]
    assert (described["type"], described["secret"]) == (["array", "null"], True)
    items = described["items"]
    assert (items["type"], items["required"]) == ("object", ["name"])
    assert items["additionalProperties"] is False
    types = {name: it["type"] for name, it in items["properties"].items()}
    text = ["string", "null"]
    optional = ("api_key", "api_key_env", "project_id", "organization_id", "api_url")
    assert types == {"name": "string"} | dict.fromkeys(optional, text)
    assert [name for name, it in items["properties"].items() if "secret" in it] == ["api_key"]


def test_connection_does_not_show_its_key() -> None:
    for config in ({"connections": [EMEA | {"api_key": SECRET}]}, {"api_key": SECRET}):
        given = parse_settings(config)
        assert SECRET not in repr(given) + repr(resolve_connections(given, {}))
