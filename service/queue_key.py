"""The name of a queue's sorted set in Redis. It has its own file because `--check` must import nothing else."""

from arq.constants import default_queue_name


def key_of(queue: str) -> str:
    """Name the sorted set of `queue`: arq's own for `default`, arq:queue:<name> for others."""
    return default_queue_name if queue == "default" else f"{default_queue_name}:{queue}"
