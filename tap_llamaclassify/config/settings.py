"""What a user can set, defined once; it knows nothing of HTTP, of Singer or of the environment."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from tap_llamaclassify.config.validators import (
    DEFAULT_API_URL,
    is_name,
    normal_header,
    normal_instant,
    normal_key,
    normal_name,
    normal_url,
    normal_variable,
)
from tap_llamaclassify.errors import SettingsError

A_DAY = 86_400


def _key(secret: SecretStr) -> SecretStr:
    return SecretStr(normal_key(secret.get_secret_value()))


Text = Annotated[str, StringConstraints(min_length=1)]
Key = Annotated[SecretStr, AfterValidator(_key)]
Address = Annotated[Text, AfterValidator(normal_url)]
AtOnce = Annotated[int, Field(ge=1, le=64)]


class ConnectionSettings(BaseModel):
    """One of several keys, as the user gave it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: Annotated[str, AfterValidator(normal_name)] = Field(
        description="What the connection is called, in the state and in logs.",
    )
    api_key: Key | None = Field(
        default=None,
        description="The LlamaCloud key. Else api_key_env.",
    )
    api_key_env: Annotated[Text, AfterValidator(normal_variable)] | None = Field(
        default=None,
        description="The name of the environment variable that holds the key.",
    )
    project_id: Text | None = Field(
        default=None,
        description="The project to list. By default the key's own.",
    )
    organization_id: Text | None = Field(
        default=None,
        description="The organization to list. By default the key's own.",
    )
    api_url: Address | None = Field(
        default=None,
        description="The API's address. By default the api_url beside connections.",
    )


