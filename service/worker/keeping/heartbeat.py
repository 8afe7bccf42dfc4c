"""The heartbeat: renews the lease from a thread of its own, so that a blocked event loop does not look like death."""

import asyncio
import contextlib
import faulthandler
import os
import threading
import time
from collections.abc import Awaitable, Callable

import structlog

from service.errors import LedgerUnavailable
from service.ledger.clock import now_by
from service.ledger.database import Database
from service.ledger.leases import HEARTBEAT_EVERY
from service.ledger.records.workers import record_ended, record_heartbeat
from service.worker.keeping.loop_watch import LoopWatch
from service.worker.keeping.memory_use import resident_bytes

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 1.0
_BEAT_WITHIN_S = 10.0
_AFTER_FAILURE_S = 1.0
_STOP_WAIT_S = 2.0
_LAST_WORD_WITHIN_S = 3.0


class Heartbeat:
    """Beats for the worker with this `worker_id`; `on_lost` is called on the loop with an id that was declared dead.

    `while_blocked` is called each second while the loop is blocked.
    """

    def __init__(
        self,
        database_url: str,
        watch: LoopWatch,
        worker_id: Callable[[], str],
        on_lost: Callable[[str], None],
        hung_threads: Callable[[], int] = lambda: 0,
        while_blocked: Callable[[Database], Awaitable[None]] | None = None,
    ) -> None:
        self._url = database_url
        self._watch = watch
        self._worker_id = worker_id
        self._on_lost = on_lost
        self._hung_threads = hung_threads
        self._while_blocked = while_blocked
        self._dying: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._told_to_stop = False
        self._own_loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event
        self._news: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def stop(self) -> None:
        """Stop beating. A beat under way may finish for a while; the thread does not keep the process alive."""
        self._told_to_stop = True
        if self._own_loop is not None:
            with contextlib.suppress(RuntimeError):  # its loop is closed already
                self._own_loop.call_soon_threadsafe(self._stop)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _STOP_WAIT_S)

    def end_process(self) -> None:
        """End this process, whose loop is dead. Its jobs have crashed, and need not wait for the lease to run out."""
        if self._dying is None:
            self._dying = asyncio.create_task(self._die())

    async def _die(self) -> None:
        faulthandler.dump_traceback(all_threads=True)
        database = Database.open(self._url)
        try:
            async with asyncio.timeout(_LAST_WORD_WITHIN_S):
                await database.run(
                    lambda connection: record_ended(connection, self._worker_id(), now_by(connection), crashed=True)
                )
        except Exception as error:  # noqa: BLE001 - the lease runs out by itself
            log.warning("worker_not_signed_off", error=repr(error.__cause__ or error))
        finally:
            os._exit(1)

    async def _live(self) -> None:
        self._stopping, self._news = asyncio.Event(), asyncio.Event()
        self._own_loop = asyncio.get_running_loop()
        if self._told_to_stop:
            self._stop()
        database = Database.open(self._url)
        try:
            await asyncio.gather(self._beat_on(database), self._look_on(database))
        finally:
            await database.close()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self._ended.set)

    def _stop(self) -> None:
        self._stopping.set()
        self._news.set()

    async def _look_on(self, database: Database) -> None:
        looked_at = time.monotonic()
        while not self._stopping.is_set():
            now = time.monotonic()
            try:
                if self._watch.look(now - looked_at):
                    self._news.set()
                if self._watch.lag_s and self._while_blocked is not None:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._while_blocked(database)
            except (LedgerUnavailable, TimeoutError):
                log.debug("blocked_loop_not_told")
            except Exception:
                log.exception("loop_not_watched")
            looked_at = now
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _LOOK_EVERY_S)

    async def _beat_on(self, database: Database) -> None:
        """Beat every few seconds, and at once if the loop is found blocked or turns again."""
        failing = False
        while not self._stopping.is_set():
            wait_s = HEARTBEAT_EVERY.total_seconds()
            self._news.clear()
            try:
                async with asyncio.timeout(_BEAT_WITHIN_S):
                    await self._beat(database)
            except (LedgerUnavailable, TimeoutError) as error:
                if not failing:
                    log.warning("heartbeat_not_written", error=repr(error.__cause__ or error))
                failing, wait_s = True, _AFTER_FAILURE_S
            except Exception:
                log.exception("heartbeat_not_written")
                failing, wait_s = True, _AFTER_FAILURE_S
            else:
                if failing:
                    log.info("heartbeat_written_again")
                failing = False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait_s)

    async def _beat(self, database: Database) -> None:
        worker_id = self._worker_id()
        told = max(self._watch.lag_s, self._watch.turn_s), self._hung_threads(), resident_bytes()
        alive = await database.run(
            lambda connection: record_heartbeat(connection, worker_id, now_by(connection), *told)
        )
        if not alive:
            self._loop.call_soon_threadsafe(self._on_lost, worker_id)
