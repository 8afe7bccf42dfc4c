"""A job that a plain arq client has put into Redis, read without trusting it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.queue.arq_protocol import Payload
from service.queue.codec import PayloadUnreadable, deserialize, is_own_payload

_LONGEST_KIND = 100
_DEEPEST = 100


class NotAnArqJob(Exception):
    """An id on the queue is not an arq job's. The message says what is there instead."""


@dataclass(frozen=True, slots=True)
class ArqJob:
    """A job that a plain arq client has enqueued on `queue`."""

    id: str
    queue: str
    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    enqueued_at: datetime


def read_arq_job(member: str, queue: str, payload: Payload) -> ArqJob:
    """Read the arq job with this id. Raises `NotAnArqJob`."""
    if isinstance(payload, PayloadUnreadable):
        raise NotAnArqJob(str(payload))
    if payload is None:
        raise NotAnArqJob("the ledger does not know it, and it has no payload")
    if payload[:1] == b"\x80":
        raise NotAnArqJob("its payload is pickled, which is never loaded: use a JSON serializer in the arq client")
    if is_own_payload(payload):
        raise NotAnArqJob("the ledger does not know it (any more)")
    return _parse(member, queue, payload)


def _parse(member: str, queue: str, payload: bytes) -> ArqJob:
    try:
        data = deserialize(payload)
        function: str = data["f"]
        function.encode()  # a lone surrogate cannot be stored anywhere
        enqueued_at = datetime.fromtimestamp(data["et"] / 1000, UTC)
        arq_job = ArqJob(member, queue, function, list(data["a"]), dict(data["k"]), enqueued_at)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise NotAnArqJob("its payload is not a job in arq's format as JSON") from error
    if not 0 < len(function) <= _LONGEST_KIND or "\0" in function:
        raise NotAnArqJob("no kind has the name of its function")
    if _is_deep(data):
        raise NotAnArqJob(f"its payload is nested more than {_DEEPEST} levels deep")
    return arq_job


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
