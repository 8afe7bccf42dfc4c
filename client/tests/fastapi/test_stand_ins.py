"""Mocks take the place of functions and of arguments, whatever the annotations say."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock, NonCallableMock, create_autospec, patch
from uuid import UUID

import pytest
from pydantic import BaseModel

from postlude.fastapi import BackgroundTasks, CannotTravel
from postlude.testing import assert_enqueued, enqueued

given: list[Any] = []


class Order(BaseModel):
    id: int = 1


class Colour(Enum):
    RED = 1


def of_any(value: Any) -> None:
    given.append(value)


def of_text(value: str) -> None:
    given.append(value)


def of_number(value: float) -> None:
    given.append(value)


def of_model(value: Order) -> None:
    given.append(value)


def of_list(value: list[str]) -> None:
    given.append(value)


def of_mapping(value: dict[str, int]) -> None:
    given.append(value)


def of_many(value: UUID | datetime | Decimal | bytes | None) -> None:
    given.append(value)


def of_flag(value: bool) -> None:
    given.append(value)


@pytest.fixture(autouse=True)
def nothing_given() -> None:
    given.clear()


@pytest.mark.parametrize("function", [of_any, of_text, of_number, of_model, of_list, of_mapping, of_many, of_flag])
@pytest.mark.parametrize(
    "mock",
    [
        Mock(),
        MagicMock(),
        AsyncMock(),
        NonCallableMock(),
        *(MagicMock(spec=one) for one in (Order, str, list, dict, datetime, UUID, Colour, Path)),
        create_autospec(Order, instance=True),
    ],
    ids=lambda mock: type(mock).__name__,
)
async def test_mock_is_given_as_it_is(function: Any, mock: Any) -> None:
    tasks = BackgroundTasks()
    tasks.add_task(function, mock)
    tasks.add_task(function, value=mock)
    await tasks()
    assert [one is mock for one in given] == [True, True]
    assert enqueued()[0].arguments["value"] is mock


async def test_task_of_a_mock_shows_what_was_added() -> None:
    tasks, mock = BackgroundTasks(), Mock()
    handle = tasks.add_task(mock, 1, two=2)
    assert [(task.func, task.args, task.kwargs) for task in tasks.tasks] == [(mock, (1,), {"two": 2})]
    await tasks()
    mock.assert_called_once_with(1, two=2)
    assert enqueued()[0].id == handle.id


async def test_mock_in_the_place_of_a_function_is_known_by_its_name() -> None:
    with patch(f"{__name__}.of_text") as mock:
        tasks = BackgroundTasks()
        tasks.add_task(of_text, "a")
        await tasks()
    mock.assert_called_once_with("a")
    assert_enqueued("of_text", args=["a"])


@pytest.mark.postlude("send")
def test_mock_is_refused_where_it_would_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTLUDE_URL", "http://127.0.0.1:9")
    with pytest.raises(CannotTravel):
        BackgroundTasks().add_task(Mock())
