"""Reads the URLs of servers with the libraries that will use them, and says what is wrong without showing a secret."""

import re
import socket
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from redis.asyncio.connection import URL_QUERY_ARGUMENT_PARSERS, parse_url

if TYPE_CHECKING:  # it takes long to import, and `--check` needs none of it
    from sqlalchemy import URL

_DRIVERS = {
    "postgresql+asyncpg": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgres": "postgresql+asyncpg",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "sqlite": "sqlite+aiosqlite",
}
_PORTS = {"http": 80, "https": 443}
# A name, with * for any part of it, or an address. Browsers send other names in ASCII too (xn--...).
HOST_NAME = re.compile(r"[A-Za-z0-9*._-]+|\[?[0-9A-Fa-f]*:[0-9A-Fa-f:.]+\]?")
_NO_ORIGIN = (
    "must be origins such as https://app.example.com, in ASCII, each with its scheme and without a path, a user or a *"
)
_ENCODE = "percent-encode the characters : / ? # [ ] @ % in its user and password"
_SQLITE_QUERY = frozenset({"uri", "mode", "cache", "immutable", "vfs", "nolock", "psow"})
# libpq's names, as far as asyncpg keeps what they promise; `prepared_statement_cache_size` is SQLAlchemy's.
_POSTGRES_QUERY = frozenset(
    {
        "host", "port", "sslmode", "ssl", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl",
        "sslnegotiation", "ssl_min_protocol_version", "ssl_max_protocol_version", "passfile", "service",
        "target_session_attrs", "krbsrvname", "gsslib", "application_name", "options", "connect_timeout",
        "prepared_statement_cache_size",
    }
)  # fmt: skip
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SESSION_ATTRS = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
_REDIS_SCHEMES = ("redis", "rediss", "unix")
_REDIS_QUERY = frozenset(
    {
        *URL_QUERY_ARGUMENT_PARSERS, "username", "password", "client_name", "ssl_keyfile", "ssl_certfile",
        "ssl_cert_reqs", "ssl_ca_certs", "ssl_ca_data", "ssl_ciphers",
    }
)  # fmt: skip


def read_database_url(given: str) -> str:
    """Return the URL of a ledger with its driver. Raises `ValueError` with a message for whoever set it."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    if given.partition("://")[0] not in _DRIVERS or "://" not in given:
        raise ValueError("must begin with postgresql:// or sqlite:///")
    try:
        url = make_url(given)
    except (ArgumentError, ValueError) as error:
        raise ValueError(
            f"cannot be read as a URL: {_ENCODE}; several hosts are written ?host=one:5432&host=two:5432"
        ) from error
    url = url.set(drivername=_DRIVERS[url.drivername])
    known = _SQLITE_QUERY if url.get_backend_name() == "sqlite" else _POSTGRES_QUERY
    _check_query(url.query, known)
    if url.get_backend_name() == "sqlite":
        _check_sqlite(url)
    else:
        _check_postgres(url)
    return url.render_as_string(hide_password=False)


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file, whatever characters its path has."""
    from sqlalchemy import URL

    return URL.create("sqlite+aiosqlite", database=str(path)).render_as_string()


def redis_socket_url(path: Path) -> str:
    """Return the URL of a Redis that listens on a Unix socket, whatever characters its path has."""
    return f"unix://{quote(str(path))}"


def check_redis_url(given: str) -> None:
    """Refuse what redis-py would silently misread. Raises `ValueError` with a message for whoever set it."""
    try:
        parts = urlsplit(given)
        arguments: Mapping[str, Any] = parse_url(given) if parts.scheme in _REDIS_SCHEMES else {}
        port = parts.port
    except ValueError as error:
        raise ValueError(f"cannot be read as a URL: {_ENCODE}") from error
    if parts.scheme not in _REDIS_SCHEMES or "://" not in given:
        raise ValueError("must begin with redis://, rediss:// or unix://")
    if parts.fragment or port == 0:
        raise ValueError(f"cannot be read as a URL: {_ENCODE}")
    _check_query(dict.fromkeys(name.partition("=")[0] for name in parts.query.split("&") if name), _REDIS_QUERY)
    if parts.scheme == "unix" and (parts.hostname or not arguments.get("path")):
        raise ValueError("a Unix socket is written unix:///path/to/the/socket?db=0")
    if parts.scheme != "unix" and parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        raise ValueError("the part behind the host is the number of the database, as in redis://host:6379/0")
    if int(arguments.get("db", 0)) < 0:
        raise ValueError("the number of the database cannot be negative")


def redis_arguments(url: str) -> dict[str, Any]:
    """Return the arguments of a connection to the Redis at `url`, with user and password decoded."""
    return dict(parse_url(url))


def _check_query(given: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(given.keys() - known)
    if "channel_binding" in unknown:
        raise ValueError("the driver has no channel_binding: leave it out, and use sslmode=verify-full")
    if unknown:
        raise ValueError(f"unknown in its query: {', '.join(unknown)}; known are: {', '.join(sorted(known))}")


def _check_sqlite(url: "URL") -> None:
    if url.host:
        raise ValueError("a file is written sqlite:///relative/path or sqlite:////absolute/path")
    if url.database in (None, "", ":memory:") or "memory" in url.query.get("mode", ""):
        raise ValueError("a database in memory is another one for each connection, and lost at the end: name a file")


def _check_postgres(url: "URL") -> None:
    if "@" in (url.host or ""):  # the end of a password, which is not to be shown as a host
        raise ValueError(f"cannot be read as a URL: {_ENCODE}")
    for name, values in (("sslmode", _SSL_MODES), ("target_session_attrs", _SESSION_ATTRS)):
        if name in url.query and url.query[name] not in values:
            raise ValueError(f"{name} must be one of {', '.join(values)}")
    timeout = url.query.get("connect_timeout", "1")
    if not (isinstance(timeout, str) and timeout.isdecimal()):
        raise ValueError("connect_timeout must be a number of seconds")


def is_of_this_machine(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        return False
    return all(ip_address(address[0]).is_loopback for *_, address in found)


def read_origin(value: str) -> str:
    """Write an origin as browsers send it: in lower case, and without its scheme's default port.

    Raises ValueError.
    """
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError(_NO_ORIGIN) from None
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not HOST_NAME.fullmatch(host) or "*" in host or parts.path not in ("", "/"):
        raise ValueError(_NO_ORIGIN)
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError(_NO_ORIGIN)
    authority = parts.netloc.lower()
    if port in (None, _PORTS[parts.scheme]):
        authority = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, authority, "", "", ""))
