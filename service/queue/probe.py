"""Finds out what Redis refuses: runs each command that the queue needs, in a form that leaves nothing behind."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import uuid_utils
from arq.connections import ArqRedis

from service.queue.keys import (
    MARKER,
    aside_key_of,
    in_progress_key_prefix,
    job_key_prefix,
    key_of,
    low_key_of,
    result_key_prefix,
    wake_key_of,
)
from service.queue.refusals import refusal_of

_EVERY_S = 5.0
_SCRIPT = "return 1"
_SCRIPT_SHA1 = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"

Command = tuple[str | int | float, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Commands or keys that Redis refuses to this user, and a sentence that says why."""

    what: tuple[str, ...]
    reason: str

    def __str__(self) -> str:
        return f"refuses {', '.join(self.what)}: {self.reason}"


class Probe:
    """Asks Redis what it refuses: at most every few seconds, in one round trip."""

    def __init__(self, redis: ArqRedis, queues: Sequence[str]) -> None:
        self._redis = redis
        self._queues = queues
        self._found: tuple[Refusal, ...] = ()
        self._next = 0.0

    async def refusals(self) -> tuple[Refusal, ...]:
        """Return what Redis refuses, one entry for each reason. Raises `UNREACHABLE`."""
        if time.monotonic() >= self._next:
            self._found = await self._ask()
            self._next = time.monotonic() + _EVERY_S
        return self._found

    async def _ask(self) -> tuple[Refusal, ...]:
        wanted = [*_commands(f"postlude:probe:{uuid_utils.uuid7().hex}"), *_on_our_keys(self._queues)]
        async with self._redis.pipeline(transaction=False) as pipe:
            for _, command in wanted:
                pipe.execute_command(*command)
            answers = await pipe.execute(raise_on_error=False)
        refused: dict[str, list[str]] = {}
        for (name, _), answer in zip(wanted, answers, strict=True):
            if isinstance(answer, Exception) and (reason := refusal_of(answer)) is not None:
                refused.setdefault(reason, []).append(name)
        return tuple(Refusal(tuple(dict.fromkeys(names)), reason) for reason, names in refused.items())


def _commands(key: str) -> Iterable[tuple[str, Command]]:
    """List every command that we send or run in scripts, on a key that nobody else has."""
    commands: tuple[Command, ...] = (
        ("PING",),
        ("TIME",),
        *_on_texts(key),
        *_on_sets_and_hashes(key),
        ("LPUSH", key, 1),
        ("LLEN", key),
        ("BLPOP", key, 0.01),
        ("MULTI",),
        ("EXEC",),
        ("SCRIPT", "LOAD", _SCRIPT),
        ("EVALSHA", _SCRIPT_SHA1, 0),
        ("DEL", key),
    )
    return ((str(command[0]), command) for command in commands)


def _on_texts(key: str) -> tuple[Command, ...]:
    return (
        ("SET", key, 1, "PX", 5_000),
        ("SETNX", key, 1),
        ("GET", key),
        ("GETRANGE", key, 0, 0),
        ("EXISTS", key),
        ("EXPIRE", key, 5),
        ("PERSIST", key),
        ("PEXPIRE", key, 5_000),
        ("PTTL", key),
        ("RENAME", key, f"{key}:renamed"),
        ("DEL", f"{key}:renamed"),
    )


def _on_sets_and_hashes(key: str) -> tuple[Command, ...]:
    return (
        ("ZADD", key, 0, "m"),
        ("ZRANGE", key, 0, 0),
        ("ZRANGEBYSCORE", key, "-inf", "+inf"),
        ("ZMSCORE", key, "m"),
        ("ZSCORE", key, "m"),
        ("ZCARD", key),
        ("ZREM", key, "m"),
        ("SADD", key, "m"),
        ("SRANDMEMBER", key, 1),
        ("SCARD", key),
        ("SSCAN", key, 0),
        ("SREM", key, "m"),
        ("HSET", key, "f", 1),
        ("HGET", key, "f"),
        ("HGETALL", key),
        ("HDEL", key, "f"),
    )


def _on_our_keys(queues: Sequence[str]) -> Iterable[tuple[str, Command]]:
    """Yield a read and a write for each sort of key. They change nothing: XX writes only to existing entries."""
    for prefix in (job_key_prefix, in_progress_key_prefix, result_key_prefix):
        yield f"keys {prefix}*", ("SET", f"{prefix}postlude-probe", 1, "PX", 1, "XX")
        yield f"keys {prefix}*", ("GET", f"{prefix}postlude-probe")
    yield f"keys {MARKER}", ("GET", MARKER)
    for queue in queues:
        for key in (key_of(queue), low_key_of(queue)):
            yield f"the key {key}", ("ZADD", key, "XX", 0, "postlude-probe")
            yield f"the key {key}", ("ZRANGE", key, 0, 0)
        yield f"the key {wake_key_of(queue)}", ("LLEN", wake_key_of(queue))
        yield f"the key {aside_key_of(queue)}", ("SREM", aside_key_of(queue), "postlude-probe")
