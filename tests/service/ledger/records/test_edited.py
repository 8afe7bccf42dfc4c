"""A replay with other args is one transaction: it is done whole, or not at all."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

from service.ledger.ledger import Ledger
from service.ledger.models import Failure
from service.ledger.records.changed import Change
from service.ledger.records.edited import record_replayed_edited
from service.ledger.records.replayed import Replay, Replayed
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import NOW, finish, job_row, running

LATER = NOW + timedelta(minutes=1)
EDIT = Change("", LATER, {"args": '{"name":"Ann"}', "sealed_args": None})


async def edited(ledger: Ledger, job_id: str) -> Replayed:
    record = partial(record_replayed_edited, replay=Replay(job_id, LATER), change=replace(EDIT, id=job_id))
    return await ledger.database.run(record)


async def test_a_failed_job_is_put_back_with_its_new_args(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await edited(ledger, started.id) is Replayed.STATE_FORBIDS, "it runs"
    failure = Failure("ValueError", "no", None)
    await ledger.finish(finish(started, Outcome.FAILED, State.FAILED, failures=1, failure=failure))
    assert (await job_row(ledger, started.id))["args"] == "{}"
    assert await edited(ledger, started.id) is Replayed.YES
    row = await job_row(ledger, started.id)
    assert (row["state"], row["args"], row["run_at"]) == ("queued", '{"name":"Ann"}', LATER)
    assert await edited(ledger, started.id) is Replayed.STATE_FORBIDS, "once"
