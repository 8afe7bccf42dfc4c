"""The names of keys in Redis: arq's own, for its clients and its worker, and ours, which begin with `postlude:`."""

from arq.constants import in_progress_key_prefix, job_key_prefix, result_key_prefix

from service.queue_key import key_of

__all__ = ["in_progress_key_prefix", "job_key_prefix", "key_of", "result_key_prefix"]

MARKER = "postlude:epoch"
PARKED = "postlude:parked:"


def low_key_of(queue: str) -> str:
    """Name the sorted set of due ids of negative priority, which are also in the queue's own set, further back."""
    return f"postlude:low:{queue}"


def aside_key_of(queue: str) -> str:
    """Name the set of kinds that some worker did not know. <this>:<kind> has their ids, which stay on the queue too."""
    return f"postlude:aside:{queue}"


def wake_key_of(queue: str) -> str:
    """Name the list on which idle workers wait; an entry wakes one of them."""
    return f"postlude:wake:{queue}"
