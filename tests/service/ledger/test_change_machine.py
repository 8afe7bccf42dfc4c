"""The machine of `test_state_machine.py`, with users who change jobs that have not started."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from jobs import Lane
from service.errors import UniqueKeyRunning
from service.ledger.changes import Changed, ChangeResult
from service.ledger.ledger import Ledger
from service.ledger.records.changed import Change, Values
from service.ledger.states import LIVE, PROMOTABLE, WAITING, State, state_when_moved
from tests.faults.form import WHOLE
from tests.service.ledger.job_model import Model, lanes_of_job
from tests.service.ledger.makers import enqueue, new_job
from tests.service.ledger.test_state_machine import MAX_ATTEMPTS, LedgerMachine, picks

_IN_A_WHILE = timedelta(seconds=20)


class ChangingMachine(LedgerMachine):
    @precondition(lambda self: self.models)
    @rule(number=picks, due=st.sampled_from([None, True, False]), lanes=st.none() | lanes_of_job, args=st.booleans())
    def change(self, number: int, due: bool | None, lanes: tuple[str | None, str | None] | None, args: bool) -> None:
        model = self.pick(number)
        self.now += timedelta(milliseconds=10)
        values: Values = {"priority": number % 10}
        if due is not None:
            values["run_at"] = self.now if due else self.now + _IN_A_WHILE
        if lanes is not None:
            values["lane"], values["kind_lane"] = (Lane(key) if key else None for key in lanes)
        if args:
            values["args"] = f'{{"changed":{number}}}'
        [changed] = self.run(self._change(Change(model.new.id, self.now, values)))
        self._expect(changed, model, waits=model.state in WAITING)
        if changed.result is ChangeResult.YES:
            self._take_over(model, values, lanes)

    def _take_over(self, model: Model, values: Values, lanes: tuple[str | None, str | None] | None) -> None:
        before = model.new.lanes
        if lanes is not None:
            model.new = replace(model.new, lane=lanes[0], kind_lane=lanes[1])
        model.new = replace(model.new, args=values.get("args", model.new.args))
        if model.new.lanes != before:
            model.seq = next(self.seqs)
        if "run_at" in values:
            model.run_at = values["run_at"]
            model.state = state_when_moved(model.state, is_due=model.run_at <= self.now)

    def _expect(self, changed: Changed, model: Model, *, waits: bool) -> None:
        assert (changed.result is ChangeResult.YES) == waits
        if not waits:
            assert changed.state == model.state

    async def _change(self, change: Change) -> list[Changed]:
        return list(await self.ledger.change([change]))

    @precondition(lambda self: self.models)
    @rule(number=picks)
    def run_now(self, number: int) -> None:
        model = self.pick(number)
        self.now += timedelta(milliseconds=10)
        changed = self.run(self.ledger.advance(model.new.id, self.now))
        self._expect(changed, model, waits=model.state in PROMOTABLE)
        assert (changed.result is ChangeResult.DUE_ALREADY) == (model.state is State.QUEUED)
        if changed.result is ChangeResult.YES:
            model.state, model.run_at = State.QUEUED, self.now

    @rule(key=st.sampled_from(["a", "b"]), on_conflict=st.sampled_from(["replace", "debounce"]), number=picks)
    def enqueue_in_the_place_of_another(
        self, key: str, on_conflict: Literal["replace", "debounce"], number: int
    ) -> None:
        self.now += timedelta(seconds=1)
        key = f"{key}-{self.all_workers[0]}"
        args = f'{{"replaced":{number}}}'
        fields: dict[str, Any] = {"unique_key": key, "on_conflict": on_conflict, "args": args}
        job = new_job(**fields, run_at=self.now, created_at=self.now, max_attempts=MAX_ATTEMPTS)
        holder = next((one for one in self.models if one.new.unique_key == key and one.state in LIVE), None)
        if holder is None:
            assert self.run(enqueue(self.ledger, job)).created == {job.id}
            self.models.append(Model(replace(job, on_conflict="return"), self.now, next(self.seqs)))
        elif holder.state is State.RUNNING:
            with pytest.raises(UniqueKeyRunning):
                self.run(enqueue(self.ledger, job))
        else:
            enqueued = self.run(enqueue(self.ledger, job))
            assert (enqueued.ids, enqueued.created) == ((holder.new.id,), frozenset())
            values: Values = {"args": args}
            if on_conflict == "debounce":
                values["run_at"], holder.expires_at = self.now, None
            self._take_over(holder, values, (None, None))


@pytest.mark.short
@pytest.mark.timeout(900)
def test_any_order_of_changes_and_other_writes_keeps_what_the_model_says(database_url: str) -> None:
    with asyncio.Runner() as runner:
        opening = Ledger.open(database_url, retention=timedelta(days=30))
        ledger = runner.run(opening.__aenter__())
        machine = type("Machine", (ChangingMachine,), {"runner": runner, "ledger": ledger})
        settings = hypothesis.settings(
            max_examples=100 if WHOLE else 12,
            stateful_step_count=60 if WHOLE else 35,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        try:
            run_state_machine_as_test(machine, settings=settings)
        finally:
            runner.run(opening.__aexit__(None, None, None))
