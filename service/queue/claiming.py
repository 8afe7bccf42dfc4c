"""Claiming due ids, and letting go of claimed ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from service.queue.codec import milliseconds
from service.queue.entry import LONGEST_ID, Entry
from service.queue.keys import aside_key_of, in_progress_key_prefix, key_of
from service.queue.scripts import Mended, OverRedis

log = structlog.get_logger(__name__)

CLAIM_HOLD_MS = 15_000
# An id that was set aside is offered to every worker again after this time, in case nobody has taken it.
ASIDE_FOR = timedelta(seconds=60)
_ASIDE_KEPT_S = 600


@dataclass(frozen=True, slots=True)
class Claimed:
    """An id taken off the head of a queue."""

    member: bytes
    queue: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What a claim took. All of it was due by `due_by`: Redis' clock, rounded up to the next millisecond."""

    claimed: list[Claimed]
    due_by: datetime


class Claiming(OverRedis):
    """Claims ids for a worker."""

    async def claim(self, queues: Sequence[str], count: int, kinds: Sequence[str] = ()) -> Taken:
        """Take up to `count` due ids, a share from each queue; nobody else gets them for `CLAIM_HOLD_MS`.

        The first queues come first if there is not a share for each. Ids that were set aside are taken only if their
        kinds are among `kinds`. Whatever in Redis would block every claim is mended, and reported in the log.
        """
        now_ms, mended, members = await self._scripts.claim(queues, count, CLAIM_HOLD_MS, kinds)
        for one in mended:
            _report(one)
        claimed = [Claimed(one, queue) for queue, some in zip(queues, members, strict=True) for one in some]
        return Taken(claimed, datetime.fromtimestamp((now_ms + 1) / 1000, UTC))

    async def put_back(self, entries: Sequence[Entry]) -> None:
        """Let go of claimed ids: each comes due at its entry's time. An id that has left the queue stays away."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.zadd(key_of(entry.queue), {entry.id: milliseconds(entry.due_at)}, xx=True)
                pipe.delete(in_progress_key_prefix + entry.id)
            await pipe.execute()

    async def set_aside(self, entries: Sequence[Entry], now: datetime) -> None:
        """Let go of claimed ids of unknown kinds, and put them where only claimers that know the kinds look."""
        async with self.redis.pipeline(transaction=True) as pipe:
            for entry in entries:
                kinds, ids = aside_key_of(entry.queue), f"{aside_key_of(entry.queue)}:{entry.kind}"
                pipe.zadd(key_of(entry.queue), {entry.id: milliseconds(now + ASIDE_FOR)}, xx=True)
                pipe.zadd(ids, {entry.id: entry.score(now)})
                pipe.sadd(kinds, entry.kind)
                pipe.expire(ids, _ASIDE_KEPT_S)
                pipe.expire(kinds, _ASIDE_KEPT_S)
                pipe.delete(in_progress_key_prefix + entry.id)
            await pipe.execute()


def _report(mended: Mended) -> None:
    event, key, member = mended
    found = member[:LONGEST_ID].decode(errors="backslashreplace")
    log.error(event.decode(), key=key.decode(), found=found, **_MENDED[event.decode()])


# What the claim script mends, and what the log says about it.
_MENDED = {
    "queue_key_parked": {
        "reason": "it was not of the type that a queue has; it was renamed to what was found",
        "remedy": "see who writes to this Redis, then delete the renamed key; the sweep puts accepted jobs again",
    },
    "queue_member_removed": {"reason": "it is empty or too long: it can be no job's id"},
    "endless_claim_ended": {
        "reason": "its arq:in-progress key had no expiry, and would have kept it from every worker",
    },
}
