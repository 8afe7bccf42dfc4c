"""What decides for all jobs whether they may run: pauses, breakers, and which workers are alive."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog

from service.errors import LedgerUnavailable
from service.lane_rules import Rule
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.ledger.reads.held_back import HeldBack, held_back
from service.ledger.reads.workers import living_workers
from service.shared_reads import SharedReads

log = structlog.get_logger(__name__)

_FRESH_FOR_S = 1.0
_GLANCE_FOR_S = 5.0


@dataclass(frozen=True, slots=True)
class Overview:
    """The situation at a moment, by the database's clock. `kinds` and `queues` are those of workers that take jobs.

    `drained`: other workers are alive too, but are draining.
    """

    held_back: HeldBack
    paused: Mapping[str, Rule]
    kinds: frozenset[str]
    queues: frozenset[str]
    drained: bool = False

    def pause_of(self, key: str, now: datetime) -> Rule | None:
        """Return the rule that pauses `kind:<name>` or `queue:<name>`, if any does."""
        rule = self.paused.get(key)
        return rule if rule is not None and rule.is_paused(now) else None

    def runs(self, kind: str, queue: str) -> bool:
        """Whether a worker takes this kind on this queue, and no kind and no queue at all is paused."""
        return not self.paused and queue in self.queues and kind in self.kinds


class Outlook:
    """Reads the situation at most once a second, for all callers."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._reads = SharedReads(lambda names: in_time(self._read(names)), fresh_for_s=_FRESH_FOR_S)
        self._seen: tuple[float, Overview] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def overview(self) -> Overview:
        """Return the situation as of at most a second ago. Raises `LedgerUnavailable`."""
        return (await self._reads.of([""]))[""]

    def glance(self) -> Overview | None:
        """Return at once the situation as of a few seconds ago at most; None if nobody has looked since.

        Starts another look in the background, so the caller never waits.
        """
        now = asyncio.get_running_loop().time()
        age = math.inf if self._seen is None else now - self._seen[0]
        if age > _FRESH_FOR_S and self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="outlook")
        return self._seen[1] if self._seen is not None and age < _GLANCE_FOR_S else None

    async def _look(self) -> None:
        try:
            await self.overview()
        except LedgerUnavailable as error:
            log.debug("outlook_failed", error=str(error))
        finally:
            self._looking = None

    async def close(self) -> None:
        if self._looking is not None:
            await asyncio.wait([self._looking])

    def forget(self) -> None:
        """Read again for the next caller, because something has changed."""
        self._reads.forget()
        self._seen = None

    async def _read(self, _names: Sequence[str]) -> Mapping[str, Overview]:
        async with self._ledger.read() as connection:
            now = await self._ledger.database.now(connection)
            held = await held_back(connection, now)
            living = await living_workers(connection, now)
        taking = [worker for worker in living if worker["drain_at"] is None]
        overview = Overview(
            held_back=held,
            paused={rule.key: rule for rule in held.kinds_and_queues},
            kinds=frozenset(kind for worker in taking for kind in json.loads(worker["kinds"])),
            queues=frozenset(queue for worker in taking for queue in worker["queues"].split(",")),
            drained=len(taking) < len(living),
        )
        self._seen = (asyncio.get_running_loop().time(), overview)
        return {"": overview}
