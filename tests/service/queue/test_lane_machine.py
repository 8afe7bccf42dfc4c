"""Lanes in Redis against a simple model, in any order: hypothesis looks for the order that breaks a limit."""

import asyncio
import itertools
import json
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from service.lane_rules import Rule
from service.queue import Claimed, Entry, Queue, Release, Room, Runs, Taken, open_redis
from service.queue.keys import IN_LUA, LANES
from tests.faults.form import WHOLE
from tests.support.servers import RedisServer

T = TypeVar("T")
DEFAULT = "default"
LANE_SHARE = 2
SEEN_AGAIN_S = 1.0
"""More than the 250 ms after which serving.lua looks again at an id that runs already."""
STARTS = 6
"""What the lane `slow` may start: its bucket does not refill while a test runs."""

# What each lane is given with its jobs: some nothing, and two are derived by a kind.
GIVEN: dict[str, dict[str, Any]] = {
    "free": {},
    "too": {},
    "one": {"concurrency": 1, "from": "request"},
    "three": {"concurrency": 3, "from": "request"},
    "strict": {"order": "strict", "from": "request"},
    "slow": {"rate": {"limit": STARTS, "per": 86_400}, "from": "request"},
    "host:a": {"from": "kind"},
    "host:b": {"concurrency": 2, "from": "kind"},
}
OF_KINDS = [lane for lane, given in GIVEN.items() if given.get("from") == "kind"]
OF_REQUESTS = ["free", "one", "three", "strict"]
in_lanes = st.sampled_from([(), *((lane,) for lane in GIVEN), *itertools.product(OF_REQUESTS, OF_KINDS)])
picks = st.integers(min_value=0, max_value=1_000)


@dataclass(eq=False)
class Model:
    """A job: `waits`, is `claimed` by a worker, `runs`, or is `gone`.

    A claim that meets an id which runs already looks at it again a moment later: so it may stand behind that moment,
    if it was put while it ran.
    """

    entry: Entry
    state: str = "waits"
    worker: int = 0
    claim_ms: int = 0
    was_put_while_it_ran: bool = False


