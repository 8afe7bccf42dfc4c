"""Random flows against a simple model, whatever happens to their jobs in whatever order, and at the same moment."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, func, select

from service.flow_tables import callback_jobs, callbacks, flows, followups, job_edges
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, Finish, Followed, NewFlow, NewJob, Start
from service.ledger.purge import purge_jobs
from service.ledger.reads import audit
from service.ledger.records.expired import record_expired
from service.ledger.records.flows import record_flows_purged
from service.ledger.records.followups import record_followups
from service.ledger.records.replayed import Replayed
from service.ledger.states import REPLAYABLE, UNSTARTED, WAITING, Outcome, State
from service.tables import attempts, job_listing, job_tags, jobs, workers
from tests.faults.form import WHOLE
from tests.service.ledger.flow_model import Flow, FlowModel, Node
from tests.service.ledger.linking import callback
from tests.service.ledger.makers import NOW, live_worker, new_job
from tests.support.writing import writing

T = TypeVar("T")
OUTCOMES = {State.SUCCEEDED: Outcome.SUCCEEDED, State.FAILED: Outcome.FAILED, State.RETRYING: Outcome.SNOOZED}
PROCESSES = 3

picks = st.lists(st.integers(min_value=0, max_value=1_000), min_size=1, max_size=6)
ends = st.sampled_from([State.SUCCEEDED, State.SUCCEEDED, State.FAILED, State.RETRYING])
whens = st.sampled_from(["succeeded", "succeeded", "ended", "attempted"])
events = st.sampled_from([(), (), ("end",), ("success", "failure"), ("success", "failure", "end")])
shapes = st.lists(st.tuples(picks, whens, events, st.booleans()), min_size=1, max_size=5)


class FlowMachine(RuleBasedStateMachine):
    """Flows of one example; `ledgers` are processes over one database, and `runner` serves all examples."""

    ledgers: Sequence[Ledger]
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.model = FlowModel()
        self.purged: set[str] = set()
        self.told: list[str] = []

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(doing)

    @property
    def ledger(self) -> Ledger:
        return self.ledgers[0]

    def some(self, numbers: Sequence[int], *states: State) -> list[Node]:
        """Choose jobs in these states."""
        among = [node for node in self.model.nodes.values() if node.state in states]
        return list({id(among[n % len(among)]): among[n % len(among)] for n in numbers}.values()) if among else []

    @initialize()
    def begin(self) -> None:
        self.run(live_worker(self.ledger))

    @rule(shape=shapes, flow=st.sampled_from(["none", "new", "join"]), of_flow=events)
    def enqueue(self, shape: Any, flow: str, of_flow: Any) -> None:
        """Enqueue jobs after others, of the past or beside them; parents come first."""
        self.now += timedelta(seconds=1)
        made, flow_id = None, None
        if flow == "new":
            flow_id = f"f-{uuid.uuid4()}"[:36]
            made = NewFlow(flow_id, self.now, callbacks=tuple(map(callback, of_flow)))
        elif flow == "join" and self.model.flows:
            flow_id = list(self.model.flows)[-1]
        new, nodes = self._planned(shape, flow_id)
        enqueued = self.run(self.ledger.enqueue(Enqueue(tuple(new), "test", flow=made)))
        if flow_id is not None:
            self.model.flows.setdefault(flow_id, Flow(of_flow))
        for node in nodes:
            self.model.add(node)
        assert [job.state for job in enqueued.jobs] == [node.state for node in nodes]
        assert enqueued.created == {node.id for node in nodes}
        self.settle(enqueued.followed)

    def _planned(self, shape: Any, flow_id: str | None) -> tuple[list[NewJob], list[Node]]:
        known = list(self.model.nodes)
        new, nodes = [], []
        for parents, when, of_job, expires in shape:
            # Not in the order of their ids: locking several must not rely on the given order.
            job_id = str(uuid.uuid4())
            after = tuple(dict.fromkeys(known[-1 - number % min(len(known), 8)] for number in parents[1:] if known))
            expires_at = self.now + timedelta(seconds=3) if expires else None
            node = Node(job_id, when, of_job, flow_id, expires_at, dict.fromkeys(after, "open"))
            job = new_job(
                id=job_id,
                after=after,
                run_when=when,
                callbacks=tuple(map(callback, of_job)),
                flow=flow_id,
                expires_at=expires_at,
                created_at=self.now,
                run_at=self.now,
            )
            new.append(job)
            nodes.append(node)
            known.append(job_id)
        return new, nodes

    @precondition(lambda self: self.model.nodes)
    @rule(numbers=picks)
    def start(self, numbers: list[int]) -> None:
        asked = self.some(numbers, *UNSTARTED)
        may = {one.id for one in asked if one.state in WAITING and not self._is_late(one)}
        started = self.run(self.ledger.start(Start(tuple(one.id for one in asked), "w1", ("greet",), self.now)))
        assert started.keys() == may
        for node in asked:
            if node.id in may:
                node.state, node.attempt, node.expires_at = State.RUNNING, node.attempt + 1, None

    def _is_late(self, node: Node) -> bool:
        return node.expires_at is not None and node.expires_at <= self.now

    @precondition(lambda self: any(one.state is State.RUNNING for one in self.model.nodes.values()))
    @rule(numbers=picks, states=st.lists(ends, min_size=6, max_size=6), seed=st.integers(0, 1_000), joins=st.booleans())
    def finish_at_the_same_moment(self, numbers: list[int], states: list[State], seed: int, joins: bool) -> None:
        """Attempts end in different processes, while others follow up, and one enqueues after just these jobs."""
        self.now += timedelta(milliseconds=10)
        ended = list(zip(self.some(numbers, State.RUNNING), states, strict=False))
        parts: list[list[Finish]] = [[] for _ in range(PROCESSES)]
        for number, (node, state) in enumerate(ended):
            run_at = self.now if state is State.RETRYING else None
            parts[(number + seed) % PROCESSES].append(
                Finish(node.id, "greet", node.attempt, "w1", OUTCOMES[state], state, self.now, run_at=run_at)
            )
        # A job that fell may be taken back at this moment: its children then depend on which came first.
        children = [one.id for one in self.model.nodes.values() if ended[0][0].id in one.edges and not one.fell]
        after = tuple(dict.fromkeys([*children, *(node.id for node, _ in ended)])) if joins else ()
        last = new_job(id=str(uuid.uuid4()), after=after, run_when="ended", run_at=self.now, created_at=self.now)
        followed = self.run(self._all_at_once(parts, last, random.Random(seed)))
        for node, state in ended:
            (self.model.end(node, state) if node.cancelling or state is not State.RETRYING else self._retry(node))
        self.model.add(Node(last.id, "ended", (), None, None, dict.fromkeys(after, "open")))
        # Whether the ends came first shows in who tells that it may run: the enqueue, or the last of the ends.
        self.settle(*followed, maybe_told={last.id})

    def _retry(self, node: Node) -> None:
        node.state = State.RETRYING

    async def _all_at_once(self, parts: Sequence[list[Finish]], last: NewJob, order: random.Random) -> list[Followed]:
        doing: list[Coroutine[Any, Any, list[Followed]]] = [
            self._finish(ledger, part) for ledger, part in zip(self.ledgers, parts, strict=True) if part
        ]
        doing += [self._enqueue(self.ledgers[1], last), self._follow_up(self.ledgers[2])]
        order.shuffle(doing)
        return [one for some in await asyncio.gather(*doing) for one in some]

    async def _finish(self, ledger: Ledger, part: list[Finish]) -> list[Followed]:
        finished = await ledger.finish_all(part)
        assert None not in finished
        return [one.followed for one in finished if one is not None]

    async def _enqueue(self, ledger: Ledger, job: NewJob) -> list[Followed]:
        enqueued = await ledger.enqueue(Enqueue((job,), "test"))
        assert not enqueued.unknown
        return [enqueued.followed]

    async def _follow_up(self, ledger: Ledger) -> list[Followed]:
        return [await ledger.database.run(partial(record_followups, at=self.now, writer="test"))]

    @precondition(lambda self: self.model.nodes)
    @rule(numbers=picks)
    def cancel(self, numbers: list[int]) -> None:
        self.now += timedelta(milliseconds=10)
        for node in self.some(numbers, *UNSTARTED, State.RUNNING)[:2]:
            if node.state not in (*UNSTARTED, State.RUNNING):
                continue  # it has fallen with the one before
            cancelled = self.run(self.ledger.cancel(node.id, "test", self.now))
            assert cancelled is not None
            if node.state is State.RUNNING:
                node.cancelling = True
            else:
                self.model.end(node, State.CANCELLED)
            self.settle(cancelled.followed)

    @rule()
    def expire(self) -> None:
        self.now += timedelta(seconds=2)
        record = partial(record_expired, writer="test", at=self.now, limit=1_000)
        expired = self.run(self.ledger.database.run(record))
        late = {one.id: one for one in self.some(range(1_000), *UNSTARTED) if self._is_late(one)}
        assert {one.id for one in expired} == late.keys()
        for node in late.values():
            self.model.end(node, State.FAILED)
        self.settle(*(one.followed for one in expired))

    @precondition(lambda self: self.model.nodes)
    @rule(numbers=picks)
    def replay(self, numbers: list[int]) -> None:
        """Replay jobs together: in one statement, and their children are taken back."""
        nodes = self.some(numbers, *REPLAYABLE, State.SUCCEEDED)
        became = self.run(self._replay([node.id for node in nodes]))
        succeeded = {node.id for node in nodes if node.state is State.SUCCEEDED}
        replayed = self.model.replay(nodes)
        for node, of_it in zip(nodes, became, strict=True):
            refused = Replayed.STATE_FORBIDS if node.id in succeeded else Replayed.PARENT_FAILED
            assert of_it is (Replayed.YES if node.id in replayed else refused)
        self.settle()

    async def _replay(self, ids: Sequence[str]) -> list[Replayed]:
        return await asyncio.gather(*(self.ledger.try_replay(one, self.now) for one in ids))

    @rule()
    def purge(self) -> None:
        before = self.now + timedelta(days=1)
        self.run(purge_jobs(self.ledger.database, before, before, ()))
        self.purged |= self.model.purge()
        while self.run(self.ledger.database.run(partial(record_flows_purged, before=before, limit=10))):
            pass
        kept = {node.flow for node in self.model.nodes.values()}
        self.model.flows = {flow_id: flow for flow_id, flow in self.model.flows.items() if flow_id in kept}

    def settle(self, *followed: Followed, maybe_told: frozenset[str] | set[str] = frozenset()) -> None:
        """Follow up to the end, and compare the released jobs with the model's."""
        told = [one.id for some in followed for one in some.released] + self.run(self._follow_up_all())
        assert max(Counter(told).values(), default=1) == 1
        self.model.settle()
        assert {one for one in told if one in self.model.nodes} - maybe_told == self.model.released - maybe_told
        self.told += [one for one in told if one not in self.model.nodes]
        self.model.released = set()

    async def _follow_up_all(self) -> list[str]:
        told: list[str] = []
        left = True
        while left:
            followed = await self.ledger.database.run(partial(record_followups, at=self.now, writer="test"))
            told += [one.id for one in followed.released]
            left = followed.left
        return told

    @invariant()
    def ledger_says_what_the_model_says(self) -> None:
        rows, edges, called, live, left = self.run(self._read())
        nodes = self.model.nodes
        assert {one.id: (one.state, one.attempt) for one in rows} == {
            one.id: (one.state, one.attempt) for one in nodes.values()
        }
        assert {one.id: one.blocked_by for one in rows if one.blocked_by} == {
            one.id: one.open for one in nodes.values() if one.open
        }
        fallen = {one.id for one in rows if one.error_type == "ParentFailed"}
        assert fallen == {one.id for one in nodes.values() if one.fell}
        assert edges == {(parent, one.id): state for one in nodes.values() for parent, state in one.edges.items()}
        owners = [*((one.id, one.called) for one in nodes.values())]
        owners += [(flow_id, flow.called) for flow_id, flow in self.model.flows.items()]
        assert called == {(owner, event): n for owner, of_it in owners for event, n in of_it.items()}
        assert live == {
            flow_id: self.model.live(flow_id) if flow.events else 0 for flow_id, flow in self.model.flows.items()
        }
        assert left == []

    async def _read(self) -> Any:
        async with self.ledger.read() as connection:
            ids = [*self.model.nodes, *self.purged]
            rows = (await connection.execute(select(jobs).where(jobs.c.id.in_(ids)))).all()
            found = (await connection.execute(select(job_edges).where(job_edges.c.child.in_(ids)))).all()
            edges = {(row.parent, row.child): row.state for row in found}
            of_owner = (callback_jobs.c.owner, callback_jobs.c.event)
            counted = await connection.execute(select(*of_owner, func.count()).group_by(*of_owner))
            called = {(owner, event): count for owner, event, count in counted}
            live = {row.id: row.live for row in await connection.execute(select(flows))}
            left = (await connection.execute(select(followups))).all()
            lost = await audit.find_unaccounted(connection, self.now + timedelta(hours=1), 10)
        return rows, edges, called, live, [*left, *lost]

    def teardown(self) -> None:
        self.run(self._forget())

    async def _forget(self) -> None:
        tables = (job_edges, flows, callbacks, callback_jobs, followups, attempts, job_listing, job_tags, jobs, workers)
        async with writing(self.ledger.database) as connection:
            for table in tables:
                await connection.execute(delete(table))


async def _open(stack: AsyncExitStack, database_url: str) -> list[Ledger]:
    first = await stack.enter_async_context(Ledger.open(database_url, retention=timedelta(days=30)))
    if first.database.dialect == "postgresql":
        # Deadlocks are found at once, and not after a second: there are many here.
        async with writing(first.database) as connection:
            name = (await connection.exec_driver_sql("SELECT current_database()")).scalar_one()
            await connection.exec_driver_sql(f"ALTER DATABASE {name} SET deadlock_timeout = '5ms'")
    opening = (Ledger.open(database_url, retention=timedelta(days=30)) for _ in range(PROCESSES))
    return [await stack.enter_async_context(one) for one in opening]


@pytest.mark.short
@pytest.mark.timeout(900)
def test_random_flows_become_what_the_model_says(database_url: str) -> None:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        ledgers = runner.run(_open(stack, database_url))
        machine = type("Machine", (FlowMachine,), {"runner": runner, "ledgers": ledgers})
        try:
            run_state_machine_as_test(
                machine,
                settings=hypothesis.settings(
                    max_examples=150 if WHOLE else 15,
                    stateful_step_count=40 if WHOLE else 25,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(hypothesis.HealthCheck),
                ),
            )
        finally:
            runner.run(stack.aclose())
