"""What the sweep asks and mends: Redis' epoch, which ids are missing, and where due ids belong."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import uuid_utils

from service import agreed_time
from service.queue.entry import Entry
from service.queue.keys import MARKER, key_of, low_key_of
from service.queue.refusals import is_not_allowed
from service.queue.scripts import OverRedis


class Member(NamedTuple):
    """An id, and the queue that it is on, or should be."""

    queue: str
    id: str


class Mending(OverRedis):
    """Compares the queue with what the ledger says."""

    async def epoch(self) -> str:
        """Name this life of this Redis: another server, a restart or a wipe is another epoch.

        Users who may not run INFO get the marker alone, which a wipe deletes. Ids that a restart or a failover loses
        without it are found by the sweep's look at single ids.
        """
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.get(MARKER)
            pipe.info("server")
            marker, server = await pipe.execute(raise_on_error=False)
        if isinstance(marker, Exception):
            raise marker
        if marker is None:
            await self.redis.set(MARKER, uuid_utils.uuid7().hex, nx=True)
            return await self.epoch()
        return f"{marker.decode()}:{_run_id(server)}"

    async def missing(self, members: Iterable[Member]) -> set[Member]:
        """Return the members that are not on their queues, in one round trip."""
        by_queue: dict[str, list[str]] = {}
        for queue, member in members:
            by_queue.setdefault(queue, []).append(member)
        async with self.redis.pipeline(transaction=False) as pipe:
            for queue, ids in by_queue.items():
                pipe.zmscore(key_of(queue), ids)
            scores = await pipe.execute()
        found = zip(by_queue.items(), scores, strict=True)
        return {
            Member(queue, member)
            for (queue, ids), of_queue in found
            for member, score in zip(ids, of_queue, strict=True)
            if score is None
        }

    async def prioritise(self, entries: Iterable[Entry]) -> None:
        """Move due jobs to the scores of their priorities. A job that has left the queue stays away."""
        now = agreed_time.now()
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.zadd(key_of(entry.queue), {entry.id: entry.score(now)}, xx=True)
                if entry.priority < 0:
                    pipe.zadd(low_key_of(entry.queue), {entry.id: entry.score(now)})
            await pipe.execute()


def _run_id(server: Any) -> str:
    """Return the server's run id from INFO's answer; '' if this user may not run INFO."""
    if isinstance(server, Exception):
        if is_not_allowed(server):
            return ""
        raise server
    return str(server.get("run_id", ""))[:16]
