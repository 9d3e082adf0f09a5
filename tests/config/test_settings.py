"""What a user can set: from a file, from the environment, by default; and what is refused."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pytest
from singer_sdk.helpers.capabilities import BATCH_CONFIG

from tap_llamaclassify.config.connections import Connection, resolve_connections
from tap_llamaclassify.config.json_schema import parse_configuration, read_environment
from tap_llamaclassify.config.settings import Settings, parse_settings
from tap_llamaclassify.config.settings_schema import config_jsonschema
from tap_llamaclassify.config.validators import DEFAULT_API_URL
from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.singer.tap import TapLlamaClassify

PREFIX = "TAP_LLAMACLASSIFY_"
SECRET = "llx-marked-secret"


def whole_schema() -> dict[str, Any]:
    schema = config_jsonschema()
    TapLlamaClassify.append_builtin_config(schema)
    return schema


def connected(environ: dict[str, str] | None = None, **config: Any) -> Connection:
    (connection,) = resolve_connections(
        parse_settings({"api_key": "llx-key"} | config), environ or {}
    )
    return connection


def test_connection_by_default_is_what_the_readme_says() -> None:
    assert connected() == Connection(
        api_url=DEFAULT_API_URL,
        api_key="llx-key",
        scope={},
        page_size=100,
        timeout=60,
        retry_seconds=600,
        requests_per_minute=None,
        user_agent=f"tap-llamaclassify/{metadata.version('tap-llamaclassify')}",
        insecure=False,
        name=None,
    )


def test_settings_given_as_null_and_an_address_of_blanks_take_their_defaults() -> None:
    nulls = dict.fromkeys(Settings.model_fields.keys() - {"api_key"})
    assert connected({"LLAMA_CLOUD_BASE_URL": " "}, **nulls) == connected()


@pytest.mark.parametrize(
    ("config", "environ", "key"),
    [
        ({"api_key": "a"}, {"LLAMA_CLOUD_API_KEY": "b", "LLAMA_PARSE_API_KEY": "c"}, "a"),
        ({}, {"LLAMA_CLOUD_API_KEY": "b", "LLAMA_PARSE_API_KEY": "c"}, "b"),
        ({"api_key": None}, {"LLAMA_PARSE_API_KEY": "c"}, "c"),
        ({}, {"LLAMA_CLOUD_API_KEY": " ", "LLAMA_PARSE_API_KEY": "c\n"}, "c"),
        ({"api_key": " a\n"}, {}, "a"),
    ],
    ids=["setting first", "then the newer variable", "then the older", "blank is none", "trimmed"],
)
def test_key_comes_from_the_setting_then_the_environment(
    config: dict[str, Any], environ: dict[str, str], key: str
) -> None:
    (connection,) = resolve_connections(parse_settings(config), environ)
    assert connection.api_key == key


@pytest.mark.parametrize("environ", [{}, {"LLAMA_CLOUD_API_KEY": ""}], ids=["absent", "blank"])
def test_missing_key_is_an_error_that_names_setting_and_variable(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="api_key is missing: set it, or LLAMA_CLOUD_API_KEY"):
        resolve_connections(parse_settings({}), environ)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://api.cloud.eu.llamaindex.ai/", "https://api.cloud.eu.llamaindex.ai"),
        ("api.example.com", "https://api.example.com"),
        ("api.example.com:8443/llama/", "https://api.example.com:8443/llama"),
        ("127.0.0.1:8080", "https://127.0.0.1:8080"),
        (" http://127.0.0.1:8080 ", "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost"),
        ("http://api.localhost:1", "http://api.localhost:1"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("HTTPS://api.example.com", "https://api.example.com"),
    ],
)
def test_api_url_is_brought_into_one_form(given: str, url: str) -> None:
    assert connected(api_url=given).api_url == url
    assert connected({"LLAMA_CLOUD_BASE_URL": given}).api_url == url


@pytest.mark.parametrize(
    "url", ["http://api.example.com", "http://10.0.0.1", "http://localhost.example.com"]
)
def test_http_is_for_loopback_hosts_only_unless_allowed(url: str) -> None:
    with pytest.raises(SettingsError, match="allow_insecure_http"):
        connected(api_url=url)
    with pytest.raises(SettingsError, match="LLAMA_CLOUD_BASE_URL is an http://"):
        connected({"LLAMA_CLOUD_BASE_URL": url})
    assert connected(api_url=url, allow_insecure_http=True).insecure
    assert not connected(api_url="http://localhost", allow_insecure_http=True).insecure


@pytest.mark.parametrize(
    "url",
    [
        f"https://{SECRET}@api.example.com",
        f"https://user:{SECRET}@api.example.com",
        f"https://api.example.com?key={SECRET}",
        f"https://api.example.com#{SECRET}",
        f"ftp://{SECRET}.example.com",
        f"https://{SECRET} .example.com",
        f"https://example.com:{SECRET}",
        "https://",
        "llx-marked-secret",
        "https://llx-marked-secret/api",
        "https://example.com:99999",
        "https://[::1",
    ],
)
def test_api_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    for config, environ in (({"api_url": url}, {}), ({}, {"LLAMA_CLOUD_BASE_URL": url})):
        with pytest.raises(SettingsError, match=r"api_url|LLAMA_CLOUD_BASE_URL") as caught:
            connected(environ, **config)
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/api/v1", "/api/v1"),
        ("/api/v2/", "/api/v2"),
        ("/API/V1//", "/API/V1"),
        ("/marked-gateway/api/v1/classifier/jobs", "/api/v1"),
        ("/api/v2/classify/marked-id", "/api/v2"),
        ("/api/v1/projects", "/api/v1"),
    ],
)
def test_api_url_with_the_api_s_own_path_is_refused_with_where_it_must_end(
    path: str, version: str
) -> None:
    url = f"https://api.example.com{path}"
    reason = f"must end before {version}, as in {DEFAULT_API_URL}: calls have their own paths"
    own = {"connections": [{"name": "emea", "api_key": "llx-key", "api_url": url}], "api_key": None}
    for config, environ, setting in (
        ({"api_url": url}, {}, "api_url"),
        ({}, {"LLAMA_CLOUD_BASE_URL": url}, "LLAMA_CLOUD_BASE_URL"),
        (own, {}, "connections.emea.api_url"),
    ):
        with pytest.raises(SettingsError) as caught:
            connected(environ, **config)
        assert str(caught.value) == f"{setting} {reason}"


@pytest.mark.parametrize("path", ["/api", "/api/v1/llama", "/llama/v1", "/gateway-api/v1"])
def test_api_url_may_have_any_other_path(path: str) -> None:
    url = f"https://api.example.com{path}"
    assert connected(api_url=url).api_url == url


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"pagesize": SECRET}, "pagesize is not a setting of this tap; did you mean page_size?"),
        ({"zzz": SECRET}, "zzz is not a setting of this tap"),
        ({"\ud800": SECRET}, "one whose name is no text is not valid"),
        ({"api_key": ""}, "api_key is empty"),
        ({"api_key": "  "}, "api_key is empty"),
        ({"api_key": f"{SECRET}\nX: y"}, "api_key holds characters that no key has"),
        ({"api_key": f"{SECRET}é"}, "api_key holds characters that no key has"),
        ({"api_key": 5}, "api_key must be text"),
        ({"api_key": [SECRET]}, "api_key must be text"),
        ({"page_size": 0}, "page_size must be at least 1"),
        ({"page_size": "100"}, "page_size must be a whole number"),
        ({"page_size": SECRET}, "page_size must be a whole number"),
        ({"page_size": True}, "page_size must be a whole number"),
        ({"page_size": 1.5}, "page_size must be a whole number"),
        ({"start_date": SECRET}, "start_date is no ISO 8601 date or timestamp"),
        ({"start_date": 20260101}, "start_date must be text"),
        ({"lookback_seconds": -1}, "lookback_seconds must be at least 0"),
        ({"request_timeout_seconds": 0}, "request_timeout_seconds must be at least 1"),
        ({"retry_seconds": -1}, "retry_seconds must be at least 0"),
        ({"requests_per_minute": 0}, "requests_per_minute must be at least 1"),
        ({"user_agent": f"{SECRET}\r\nX: y"}, "user_agent may hold printable ASCII"),
        ({"user_agent": f" {SECRET}"}, "user_agent may hold printable ASCII"),
        ({"request_timeout_seconds": 10**12}, "request_timeout_seconds must be at most 86400"),
        ({"retry_seconds": 10**400}, "retry_seconds must be at most 86400"),
        ({"requests_per_minute": 10**30}, "requests_per_minute must be at most 100000"),
        ({"project_id": ""}, "project_id is empty"),
        ({"parallel_connections": 0}, "parallel_connections must be at least 1"),
        ({"parallel_connections": 65}, "parallel_connections must be at most 64"),
        ({"parallel_requests": 0}, "parallel_requests must be at least 1"),
        ({"parallel_requests": 65}, "parallel_requests must be at most 64"),
        ({"reconcile_days": -1}, "reconcile_days must be at least 0"),
        ({"reconcile_days": 3651}, "reconcile_days must be at most 3650"),
        ({"fetch_results": SECRET}, "fetch_results must be true or false"),
        ({"fetch_usage": 1}, "fetch_usage must be true or false"),
        ({"allow_insecure_http": SECRET}, "allow_insecure_http must be true or false"),
        ({"page_size": 0, "start_date": "x"}, "page_size must be at least 1; start_date is no"),
        ({"usage_event_types": SECRET}, "usage_event_types must be a list"),
        ({"usage_event_types": []}, "usage_event_types is an empty list: fill it, or leave it out"),
        ({"usage_event_types": ["a", 1]}, "usage_event_types[1] must be text"),
        ({"usage_event_types": ["", "a"]}, "usage_event_types[0] is empty"),
        ({"require_all": SECRET}, "require_all must be true or false"),
        ({"stream_maps": SECRET}, "stream_maps must be object or null"),
        ({"flattening_enabled": SECRET}, "flattening_enabled must be boolean or null"),
        ({"stream_maps": {"__else__": SECRET}}, "stream_maps is not valid"),
        ({"flattening_enabled": True}, "flattening_max_depth is missing"),
        (
            {"batch_config": {"encoding": {"format": SECRET}, "storage": {"root": SECRET}}},
            "batch_config.encoding.format is not valid",
        ),
        (
            {"batch_config": {"encoding": {"format": "jsonl"}}},
            "batch_config is not valid: 'storage'",
        ),
        (
            {"batch_config": {"encoding": {"format": "jsonl"}, "storage": {"prefix": SECRET}}},
            "batch_config.storage is not valid: 'root'",
        ),
    ],
)
def test_wrong_setting_is_named_with_the_reason_and_without_its_value(
    config: dict[str, Any], text: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_configuration(config, whole_schema(), {})
    assert str(caught.value).startswith(text)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("given", "fixed"),
    [
        ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00.000000Z"),
        ("2026-01-31T12:00:00", "2026-01-31T12:00:00.000000Z"),
    ],
    ids=["a date is midnight UTC", "an offset", "no zone is UTC"],
)
def test_start_date_is_an_instant(given: str, fixed: str) -> None:
    assert parse_settings({"start_date": given}).start_date == fixed


def test_environment_texts_become_typed_settings() -> None:
    texts = {
        "api_key": ("llx-key", "llx-key"),
        "api_url": ("localhost", "https://localhost"),
        "allow_insecure_http": ("true", True),
        "project_id": ("123", "123"),
        "page_size": ("7", 7),
        "reconcile_days": ("0", 0),
        "fetch_usage": ("true", True),
        "start_date": ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        "stream_maps": ('{"classify_jobs": {"x": "id"}}', {"classify_jobs": {"x": "id"}}),
        "flattening_enabled": ("Yes", True),
        "flattening_max_depth": ("2", 2),
        "flattening_separator": ("__", "__"),
    }
    environ = {PREFIX + name.upper(): text for name, (text, _) in texts.items()}
    read = read_environment(whole_schema(), PREFIX, environ | {f"{PREFIX}NO_SETTING": "x"})
    assert read == {name: value for name, (_, value) in texts.items()}
    parse_configuration(read, whole_schema(), {})


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("PAGE_SIZE", SECRET, "page_size must be a whole number"),
        ("PAGE_SIZE", "0", "page_size must be at least 1"),
        ("ALLOW_INSECURE_HTTP", SECRET, "allow_insecure_http must be true or false"),
        ("API_KEY", "", "api_key is empty"),
        ("START_DATE", SECRET, "start_date is no ISO 8601"),
        ("STREAM_MAPS", SECRET, "stream_maps is no JSON"),
        *(
            ("CONNECTIONS", text, "connections is no JSON")
            for text in ("", SECRET, f"[{SECRET}", "[" * 100_000)
        ),
        ("USAGE_EVENT_TYPES", SECRET, "usage_event_types is no JSON"),
        ("REQUIRE_ALL", SECRET, "require_all must be true or false"),
        ("FLATTENING_MAX_DEPTH", SECRET, "flattening_max_depth is no JSON"),
    ],
)
def test_environment_text_of_the_wrong_type_is_named_without_its_value(
    name: str, text: str, reason: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read_environment(whole_schema(), PREFIX, {PREFIX + name: text})
    assert str(caught.value).startswith(reason)
    assert SECRET not in str(caught.value)


def test_schema_for_singer_sdk_is_plain_and_marks_the_key_as_secret() -> None:
    schema = config_jsonschema()
    assert list(schema["properties"]) == list(Settings.model_fields)
    assert "required" not in schema
    assert schema["properties"]["api_key"] == {
        "type": ["string", "null"],
        "description": Settings.model_fields["api_key"].description,
        "secret": True,
    }
    properties = schema["properties"]
    for name, described in (properties | properties["connections"]["items"]["properties"]).items():
        plain = {"type", "description", "default", "format", "secret", "items"}
        assert described.keys() <= plain, name
        assert described["description"].endswith("."), name


def test_formats_and_compressions_of_the_tap_are_not_those_of_every_plugin_of_the_process() -> None:
    schemas: list[Any] = [{"properties": {}}, BATCH_CONFIG]
    TapLlamaClassify.append_builtin_config(schemas[0])
    own, sdk = (
        schema["properties"]["batch_config"]["properties"]["encoding"]["properties"]
        for schema in schemas
    )
    assert own["format"]["enum"] == ["jsonl", "parquet", "arrow"]
    assert own["compression"]["enum"] == ["gzip", "lz4", "none", "snappy", "zstd"]
    assert "arrow" not in sdk["format"].get("enum", ())
    assert sdk["compression"]["enum"] == ["gzip", "none"]


def test_settings_that_the_environment_may_supply_have_no_default_in_the_schema() -> None:
    properties = config_jsonschema()["properties"]
    shown = {name: each["default"] for name, each in properties.items() if "default" in each}
    defaults = {name: each.default for name, each in Settings.model_fields.items()}
    assert shown == {name: value for name, value in defaults.items() if value is not None}
    assert not {"api_key", "api_url"} & shown.keys()
