"""The ledger's writes against a simple model, in any order: hypothesis looks for the order that breaks a promise."""

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import hypothesis
import hypothesis.strategies as st
import pytest
import uuid_utils
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select, update

from service.errors import UniqueKeyTaken
from service.ledger.leases import SILENT_AFTER
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Start, Started
from service.ledger.reads import jobs as queries
from service.ledger.reads.workers import orphans
from service.ledger.records.expired import record_expired
from service.ledger.records.workers import record_dead, record_registered
from service.ledger.states import COUNTS_AS_FAILURE, LIVE, REPLAYABLE, TERMINAL, WAITING, Outcome, State, state_after
from service.tables import attempts, jobs, workers
from service.worker.performing import outcome
from service.worker.performing.finish import finish_of_lost
from tests.faults.form import WHOLE
from tests.service.ledger.job_model import BEFORE, CURRENT, STRICT, Model, epochs, is_in_turn, lanes_of_job, strict_ones
from tests.service.ledger.makers import NOW, build_lanes, enqueue, new_job
from tests.support.writing import writing

T = TypeVar("T")
MAX_ATTEMPTS = 2
MAX_CRASHES = 3
ENDS = [outcome for outcome in Outcome if outcome not in (Outcome.CRASHED, Outcome.CANCELLED)]

picks = st.integers(min_value=0, max_value=1_000)


