"""Values that JSON has no form for, and their text."""

import ipaddress
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
import pydantic_core


class Scalar(NamedTuple):
    """A class whose values are written as one text (or number), and read back."""

    name: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _write_moment(value: datetime | time) -> list[Any]:
    zone = value.tzinfo.key if isinstance(value.tzinfo, ZoneInfo) else None
    if zone is None:
        return [value.isoformat(), None, value.fold]
    return [value.replace(tzinfo=None).isoformat(), zone, value.fold]


def _moment_reader(kind: Any) -> Callable[[list[Any]], Any]:
    def read(written: list[Any]) -> Any:
        text, zone, fold = written
        value = kind.fromisoformat(text).replace(fold=fold)
        return value.replace(tzinfo=ZoneInfo(zone)) if zone else value

    return read


def _address_reader(kind: Any) -> Callable[[Any], Any]:
    def read(text: Any) -> Any:
        if not isinstance(text, str):  # these classes take numbers too, and some of them a bool with a warning
            raise TypeError(f"an address is written as text, not {text!r:.100}")
        return kind(text)

    return read


def _base64(value: bytes | bytearray) -> str:
    return b64encode(value).decode()


_URLS: list[Any] = [pydantic.AnyUrl, pydantic.AnyHttpUrl, pydantic.HttpUrl, pydantic.FileUrl, pydantic_core.Url]
_ADDRESSES: list[Any] = [
    ipaddress.IPv4Address,
    ipaddress.IPv6Address,
    ipaddress.IPv4Network,
    ipaddress.IPv6Network,
    ipaddress.IPv4Interface,
    ipaddress.IPv6Interface,
]
_PATHS: list[Any] = [type(Path()), PurePosixPath, PureWindowsPath]

SCALARS: dict[type, Scalar] = {
    datetime: Scalar("datetime", _write_moment, _moment_reader(datetime)),
    time: Scalar("time", _write_moment, _moment_reader(time)),
    date: Scalar("date", date.isoformat, date.fromisoformat),
    timedelta: Scalar(
        "timedelta", lambda value: [value.days, value.seconds, value.microseconds], lambda parts: timedelta(*parts)
    ),
    UUID: Scalar("UUID", str, UUID),
    Decimal: Scalar("Decimal", str, Decimal),
    bytes: Scalar("bytes", _base64, b64decode),
    bytearray: Scalar("bytearray", _base64, lambda text: bytearray(b64decode(text))),
    float: Scalar("float", repr, float),
    int: Scalar("int", hex, lambda text: int(text, 16)),
    str: Scalar(
        "str",
        lambda text: _base64(text.encode(errors="surrogatepass")),
        lambda text: b64decode(text).decode(errors="surrogatepass"),
    ),
    ZoneInfo: Scalar("ZoneInfo", lambda zone: zone.key, ZoneInfo),
    **{kind: Scalar(kind.__name__, str, kind) for kind in _PATHS},
    **{kind: Scalar(kind.__name__, str, _address_reader(kind)) for kind in _ADDRESSES},
    # Some of these are not classes in older versions of Pydantic.
    **{kind: Scalar(kind.__name__, str, kind) for kind in _URLS if isinstance(kind, type)},
}
BY_NAME = {scalar.name: scalar for scalar in SCALARS.values()}

_LARGEST_INT = 2**63 - 1


def is_json(value: object) -> bool:
    """Whether JSON and every database can hold a value as it is."""
    if type(value) is str:
        return "\0" not in value and _is_unicode(value)
    if type(value) is int:
        return abs(value) <= _LARGEST_INT
    if type(value) is float:
        return isfinite(value)
    return value is None or type(value) is bool


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
