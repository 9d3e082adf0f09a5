"""What a user can set, defined once; it knows nothing of HTTP, of Singer or of the environment."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
)

from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.timestamps import to_fixed

A_DAY = 86_400
KEY_PREFIX = "llx-"
DEFAULT_API_URL = "https://api.cloud.llamaindex.ai"

is_key = re.compile(r"[\x21-\x7e]+").fullmatch
_is_address = re.compile(r"[\x21-\x7e]+").fullmatch
_is_header = re.compile(r"[\x21-\x7e][\x20-\x7e]*").fullmatch


def _instant(text: str) -> str:
    fixed = to_fixed(text)
    if fixed is None:
        reason = "is no ISO 8601 date or timestamp, such as 2026-01-31 or 2026-01-31T12:00:00Z"
        raise ValueError(reason)
    return fixed


def _key(secret: SecretStr) -> SecretStr:
    key = secret.get_secret_value().strip()
    if not key:
        reason = "is empty"
        raise ValueError(reason)
    if not is_key(key):
        reason = "holds characters that no key has"
        raise ValueError(reason)
    return SecretStr(key)


def _header(text: str) -> str:
    if not _is_header(text):
        reason = "may hold printable ASCII characters only, and not begin with a blank"
        raise ValueError(reason)
    return text


def normal_url(text: str) -> str:
    """Bring an address into the form `scheme://host[:port][/path]`; without a scheme, https.

    Raises:
        ValueError: It is no such address; the text is the reason.
    """
    address = text.strip()
    parts = _split(address if "://" in address else f"https://{address}")
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        reason = f"is no address such as {DEFAULT_API_URL}"
        raise ValueError(reason)
    if parts.username is not None or parts.query or parts.fragment:
        reason = "must be scheme, host, port and path only: no user, password, query or fragment"
        raise ValueError(reason)
    if parts.hostname.startswith(KEY_PREFIX):
        reason = "is a key: the address goes there, and the key into api_key"
        raise ValueError(reason)
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/")


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        usable = parts.port != 0 and _is_address(address)
    except ValueError:
        return None
    return parts if usable else None


Text = Annotated[str, StringConstraints(min_length=1)]


class Settings(BaseModel):
    """The settings as the user gave them; what is absent or null takes its default."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    api_key: Annotated[SecretStr, AfterValidator(_key)] | None = Field(
        default=None,
        description="The LlamaCloud key. Else LLAMA_CLOUD_API_KEY, then LLAMA_PARSE_API_KEY, "
        "is read from the environment. A key belongs to one region and one project.",
    )
    api_url: Annotated[Text, AfterValidator(normal_url)] | None = Field(
        default=None,
        description="The API's address. Else LLAMA_CLOUD_BASE_URL is read from the environment, "
        f"then it is {DEFAULT_API_URL}. In Europe: https://api.cloud.eu.llamaindex.ai. "
        "Without a scheme, https.",
    )
    allow_insecure_http: bool | None = Field(
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
    page_size: Annotated[int, Field(ge=1)] | None = Field(
        default=100,
        description="Jobs a request. More means fewer requests; the API does not document "
        "its limit.",
    )
    start_date: Annotated[Text, AfterValidator(_instant)] | None = Field(
        default=None,
        description="Jobs last updated before it are left out. A date alone is midnight UTC.",
        json_schema_extra={"format": "date-time"},
    )
    lookback_seconds: Annotated[int, Field(ge=0)] | None = Field(
        default=300,
        description="How far before the bookmark jobs are emitted again, against changes that "
        "the API shows late.",
    )
    request_timeout_seconds: Annotated[int, Field(ge=1, le=A_DAY)] | None = Field(
        default=60,
        description="How long the API may stay silent during a request. Connecting may take 5.",
    )
    retry_seconds: Annotated[int, Field(ge=0, le=A_DAY)] | None = Field(
        default=600,
        description="How long one request may go on being retried. 0 for no second try.",
    )
    requests_per_minute: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None,
        description="Send at most so many requests in any minute. A free-tier account has 20.",
    )
    user_agent: Annotated[Text, AfterValidator(_header)] | None = Field(
        default=None,
        description="The User-Agent header. By default tap-llamaclassify/ and its version.",
    )

    def value(self, name: str) -> Any:
        """Answer a setting's value, or its default where it was given as null."""
        given = getattr(self, name)
        return type(self).model_fields[name].default if given is None else given


def check(config: Mapping[str, Any]) -> Settings:
    """Read settings as a file or Meltano gives them.

    Raises:
        SettingsError: Names every setting that is unknown or wrong, and why; never a value.
    """
    try:
        return Settings.model_validate(config, strict=True)
    except ValidationError as error:
        raise SettingsError("; ".join(_reasons(error))) from None


def check_texts(texts: Mapping[str, str]) -> dict[str, Any]:
    """Read settings as environment variables give them, every value a text.

    Raises:
        SettingsError: As `check` does.
    """
    try:
        settings = Settings.model_validate_strings(texts)
    except ValidationError as error:
        raise SettingsError("; ".join(_reasons(error))) from None
    given = settings.model_dump(exclude_unset=True)
    return {
        name: value.get_secret_value() if isinstance(value, SecretStr) else value
        for name, value in given.items()
    }


def _reasons(error: ValidationError) -> Iterable[str]:
    for problem in error.errors(include_url=False, include_input=False):
        # A name that is no valid text has no place.
        name = str(problem["loc"][0]) if problem["loc"] else "one whose name is no text"
        yield f"{name} {_reason(name, problem['type'], problem.get('ctx', {}))}"


_REASONS = {
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "is empty: give it a value or leave it out",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "value_error": "{error}",
}


def _reason(name: str, kind: str, context: Mapping[str, Any]) -> str:
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(name, Settings.model_fields, n=1)
        return "is not a setting of this tap" + (f"; did you mean {close[0]}?" if close else "")
    return _REASONS.get(kind, "is not valid").format_map(context)
