"""What stands for a job that is enqueued with the response."""

from __future__ import annotations


class Handle:
    """What `add_task` returns. `id` is the job's, and None where there is no job: without a service."""

    def __init__(self, id: str | None) -> None:  # noqa: A002 - named as everywhere
        self.id = id

    def __repr__(self) -> str:
        return f"Handle(id={self.id!r})"
