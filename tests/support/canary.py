"""A canary: a secret that must not appear anywhere, in any form; and all the places where it might."""

import base64
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
from redis.asyncio import Redis
from sqlalchemy import text

from service.ledger.database import Database

CANARY = "c4n4ry-Zx81-qWpL-29fhAe-0uT"
# As a secret of Standard Webhooks must be written.
WHSEC = "whsec_" + base64.b64encode(CANARY.encode()).decode()


def found_in(text: str | bytes) -> list[str]:
    """Return the text around the canary, or any form of it."""
    whole = text if isinstance(text, bytes) else text.encode(errors="replace")
    return [
        repr(whole[max(0, at.start() - 120) : at.end() + 60]) for form in _forms() for at in re.finditer(form, whole)
    ]


def _forms() -> Iterator[bytes]:
    raw = CANARY.encode()
    yield re.escape(raw)
    yield raw.hex().encode()
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + raw).rstrip(b"=")
        yield re.escape(encoded[-(-offset * 8 // 6) : -2])


async def rows_of(database: Database) -> AsyncIterator[tuple[str, str]]:
    """Yield each table's name, and all that it has."""
    names = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if database.dialect == "sqlite"
        else "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    )
    async with database.connect() as connection:
        for name in (await connection.execute(text(names))).scalars().all():
            yield name, str((await connection.execute(text(f'SELECT * FROM "{name}"'))).all())


async def redis_of(redis: Redis) -> str:
    """Return all that is in a Redis, as text."""
    read: dict[bytes, Any] = {
        b"string": redis.get,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"set": redis.smembers,
        b"hash": redis.hgetall,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"stream": redis.xrange,
    }
    keys = await redis.keys("*")
    return str([(key, await read[await redis.type(key)](key)) for key in keys])


class Listener:
    """Hears every answer that a client gets, head and body."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    async def hear(self, response: httpx.Response) -> None:
        body = b""
        if "event-stream" not in response.headers.get("content-type", ""):
            body = await response.aread()
        self.heard.append((str(response.request.url), f"{response.headers.raw!r}\n{body!r}"))