class LanesMachine(RuleBasedStateMachine):
    """Jobs of one example on a Redis that all examples share."""

    queue: Queue
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Model] = {}
        self.said: dict[str, Rule] = {}
        self.tokens = float(STARTS)

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(doing)

    @initialize()
    def begin(self) -> None:
        self.run(self._flush())
        self._rebuild(first=True)

    async def _flush(self) -> None:
        await self.queue.redis.flushall()

    def _rebuild(self, *, first: bool = False) -> None:
        epoch = self.run(self.queue.epoch())
        running = [Runs(job.entry.id, job.entry.lanes, DEFAULT) for job in self._in("runs") if job.entry.lanes]
        self.run(self.queue.lanes.rebuild(epoch, list(self.said.values()), running, first=first))
        self.tokens = STARTS if first else 0
        for job in self.jobs.values():
            job.claim_ms = 0 if job.state == "runs" else job.claim_ms

    def _in(self, *states: str) -> list[Model]:
        return [job for job in self.jobs.values() if job.state in states]

    def _pick(self, number: int, *states: str) -> Model:
        found = self._in(*states)
        return found[number % len(found)]

    def _limit(self, lane: str) -> int:
        rule = self.said.get(lane)
        given = 1 if lane == "strict" else GIVEN[lane].get("concurrency", 1_000_000)
        return given if rule is None or rule.concurrency is None else rule.concurrency

    def _is_paused(self, lane: str) -> bool:
        return lane in self.said and self.said[lane].paused

    def _held(self, worker: int | None = None) -> Counter[str]:
        held = [job for job in self._in("claimed", "runs") if worker is None or job.worker == worker]
        return Counter(lane for job in held for lane in job.entry.lanes)

    def _has_share(self, lane: str) -> bool:
        rule = self.said.get(lane)
        return lane == "host:a" and (rule is None or rule.concurrency is None)

    def _admits(self, lane: str, worker: int) -> bool:
        here = self._held(worker)[lane] < LANE_SHARE or not self._has_share(lane)
        return here and not self._is_paused(lane) and self._held()[lane] < self._limit(lane)

    # What happens

    @rule(lanes=in_lanes, due=st.booleans())
    def enqueue(self, lanes: tuple[str, ...], due: bool) -> None:
        job_id = f"job-{len(self.jobs):04}"
        at = datetime.now(UTC) + timedelta(seconds=-10 if due else 3_600, milliseconds=len(self.jobs))
        told = {lane: GIVEN[lane] for lane in lanes if GIVEN[lane]}
        given = json.dumps(told) if told else None
        self.jobs[job_id] = Model(Entry(job_id, "greet", DEFAULT, at, 0, lanes, given))
        self.run(self.queue.put([self.jobs[job_id].entry]))

    @precondition(lambda self: self._in("waits", "claimed", "runs"))
    @rule(number=picks)
    def put_again_by_the_sweep(self, number: int) -> None:
        job = self._pick(number, "waits", "claimed", "runs")
        job.was_put_while_it_ran = job.state == "runs"
        self.run(self.queue.put([job.entry]))

    @rule(worker=st.integers(0, 1), laneless=st.integers(0, 5), of_lanes=st.integers(0, 5))
    def claim(self, worker: int, laneless: int, of_lanes: int) -> None:
        taken = self._claim(worker, laneless, of_lanes)
        assert len([one for one in taken if one.in_lane]) <= of_lanes
        assert len([one for one in taken if not one.in_lane]) <= laneless

    def _claim(self, worker: int, laneless: int, of_lanes: int) -> list[Claimed]:
        room = Room(laneless, of_lanes, lane_share=LANE_SHARE, held=dict(self._held(worker)))
        taken: Taken = self.run(self.queue.claim([DEFAULT], room))
        for one in taken.claimed:
            job = self.jobs[one.member.decode()]
            self.tokens -= "slow" in job.entry.lanes
            assert self.tokens > -0.001
            if job.state == "gone":
                self._let_go(job, taken)
                continue
            if job.state == "runs" and not job.entry.lanes:  # put once more; the ledger refuses a second start
                self.run(self.queue.remove(DEFAULT, [one.member]))
                continue
            assert job.state == "waits"
            assert job.entry.due_at <= taken.due_by
            assert one.in_lane == bool(job.entry.lanes)
            assert all(self._admits(lane, worker) for lane in job.entry.lanes), (job, self._held())
            job.state, job.worker, job.claim_ms = "claimed", worker, taken.claim_ms
        return taken.claimed

    def _let_go(self, job: Model, taken: Taken) -> None:
        """Take an id off whose job is over: it was put once more before its end was known."""
        self.run(self.queue.remove(DEFAULT, [job.entry.id.encode()]))
        self.run(self.queue.lanes.release([Release(job.entry.id, job.entry.lanes, claim_ms=taken.claim_ms)]))

    @rule(worker=st.integers(0, 1))
    def claim_all(self, worker: int) -> None:
        """Leave nothing behind that may run."""
        until = time.monotonic() + SEEN_AGAIN_S
        while True:
            looked_at = time.monotonic()
            for _ in range(100):
                if not self._claim(worker, 20, 20):
                    break
            left = [job for job in self._in("waits") if self._may_run(job, worker)]
            assert not [job for job in left if not job.was_put_while_it_ran]
            if not left:
                break
            assert looked_at < until, left

    def _may_run(self, job: Model, worker: int) -> bool:
        has_token = self.tokens >= 1 or "slow" not in job.entry.lanes
        is_due = job.entry.due_at < datetime.now(UTC)
        return is_due and has_token and all(self._admits(lane, worker) for lane in job.entry.lanes)

    @precondition(lambda self: self._in("claimed"))
    @rule(number=picks)
    def start(self, number: int) -> None:
        job = self._pick(number, "claimed")
        job.state = "runs"
        self.run(self.queue.remove(DEFAULT, [job.entry.id.encode()]))

    @precondition(lambda self: self._in("claimed"))
    @rule(number=picks)
    def put_back(self, number: int) -> None:
        self._put_back(self._pick(number, "claimed"))

    def _put_back(self, job: Model) -> None:
        self.run(self.queue.put_back([job.entry]))
        job.state = "waits"
        self.tokens += "slow" in job.entry.lanes

    @precondition(lambda self: self._in("runs"))
    @rule(number=picks)
    def finish(self, number: int) -> None:
        self._finish(self._pick(number, "runs"))

    def _finish(self, job: Model) -> None:
        job.state = "gone"
        if job.entry.lanes:
            self.run(self.queue.lanes.release([Release(job.entry.id, job.entry.lanes, claim_ms=job.claim_ms)]))

    @precondition(lambda self: self._in("runs"))
    @rule(number=picks)
    def retry_at_once(self, number: int) -> None:
        job = self._pick(number, "runs")
        self._finish(job)
        job.state = "waits"
        self.run(self.queue.put([job.entry]))

    @precondition(lambda self: any(job.entry.lanes for job in self._in("gone")))
    @rule(number=picks)
    def release_again_because_the_answer_was_lost(self, number: int) -> None:
        over = [job for job in self._in("gone") if job.entry.lanes]
        job = over[number % len(over)]
        self.run(self.queue.lanes.release([Release(job.entry.id, job.entry.lanes, claim_ms=job.claim_ms)]))

    @rule(lane=st.sampled_from(list(GIVEN)), concurrency=st.sampled_from([None, 1, 2, 5]), paused=st.booleans())
    def change_a_rule(self, lane: str, concurrency: int | None, paused: bool) -> None:
        self.said.pop(lane, None)
        if (concurrency or paused) and lane != "strict":
            self.said[lane] = Rule(lane, concurrency=concurrency, paused=paused)
        self.run(self.queue.lanes.apply(list(self.said.values())))

    @rule()
    def redis_is_flushed(self) -> None:
        """Nothing in lanes is claimed before they are rebuilt. Starts by claims from before, the ledger refuses."""
        self.run(self._flush())
        for job in self._in("claimed"):
            job.state = "waits"
        self.run(self.queue.put([job.entry for job in self._in("waits")]))
        room = Room(0, 100, lane_share=LANE_SHARE)
        assert self.run(self.queue.claim([DEFAULT], room)).claimed == []
        self._rebuild()

    # What must hold in the end

    def teardown(self) -> None:
        self.said = {"slow": Rule("slow", rate_limit=1_000_000, rate_per_s=0.001)}
        self.run(self.queue.lanes.apply(list(self.said.values())))
        self.tokens = 1_000_000
        later = [job for job in self._in("waits") if job.entry.due_at > datetime.now(UTC)]
        for job in later:
            self.run(self.queue.remove(DEFAULT, [job.entry.id.encode()]))
            job.state = "gone"
        while self._in("waits", "claimed", "runs"):
            self.claim_all(0)
            living = self._in("claimed", "runs")
            assert living or not self._in("waits"), f"nothing may run, and these wait: {self._in('waits')}"
            for job in living:
                if job.state == "claimed":
                    self.start(self._in("claimed").index(job))
                if job.state == "runs":
                    self._finish(job)
        until = time.monotonic() + SEEN_AGAIN_S
        looked_at = 0.0
        while left := self.run(self._left()):
            assert looked_at < until, left
            looked_at = time.monotonic()
            self._claim(0, 20, 20)

    async def _left(self) -> list[bytes | str]:
        found = [key async for key in self.queue.redis.scan_iter(match="postlude:lane*:*", count=1_000)]
        lasting = [key for key in found if await self.queue.redis.ttl(key) < 0]
        sums = [key for key in (LANES, IN_LUA["FREE"]) if await self.queue.redis.exists(key)]
        return [*lasting, *sums]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.mark.short
@pytest.mark.timeout(900)
def test_any_order_of_claims_ends_and_faults_keeps_every_limit_and_idles_nothing(
    runner: asyncio.Runner, redis_server: RedisServer
) -> None:
    redis = open_redis(redis_server.url)
    machine = type("Machine", (LanesMachine,), {"runner": runner, "queue": Queue(redis)})
    run_state_machine_as_test(
        machine,
        settings=hypothesis.settings(
            max_examples=300 if WHOLE else 15,
            stateful_step_count=60 if WHOLE else 40,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
            report_multiple_bugs=False,
        ),
    )
    runner.run(redis.aclose(close_connection_pool=True))
