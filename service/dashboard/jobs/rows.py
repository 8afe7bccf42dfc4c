"""What a row of the list says about a job in a few words: its args at a glance, and why it waits. Pure."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from jobs.kit.masking import MASK
from service.lanes.reasons import Why

_MOST_PARTS = 8
_LONGEST_VALUE = 120
_DEEPEST = 3

IN_SHORT = {
    Why.OTHER_JOBS: "Waits for other jobs",
    Why.QUEUE_PAUSED: "Its queue is paused",
    Why.KIND_PAUSED: "Its kind is paused",
    Why.NO_WORKER: "No worker is alive",
    Why.NO_WORKER_OF_QUEUE: "No worker for its queue",
    Why.NO_WORKER_OF_KIND: "No worker knows its kind",
    Why.REDIS_AWAY: "Redis does not answer",
    Why.LANES_REBUILT: "Lanes are being rebuilt",
    Why.LANE_PAUSED: "Its lane is paused",
    Why.BREAKER_FORCED: "Waits for its lane",
    Why.BREAKER_OPEN: "Waits for its lane",
    Why.BREAKER_TRIES: "Waits for its lane",
    Why.LANE_IN_ORDER: "Waits for its turn",
    Why.LANE_FULL: "Its lane is full",
    Why.LANE_RATE: "Waits for its rate",
    Why.LANE_SHARE: "Due now",
    Why.NO_SLOT: "Due now",
}


class ArgPart(NamedTuple):
    """An arg at a glance; `value` is None for a secret."""

    name: str
    value: str | None


def parts_of(args: str) -> Sequence[ArgPart]:
    """Return the first args of a job, nested ones by their own names."""
    read = from_json(args)
    if not isinstance(read, dict):
        return [ArgPart("", _short(read))]
    return list(islice(_parts(read, 1), _MOST_PARTS))


def _parts(args: dict[str, Any], depth: int) -> Iterator[ArgPart]:
    for name, value in args.items():
        if value is None:
            continue
        if isinstance(value, dict) and value and depth < _DEEPEST:
            yield from _parts(value, depth + 1)
        else:
            yield ArgPart(name, None if value == MASK else _short(value))


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value, inf_nan_mode="constants").decode(errors="replace")
    text = " ".join(text[: _LONGEST_VALUE * 2].split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
