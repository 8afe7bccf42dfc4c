"""A job to enqueue."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from postlude.ids import id_of, new_id

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from postlude.models import Job
    from postlude.options import JobOptions


class NewJob:
    """A kind with its args and options.

    Its id is made here, so that enqueued twice it is still one job.
    """

    __slots__ = ("args", "id", "kind", "options")

    def __init__(self, kind: str, args: Any = None, **options: Unpack[JobOptions]) -> None:
        self.kind = kind
        self.args = {} if args is None else args
        self.options: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
        self.id = str(self.options.pop("id", None) or new_id())

    def __repr__(self) -> str:
        return f"NewJob({self.kind!r}, {self.args!r}, id={self.id!r})"

    def fields(self) -> dict[str, Any]:
        """Return the job's fields in a request."""
        fields = {"id": self.id, "kind": self.kind, "args": self.args, **self.options}
        if "after" in fields:
            fields["after"] = _ids(fields["after"])
        return fields


def _ids(jobs: str | Job | Iterable[str | Job]) -> list[str]:
    if isinstance(jobs, str):
        return [jobs]
    if not isinstance(jobs, Iterable) or hasattr(jobs, "id"):  # a model can be iterated over, too
        return [id_of(jobs)]
    return [one for job in jobs for one in _ids(job)]
