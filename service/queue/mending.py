"""What the sweep checks and mends: Redis' epoch, which ids are missing, and where due ids belong."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import uuid_utils

from service import agreed_time
from service.queue.entry import Entry
from service.queue.keys import MARKER, key_of, low_key_of
from service.queue.refusals import is_not_allowed
from service.queue.scripts import OverRedis


class Member(NamedTuple):
    """An id, and the queue that it is or should be on. With lanes, or a kind that is held back, it waits elsewhere."""

    queue: str
    id: str
    kind: str = ""
    lanes: tuple[str, ...] = ()
    label: str = ""


class Mending(OverRedis):
    """Compares the queue with what the ledger says."""

    async def epoch(self) -> str:
        """Return the name of this life of this Redis: another server, a restart, a failover or a wipe is another epoch.

        Users who may not run INFO get only the marker, which a wipe deletes. The sweep's checks of single ids find ids
        lost in a restart or a failover that leaves the marker.
        """
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.get(MARKER)
            pipe.info("replication")
            marker, replication = await pipe.execute(raise_on_error=False)
        if isinstance(marker, Exception):
            raise marker
        if marker is None:
            await self.redis.set(MARKER, uuid_utils.uuid7().hex, nx=True)
            return await self.epoch()
        return f"{marker.decode()}:{_history_of(replication)}"

    async def missing(self, members: Iterable[Member]) -> set[Member]:
        """Return the members that are neither on their queues nor in their lanes, in a few round trips.

        While arq's own worker is at work, only the queues count.
        """
        wanted = list(members)
        laneless = {one for one in wanted if not one.lanes}
        away = await self._off_queue(laneless) if laneless else set()
        # Members of a kind that is held back wait elsewhere.
        suspects = [*away, *(one for one in wanted if one.lanes)]
        if not suspects:
            return away
        places = (
            part for one in suspects for part in (one.queue, one.id, one.kind, one.label, *(*one.lanes, "", "")[:2])
        )
        return {suspects[place] for place in await self._scripts.absent([*places])}

    async def _off_queue(self, members: Iterable[Member]) -> set[Member]:
        """Return the members that are not on their queues."""
        by_queue: dict[str, list[Member]] = {}
        for member in members:
            by_queue.setdefault(member.queue, []).append(member)
        async with self.redis.pipeline(transaction=False) as pipe:
            for queue, some in by_queue.items():
                pipe.zmscore(key_of(queue), [member.id for member in some])
            scores = await pipe.execute()
        found = zip(by_queue.values(), scores, strict=True)
        return {member for some, its in found for member, score in zip(some, its, strict=True) if score is None}

    async def prioritise(self, entries: Iterable[Entry]) -> None:
        """Move due jobs to the scores of their priorities. A job that has left the queue stays away."""
        now = agreed_time.now()
        entries = list(entries)
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                if entry.lanes:
                    continue
                pipe.zadd(key_of(entry.queue), {entry.id: entry.score(now)}, xx=True)
                if entry.priority < 0:
                    pipe.zadd(low_key_of(entry.queue), {entry.id: entry.score(now)})
            await pipe.execute()
        if in_lanes := [entry for entry in entries if entry.lanes]:
            await self._scripts.put_in_lanes("move", in_lanes, [entry.score(now) for entry in in_lanes], now)


def _history_of(replication: Any) -> str:
    """Return the id that INFO gives to this server's replication history; '' if this user may not run INFO.

    A restart and a failover begin another history. The server's own run id would be the same after a failover there and
    back, which loses everything that the replica had not received.
    """
    if isinstance(replication, Exception):
        if is_not_allowed(replication):
            return ""
        raise replication
    return str(replication.get("master_replid", ""))[:16]
