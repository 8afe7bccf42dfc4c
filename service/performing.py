"""The attempt under way: its names for the log, and what it leaves behind for readers."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from service.attempt_lines import AttemptLines
from service.exchange import Exchange


class Performing:
    """An attempt under way. Its `args` are JSON with secrets in clear, to find these in what it leaves behind.

    `mask` takes secrets out of a text; None: the args have none.

    `lines` and `exchange` are made when there is something to put into them, which for most attempts is never. Once it
    `is_over`, nothing is added.
    """

    __slots__ = ("args", "attempt", "exchange", "is_over", "job_id", "kind", "lines", "mask")

    def __init__(
        self,
        job_id: str,
        kind: str,
        attempt: int,
        args: str,
        *,
        is_over: bool = False,
        mask: Callable[[str], str] | None = None,
    ) -> None:
        self.job_id = job_id
        self.kind = kind
        self.attempt = attempt
        self.args = args
        self.is_over = is_over
        self.mask = mask
        self.lines: AttemptLines | None = None
        self.exchange: Exchange | None = None

    @property
    def names(self) -> dict[str, Any]:
        """Its names for the log."""
        return {"job_id": self.job_id, "kind": self.kind, "attempt": self.attempt}


# Whatever is logged or sent while an attempt runs, by any library, belongs to it.
performing: ContextVar[Performing | None] = ContextVar("performing", default=None)
