"""Who may come in at all: no page of another origin may change anything or reach us by a foreign name.

A browser sends a page's simple requests to any server without asking the server first. It also follows a name wherever
the name's owner points it, even to this machine (DNS rebinding). Neither request carries a key, so both matter most
where the API asks for none.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.addresses import is_of_this_machine
from service.errors import HostRefused, OriginRefused
from service.settings import Settings
from service.web import problems
from service.web.paths import path_of

_SAFE = {"GET", "HEAD", "OPTIONS"}
_ELSEWHERE = {b"cross-site", b"same-site"}
_ONCE = (b"host", b"origin")
# Probes ask for these under any name, and both reveal next to nothing.
_FOR_PROBES = {"/healthz", "/readyz"}
# A container calls the machine that it runs on `host.docker.internal`.
_OF_THIS_MACHINE = ("localhost", "*.localhost", "host.docker.internal")
_ONE_LABEL = re.compile(r"[a-z0-9_-]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_REMEMBERED = 100


class Door:
    """Checks the `Host` and the `Origin` of requests. `origins` may do what our own pages may."""

    def __init__(self, *, names: Iterable[str], origins: Iterable[str], any_host: bool) -> None:
        self._names = tuple(name.lower() for name in names)
        self._origins = frozenset(origins)
        self._any_host = any_host
        self._good_hosts: set[bytes] = set()

    @classmethod
    def of(cls, settings: Settings) -> "Door":
        """Make the door for `settings`. Any `Host` will do if callers need a key, which no page can guess.

        Listed names count even then.
        """
        asks_for_keys = bool(settings.api_keys) or not is_of_this_machine(settings.host)
        return cls(
            names=(*_OF_THIS_MACHINE, settings.host, *settings.allowed_hosts),
            origins=settings.cors_origins,
            any_host=asks_for_keys and not settings.allowed_hosts,
        )

    def check(self, scope: Scope) -> None:
        """Raise `HostRefused` or `OriginRefused`."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"")
        has_repeated = len(headers) < len(scope["headers"])
        if has_repeated and any(name in _ONCE and value != headers[name] for name, value in scope["headers"]):
            raise HostRefused("The request has several hosts or origins. Send one of each.")
        if not self._any_host and host not in self._good_hosts and path_of(scope) not in _FOR_PROBES:
            self._check_host(host)
        origin = headers.get(b"origin")
        if origin is not None:
            if scope["method"] not in _SAFE or b"access-control-request-method" in headers:
                self._check_origin(str(origin, "latin-1"), str(host, "latin-1"))
        elif scope["method"] not in _SAFE and headers.get(b"sec-fetch-site") in _ELSEWHERE:
            raise _foreign("another site")

    def _check_host(self, host: bytes) -> None:
        name = _name_of(str(host, "latin-1"))
        if name is None or not (_needs_no_name_server(name) or any(fnmatchcase(name, known) for known in self._names)):
            told = str(host[:255], "latin-1") if name is None else name[:255]
            raise HostRefused(
                f"This service does not go by the name {told!r}. If it should, add it to POSTLUDE_ALLOWED_HOSTS."
            )
        if len(self._good_hosts) < _MOST_REMEMBERED:
            self._good_hosts.add(host)

    def _check_origin(self, origin: str, host: str) -> None:
        if origin in self._origins:
            return
        scheme, _, place = origin.partition("://")
        ours = bool(place) and _place_of(scheme, place) == _place_of(scheme, host)
        if not ours:
            raise _foreign(origin)


class AtTheDoor:
    """Refuses requests that may not come in, before anything else looks at them."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._door.check(scope)
            except (HostRefused, OriginRefused) as error:
                response = await problems.answer_foreseen(Request(scope), error)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _needs_no_name_server(name: str) -> bool:
    """Whether nobody outside can point `name` here: it is an address or, without a dot, not in the public DNS."""
    if _ONE_LABEL.fullmatch(name):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _name_of(host: str) -> str | None:
    """Return the name in a `Host`; None unless it consists of a name and, perhaps, a port."""
    try:
        parts = urlsplit(f"//{host}")
    except ValueError:
        return None
    if parts.netloc != host or parts.username is not None:
        return None
    return (parts.hostname or "").rstrip(".")


def _place_of(scheme: str, authority: str) -> tuple[str | None, int | None] | str:
    """Return the host and port of an origin or a `Host`. TLS may end before us, so `scheme` is always the page's."""
    try:
        parts = urlsplit(f"//{authority}")
        return parts.hostname, parts.port or _DEFAULT_PORTS.get(scheme)
    except ValueError:
        return authority


def _foreign(origin: str) -> OriginRefused:
    return OriginRefused(
        f"Pages of {origin[:255]} may not call this service. If they should, add the origin to POSTLUDE_CORS_ORIGINS."
    )
