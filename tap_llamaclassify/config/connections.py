"""Where to ask and as whom: settings, then the environment, then defaults; nothing is sent here."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from urllib.parse import urlsplit

from tap_llamaclassify.config.settings import ConnectionSettings, Settings
from tap_llamaclassify.config.validators import DEFAULT_API_URL, is_key, normal_url
from tap_llamaclassify.errors import SettingsError

KEY_VARIABLES = ("LLAMA_CLOUD_API_KEY", "LLAMA_PARSE_API_KEY")
URL_VARIABLE = "LLAMA_CLOUD_BASE_URL"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where to ask, as whom, and how patiently; nothing in it is missing any more.

    Attributes:
        api_url: `scheme://host[:port][/path]`, without a slash at its end.
        scope: The query parameters that choose organization and project.
        timeout: Seconds of silence before a request is given up.
        retry_seconds: Seconds for which one request may be tried again.
        requests_per_minute: The most requests in any minute; None for no limit.
        insecure: Whether the key travels unencrypted over a network.
        name: What it is called beside others; None for the single one.
    """

    api_url: str
    api_key: str = field(repr=False)
    scope: Mapping[str, str]
    page_size: int
    timeout: int
    retry_seconds: int
    requests_per_minute: int | None
    user_agent: str
    insecure: bool
    name: str | None = None

    @property
    def label(self) -> str:
        """What stands before messages about it; nothing for the single one."""
        return f"{self.name}: " if self.name else ""


def resolve_connections(settings: Settings, environ: Mapping[str, str]) -> tuple[Connection, ...]:
    """Settle where to ask and as whom: setting, then environment, then default.

    Returns:
        At least one, in the order in which they were given; a single one has no name.

    Raises:
        SettingsError: Names every connection that has no key, or an address that its key must not
            travel to.
    """
    if settings.connections is None:
        return (_settled(settings, None, environ),)
    settled: list[Connection] = []
    reasons: list[str] = []
    for own in settings.connections:
        try:
            settled.append(_settled(settings, own, environ))
        except SettingsError as error:
            reasons.append(str(error))
    if reasons:
        raise SettingsError("; ".join(reasons))
    return tuple(settled)


def _settled(
    settings: Settings, own: ConnectionSettings | None, environ: Mapping[str, str]
) -> Connection:
    url_source, url = _api_url(settings, own, environ)
    insecure = url.startswith("http://") and not is_loopback(urlsplit(url).hostname or "")
    if insecure and not settings.allow_insecure_http:
        raise SettingsError(
            f"{url_source} is an http:// address, over which the key would travel unencrypted: "
            "use https://, or set allow_insecure_http to accept that"
        )
    scope = {
        name: value
        for name in ("organization_id", "project_id")
        if (value := getattr(own or settings, name)) is not None
    }
    return Connection(
        name=own.name if own else None,
        api_url=url,
        api_key=_key_of(own, environ) if own else _key(settings, environ),
        scope=scope,
        page_size=settings.page_size,
        timeout=settings.request_timeout_seconds,
        retry_seconds=settings.retry_seconds,
        requests_per_minute=settings.requests_per_minute,
        user_agent=settings.user_agent or _default_user_agent(),
        insecure=insecure,
    )


def _key(settings: Settings, environ: Mapping[str, str]) -> str:
    if settings.api_key:
        return settings.api_key.get_secret_value()
    for name in KEY_VARIABLES:
        if key := environ.get(name, "").strip():
            if not is_key(key):
                raise SettingsError(f"{name} holds characters that no key has")
            return key
    raise SettingsError(
        f"api_key is missing: set it, or {KEY_VARIABLES[0]} in the environment, "
        "to a key from your LlamaCloud project"
    )


def _key_of(own: ConnectionSettings, environ: Mapping[str, str]) -> str:
    if own.api_key:
        return own.api_key.get_secret_value()
    # The variable's name is not shown: it may be a key that was put in the wrong place.
    key = environ.get(own.api_key_env or "", "").strip()
    if not key:
        raise SettingsError(
            f"connections.{own.name}.api_key_env names an environment variable that is not set"
        )
    if not is_key(key):
        raise SettingsError(
            f"connections.{own.name}.api_key_env names an environment variable that holds "
            "characters that no key has"
        )
    return key


def _api_url(
    settings: Settings, own: ConnectionSettings | None, environ: Mapping[str, str]
) -> tuple[str, str]:
    if own and own.api_url:
        return f"connections.{own.name}.api_url", own.api_url
    of = f" (for connections.{own.name})" if own else ""
    if settings.api_url:
        return f"api_url{of}", settings.api_url
    if address := environ.get(URL_VARIABLE, "").strip():
        try:
            return f"{URL_VARIABLE}{of}", normal_url(address)
        except ValueError as reason:
            raise SettingsError(f"{URL_VARIABLE}{of} {reason}") from None
    return f"api_url{of}", DEFAULT_API_URL


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, so that nothing travels over a network."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _default_user_agent() -> str:
    return f"tap-llamaclassify/{metadata.version('tap-llamaclassify')}"
