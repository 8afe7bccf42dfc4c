"""The lanes of every load, and what their receiver must never see."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from tests.support.lane_receiver import LaneReceiver, Visit, beyond_rate, inversions, most_at_once

# How much later than another request one may arrive after the claim that took its token.
RATE_SLACK_S = 1.0

LIMITS: dict[str, dict[str, Any]] = {
    "load:one": {"concurrency": 1},
    "load:three": {"concurrency": 3},
    "load:rate": {"rate": {"limit": 6, "per": 1}},
    "load:strict": {"order": "strict"},
}


def broken_limits(receiver: LaneReceiver, *, ignoring: Collection[int] = ()) -> list[str]:
    """Say which of `LIMITS` the receiver saw exceeded. Requests of the pids `ignoring` count for nothing."""
    wrong = []
    for lane, limits in LIMITS.items():
        visits = [visit for visit in receiver.of(lane) if visit.pid not in ignoring]
        wrong += [f"{lane}: {what}" for what in _broken(visits, **limits)]
    return wrong


def _broken(
    visits: list[Visit], *, concurrency: int = 0, rate: dict[str, int] | None = None, order: str = ""
) -> list[str]:
    wrong = []
    if rate and (beyond := beyond_rate(visits, rate["limit"], rate["per"], RATE_SLACK_S)) > 0:
        wrong.append(f"{beyond:.0f} more than the rate allows in the worst window")
    allowed = 1 if order else concurrency
    if allowed and (most := most_at_once(visits)) > allowed:
        wrong.append(f"{most} in flight at once")
    if order and (found := inversions(visits)):
        wrong.append(f"{len(found)} came after a later one: {found[:5]}")
    came = Counter((visit.job_id, visit.attempt) for visit in visits)
    return wrong + [f"attempt {number} of {job_id} came twice" for (job_id, number), times in came.items() if times > 1]
