import asyncio
from datetime import timedelta

from service.ledger.ledger import Ledger
from service.ledger.models import Failure
from service.ledger.records.cancelled import Cancelled
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import (
    NOW,
    attempt_rows,
    finish,
    job_row,
    running,
    start,
)


async def test_success_is_recorded_with_its_result(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED, result='{"x":1}'))
    row = await job_row(ledger, started.id)
    assert (row["state"], row["result"], row["finished_at"]) == ("succeeded", '{"x":1}', NOW)
    assert [a["outcome"] for a in await attempt_rows(ledger, started.id)] == ["succeeded"]


async def test_failure_is_recorded_on_job_and_attempt(ledger: Ledger) -> None:
    started = await running(ledger)
    failure = Failure("ValueError", "bad", "Traceback ...")
    later = NOW + timedelta(seconds=9)
    await ledger.finish(finish(started, Outcome.FAILED, State.RETRYING, failures=1, run_at=later, failure=failure))
    row = await job_row(ledger, started.id)
    assert (row["state"], row["failures"], row["run_at"], row["finished_at"]) == ("retrying", 1, later, None)
    assert (row["error_type"], row["error_message"]) == ("ValueError", "bad")
    assert (await attempt_rows(ledger, started.id))[0]["traceback"] == "Traceback ..."


async def test_finish_of_a_rescued_attempt_is_refused(ledger: Ledger) -> None:
    first = await running(ledger)
    await ledger.finish(finish(first, Outcome.CRASHED, State.QUEUED, crashes=1))
    second = await start(ledger, first.id)
    assert second is not None
    assert (
        await ledger.finish(finish(first, Outcome.SUCCEEDED, State.SUCCEEDED)._replace(at=NOW + timedelta(1))) is None
    )
    assert (await job_row(ledger, first.id))["state"] == "running"
    assert [a["outcome"] for a in await attempt_rows(ledger, first.id)] == ["crashed", None]


async def test_finish_sent_again_is_a_success_and_changes_nothing(ledger: Ledger) -> None:
    started = await running(ledger)
    failed = finish(started, Outcome.FAILED, State.RETRYING, failures=1)
    assert await ledger.finish(failed) == await ledger.finish(failed)
    assert (await job_row(ledger, started.id))["failures"] == 1


async def test_running_job_whose_cancellation_was_asked_for_ends_cancelled(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await ledger.cancel(started.id, "test", NOW) == Cancelled(State.RUNNING)
    finished = await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED, result="1"))
    assert finished is not None
    assert finished.state is State.CANCELLED
    row = await job_row(ledger, started.id)
    assert (row["state"], row["result"]) == ("cancelled", None)
    assert [a["outcome"] for a in await attempt_rows(ledger, started.id)] == ["cancelled"]


async def test_late_finish_is_refused_in_the_group_that_finishes_the_attempt_after_it(ledger: Ledger) -> None:
    first = await running(ledger)
    await ledger.finish(finish(first, Outcome.INTERRUPTED, State.QUEUED))
    second = await start(ledger, first.id)
    assert second is not None
    late = finish(first, Outcome.SUCCEEDED, State.SUCCEEDED)._replace(at=NOW + timedelta(seconds=1))
    own = finish(second, Outcome.FAILED, State.RETRYING)
    refused, finished = await asyncio.gather(ledger.finish(late), ledger.finish(own))
    assert refused is None
    assert finished is not None
    assert [row["outcome"] for row in await attempt_rows(ledger, first.id)] == ["interrupted", "failed"]
