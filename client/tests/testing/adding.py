"""Adds tasks as an app does, for tests of what tests of apps use."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from postlude.ids import new_id
from postlude.mode import tell


@dataclass
class Task:
    function: str
    arguments: dict[str, Any]
    run: Callable[[], Coroutine[Any, Any, Any]]
    id: str


async def _nothing() -> None:
    await asyncio.sleep(0)


def add(function: str, run: Callable[[], Coroutine[Any, Any, Any]] = _nothing, **arguments: Any) -> str:
    task = Task(function, arguments, run, new_id())
    tell(task)
    return task.id
