"""Settings of servers under which accepted jobs could be lost, or wait for long: one function for each.

They leave a choice, so they are warned about, by name and with the remedy. What is refused is in `preflight.py`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from arq.connections import ArqRedis
from redis.exceptions import ResponseError
from sqlalchemy import BindParameter, bindparam, text

from service.errors import LedgerUnavailable
from service.ledger.database import Database
from service.queue import UNREACHABLE, Probe, is_not_allowed, refusal_of

log = structlog.get_logger(__name__)


class Durability:
    """Warns of each setting once, when it is first seen; forgets it when it is put right."""

    def __init__(self, database: Database, redis: ArqRedis, queues: Sequence[str] = ()) -> None:
        self._probe = Probe(redis, queues)
        self._checks: tuple[Callable[[], Awaitable[dict[str, str]]], ...] = (
            lambda: risky_in_postgres(database),
            lambda: risky_in_redis(redis),
        )
        self._warned: set[str] = set()

    async def check(self) -> None:
        """Look at both servers; one that is away is looked at when the sweep next finds it."""
        await self._check_refusals()
        for risky in self._checks:
            try:
                found = await risky()
            except (LedgerUnavailable, *UNREACHABLE):
                log.debug("settings_not_checked", reason="the server is away; it is checked when it is back")
                continue
            for setting, remedy in found.items():
                if setting not in self._warned:
                    log.warning("setting_breaks_promises", setting=setting, remedy=remedy)
            self._warned |= found.keys()

    async def _check_refusals(self) -> None:
        try:
            refusals = await self._probe.refusals()
        except UNREACHABLE as error:
            if (reason := refusal_of(error)) is not None:
                log.error("redis_refuses", reason=reason)
            return
        for refusal in refusals:
            log.error("redis_refuses", commands=refusal.what, reason=refusal.reason)


async def risky_in_postgres(database: Database) -> dict[str, str]:
    """Return the remedy for each setting under which Postgres may forget what it has committed; none on SQLite."""
    if database.dialect == "sqlite":
        return {}
    switched_off = text("SELECT name FROM pg_settings WHERE setting = 'off' AND name IN :names")
    names: BindParameter[Any] = bindparam("names", list(_POSTGRES_REMEDIES), expanding=True)
    async with database.connect() as connection:
        found = (await connection.execute(switched_off.bindparams(names))).scalars().all()
    return {f"Postgres {name}=off": _POSTGRES_REMEDIES[name] for name in found}


_POSTGRES_REMEDIES = {
    "fsync": "accepted jobs may be lost, and the database destroyed, by a power failure: set fsync=on",
    "full_page_writes": "a power failure may destroy the database: set full_page_writes=on",
    "synchronous_commit": "Postlude switches it on for its sessions, and something between (a pooler?) does not let it "
    "stay: set synchronous_commit=on for the database, else accepted jobs may be lost when Postgres crashes",
}


async def risky_in_redis(redis: ArqRedis) -> dict[str, str]:
    """Return the remedy where Redis may evict ids. Read from INFO, since hosted servers often forbid CONFIG."""
    try:
        policy = (await redis.info("memory")).get("maxmemory_policy", "noeviction")
    except ResponseError as error:
        if not is_not_allowed(error):
            raise
        return {"Redis maxmemory-policy is not known": "the user may not call INFO: grant +info, or see to noeviction"}
    if policy == "noeviction":
        return {}
    remedy = (
        "a full Redis drops ids, whose jobs wait until the sweep finds them: CONFIG SET maxmemory-policy noeviction"
    )
    return {f"Redis maxmemory-policy={policy}": remedy}
