"""The name of a queue's sorted set in Redis, apart from the queue itself: `--check` needs no more."""

from arq.constants import default_queue_name


def key_of(queue: str) -> str:
    """Name the sorted set of `queue`: arq's own for `default`, arq:queue:<name> for others."""
    return default_queue_name if queue == "default" else f"{default_queue_name}:{queue}"
