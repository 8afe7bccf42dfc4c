"""Claiming due ids, and letting go of claimed ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import structlog

from service import agreed_time
from service.queue.codec import milliseconds
from service.queue.entry import LONGEST_ID, Entry
from service.queue.keys import aside_key_of, in_progress_key_prefix, key_of
from service.queue.room import NOTHING, Left, Room
from service.queue.scripts import Mended, OverRedis

log = structlog.get_logger(__name__)

CLAIM_HOLD_MS = 15_000
# An id that was set aside is offered to every worker again after this time, in case nobody has taken it.
ASIDE_FOR = timedelta(seconds=60)
_ASIDE_KEPT_S = 600


class Claimed(NamedTuple):
    """An id taken from the head of a queue, or from `lanes`; `strict` names its lanes in strict order."""

    member: bytes
    queue: str
    lanes: tuple[str, ...] = ()
    strict: tuple[str, ...] = ()

    @property
    def in_lane(self) -> bool:
        return bool(self.lanes)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a claim took. All ids were due by `due_by`: Redis' clock, rounded up to the next millisecond.

    Ids in lanes may only be started while the ledger's epoch of lanes is `lanes_epoch`; they were claimed at
    `claim_ms`.
    """

    claimed: list[Claimed]
    due_by: datetime
    lanes_epoch: str = ""
    claim_ms: int = 0
    left: Left = NOTHING


class Claiming(OverRedis):
    """Claims ids for a worker."""

    async def claim(self, queues: Sequence[str], room: Room, kinds: Sequence[str] = ()) -> Taken:
        """Take the due ids for which there is room. Nobody else gets them for `CLAIM_HOLD_MS`.

        Half of the room is for lanes and half for other ids; either half gets what the other leaves. Each queue has a
        share; if there is not enough for all, the first queues come first. Ids that were set aside are taken only if
        their kinds are in `kinds`. Anything in Redis that would block every claim is mended, and logged.
        """
        now_ms, mended, lanes, members = await self._scripts.claim(queues, room, CLAIM_HOLD_MS, kinds)
        for one in mended:
            _report(one)
        claimed = [Claimed(one, queue) for queue, some in zip(queues, members, strict=True) for one in some]
        due_by = datetime.fromtimestamp((now_ms + 1) / 1000, UTC)
        if lanes is None:
            return Taken(claimed, due_by, claim_ms=now_ms, left=_left(room, set()))
        for number, entered, strict, ids in lanes.claimed:
            place = queues[number], _texts(entered), _texts(strict)
            claimed += [Claimed(one, *place) for one in ids]
        left = {name.decode(errors="replace") for name in lanes.left}
        return Taken(claimed, due_by, lanes.epoch.decode(), now_ms, _left(room, left, closed=not lanes.epoch))

    async def put_back(self, entries: Sequence[Entry], claim_ms: int | None = None) -> None:
        """Let go of claimed ids: each comes due at its entry's time. An id that has left the queue stays off it.

        An id with lanes leaves them, unless it was claimed again after `claim_ms`, and gives its share of their rates
        back.
        """
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                if not entry.lanes:
                    pipe.zadd(key_of(entry.queue), {entry.id: milliseconds(entry.due_at)}, xx=True)
                    pipe.delete(in_progress_key_prefix + entry.id)
            await pipe.execute()
        if in_lanes := [entry for entry in entries if entry.lanes]:
            scores = [milliseconds(entry.due_at) for entry in in_lanes]
            await self._scripts.put_in_lanes("back", in_lanes, scores, agreed_time.now(), claim_ms)

    async def set_aside(self, entries: Sequence[Entry], now: datetime) -> None:
        """Let go of claimed ids of unknown kinds, and put them where only workers that know the kinds look."""
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


def _texts(told: Sequence[bytes]) -> tuple[str, ...]:
    return tuple([one.decode(errors="replace") for one in told]) if told else ()


def _left(room: Room, names: set[str], *, closed: bool = False) -> Left:
    all_laneless = room.laneless <= 0 or (closed and room.has_full_kind)
    return Left(all_laneless, closed or room.in_lanes <= 0, frozenset(names))


def _report(mended: Mended) -> None:
    event, key, member = mended
    found = member[:LONGEST_ID].decode(errors="backslashreplace")
    log.error(event.decode(), key=key.decode(), found=found, **_MENDED[event.decode()])


# What the claim script mends, and what the log says about it.
_MENDED = {
    "queue_key_parked": {
        "reason": "it did not have the type of a queue; it was renamed, see `found`",
        "remedy": "see who writes to this Redis, then delete the renamed key; the sweep puts accepted jobs again",
    },
    "queue_member_removed": {"reason": "it is empty or too long to be a job's id"},
    "endless_claim_ended": {
        "reason": "its arq:in-progress key had no expiry, and would have kept it from every worker",
    },
}
