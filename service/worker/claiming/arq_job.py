"""What a plain arq client left in Redis with its id, read without trusting it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from service.queue import Payload, PayloadUnreadable, deserialize, is_own_payload

_LONGEST_KIND = 100
_DEEPEST = 100


class NoCall(Exception):
    """Behind an id is no call of an arq client. The message says what is there instead."""


@dataclass(frozen=True, slots=True)
class ArqJob:
    """What an arq client asked for."""

    arq_id: str
    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    enqueued_at: datetime


def read_call(member: str, payload: Payload) -> ArqJob:
    """Read the call behind an id. Raises `NoCall`."""
    if isinstance(payload, PayloadUnreadable):
        raise NoCall(str(payload))
    if payload is None:
        raise NoCall("the ledger does not know it, and it has no payload")
    if payload[:1] == b"\x80":
        raise NoCall("its payload is pickled, which is never loaded: use a JSON serializer in the arq client")
    if is_own_payload(payload):
        raise NoCall("the ledger does not know it (any more)")
    return _parse(member, payload)


def _parse(member: str, payload: bytes) -> ArqJob:
    try:
        data = deserialize(payload)
        function = data["f"]
        call = ArqJob(
            member, function, list(data["a"]), dict(data["k"]), datetime.fromtimestamp(data["et"] / 1000, UTC)
        )
        function.encode()  # a lone surrogate can be written nowhere
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise NoCall("its payload is not a job in arq's format as JSON") from error
    if not 0 < len(function) <= _LONGEST_KIND or "\0" in function:
        raise NoCall("the name of its function is no kind's")
    if _is_deep(data):
        raise NoCall(f"its payload is nested more than {_DEEPEST} levels deep")
    return call


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
