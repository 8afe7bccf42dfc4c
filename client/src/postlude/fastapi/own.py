"""FastAPI's own class. Tests replace its `add_task`, and expect to be called."""

from collections.abc import Callable
from typing import Any

import fastapi
from starlette.background import BackgroundTask
from starlette.background import BackgroundTasks as OfStarlette

_OFTEN_REPLACED = (fastapi.BackgroundTasks, OfStarlette)
_ADD_TASK = {one: one.add_task for one in _OFTEN_REPLACED}


def is_replaced() -> bool:
    """Whether a test has replaced `add_task`."""
    return any(one.add_task is not add_task for one, add_task in _ADD_TASK.items())


def added(func: Callable[..., Any], *args: Any, **kwargs: Any) -> list[BackgroundTask]:
    """Add a task as FastAPI would, and return the result."""
    own = fastapi.BackgroundTasks()
    own.add_task(func, *args, **kwargs)
    return own.tasks
