from datetime import datetime, timedelta

from sqlalchemy import update

from service.ledger.ledger import Ledger
from service.ledger.models import Started
from service.ledger.records.own_retries import renew_retries
from service.ledger.states import Outcome, State
from service.ledger.traits import Trait
from service.own_retry import OwnRetry
from service.tables import jobs
from tests.service.ledger.makers import NOW, enqueue, finish, job_row, new_job, running
from tests.support.writing import writing

LATER = NOW + timedelta(days=1)


async def with_own_retry(ledger: Ledger, retry: OwnRetry, until: datetime | None) -> Started:
    started = await running(ledger, retry=retry.to_json(), retry_until=until)
    own = {"traits": int(Trait.RETRY), "retry": retry.to_json(), "retry_until": until}
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == started.id).values(own))
    return started


async def test_a_replay_lets_the_duration_count_anew(ledger: Ledger) -> None:
    started = await with_own_retry(ledger, OwnRetry(max_duration=60), NOW + timedelta(seconds=60))
    await ledger.finish(finish(started, Outcome.FAILED, State.FAILED, failures=1))
    assert await ledger.replay(started.id, LATER)
    assert (await job_row(ledger, started.id))["retry_until"] == LATER + timedelta(seconds=60)


async def test_a_policy_without_a_duration_has_no_end_and_other_jobs_stay_as_they_are(ledger: Ledger) -> None:
    endless = await with_own_retry(ledger, OwnRetry(base=1), None)
    other = await with_own_retry(ledger, OwnRetry(max_duration=60), NOW)
    async with writing(ledger.database) as connection:
        await connection.run_sync(renew_retries, {endless.id: LATER})
    assert (await job_row(ledger, endless.id))["retry_until"] is None
    assert (await job_row(ledger, other.id))["retry_until"] == NOW


async def test_a_job_that_was_blocked_has_its_time_from_its_release_on(ledger: Ledger) -> None:
    parent = await running(ledger)
    own, until = OwnRetry(max_duration=60), NOW - timedelta(days=1)
    child = new_job(after=(parent.id,), retry=own.to_json(), retry_until=until, run_at=NOW - timedelta(days=2))
    await enqueue(ledger, child)
    assert (await job_row(ledger, child.id))["state"] == State.BLOCKED
    await ledger.finish(finish(parent, Outcome.SUCCEEDED, State.SUCCEEDED))
    row = await job_row(ledger, child.id)
    assert (row["state"], row["run_at"], row["retry_until"]) == ("queued", NOW, NOW + timedelta(seconds=60))
