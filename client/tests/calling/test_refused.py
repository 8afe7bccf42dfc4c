"""What is refused says what to pass instead."""

import asyncio
import io
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy
from client.tests.calling.shapes import Login, anything
from fastapi import Request, Response
from pydantic import SecretBytes, SecretStr
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    mapped_column,
    scoped_session,
    sessionmaker,
)

from postlude.calling.arguments import pack
from postlude.calling.refused import CannotTravel
from postlude.fastapi import Tasks


class Base(DeclarativeBase): ...


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)


class Item(MappedAsDataclass, Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(primary_key=True)


async def values() -> AsyncIterator[int]:
    yield 1


FILE = io.StringIO()


@pytest.mark.parametrize(
    ("value", "instead"),
    [
        (Request({"type": "http"}), "pass what the function needs of it"),
        (Response(), "pass what the function needs of it"),
        (Tasks(), "let the function take one itself"),
        (Session(), "let the function open one, or take one with `Depends`"),
        (AsyncSession(), "let the function open one, or take one with `Depends`"),
        (scoped_session(sessionmaker()), "let the function open one, or take one with `Depends`"),
        (Order(id=1), "pass its id, and load it in the function"),
        (Item(id=1), "pass its id, and load it in the function"),
        (FILE, "pass its path"),
        (SecretStr("x"), "a secret would be shown"),
        (SecretBytes(b"x"), "a secret would be shown"),
        (Login(name="ann", password=SecretStr("x")), "a secret would be shown"),
        (OrderedDict(a=1), "pass `dict"),
        (iter([1]), "pass its values as a list"),
        (values(), "pass its values as a list"),
        (asyncio.sleep, "let the function find it itself"),
        (sqlalchemy, "import it in the function"),
        (threading.Lock(), "pass what finds or makes it"),
    ],
)
def test_message_says_what_to_pass(value: Any, instead: str) -> None:
    for nested in (value, [value], {"x": (value,)}):
        with pytest.raises(CannotTravel, match=instead.replace("`", ".")) as raised:
            pack(anything, (nested,), {})
        assert str(raised.value).startswith("anything(), argument 'value': a ")


def test_coroutine_is_told_not_to_be_called() -> None:
    coroutine = asyncio.sleep(0)
    with pytest.raises(CannotTravel, match="pass the function and its arguments, without calling it"):
        pack(anything, (coroutine,), {})
    coroutine.close()
