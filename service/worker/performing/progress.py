"""Progress: only the latest counts are written, by one write at a time, however often a kind calls."""

import asyncio
from collections.abc import Awaitable

import structlog

from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger

log = structlog.get_logger(__name__)

_LARGEST = 2**31 - 1


class ProgressNotes:
    """`await progress(done, total)` returns when these counts, or later ones, are written."""

    def __init__(self, ledger: Ledger, job_id: str, attempt: int) -> None:
        self._ledger = ledger
        self._job_id = job_id
        self._attempt = attempt
        self._latest: tuple[int, int | None] | None = None
        self._writing: asyncio.Task[None] | None = None

    def __call__(self, done: int, total: int | None = None) -> Awaitable[None]:
        for count in (done, total or 0):
            if not 0 <= count <= _LARGEST:
                raise ValueError(f"progress counts from 0 to {_LARGEST}, not {count}")
        self._latest = (done, total)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        return asyncio.shield(self._writing)

    async def _write(self) -> None:
        while self._latest is not None:
            (done, total), self._latest = self._latest, None
            try:
                await self._ledger.progress(self._job_id, self._attempt, done, total)
            except LedgerUnavailable as error:
                log.warning("progress_not_noted", error=str(error.__cause__))