class LedgerMachine(RuleBasedStateMachine):
    """Jobs and workers of one example; `ledger` and `runner` serve all examples."""

    ledger: Ledger
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.models: list[Model] = []
        self.seqs = itertools.count()
        self.living: list[str] = []
        self.all_workers: list[str] = []
        self.epochs: list[str] = []

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(doing)

    def pick(self, number: int) -> Model:
        return self.models[number % len(self.models)]

    @initialize()
    def begin(self) -> None:
        for _ in range(2):
            self.add_worker()
            self.rebuild_lanes()

    @rule()
    def rebuild_lanes(self) -> None:
        self.epochs.append(f"epoch-{uuid_utils.uuid7()}")
        rebuilt = {one.id for one in self.run(build_lanes(self.ledger, self.epochs[-1])).running}
        assert rebuilt == {model.new.id for model in self.models if model.state is State.RUNNING and model.new.lanes}

    def add_worker(self) -> None:
        worker_id = f"w-{uuid_utils.uuid7()}"
        self.living.append(worker_id)
        self.all_workers.append(worker_id)
        self.run(self._register(worker_id))

    async def _register(self, worker_id: str) -> None:
        async with writing(self.ledger.database) as connection:
            await connection.run_sync(
                record_registered, self.now, id=worker_id, hostname="here", pid=1, queues="default"
            )

    @rule(
        unique_key=st.sampled_from([None, None, "a", "b"]), expires=st.booleans(), due=st.booleans(), lanes=lanes_of_job
    )
    def enqueue(self, unique_key: str | None, expires: bool, due: bool, lanes: tuple[str | None, str | None]) -> None:
        self.now += timedelta(seconds=1)
        expires_at = self.now + timedelta(seconds=5) if expires else None
        key = f"{unique_key}-{self.all_workers[0]}" if unique_key else None
        state, run_at = (State.QUEUED, self.now) if due else (State.SCHEDULED, self.now + timedelta(seconds=20))
        job = new_job(
            unique_key=key,
            expires_at=expires_at,
            state=state,
            run_at=run_at,
            max_attempts=MAX_ATTEMPTS,
            created_at=self.now,
            lane=lanes[0],
            kind_lane=lanes[1],
        )
        holders = [one for one in self.models if key and one.new.unique_key == key and one.state in LIVE]
        enqueued = self.run(enqueue(self.ledger, job))
        if holders:
            assert enqueued.ids == (holders[0].new.id,)
            assert not enqueued.created
        else:
            assert enqueued.created == {job.id}
            self.models.append(Model(job, run_at, next(self.seqs), state=state, expires_at=expires_at))

    @precondition(lambda self: self.models)
    @rule(number=picks)
    def enqueue_again_because_the_answer_was_lost(self, number: int) -> None:
        model = self.pick(number)
        assert self.run(enqueue(self.ledger, model.new)).ids == (model.new.id,)

    @precondition(lambda self: self.models)
    @rule(number=picks, claimers=st.lists(picks, min_size=1, max_size=3), late=st.booleans(), epoch=epochs)
    def start(self, number: int, claimers: list[int], late: bool, epoch: int | None) -> None:
        """One claimer, or several at the same moment: at most one may start the job, and none before it is due."""
        model = self.pick(number)
        self.now += timedelta(milliseconds=10)
        due_by = self.now + timedelta(seconds=60 * late)
        by = [self.all_workers[claimer % len(self.all_workers)] for claimer in claimers]
        starts = [self._start_of([model], worker, due_by, epoch) for worker in by]
        started = [one for some in self.run(self._start(starts)) for one in some.values()]
        lets_in = epoch == CURRENT and is_in_turn(model, self.models) if model.new.lanes else True
        if model.is_due(self.now, due_by) and lets_in and set(by) & set(self.living):
            assert len(started) == 1
            model.begin(started[0].worker)
            assert (started[0].attempt, started[0].args) == (model.attempt, model.new.args)
            assert started[0].lanes == model.new.lanes
            assert model.worker in self.living
        else:
            assert not started

    @precondition(lambda self: any(model.new.lanes for model in self.models))
    @rule(claimers=st.lists(picks, min_size=1, max_size=2), late=st.booleans())
    def start_all_in_lanes(self, claimers: list[int], late: bool) -> None:
        """However many jobs are claimed at once, and by whom, only the first job of a strict lane is started."""
        self.now += timedelta(milliseconds=10)
        due_by = self.now + timedelta(seconds=60 * late)
        in_lanes = [model for model in self.models if model.new.lanes]
        by = [self.living[claimer % len(self.living)] for claimer in claimers]
        assert self.run(self._start([self._start_of(in_lanes, by[0], due_by, BEFORE)])) == [{}]
        starts = [self._start_of(in_lanes, worker, due_by, CURRENT) for worker in by]
        started = {key: one for some in self.run(self._start(starts)) for key, one in some.items()}
        may = {one.new.id: one for one in in_lanes if one.is_due(self.now, due_by) and is_in_turn(one, self.models)}
        assert started.keys() == may.keys()
        for job_id, model in may.items():
            model.begin(started[job_id].worker)

    def _start_of(self, models: Sequence[Model], worker: str, due_by: datetime, epoch: int | None) -> Start:
        ids = tuple(model.new.id for model in models)
        start = Start(ids, worker, ("greet",), self.now, due_by)
        if epoch is None or not models[0].new.lanes:
            return start
        strict = tuple((model.new.id, STRICT) for model in models if model.is_strict)
        return replace(start, lanes_epoch=self.epochs[epoch], strict=strict)

    async def _start(self, starts: Sequence[Start]) -> list[dict[str, Started]]:
        return await asyncio.gather(*map(self.ledger.start, starts))

    @precondition(lambda self: any(model.outcomes for model in self.models))
    @rule(number=picks, outcome=st.sampled_from(ENDS), stale=st.booleans())
    def finish(self, number: int, outcome: Outcome, stale: bool) -> None:
        tried = [model for model in self.models if model.outcomes]
        model = tried[number % len(tried)]
        self.now += timedelta(milliseconds=10)
        finish = self._finish(model, outcome, model.attempt - stale)
        finished = self.run(self.ledger.finish(finish))
        if model.state is not State.RUNNING or stale:
            assert finished is None
            return
        model.close(outcome, finish.state)
        model.last_finish = finish
        model.run_at = finish.run_at or model.run_at
        assert finished is not None
        assert finished.state == model.state

    @precondition(lambda self: any(model.state is State.RUNNING and model.attempt > 1 for model in self.models))
    @rule(number=picks)
    def finish_in_one_group_with_a_zombie(self, number: int) -> None:
        tried = [model for model in self.models if model.state is State.RUNNING and model.attempt > 1]
        model = tried[number % len(tried)]
        self.now += timedelta(milliseconds=10)
        late = self._finish(model, Outcome.SUCCEEDED, model.attempt - 1)
        own = self._finish(model, Outcome.INTERRUPTED, model.attempt)
        refused, finished = self.run(self._finish_both(late, own))
        assert refused is None
        assert finished is not None
        model.close(Outcome.INTERRUPTED, State.QUEUED)
        model.last_finish = own

    async def _finish_both(self, one: Finish, other: Finish) -> tuple[Any, Any]:
        return await asyncio.gather(self.ledger.finish(one), self.ledger.finish(other))

    def _finish(self, model: Model, outcome: Outcome, attempt: int) -> Finish:
        failures = int(outcome in COUNTS_AS_FAILURE)
        state = state_after(outcome, failures=model.failures + failures, max_attempts=MAX_ATTEMPTS)
        waits = self.now + timedelta(seconds=30) if state is State.RETRYING else None
        worker = model.worker or "nobody"
        return Finish(model.new.id, "greet", attempt, worker, outcome, state, self.now, failures=failures, run_at=waits)

    @precondition(lambda self: any(model.last_finish for model in self.models))
    @rule(number=picks)
    def finish_again_because_the_answer_was_lost(self, number: int) -> None:
        ended = [model for model in self.models if model.last_finish]
        model = ended[number % len(ended)]
        assert model.last_finish is not None
        assert self.run(self.ledger.finish(model.last_finish)) is not None

    @precondition(lambda self: self.models)
    @rule(number=picks)
    def cancel(self, number: int) -> None:
        model = self.pick(number)
        said = self.run(self.ledger.cancel(model.new.id, "test", self.now))
        if model.state in WAITING:
            model.state = State.CANCELLED
            assert said is not None
            assert said.state is State.CANCELLED
        elif model.state is State.RUNNING:
            model.cancelling = True
            assert said is not None
            assert said.state is State.RUNNING
        else:
            assert said is None

    @precondition(lambda self: self.models)
    @rule(number=picks)
    def replay(self, number: int) -> None:
        model = self.pick(number)
        key = model.new.unique_key
        taken = key and any(other.new.unique_key == key and other.state in LIVE for other in self.models)
        if model.state in REPLAYABLE and taken:
            with pytest.raises(UniqueKeyTaken):
                self.run(self.ledger.replay(model.new.id, self.now))
            return
        assert self.run(self.ledger.replay(model.new.id, self.now)) is (model.state in REPLAYABLE)
        if model.state in REPLAYABLE:
            model.state, model.failures, model.crashes = State.QUEUED, 0, 0
            model.cancelling, model.expires_at, model.run_at = False, None, self.now
            model.seq = next(self.seqs)

    @rule()
    def expire(self) -> None:
        self.now += timedelta(seconds=3)
        self.run(self._expire())
        for model in self.models:
            if model.state in WAITING and model.expires_at and model.expires_at <= self.now:
                model.state = State.FAILED

    async def _expire(self) -> None:
        async with writing(self.ledger.database) as connection:
            await connection.run_sync(record_expired, "test", self.now, 1_000)

    @rule(number=picks)
    def kill_a_worker_and_rescue_its_jobs(self, number: int) -> None:
        self.add_worker()
        victim = self.living.pop(number % len(self.living))
        self.now += timedelta(seconds=1)
        self.run(self._rescue(victim))
        for model in self.models:
            if model.state is State.RUNNING and model.worker == victim:
                last = model.crashes + 1 >= MAX_CRASHES
                model.close(Outcome.CRASHED, State.FAILED if last else State.QUEUED)

    async def _rescue(self, victim: str) -> None:
        """Kill a worker for as long as it takes, and do as the rescue does."""
        long_ago = self.now - SILENT_AFTER - timedelta(seconds=10)
        async with writing(self.ledger.database) as connection:
            mine = update(workers).where(workers.c.id.in_(self.living))
            await connection.execute(mine.values(heartbeat_at=self.now, beating_since=long_ago))
            await connection.execute(update(workers).where(workers.c.id == victim).values(heartbeat_at=long_ago))
            assert await connection.run_sync(record_dead, self.living[0], self.now) == [victim]
        async with self.ledger.read() as connection:
            lost = await orphans(connection, 1_000)
        for orphan in lost:
            crash = outcome.of_crash("It died.", orphan["crashes"] + 1, MAX_CRASHES)
            assert await self.ledger.finish(finish_of_lost(orphan, crash, self.living[0], self.now)) is not None

    @invariant()
    def ledger_says_what_the_model_says(self) -> None:
        if not self.models:
            return
        rows, tried = self.run(self._read())
        for model in self.models:
            row, made = rows[model.new.id], tried[model.new.id]
            said = (row["state"], row["attempt"], row["failures"], row["crashes"])
            assert said == (model.state, model.attempt, model.failures, model.crashes)
            assert [one["number"] for one in made] == list(range(1, model.attempt + 1))
            assert [one["outcome"] for one in made] == model.outcomes
            assert [one["finished_at"] is None for one in made] == [outcome is None for outcome in model.outcomes]
            assert (row["finished_at"] is not None) == (model.state in TERMINAL)

    @invariant()
    def strict_order_is_never_inverted(self) -> None:
        in_order = [(model.new.id, model.state) for model in strict_ones(self.models)]
        assert self.run(self._strict_ones()) == in_order
        assert State.RUNNING not in [state for _, state in in_order[1:]]

    async def _strict_ones(self) -> list[tuple[str, State]]:
        named = (jobs.c.lane == STRICT) | (jobs.c.kind_lane == STRICT)
        ordered = select(jobs.c.id, jobs.c.state).where(named, jobs.c.state.in_(LIVE)).order_by(jobs.c.lane_seq)
        async with self.ledger.read() as connection:
            return [(row.id, State(row.state)) for row in await connection.execute(ordered)]

    async def _read(self) -> tuple[dict[str, Any], Any]:
        ids = [model.new.id for model in self.models]
        async with self.ledger.read() as connection:
            found = await connection.execute(select(jobs).where(jobs.c.id.in_(ids)))
            return {row["id"]: row for row in found.mappings()}, await queries.get_attempts(connection, ids)

    def teardown(self) -> None:
        self.run(self._forget())

    async def _forget(self) -> None:
        async with writing(self.ledger.database) as connection:
            for table in (attempts, jobs, workers):
                await connection.execute(delete(table))


@pytest.mark.short
@pytest.mark.timeout(900)
def test_any_order_of_writes_keeps_what_the_model_says(database_url: str) -> None:
    with asyncio.Runner() as runner:
        opening = Ledger.open(database_url, retention=timedelta(days=30))
        machine = type("Machine", (LedgerMachine,), {"runner": runner, "ledger": runner.run(opening.__aenter__())})
        try:
            run_state_machine_as_test(
                machine,
                settings=hypothesis.settings(
                    max_examples=100 if WHOLE else 12,
                    stateful_step_count=50 if WHOLE else 30,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(hypothesis.HealthCheck),
                ),
            )
        finally:
            runner.run(opening.__aexit__(None, None, None))
