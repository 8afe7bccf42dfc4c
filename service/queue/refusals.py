"""Tells a Redis that refuses a command from a Redis that is away, and says what to do about it.

The words of a refusal differ between versions of Redis, and within scripts.
"""

import re

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)

_LACKS_PERMISSION = "its user may not do that: grant what docs/production.md lists under Redis"
_WRONG_PASSWORD = "the user or password in POSTLUDE_REDIS_URL is missing or wrong"  # nosec B105  # noqa: S105
_READ_ONLY = "it is a read-only replica: name the primary in POSTLUDE_REDIS_URL"
_FULL = "its memory is full (maxmemory): give it more, and keep maxmemory-policy at noeviction"
_UNKNOWN = "it does not know the command: it is older than Redis 6.2, or the command was renamed"
_CLUSTER = "it is a Redis Cluster, which Postlude does not support: use a single Redis with a replica"

_BY_CLASS: tuple[tuple[type[RedisError], str], ...] = (
    (NoPermissionError, _LACKS_PERMISSION),
    (AuthenticationError, _WRONG_PASSWORD),
    (ReadOnlyError, _READ_ONLY),
    (OutOfMemoryError, _FULL),
    (BusyLoadingError, "it still reads its data from disk"),
)
_BY_WORDS = tuple(
    (re.compile(pattern, re.IGNORECASE), sentence)
    for pattern, sentence in (
        (r"NOPERM|can't run this command|no permissions|can't access .*keys", _LACKS_PERMISSION),  # in scripts; 6 and 7
        (r"NOAUTH|WRONGPASS|Client sent AUTH", _WRONG_PASSWORD),
        (r"READONLY|read only replica", _READ_ONLY),
        (r"\bOOM\b", _FULL),
        (r"unknown (redis )?command|unknown subcommand", _UNKNOWN),
        (r"CROSSSLOT|\bMOVED\b|CLUSTERDOWN|\bASK\b|non local key", _CLUSTER),
        (r"MISCONF", "it cannot save to its disk, and takes no writes: see its own log"),
        (r"NOREPLICAS", "too few replicas follow it (min-replicas-to-write)"),
        (r"MASTERDOWN", "it is a replica that has lost its primary"),
        (r"\bBUSY\b", "a script of somebody else keeps it busy: SCRIPT KILL ends that"),
        (r"DENIED|protected mode", "it is in protected mode: set a password, or bind it to a private address"),
        (r"max number of clients", "it has no connection left (maxclients)"),
    )
)


def refusal_of(error: BaseException) -> str | None:
    """Say why Redis refused, and what to do. Return None if it is away, or if the error is our own."""
    if not isinstance(error, RedisError):
        return None
    if error.args and isinstance(error.args[0], RedisError):  # redis-py wraps the answer to a new connection
        return refusal_of(error.args[0])
    for kind, sentence in _BY_CLASS:
        if isinstance(error, kind):
            return sentence
    return next((sentence for pattern, sentence in _BY_WORDS if pattern.search(str(error))), None)


def is_not_allowed(error: BaseException) -> bool:
    """Whether this user may not run the command, or the server does not know it."""
    return refusal_of(error) in (_LACKS_PERMISSION, _UNKNOWN)
