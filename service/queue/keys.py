"""The names of keys in Redis: arq's own, for its clients and its worker, and ours, with the prefix `postlude:`."""

from arq.constants import default_queue_name, in_progress_key_prefix, job_key_prefix, result_key_prefix

from service.queue_key import key_of

__all__ = ["in_progress_key_prefix", "job_key_prefix", "key_of", "result_key_prefix"]

MARKER = "postlude:epoch"
PARKED = "postlude:parked:"
# Exists while arq's own worker class is at work, which knows neither lanes nor pauses.
STOCK_WORKER = "postlude:stock-worker"
# The lanes in which anything waits or runs; all rules; what is paused and until when; the epoch that lanes are built
# for.
LANES = "postlude:lanes"
# Empty lanes whose order came with a job, by when the leader checks whether they still have live jobs.
LANES_IN_ORDER = "postlude:lanes-in-order"
LANE_RULES = "postlude:lane-rules"
LANE_PATTERNS = "postlude:lane-patterns"
LANE_RULES_VERSION = "postlude:lanes-version"
PAUSED = "postlude:paused"
LANES_EPOCH = "postlude:lanes-epoch"
LANES_BUILT = "postlude:lanes-built"
LANES_BUILDING = "postlude:lanes-building"
_LANES_CHECKED = "postlude:lanes-checked"

_LANE = "postlude:lane:"
_FREE = "postlude:lane-free"
_RUNNING = "postlude:lane-running:"
_WAITING = "postlude:lane-waiting:"
_TURNS = "postlude:lane-turns:"
_LANE_LOW = "postlude:lane-low:"
_WAKE = "postlude:wake:"

# The names of these keys in the scripts.
IN_LUA = {
    "QUEUE": default_queue_name,
    "JOB": job_key_prefix,
    "IN_PROGRESS": in_progress_key_prefix,
    "PARKED": PARKED,
    "MARKER": MARKER,
    "LANES": LANES,
    "IN_ORDER": LANES_IN_ORDER,
    "RULES": LANE_RULES,
    "PATTERNS": LANE_PATTERNS,
    "PAUSED": PAUSED,
    "LANES_EPOCH": LANES_EPOCH,
    "LANES_BUILT": LANES_BUILT,
    "LANES_BUILDING": LANES_BUILDING,
    "LANES_CHECKED": _LANES_CHECKED,
    "LANE": _LANE,
    "FREE": _FREE,
    "RUNNING": _RUNNING,
    "WAITING": _WAITING,
    "TURNS": _TURNS,
    "LANE_LOW": _LANE_LOW,
    "WAKE": _WAKE,
    "STOCK_WORKER": STOCK_WORKER,
}


def low_key_of(queue: str) -> str:
    """Name the sorted set of due ids with negative priority, which are also in the queue's own set, further back."""
    return f"postlude:low:{queue}"


def aside_key_of(queue: str) -> str:
    """Name the set of kinds that a worker did not know. <this>:<kind> has their ids, which also stay on the queue."""
    return f"postlude:aside:{queue}"


def wake_key_of(queue: str) -> str:
    """Name the list on which idle workers wait; an entry wakes one of them."""
    return _WAKE + queue


def lane_key_of(lane: str) -> str:
    """Name the hash of a lane's limits and state."""
    return _LANE + lane


def running_key_of(lane: str) -> str:
    """Name the sorted set of ids that run in a lane, by the ms of their claims."""
    return _RUNNING + lane


def waiting_key_of(queue: str, lane: str) -> str:
    """Name the sorted set of ids that wait for a lane. No queue's name has a comma."""
    return f"{_WAITING}{queue},{lane}"


def turns_key_of(queue: str) -> str:
    """Name the sorted set of a queue's lanes that may start something, by the time when they may."""
    return _TURNS + queue


def lane_low_key_of(queue: str) -> str:
    """Name the sorted set of due ids with negative priority in lanes, which also wait in their lanes, further back."""
    return _LANE_LOW + queue
