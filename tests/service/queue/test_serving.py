"""Limits of lanes hold, and nothing is lost, whatever order many clients do things in."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from service.lane_rules import Rule
from service.queue import Claimed, Entry, Queue, Release, Room, Runs, Taken
from tests.support.running import eventually

QUEUES = ("default", "slow")
LANES = {
    "one": Rule("one", concurrency=1),
    "three": Rule("three", concurrency=3),
    "brisk": Rule("brisk", rate_limit=4, rate_per_s=0.1),
    "strict": Rule("strict", strict=True),
    "host:a": Rule("host:*", concurrency=2),
    "free": Rule("free"),
}
KINDS = ("greet", "hold")


@dataclass
class Model:
    """What must be true, given what the clients did and were answered."""

    lanes_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    claimed: dict[str, int] = field(default_factory=dict)
    places: dict[str, Claimed] = field(default_factory=dict)
    tokens: dict[str, tuple[float, int]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)

    def holds(self, lane: str) -> int:
        return sum(lane in self.lanes_of[one] for one in self.claimed)

    def take(self, taken: Taken) -> None:
        for one in taken.claimed:
            job_id = one.member.decode()
            assert job_id not in self.claimed, "claimed twice"
            assert job_id not in self.done
            assert one.in_lane == bool(self.lanes_of[job_id])
            assert one.queue == self.entries[job_id].queue
            self.claimed[job_id], self.places[job_id] = taken.claim_ms, one
            for lane in self.lanes_of[job_id]:
                rule = LANES[lane]
                assert self.holds(lane) <= (1 if rule.strict else rule.concurrency or 1_000), lane
                assert one.strict or not rule.strict
                self.spend(lane, taken.claim_ms)

    def spend(self, lane: str, at: int) -> None:
        rule = LANES[lane]
        if rule.rate_limit is None or rule.rate_per_s is None:
            return
        had, since = self.tokens.get(lane, (rule.rate_limit, 0))
        left = min(rule.rate_limit, had + (at - since) * rule.rate_limit / rule.rate_per_s / 1000) - 1
        assert left > -1e-3, f"{lane} had no token"
        self.tokens[lane] = (left, at)

    def give_back(self, lane: str) -> None:
        if lane in self.tokens:
            had, since = self.tokens[lane]
            self.tokens[lane] = (had + 1, since)


class Clients:
    """Does random things to one Redis, as workers, APIs and the leader do."""

    def __init__(self, queue: Queue, seed: int) -> None:
        self.queue = queue
        self.random = random.Random(seed)
        self.model = Model()
        self.built = 0
        self.forgotten: set[str] = set()

    async def rebuild(self) -> None:
        self.built += 1
        epoch = f"{await self.queue.epoch()}/{self.built}"
        model = self.model
        self.forgotten.update(model.claimed)  # what runs by the ledger waits nowhere
        running = [Runs(one, model.lanes_of[one], model.entries[one].queue) for one in model.claimed]
        await self.queue.lanes.rebuild(
            epoch, [*LANES.values()], [one for one in running if one.lanes], first=self.built == 1
        )

    async def put(self) -> None:
        known = len(self.model.entries)
        for number in range(known, known + self.random.randint(1, 20)):
            lanes = tuple(self.random.sample(sorted(LANES), self.random.choice((0, 1, 1, 2, 2))))
            due = datetime.now(UTC) + timedelta(seconds=self.random.choice((-1, -1, -1, 0.05)))
            priority = self.random.choice((0, 0, 0, 1, -1))
            job_id = f"job-{number:06}"
            entry = Entry(job_id, self.random.choice(KINDS), self.random.choice(QUEUES), due, priority, lanes)
            self.model.lanes_of[job_id], self.model.entries[job_id] = lanes, entry
        live = [one for job_id, one in self.model.entries.items() if job_id not in self.model.done]
        again = [one for one in live if self.random.random() < 0.1 and one.id not in self.model.claimed]
        await self.queue.put([*list(self.model.entries.values())[known:], *again])

    async def claim(self) -> None:
        held = Counter(lane for one in self.model.claimed for lane in self.model.lanes_of[one])
        held.update(f"kind:{self.model.entries[one].kind}" for one in self.model.claimed)
        room = Room(
            self.random.randint(0, 10), self.random.randint(0, 10),
            lane_share=3, kind_share=self.random.choice((5, 100)), held=held,
        )  # fmt: skip
        queues = self.random.sample(QUEUES, self.random.randint(1, 2))
        self.model.take(await self.queue.claim(queues, room))

    def some_claimed(self) -> list[str]:
        claimed = sorted(self.model.claimed)
        return self.random.sample(claimed, min(len(claimed), self.random.randint(1, 5)))

    async def put_back(self) -> None:
        back = self.some_claimed()
        for one in back:
            del self.model.claimed[one]
            for lane in self.model.lanes_of[one]:
                self.model.give_back(lane)
        await self.queue.put_back([self.model.entries[one] for one in back])
        await self.queue.put([self.model.entries[one] for one in back if one in self.forgotten])  # as the sweep does

    async def finish(self) -> None:
        """End attempts, of which some go on: their ids are put first, and released then, at least once."""
        ended = self.some_claimed()
        await self.take_off(ended)
        goes_on = [one for one in ended if self.random.random() < 0.3]
        claims = {one: self.model.claimed[one] for one in ended}
        for one in ended:
            if not self.model.lanes_of[one]:
                del self.model.claimed[one]
        self.model.done.update(set(ended) - set(goes_on))
        await self.queue.put([self.model.entries[one] for one in goes_on])
        if self.random.random() < 0.5:
            await self.claim()  # in between
        releases = [Release(one, lanes, claim_ms=claims[one]) for one in ended if (lanes := self.model.lanes_of[one])]
        for release in releases:
            del self.model.claimed[release.id]
        await self.queue.lanes.release(releases)
        if self.random.random() < 0.3:
            await self.claim()
            await self.queue.lanes.release(releases)  # once more: it changes nothing

    async def take_off(self, ended: list[str]) -> None:
        """As a start does, or as a caller that does not know where the ids are."""
        if self.random.random() < 0.7:
            await self.queue.take_off_soon([self.model.places[one] for one in ended])
            return
        for queue in QUEUES:
            members = [one.encode() for one in ended if self.model.entries[one].queue == queue]
            await self.queue.remove(queue, members)

    async def apply(self) -> None:
        await self.queue.lanes.apply([*LANES.values()])

    async def lose_redis(self) -> None:
        await self.queue.redis.flushall()
        waiting = [one for one in self.model.entries if one not in self.model.done and one not in self.model.claimed]
        if self.random.random() < 0.5:
            await self.queue.put([self.model.entries[one] for one in waiting])
        taken = await self.queue.claim(QUEUES, Room(50, 50))
        assert not any(one.in_lane for one in taken.claimed), "lanes are closed"
        self.model.take(taken)
        await self.rebuild()
        held = self.model.claimed
        await self.queue.put([self.model.entries[one] for one in waiting if one not in held])

    async def step(self) -> None:
        steps: dict[Any, int] = {
            self.put: 20, self.claim: 40, self.put_back: 8, self.finish: 30, self.apply: 3, self.rebuild: 1,
            self.lose_redis: 1,
        }  # fmt: skip
        (step,) = self.random.choices(list(steps), list(steps.values()))
        await step()

    async def all_done(self) -> bool:
        for _ in range(20):
            self.model.take(await self.queue.claim(QUEUES, Room(50, 50)))
            await self.take_off(list(self.model.claimed))
            releases = [Release(one, self.model.lanes_of[one]) for one in self.model.claimed]
            self.model.done.update(self.model.claimed)
            self.model.claimed.clear()
            await self.queue.lanes.release([one for one in releases if one.lanes])
        return self.model.done == self.model.entries.keys()


async def nothing_is_left(redis: Redis) -> bool:
    keys = [key for key in await redis.keys("*") if await redis.pttl(key) == -1]
    return sorted({key.rpartition(b":")[0] for key in keys}) == [b"postlude", b"postlude:wake"]


@pytest.mark.parametrize("seed", range(6))
async def test_limits_hold_and_no_id_is_lost_whatever_clients_do(queue: Queue, redis: Redis, seed: int) -> None:
    clients = Clients(queue, seed)
    await clients.rebuild()
    for _ in range(250):
        await clients.step()
    await eventually(clients.all_done, 30)
    assert await redis.smembers("postlude:lanes") == set()  # type: ignore[misc]
    await eventually(lambda: nothing_is_left(redis))
