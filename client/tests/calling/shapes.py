"""Classes and functions of an app, for tests of how they travel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum
from functools import wraps
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator


class Colour(Enum):
    RED = "red"
    BLUE = object()  # has no form in JSON: it travels by its name


class Level(IntEnum):
    LOW = 1


class Rights(Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: int
    y: Any = None


@dataclass
class Address:
    street: str
    number: Any = 1
    made: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Frozen:
    value: Any


class User(BaseModel):
    id: UUID = Field(default_factory=uuid4)
    name: str
    born: date | None = None
    nick: str | None = None
    _seen: int = PrivateAttr(default=7)


class Admin(User):
    rights: Rights = Rights.READ


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    value: Any = None


class Aliased(BaseModel):
    the_name: str = Field(alias="theName")


class Shouting(BaseModel):
    """Its validator does not give back what it got."""

    text: str

    @field_validator("text")
    @classmethod
    def _louder(cls, text: str) -> str:
        return f"{text}!"


class Login(BaseModel):
    name: str
    password: SecretStr


class Plain:
    """A class that nobody can write."""


def unannotated(value): ...  # type: ignore[no-untyped-def]


def anything(value: Any) -> None: ...


def a_user(user: User) -> None: ...


def many(*args: int, **kwargs: Any) -> None: ...


def positional(first: int, /, second: str = "2", *, third: bool = False) -> None: ...


def typed(
    text: str,
    number: int,
    moment: datetime,
    day: date,
    clock: time,
    pause: timedelta,
    key: UUID,
    price: Decimal,
    raw: bytes,
    colour: Colour,
    level: Level,
    point: Point,
    address: Address,
    user: User,
    tags: set[str],
    pair: tuple[int, str],
    path: Path,
    host: IPv4Address,
    users: list[User],
    maybe: int | None,
) -> None: ...


def noted(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function("injected", *args, **kwargs)

    return wrapper


@noted
def takes_one_more(session: str, to: str) -> None: ...


def hidden(value: Missing, other: UUID) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class Mailer:
    def send(self, to: str) -> None: ...

    @staticmethod
    def send_static(to: str) -> None: ...

    @classmethod
    def send_class(cls, to: str) -> None: ...

    def __call__(self, to: str) -> None: ...


class LoudMailer(Mailer): ...


mailer = Mailer()
sent: list[Any] = []


local = (lambda: lambda: None)()
borrowed = a_user
