"""Failures are counted by their groups, each exactly once, by processes that never wait for one another."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from service.ledger.failure import CodePlace, Failure
from service.ledger.ledger import Ledger
from service.ledger.models import Finish
from service.ledger.reads.failures import SEVERAL, failure_series, find_group, groups
from service.ledger.records.failed import record_failures
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import NOW, attempt_rows, finish, job_row, running, start
from tests.support.writing import writing

GROUP = "0123456789abcdef"
FAILURE = Failure("ReceiverFailed", "HTTP 500", "Traceback", CodePlace("jobs/x.py:57", "jobs/x.py:judge"))
AN_HOUR_AGO = NOW - timedelta(hours=1)


def failed(state: State = State.RETRYING, **fields: Any) -> Finish:
    made = Finish("j", "greet", 1, "w1", Outcome.FAILED, state, NOW, failure=FAILURE, fingerprint=GROUP)
    return made._replace(**fields)


async def test_a_failure_is_counted_with_its_group_and_a_repeated_finish_once(ledger: Ledger) -> None:
    started = await running(ledger)
    ended = finish(started, Outcome.FAILED, State.RETRYING, failures=1, run_at=NOW, failure=FAILURE)
    ended = ended._replace(fingerprint=GROUP, destination="host:a.example")
    assert await ledger.finish(ended) == await ledger.finish(ended)
    again = await start(ledger, started.id)
    assert again is not None
    assert again.due_since == started.run_at == NOW
    last = finish(again, Outcome.FAILED, State.FAILED, failures=1, failure=FAILURE)._replace(
        fingerprint=GROUP, destination="host:a.example", at=NOW + timedelta(seconds=5)
    )
    await ledger.finish(last)
    async with ledger.read() as connection:
        [group] = await groups(connection, since=AN_HOUR_AGO, text="http 500")
        assert await groups(connection, since=AN_HOUR_AGO, kind="other") == []
        assert await find_group(connection, GROUP, since=NOW + timedelta(hours=1)) == replace(
            group, failures=0, jobs_failed=0, destination=None
        )
        assert await find_group(connection, "unknown", since=NOW) is None
        spread = await failure_series(
            connection, [GROUP], since=AN_HOUR_AGO, until=NOW + timedelta(minutes=1), step=timedelta(minutes=1)
        )
    assert (group.kind, group.error_type, group.message, group.place) == (
        *("greet", "ReceiverFailed"),
        *("HTTP 500", "jobs/x.py:57"),
    )
    assert (group.failures, group.jobs_failed, group.first_at) == (2, 1, NOW)
    assert (group.latest_at, group.destination) == (NOW + timedelta(seconds=5), "host:a.example")
    assert (list(spread[GROUP][-2:]), sum(spread[GROUP])) == ([0, 2], 2)
    assert (await job_row(ledger, started.id))["fingerprint"] == GROUP
    assert [row["fingerprint"] for row in await attempt_rows(ledger, started.id)] == [GROUP, GROUP]


async def test_what_was_cancelled_meanwhile_or_taken_away_is_no_failure(ledger: Ledger) -> None:
    started = await running(ledger)
    assert await ledger.cancel(started.id, "test", NOW)
    ended = finish(started, Outcome.FAILED, State.RETRYING, failures=1, failure=FAILURE)._replace(fingerprint=GROUP)
    assert (await ledger.finish(ended._replace(attempt=7))) is None
    await ledger.finish(ended)
    async with ledger.read() as connection:
        assert await groups(connection, since=AN_HOUR_AGO) == []


async def test_a_process_that_stands_still_in_the_middle_holds_up_no_other(ledger: Ledger) -> None:
    """On Postgres: its transaction is open, and has counted the same new groups."""
    others = [failed(worker="frozen", fingerprint=name, destination="host:b") for name in (GROUP, "a" * 16)]
    counted = partial(record_failures, failed=[(one, State.RETRYING) for one in others])
    mine = [failed(fingerprint=name, destination="host:a") for name in ("a" * 16, GROUP)]
    if ledger.database.dialect == "postgresql":
        async with writing(ledger.database) as connection:
            await connection.run_sync(counted)
            await ledger.database.run(_counting(mine))  # fails after 10 s where it has to wait
    else:
        await ledger.database.run(counted)
        await ledger.database.run(_counting(mine))
    async with ledger.read() as connection:
        found = await groups(connection, since=AN_HOUR_AGO)
    assert {one.fingerprint: (one.failures, one.destination) for one in found} == dict.fromkeys(
        (GROUP, "a" * 16), (2, SEVERAL)
    )


def _counting(finishes: list[Finish]) -> "partial[None]":
    return partial(record_failures, failed=[(one, State.RETRYING) for one in finishes])
