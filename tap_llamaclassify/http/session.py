"""The HTTP session: the key for one host, no redirects, no cookies, no word of it in any log."""

from __future__ import annotations

import logging
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from typing_extensions import override

from tap_llamaclassify.config.connections import Connection, is_loopback
from tap_llamaclassify.http.replies import TimelyAdapter

MOST_CONNECTIONS = 64
"""Connections that are kept for further requests: as many as may be under way at once."""


class BearerAuth(AuthBase):
    """Puts the key on requests to one host; a header alone would give way to ~/.netrc."""

    def __init__(self, key: str, url: str) -> None:
        self._key = key
        self._host = _host(url)

    @override
    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        if _host(r.url or "") == self._host:
            r.headers["Authorization"] = f"Bearer {self._key}"
        return r


def _host(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


class Session(requests.Session):
    """A session with the API of one connection."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.auth = BearerAuth(connection.api_key, connection.api_url)
        self.headers["User-Agent"] = connection.user_agent
        for scheme in ("https://", "http://"):
            self.mount(scheme, TimelyAdapter(pool_maxsize=MOST_CONNECTIONS))
        self.headers["Accept"] = "application/json"
        # A proxy may set one with every reply, until the requests are too long for it.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._is_loopback = is_loopback(urlsplit(connection.api_url).hostname or "")
        _hush()

    @override
    def merge_environment_settings(
        self, url: Any, proxies: Any, stream: Any, verify: Any, cert: Any
    ) -> Any:
        """Take proxies and certificates from the environment; no proxy for this machine itself.

        A proxy would see the key in clear, which http:// is accepted here only to avoid.
        """
        settings: Any = super().merge_environment_settings(url, proxies, stream, verify, cert)
        return settings | {"proxies": {}} if self._is_loopback else settings

    @override
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Never follow, and never even read, where a redirect points: the key would go along."""


def _hush() -> None:
    """Keep urllib3 from logging whole URLs, page tokens and ids among them.

    It does so at level DEBUG for every request, and at WARNING for some odd replies.
    """
    for name in ["urllib3", *logging.root.manager.loggerDict]:
        if name.partition(".")[0] == "urllib3":
            logging.getLogger(name).setLevel(logging.ERROR)