class Settings(BaseModel):
    """The settings; what was absent or null has its default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    api_key: Key | None = Field(
        default=None,
        description="The LlamaCloud key. Else LLAMA_CLOUD_API_KEY, then LLAMA_PARSE_API_KEY, "
        "is read from the environment. A key belongs to one region and one project.",
    )
    api_url: Address | None = Field(
        default=None,
        description="The API's address. Else LLAMA_CLOUD_BASE_URL is read from the environment, "
        f"then it is {DEFAULT_API_URL}. In Europe: https://api.cloud.eu.llamaindex.ai. "
        "Without a scheme, https.",
    )
    allow_insecure_http: bool = Field(
        default=False,
        description="Let the key travel unencrypted to an http:// address that is not this "
        "machine, for a self-hosted API inside a cluster.",
    )
    project_id: Text | None = Field(
        default=None,
        description="The project to list, as a query parameter. By default the key's own.",
    )
    organization_id: Text | None = Field(
        default=None,
        description="The organization to list, as a query parameter. By default the key's own.",
    )
    connections: Annotated[list[ConnectionSettings], Field(min_length=1)] | None = Field(
        default=None,
        description="Several keys in place of api_key, project_id and organization_id: a list of "
        "objects with name, either api_key or api_key_env (the name of an environment variable), "
        "and optionally project_id, organization_id and api_url.",
    )
    adopt_state: Text | None = Field(
        default=None,
        description="The name of the connection that goes on from the bookmarks of the time "
        "before connections.",
    )
    parallel_connections: AtOnce = Field(
        default=4,
        description="How many connections are read at once.",
    )
    page_size: Annotated[int, Field(ge=1)] = Field(
        default=100,
        description="Jobs a request. More means fewer requests. The v2 API takes at most 100, and "
        "is sent no more; v1 does not document its limit.",
    )
    start_date: Annotated[Text, AfterValidator(normal_instant)] | None = Field(
        default=None,
        description="Jobs last updated before it are left out. A date alone is midnight UTC.",
        json_schema_extra={"format": "date-time"},
    )
    lookback_seconds: Annotated[int, Field(ge=0)] = Field(
        default=300,
        description="How far before the bookmark jobs are emitted again, against changes that "
        "the API shows late.",
    )
    reconcile_days: Annotated[int, Field(ge=0, le=3650)] = Field(
        default=7,
        description="How far before the bookmark v2 jobs that were created then are listed again, "
        "against finished jobs that change all the same. 0 trusts that none does.",
    )
    fetch_results: bool = Field(
        default=False,
        description="Let classify_job_results be read: one request for each finished v1 job.",
    )
    fetch_usage: bool = Field(
        default=False,
        description="Fill the usage columns of classify_v2_jobs: one request for each finished "
        "v2 job. The stream classify_usage costs pages instead.",
    )
    usage_event_types: Annotated[list[Text], Field(min_length=1)] = Field(
        default=["pages_classified", "image_classified", "pages_parsed"],
        description="What classify_usage has metrics of. The pages that a job had parsed are "
        "pages_parsed, under its parse job.",
    )
    require_all: bool = Field(
        default=False,
        description="Fail where a selected stream is not available to the key: without it, v1 "
        "streams whose v2 streams are there, classify_job_timings and classify_usage are left out "
        "with a warning.",
    )
    parallel_windows: AtOnce = Field(
        default=4,
        description="How many windows of a long v2 history a connection reads at once. 1 for one "
        "after the other.",
    )
    parallel_requests: AtOnce = Field(
        default=4,
        description="How many requests for single jobs a connection has under way at once.",
    )
    request_timeout_seconds: Annotated[int, Field(ge=1, le=A_DAY)] = Field(
        default=60,
        description="How long the API may stay silent during a request. Connecting may take 5, a "
        "whole reply ten times as long.",
    )
    retry_seconds: Annotated[int, Field(ge=0, le=A_DAY)] = Field(
        default=600,
        description="How long one request may go on being retried. 0 for no second try.",
    )
    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Send at most so many requests in any minute, for each connection. A "
        "free-tier account has 20.",
    )
    user_agent: Annotated[Text, AfterValidator(normal_header)] | None = Field(
        default=None,
        description="The User-Agent header. By default tap-llamaclassify/ and its version.",
    )


def parse_settings(config: Mapping[str, Any]) -> Settings:
    """Read settings as a file or Meltano gives them; what is null takes its default.

    Raises:
        SettingsError: Names every setting that is unknown or wrong, and why; never a value.
    """
    try:
        settings = Settings.model_validate(_without_nulls(config), strict=True)
    except ValidationError as error:
        raise SettingsError("; ".join(_reasons(error, config))) from None
    if reasons := [*_conflicts(settings)]:
        raise SettingsError("; ".join(reasons))
    return settings


def _without_nulls(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value is not None}


def parse_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    """Read settings as environment variables give them, every value a text.

    Raises:
        SettingsError: As `parse_settings` does, but for settings that do not go together.
    """
    try:
        settings = Settings.model_validate_strings(texts)
    except ValidationError as error:
        raise SettingsError("; ".join(_reasons(error, texts))) from None
    given = settings.model_dump(exclude_unset=True)
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in given.items()
    }


def _conflicts(settings: Settings) -> Iterator[str]:
    if settings.connections is None:
        if settings.adopt_state is not None:
            yield "adopt_state is set, and connections is not: it names one of them"
        return
    for name in ("api_key", "project_id", "organization_id"):
        if getattr(settings, name) is not None:
            yield f"connections is set: move {name} into it"
    names = [connection.name for connection in settings.connections]
    for number, connection in enumerate(settings.connections):
        if connection.name in names[:number]:
            yield f"connections[{number}].name is that of another connection"
        keys = [k for k in (connection.api_key, connection.api_key_env) if k is not None]
        if len(keys) != 1:
            what = "has both api_key and api_key_env" if keys else "has no key"
            yield f"connections.{connection.name} {what}: set one of api_key and api_key_env"
    if settings.adopt_state not in {None, *names}:
        yield "adopt_state is the name of none of the connections"


def _reasons(error: ValidationError, config: Mapping[str, Any]) -> Iterable[str]:
    for problem in error.errors(include_url=False, include_input=False):
        kind, path = problem["type"], problem["loc"]
        yield f"{_place(path, config)} {_reason(path, kind, problem.get('ctx', {}))}"


def _place(path: Sequence[int | str], config: Mapping[str, Any]) -> str:
    match path:
        case []:
            # A name that is no valid text has no place.
            return "one whose name is no text"
        case [setting, int(number), *field]:
            given = config[str(setting)][number]
            name = given.get("name") if isinstance(given, Mapping) else None
            place = f"{setting}.{name}" if is_name(name) else f"{setting}[{number}]"
            return ".".join([place, *map(str, field)])
        case _:
            return str(path[0])


_REASONS = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "is empty: give it a value or leave it out",
    "too_short": "is an empty list: fill it, or leave it out",
    "missing": "is missing",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "value_error": "{error}",
}


def _reason(path: Sequence[int | str], kind: str, context: Mapping[str, Any]) -> str:
    if kind != "extra_forbidden":
        return _REASONS.get(kind, "is not valid").format_map(context)
    model, owner = (
        (Settings, "this tap") if len(path) == 1 else (ConnectionSettings, "a connection")
    )
    close = difflib.get_close_matches(str(path[-1]), model.model_fields, n=1)
    return f"is not a setting of {owner}" + (f"; did you mean {close[0]}?" if close else "")
