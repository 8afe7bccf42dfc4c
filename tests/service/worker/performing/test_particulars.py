"""What attempts are given: read from a real ledger, once for all that begin together."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from jobs.kit.results import Parent
from jobs.kit.steps import NOTHING, Given
from service.errors import LedgerUnavailable
from service.flow_tables import job_edges
from service.ledger.ledger import Ledger
from service.ledger.models import Started
from service.ledger.reads import particulars as queries
from service.ledger.records.kept import Checkpoint, Step
from service.ledger.states import Outcome, State
from service.ledger.traits import Trait
from service.own_retry import OwnRetry
from service.tables import job_listing, jobs
from service.worker.performing.particulars import Particulars
from tests.service.ledger.makers import NOW, finish, running
from tests.support.writing import writing

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")


async def child(ledger: Ledger, *parents: str, **fields: Any) -> Started:
    """Make a running job that came after others, as the engine records it."""
    started = await running(ledger, **fields)
    async with writing(ledger.database) as connection:
        for position, parent in enumerate(parents):
            edge = {"parent": parent, "child": started.id, "run_when": "succeeded", "state": "met"}
            await connection.execute(insert(job_edges).values(edge | {"position": position}))
    return started._replace(traits=int(Trait.PARENTS))


async def parent(ledger: Ledger, result: str | None, *, flow: str | None = None, name: str | None = None) -> str:
    started = await running(ledger)
    await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED, result=result))
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == started.id).values(flow=flow))
        named = update(job_listing).where(job_listing.c.job_id == started.id)
        await connection.execute(named.values(flow=flow, flow_name=name))
    return started.id


async def given(ledger: Ledger, started: Started) -> Given:
    return (await Particulars(ledger).of(started))[1]


async def test_parents_are_given_in_the_order_in_which_the_job_named_them(ledger: Ledger) -> None:
    first, second, third = [await parent(ledger, result) for result in ('{"n": 1}', None, "3")]
    started = await child(ledger, third, first, second)
    parents = (await given(ledger, started)).parents
    assert parents == (Parent(third, None, "3"), Parent(first, None, '{"n": 1}'), Parent(second))


async def test_names_are_those_of_the_jobs_own_flow_alone(ledger: Ledger) -> None:
    here = await parent(ledger, "1", flow="f", name="load")
    elsewhere = await parent(ledger, "2", flow="g", name="other")
    started = await child(ledger, here, elsewhere)
    async with writing(ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == started.id).values(flow="f"))
    assert (await given(ledger, started)).parents == (Parent(here, "load", "1"), Parent(elsewhere, None, "2"))


async def test_a_parent_past_its_retention_is_left_out(ledger: Ledger) -> None:
    gone, stays = await parent(ledger, "1"), await parent(ledger, "2")
    started = await child(ledger, gone, stays)
    async with writing(ledger.database) as connection:
        await connection.execute(jobs.delete().where(jobs.c.id == gone))
    assert (await given(ledger, started)).parents == (Parent(stays, None, "2"),)


async def test_steps_and_the_checkpoint_are_given(ledger: Ledger) -> None:
    started = await running(ledger)
    await ledger.keep_step(Step(started.id, 1, "a", "[1]", NOW, NOW))
    await ledger.keep_step(Step(started.id, 1, "b", '"x"', NOW, NOW))
    await ledger.keep_checkpoint(Checkpoint(started.id, 1, "7", NOW))
    marked = started._replace(traits=int(Trait.STEPS))
    assert await given(ledger, marked) == Given({"a": "[1]", "b": '"x"'}, "7", ())


async def test_a_policy_of_the_jobs_own_goes_with_the_attempt(ledger: Ledger) -> None:
    own, until = OwnRetry(delays=(1.0, 2.0), max_duration=60), NOW + timedelta(seconds=60)
    started = await running(ledger, retry=own.to_json(), retry_until=until)
    async with writing(ledger.database) as connection:
        values = {"retry": own.to_json(), "retry_until": until}
        await connection.execute(update(jobs).where(jobs.c.id == started.id).values(values))
    marked = started._replace(traits=int(Trait.RETRY))
    prepared, nothing = await Particulars(ledger).of(marked)
    assert (prepared.retry, prepared.retry_until, nothing) == (own, until, NOTHING)


async def test_attempts_that_begin_together_are_read_in_one_query(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = queries.steps_of

    async def steps_of(connection: Any, ids: Sequence[str]) -> Mapping[str, list[tuple[str, str]]]:
        asked.append(len(ids))
        return await read(connection, ids)

    monkeypatch.setattr(queries, "steps_of", steps_of)
    attempts = [await running(ledger) for _ in range(20)]
    for started in attempts:
        await ledger.keep_step(Step(started.id, 1, "a", f'"{started.id}"', NOW, NOW))
    particulars = Particulars(ledger)
    both = await asyncio.gather(*(particulars.of(one._replace(traits=int(Trait.STEPS))) for one in attempts))
    assert [one[1].steps for one in both] == [{"a": f'"{started.id}"'} for started in attempts]
    assert asked == [20]


async def test_what_cannot_be_read_is_told_to_each_that_asks(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> Any:
        raise LedgerUnavailable("away")

    both = [(await running(ledger))._replace(traits=int(Trait.STEPS)) for _ in range(2)]
    particulars = Particulars(ledger)
    monkeypatch.setattr(ledger, "read", read)
    told = await asyncio.gather(*map(particulars.of, both), return_exceptions=True)
    assert [type(one) for one in told] == [LedgerUnavailable] * 2


async def test_who_gives_up_asking_keeps_nobody_else_from_the_answer(ledger: Ledger) -> None:
    first, gone, left = [(await running(ledger))._replace(traits=int(Trait.STEPS)) for _ in range(3)]
    particulars = Particulars(ledger)
    reading = asyncio.create_task(particulars.of(first))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking = [asyncio.create_task(particulars.of(one)) for one in (gone, left)]
    await asyncio.sleep(0)
    asking[0].cancel()
    async with asyncio.timeout(10):
        assert await reading == (first, NOTHING)
        assert await asking[1] == (left, NOTHING)


async def test_parents_that_have_come_with_the_start_are_not_read_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = await child(ledger, await parent(ledger, "1"))
    came = started._replace(parents=(Parent("p", None, "2"),))
    await ledger.keep_step(Step(started.id, 1, "a", "[1]", NOW, NOW))
    both = await Particulars(ledger).of(came._replace(traits=int(Trait.PARENTS | Trait.STEPS)))
    assert both[1] == Given({"a": "[1]"}, None, came.parents or ())
    monkeypatch.delattr(Ledger, "read")
    assert (await Particulars(ledger).of(came))[1] == Given(parents=came.parents or ())
