"""The payload at an id's `arq:job` key: JSON, with arq's own names."""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

MAX_PAYLOAD_BYTES = 1024 * 1024


def serialize(data: dict[str, Any]) -> bytes:
    """Serialize a job, as arq's serializer does, but to JSON: unpickling would run code."""
    return json.dumps(data, default=str).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    """Deserialize a job, as arq's deserializer does. Raises `ValueError` for anything but a JSON object."""
    try:
        loaded = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(loaded, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - for the caller, just another sort of bad data
    return loaded


class PayloadUnreadable(Exception):
    """No arq client can have written the payload. The message says why."""


def is_own_payload(payload: bytes) -> bool:
    """Whether `put` wrote this payload, and not a plain arq client."""
    try:
        return deserialize(payload).get("postlude") == 1
    except ValueError:
        return False


def payload_of(
    kind: str, due_at: datetime, lanes: Sequence[str] = (), given: Sequence[str] = (), label: str | None = None
) -> str:
    """Write the payload of one of our own jobs, with arq's field names. The args stay in the ledger.

    `given` has the limits that each of its lanes was given; see `given_to`. Only a job in lanes has a `label`.
    """
    labelled = f'"label":{_quoted(label)},' if label else ""
    in_lanes = f'{labelled}"lanes":{_listed(tuple(lanes))},"limits":{_listed(tuple(given))},' if lanes else ""
    return f'{{"t":null,"f":{_quoted(kind)},"a":[],"k":{{}},"et":{milliseconds(due_at)},{in_lanes}"postlude":1}}'


@lru_cache(maxsize=1024)
def _listed(texts: tuple[str, ...]) -> str:
    return json.dumps(texts, ensure_ascii=False, separators=(",", ":"))


def milliseconds(moment: datetime) -> int:
    """Return a moment in ms since 1970, like arq's scores."""
    return int(moment.timestamp() * 1000)


@lru_cache(maxsize=1024)
def _quoted(kind: str) -> str:
    return json.dumps(kind, ensure_ascii=False)
