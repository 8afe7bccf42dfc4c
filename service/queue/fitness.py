"""Whether a server can be the queue at all: new enough, and not a cluster. Restricted users may send HELLO, too."""

import re
from typing import Any

from arq.connections import ArqRedis
from redis.exceptions import ResponseError

from service.errors import StartRefused
from service.queue.refusals import is_not_allowed

_OLDEST = (6, 2)
# Servers that number their versions as Redis does.
_COUNTED = {"redis", "keydb"}


async def refuse_unfit(redis: ArqRedis) -> None:
    """Raise `StartRefused` for a Redis that is too old, a cluster or a sentinel. Raises `UNREACHABLE`."""
    try:
        answer = await redis.execute_command("HELLO", 2)  # type: ignore[no-untyped-call]  # redis-py left it so
    except ResponseError as error:
        if not is_not_allowed(error):
            raise
        await _refuse_without_zmscore(redis)
        return
    found = _read(answer)
    version = tuple(map(int, re.findall(r"\d+", found.get("version", ""))[:2]))
    if found.get("server") in _COUNTED and version and version < _OLDEST:
        raise StartRefused(_too_old(found["version"]))
    if found.get("mode") not in (None, "standalone"):
        raise StartRefused(
            f"POSTLUDE_REDIS_URL names a Redis in the mode {found['mode']}, which Postlude does not support. "
            "Use a single Redis, with replicas if you like, and name the primary."
        )


async def _refuse_without_zmscore(redis: ArqRedis) -> None:
    """Try the newest command that the queue needs, for a server that does not tell its version."""
    try:
        await redis.zmscore("postlude:probe", ["m"])
    except ResponseError as error:
        if "unknown command" in str(error).lower():
            raise StartRefused(_too_old("without ZMSCORE")) from error


def _read(answer: Any) -> dict[str, str]:
    plain = [part.decode() if isinstance(part, bytes) else str(part) for part in answer]
    return dict(zip(plain[::2], plain[1::2], strict=False))


def _too_old(version: str) -> str:
    return f"POSTLUDE_REDIS_URL names a Redis that is too old ({version}). Use Redis 6.2 or newer, or Valkey."
