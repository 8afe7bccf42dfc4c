"""Records what attempts have logged, a moment later, and without delaying anything else."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from functools import partial

import structlog

from jobs import Catalogue
from service import metrics
from service.attempt_lines import KeptLines
from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.ledger.records.log_lines import record_log_lines
from service.worker.performing.log_keeping import LogKeeping

log = structlog.get_logger(__name__)

# For lines from children, until they are recorded.
MOST_HEARD_LINES = 10_000
_MOST_IN_A_WRITE = 1_000
_LAST_WRITE_WITHIN_S = 2.0


class RecordedLog:
    """Lines of attempts from this process's own log, and from its children."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue) -> None:
        self.keeping = LogKeeping(catalogue)
        self._ledger = ledger
        self._heard: deque[KeptLines] = deque()
        self._heard_lines = 0

    def hear(self, kept: KeptLines) -> None:
        """Take lines that a child has kept."""
        if self._heard_lines + len(kept.lines) > MOST_HEARD_LINES:
            self.keeping.drop(len(kept.lines))
            return
        self._heard.append(kept)
        self._heard_lines += len(kept.lines)

    async def record(self) -> None:
        """Record lines logged since the last time. Raises `LedgerUnavailable`: then the next call records them too."""
        while self._heard:
            await self._write([kept := self._heard[0]])
            self._heard.popleft()
            self._heard_lines -= len(kept.lines)
        if self.keeping.has_any:
            told = await asyncio.to_thread(self.keeping.news)
            await self._write([kept for _, _, kept in told])
            self.keeping.note_kept(told)
        if dropped := self.keeping.dropped:
            self.keeping.dropped -= dropped
            metrics.log_lines_dropped.inc(dropped)
            log.warning("log_lines_dropped", lines=dropped, reason="they cannot be recorded, or not as fast")

    async def close(self, within_s: float = _LAST_WRITE_WITHIN_S) -> None:
        """Record the rest, unless that takes too long."""
        with contextlib.suppress(LedgerUnavailable, TimeoutError):
            async with asyncio.timeout(within_s):
                await self.record()

    async def _write(self, kept: Sequence[KeptLines]) -> None:
        group: list[KeptLines] = []
        lines = 0
        for one in kept:
            group.append(one)
            lines += len(one.lines)
            if lines >= _MOST_IN_A_WRITE:
                await self._write_group(group)
                group, lines = [], 0
        if group:
            await self._write_group(group)

    async def _write_group(self, group: Sequence[KeptLines]) -> None:
        """Write lines together or, if the database refuses some because of their data, for each attempt separately."""
        try:
            await self._ledger.database.run(partial(record_log_lines, kept=group))
        except LedgerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - lines that cannot be written must not hold up others
            if len(group) > 1:
                for one in group:
                    await self._write_group([one])
                return
            self.keeping.drop(len(group[0].lines))
            log.error("log_lines_not_recordable", job_id=group[0].job_id, error=type(error).__name__)
