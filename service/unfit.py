"""Refuses to start on servers that Postlude cannot use at all; a server that is away is waited for."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog
from arq.connections import ArqRedis

from service.errors import LedgerUnavailable
from service.ledger.database import Database
from service.ledger.pooler import refuse_changing_sessions
from service.queue import UNREACHABLE, refuse_unfit

log = structlog.get_logger(__name__)

_ANSWERED_WITHIN_S = 3.0


async def refuse_unfit_servers(database: Database, redis: ArqRedis) -> None:
    """Raise `StartRefused` for a cluster or too old a Redis, and for a pooler that changes connections."""
    await asyncio.gather(
        _unless_away("database", refuse_changing_sessions(database)), _unless_away("redis", refuse_unfit(redis))
    )


async def _unless_away(server: str, refusing: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(_ANSWERED_WITHIN_S):
            await refusing
    except (LedgerUnavailable, *UNREACHABLE) as error:
        log.debug("server_not_judged", server=server, error=str(error.__cause__ or error))
