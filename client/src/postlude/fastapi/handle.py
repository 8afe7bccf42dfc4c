"""What stands for a job that is enqueued with the response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.background import BackgroundTask

from postlude.ids import new_id


class Handle:
    """What `add_task` returns. `id` is the job's, and None where there is no job: without a service.

    If another job holds the task's unique key, `id` becomes that job's once the tasks are recorded.
    """

    def __init__(self, id: str | None) -> None:  # noqa: A002 - named as everywhere
        self.id = id

    def __repr__(self) -> str:
        return f"Handle(id={self.id!r})"


class Enqueued(BackgroundTask):
    """Something of a request that becomes a job; its id is made here."""

    def __init__(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(func, *args, **kwargs)
        self.id = new_id()
        self.handle = Handle(self.id)
