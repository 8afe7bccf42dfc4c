"""Where the service is, and the key that opens it."""

from importlib.metadata import version
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from postlude.errors import SettingsInvalid
from postlude.requests import Request
from postlude.settings import checked_url, from_environment

_IDLE_S = 4  # uvicorn closes idle connections after 5 s: a request sent at that moment would be lost
_LIMITS = httpx.Limits(max_connections=50, max_keepalive_connections=50, keepalive_expiry=_IDLE_S)
_UNLIMITED = httpx.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=_IDLE_S)


class Place(NamedTuple):
    """A service. Without a `url`, nothing can be sent."""

    url: str | None
    key: str | None

    @classmethod
    def of(cls, url: str | None, key: str | None) -> "Place":
        """Return the given values or, if missing, those of the environment. Raises `SettingsInvalid`."""
        settings = from_environment()
        key = (key or settings.api_key or "").strip() or None
        if key and not (key.isascii() and key.isprintable()):
            raise SettingsInvalid("POSTLUDE_API_KEY, or the client's `key`, contains a line break or is not ASCII.")
        return cls(checked_url(url, "The client's `url`") if url else settings.url, key)

    def url_of(self, request: Request) -> str:
        if self.url is None:
            raise SettingsInvalid("Nothing says where Postlude is. Set POSTLUDE_URL, such as http://127.0.0.1:8000.")
        return self.url + request.path

    def options(self, request: Request) -> dict[str, Any]:
        """Return the options of the httpx client that sends such requests."""
        headers = {"user-agent": f"postlude-client/{version('postlude-client')}", "accept": "application/json"}
        if self.key:
            headers["authorization"] = f"Bearer {self.key}"
        leaves = self._leaves_this_machine()
        return {
            "headers": headers,
            "limits": _UNLIMITED if request.is_held else _LIMITS,
            "trust_env": leaves,
            "verify": leaves,  # loading the certificates takes longer than many requests
        }

    def _leaves_this_machine(self) -> bool:
        """Whether proxies and certificates matter: not for plain HTTP on loopback."""
        url = self.url or ""
        return urlsplit(url).scheme == "https" or not is_loopback(url)


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
