"""Hears of new rows at once: `LISTEN` over its own connection, which is tested before it is relied on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import structlog

from service.errors import StartRefused
from service.ledger.database import Database
from service.ledger.pooler import refuse_changing_sessions
from service.outbox.reads import is_announced
from service.outbox.records import announce
from service.outbox.tables import CHANNEL

log = structlog.get_logger(__name__)

_PROVE_EVERY_S = 15.0
_HEARD_WITHIN_S = 2.0
# Before another try, if rows are not announced.
_TRY_EVERY_S = 60.0
_TRY_AGAIN_S = 2.0


class Listener:
    """Rings `bell` when rows are announced; `hears` says whether that can be relied on."""

    def __init__(self, database: Database, bell: asyncio.Event, name: str) -> None:
        self._database = database
        self._bell = bell
        self._name = name
        self._word = uuid4().hex
        self._heard = asyncio.Event()
        self._told = ""
        self.hears = False

    async def listen(self) -> None:
        """Listen until cancelled, over one connection after the other."""
        while True:
            wait_s = _TRY_AGAIN_S
            try:
                wait_s = await self._listen_once()
            except Exception as error:  # noqa: BLE001 - whatever it is, polling finds the rows
                log.debug("outbox_not_heard", outbox=self._name, error=str(error.__cause__ or error))
            finally:
                self.hears = False
            self._bell.set()
            await asyncio.sleep(wait_s)

    async def _listen_once(self) -> float:
        """Listen as long as that works; return how long to wait before the next try."""
        if reason := await self._why_in_vain():
            self._tell(reason)
            return _TRY_EVERY_S
        async with self._listening():
            while await self._is_heard():
                self.hears = True
                self._tell("")
                await asyncio.sleep(_PROVE_EVERY_S)
        return _TRY_AGAIN_S if self.hears else _TRY_EVERY_S

    async def _why_in_vain(self) -> str:
        try:
            await refuse_changing_sessions(self._database)
        except StartRefused:
            return "a pooler changes connections between transactions, so nothing can be announced over it"
        async with self._database.connect() as connection:
            if not await is_announced(connection):
                return "the table has no trigger that announces rows: `postlude outbox ddl` prints it"
        return ""

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        async with self._database.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            try:
                await raw.add_listener(CHANNEL, self._hear)
                yield
            finally:
                # In the pool it would go on listening.
                await connection.invalidate()

    def _hear(self, _connection: Any, _pid: int, _channel: str, word: str) -> None:
        if word == self._word:
            self._heard.set()
        else:
            self._bell.set()

    async def _is_heard(self) -> bool:
        """Whether a test notification sent over another connection arrives."""
        self._heard.clear()
        await self._database.run(partial(announce, word=self._word))
        try:
            async with asyncio.timeout(_HEARD_WITHIN_S):  # `wait_for` may swallow a cancellation before Python 3.12
                await self._heard.wait()
        except TimeoutError:
            return False
        return True

    def _tell(self, reason: str) -> None:
        """Log once that rows are not announced, and once that they are again."""
        if reason and reason != self._told:
            log.info("outbox_looked_at", outbox=self._name, reason=reason, every="100 ms")
        elif self._told and not reason:
            log.info("outbox_announced", outbox=self._name)
        self._told = reason
