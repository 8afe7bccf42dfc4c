"""Jobs of kinds that this worker does not know: set aside for workers that do."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from service.queue import Entry, Queue

log = structlog.get_logger(__name__)

# Foreign clients may name any kind, so the number of remembered names is bounded.
_MOST_REPORTED = 1_000


class UnknownKinds:
    """Sets jobs aside, and logs this once for each kind."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._reported: set[str] = set()

    async def set_aside(self, entries: Sequence[Entry], now: datetime) -> None:
        """Leave claimed jobs to workers that know their kinds; this worker meets each again at most once a minute."""
        await self._queue.set_aside(entries, now)
        for entry in entries:
            if entry.kind not in self._reported and len(self._reported) < _MOST_REPORTED:
                self._reported.add(entry.kind)
                log.warning(
                    "kind_unknown",
                    kind=entry.kind,
                    job_id=entry.id,
                    reason="this worker does not know it; its jobs wait for one that does",
                    remedy="deploy a worker that knows it, or cancel them; said once for each kind",
                )
