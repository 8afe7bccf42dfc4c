"""What the end of an attempt tells its lane's breaker. Pure."""

from service.ledger.models import Finish
from service.ledger.states import SUCCESS
from service.queue import Verdict

_LONGEST_REASON = 200
_ALIVE = Verdict(alive=True)


def verdict_of(finish: Finish) -> Verdict | None:
    """Return what to tell the breaker about a recorded end; None if it says nothing about the destination."""
    if finish.outcome is SUCCESS:
        return _ALIVE
    answered = finish.answered
    if answered is None:
        return None
    reason = f"{finish.failure.type}: {finish.failure.message}"[:_LONGEST_REASON] if finish.failure else ""
    hold_s = None if finish.hold_lane is None else finish.hold_lane.total_seconds()
    return Verdict(answered, hold_s, reason)
