"""Tells Redis how attempts ended, separately from the recording of outcomes, which never waits for Redis."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import structlog

from service import logs
from service.ledger.models import Finish, Finished, Started
from service.ledger.states import SUCCESS, TERMINAL
from service.lifecycle.lifecycle import Lifecycle
from service.queue import UNREACHABLE, Again, Entry, Release, Result
from service.worker.performing.arq_result import word_after
from service.worker.performing.lane_releases import LaneReleases, release_after

log = structlog.get_logger(__name__)

_TELL_WITHIN_S = 5.0
_TRY_AGAIN_AFTER_S = 2.0
# A kind that cancels all tasks of its loop may do it again and again.
_BEGIN_AGAIN_AFTER_S = 0.1
# Results that wait for Redis to come back. For the rest, an arq client hears when its id is next claimed.
_MOST_UNTOLD = 1_000


class Settling:
    """Puts back on the queue the jobs that go on, and keeps arq's protocol for adopted jobs.

    It does so in rounds, for all that wait. `on_settled` is called after each round.
    """

    def __init__(self, lifecycle: Lifecycle, on_settled: Callable[[], None]) -> None:
        self._lifecycle = lifecycle
        self._queue = lifecycle.queue
        self._lanes = LaneReleases(lifecycle.ledger, lifecycle.queue)
        self._on_settled = on_settled
        self._entries: list[Entry] = []
        self._words: list[Again | Result] = []
        self._releases: list[Release] = []
        self._entries_in_lanes: list[Entry] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._untold: deque[Result] = deque(maxlen=_MOST_UNTOLD)
        self._settling: asyncio.Task[None] | None = None
        self._begins_again = False

    @property
    def busy(self) -> bool:
        """Whether a round is under way or about to begin. Results that wait for Redis to come back do not count."""
        return self._settling is not None or self._begins_again

    async def settle(self, started: Started, finish: Finish, finished: Finished | None) -> None:
        """Tell Redis about an attempt whose outcome is recorded; return once it knows, or has not answered in time.

        There is nothing to tell about an attempt that was taken away (`finished` is None), nor about an ended job,
        unless an arq client waits for it or it was in a lane. Lanes hear of a success soon, but nothing waits for that.
        """
        if finished is None:
            return
        if started.arq_id is not None:
            self._add_word(started, finish, finished)
        if started.in_lane:
            self._add_release(started, finish, finished)
        elif started.arq_id is None and finished.state not in TERMINAL:
            self._entries.append(Entry(started.id, started.kind, finished.queue, finished.run_at, finished.priority))
        elif started.arq_id is None:
            return
        if started.arq_id is None and finished.state in TERMINAL and finish.outcome is SUCCESS:
            self._begin()
            return
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(told)
        self._begin()
        await told

    def _add_word(self, started: Started, finish: Finish, finished: Finished) -> None:
        try:
            self._words.append(word_after(started, finish, finished))
        except Exception:  # noqa: BLE001 - a result that arq's protocol cannot carry must not lose the others
            logs.surely(log.exception, "arq_client_not_told", job_id=started.id)

    def _add_release(self, started: Started, finish: Finish, finished: Finished) -> None:
        self._releases.append(release_after(started, finish, finished))
        if finished.state not in TERMINAL:
            place = finished.queue, finished.run_at, finished.priority
            member = started.arq_id or started.id
            self._entries_in_lanes.append(Entry(member, started.kind, *place, started.lanes, started.lane_limits))

    def _begin(self) -> None:
        """Begin a round for all that wait, unless one is under way that will take them along."""
        self._begins_again = False
        if self._settling is None and self._has_more:
            self._settling = asyncio.create_task(self._settle_all(), name="settling")
            self._settling.add_done_callback(self._note_not_begun)

    def _note_not_begun(self, settling: asyncio.Task[None]) -> None:
        """Begin again in place of a task that was cancelled before its first step."""
        if self._settling is settling:
            self._settling = None
            self._begin_again()
            self._on_settled()

    def _begin_again(self) -> None:
        """Release the callers of a round that was cancelled, and tell the rest in another round."""
        waiting, self._waiting = self._waiting, []
        _let_go(waiting)
        self._begins_again = self._has_more
        if self._begins_again:
            asyncio.get_running_loop().call_later(_BEGIN_AGAIN_AFTER_S, self._begin)

    async def _settle_all(self) -> None:
        try:
            while self._has_more:
                await self._settle_round()
                if self._has_untold:
                    asyncio.get_running_loop().call_later(_TRY_AGAIN_AFTER_S, self._begin)
                    return
        except asyncio.CancelledError:
            self._begin_again()
            raise
        finally:
            self._settling = None
            self._on_settled()

    async def _settle_round(self) -> None:
        entries, self._entries = self._entries, []
        words, self._words = [*self._untold, *self._words], []
        waiting, self._waiting = self._waiting, []
        self._untold.clear()
        try:
            await asyncio.gather(self._lifecycle.dispatcher.put(entries), self._tell(words), self._release())
        except Exception:  # noqa: BLE001 - other outcomes are waiting to be told
            logs.surely(log.exception, "outcomes_not_settled", remedy="the sweep dispatches what goes on")
        except asyncio.CancelledError:
            self._keep_results(words)
            raise
        finally:
            _let_go(waiting)

    @property
    def _has_more(self) -> bool:
        return bool(self._waiting or self._entries or self._words or self._releases) or self._has_untold

    @property
    def _has_untold(self) -> bool:
        return bool(self._untold) or self._lanes.untold

    async def _release(self) -> None:
        """Let jobs leave their lanes, then put those that go on: an id that is put while it runs would be dropped."""
        releases, self._releases = self._releases, []
        entries, self._entries_in_lanes = self._entries_in_lanes, []
        if await self._lanes.tell(releases):
            await self._lifecycle.dispatcher.put(entries)

    async def _tell(self, words: Sequence[Again | Result]) -> None:
        """Keep arq's protocol for adopted jobs. If Redis does not answer, the sweep dispatches jobs that go on."""
        if not words:
            return
        try:
            async with asyncio.timeout(_TELL_WITHIN_S):
                await self._queue.arq.settle(words)
        except UNREACHABLE as error:
            self._keep_results(words)
            log.warning(
                "arq_clients_not_told",
                jobs=len(words),
                error=str(error) or type(error).__name__,
                remedy=f"results are told again in {_TRY_AGAIN_AFTER_S:g} s; the sweep dispatches what goes on",
            )

    def _keep_results(self, words: Iterable[Again | Result]) -> None:
        self._untold.extend(word for word in words if isinstance(word, Result))


def _let_go(waiting: Iterable[asyncio.Future[None]]) -> None:
    for told in waiting:
        if not told.done():
            told.set_result(None)
