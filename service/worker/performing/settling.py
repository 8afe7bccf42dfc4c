"""Tells Redis how attempts ended, apart from the recording of outcomes: no outcome ever waits for Redis."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from service import logs
from service.ledger.models import Finished
from service.ledger.states import TERMINAL
from service.lifecycle.lifecycle import Lifecycle
from service.queue import UNREACHABLE, Again, Entry, Result
from service.worker.performing.arq_result import word_after
from service.worker.performing.finishing import Ended

log = structlog.get_logger(__name__)

_TELL_WITHIN_S = 5.0
_TRY_AGAIN_AFTER_S = 2.0
# Results that wait for Redis to come back. Of those beyond, an arq client hears when its id is claimed the next time.
_MOST_UNTOLD = 1_000


class Settling:
    """Puts jobs that go on on the queue again, and keeps arq's protocol for adopted ones; one round for all that wait.

    Whoever waits for an attempt hears of its end once Redis has been told, or has not answered. `on_settled` is called
    after each round.
    """

    def __init__(self, lifecycle: Lifecycle, on_settled: Callable[[], None]) -> None:
        self._lifecycle = lifecycle
        self._queue = lifecycle.queue
        self._on_settled = on_settled
        self._entries: list[Entry] = []
        self._words: list[Again | Result] = []
        self._heard_by: list[tuple[Ended, Finished | None]] = []
        self._untold: deque[Result] = deque(maxlen=_MOST_UNTOLD)
        self._settling: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a round is under way; results that wait for Redis to come back do not count."""
        return self._settling is not None

    def add(self, ended: Ended, finished: Finished | None) -> None:
        """Have Redis told of an attempt whose outcome is recorded; None: it was taken away, and is another's matter."""
        started = ended.started
        if finished is not None and started.arq_id is not None:
            self._add_word(ended, finished)
        elif finished is not None and finished.state not in TERMINAL:
            self._entries.append(Entry(started.id, started.kind, finished.queue, finished.run_at, finished.priority))
        else:
            _hear(ended, finished)
            return
        self._heard_by.append((ended, finished))

    def _add_word(self, ended: Ended, finished: Finished) -> None:
        try:
            self._words.append(word_after(ended.started, ended.finish, finished))
        except Exception:  # noqa: BLE001 - a result that arq's protocol cannot carry is no reason to lose others
            logs.surely(log.exception, "arq_client_not_told", job_id=ended.started.id)

    def begin(self) -> None:
        """Begin a round for all that was added, unless one is under way that will take it along."""
        if self._settling is None and (self._heard_by or self._untold):
            self._settling = asyncio.create_task(self._settle_all(), name="settling")

    async def _settle_all(self) -> None:
        try:
            while self._heard_by or self._untold:
                entries, self._entries = self._entries, []
                words, self._words = [*self._untold, *self._words], []
                heard_by, self._heard_by = self._heard_by, []
                self._untold.clear()
                await asyncio.gather(self._lifecycle.dispatcher.put(entries), self._tell(words))
                for ended, finished in heard_by:
                    _hear(ended, finished)
                if self._untold:
                    asyncio.get_running_loop().call_later(_TRY_AGAIN_AFTER_S, self.begin)
                    return
        except Exception:
            log.exception("outcomes_not_settled", remedy="the sweep dispatches what goes on")
        finally:
            self._settling = None
            self._on_settled()

    async def _tell(self, words: Sequence[Again | Result]) -> None:
        """Keep arq's protocol for adopted jobs. Jobs that go on are the sweep's where Redis does not answer."""
        if not words:
            return
        try:
            async with asyncio.timeout(_TELL_WITHIN_S):
                await self._queue.arq.settle(words)
        except UNREACHABLE as error:
            self._untold.extend(word for word in words if isinstance(word, Result))
            log.warning(
                "arq_clients_not_told",
                jobs=len(words),
                error=str(error) or type(error).__name__,
                remedy=f"results are told again in {_TRY_AGAIN_AFTER_S:g} s; the sweep dispatches what goes on",
            )


def _hear(ended: Ended, finished: Finished | None) -> None:
    try:
        ended.on_finished(finished)
    except Exception:  # noqa: BLE001 - others wait to hear of theirs
        logs.surely(log.exception, "outcome_not_heard")
