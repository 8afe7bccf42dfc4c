"""What holds jobs back by intention is named as far as that is bounded, and counted."""

from datetime import datetime, timedelta
from typing import Any, cast

from service.ledger.ledger import Ledger
from service.ledger.reads.held_back import MOST_NAMED, HeldBack, held_back
from service.ledger.records.lanes import Breaker, Said, record_breakers, record_rule
from tests.service.ledger.makers import NOW
from tests.support.writing import writing


async def say(ledger: Ledger, key: str, **said: Any) -> None:
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_rule, key, cast(Said, said), NOW)


async def look(ledger: Ledger, at: datetime = NOW) -> HeldBack:
    async with ledger.read() as connection:
        return await held_back(connection, at)


async def test_nothing_is_held_back_at_first(ledger: Ledger) -> None:
    await say(ledger, "tenant:1", concurrency=3)
    assert await look(ledger) == HeldBack([], (), (), 0, 0, {"host": 0, "smtp": 0, "app": 0, "other": 0})


async def test_pauses_are_told_while_they_last_and_breakers_unless_they_are_closed(ledger: Ledger) -> None:
    await say(ledger, "kind:greet", paused=True)
    await say(ledger, "queue:slow", paused=True, paused_until=NOW + timedelta(seconds=1))
    await say(ledger, "queue:over", paused=True, paused_until=NOW, concurrency=1)
    await say(ledger, "tenant:*", paused=True)
    await say(ledger, "host:forced", breaker_forced="closed")
    async with writing(ledger.database) as connection:
        breakers = [Breaker("host:a", "open", NOW, 1, "TimeoutError"), Breaker("host:b", "closed")]
        await connection.run_sync(record_breakers, breakers, NOW)
    found = await look(ledger)
    assert [rule.key for rule in found.kinds_and_queues] == ["kind:greet", "queue:slow"]
    assert [rule.key for rule in found.lanes] == ["tenant:*"]
    assert [(rule.key, rule.breaker_reason) for rule in found.breakers] == [
        ("host:a", "TimeoutError"),
        ("host:forced", None),
    ]
    assert (found.lanes_count, found.breakers_count) == (1, 2)
    assert found.held_by_class == {"host": 1, "smtp": 0, "app": 0, "other": 0}, "nothing holds what is forced closed"


async def test_an_open_breaker_that_no_job_has_tried_for_an_hour_is_told_no_more(ledger: Ledger) -> None:
    async with writing(ledger.database) as connection:
        await connection.run_sync(record_breakers, [Breaker("host:a", "open", NOW, 1, "TimeoutError")], NOW)
    await say(ledger, "host:forced", breaker_forced="open")
    for after, told in ((timedelta(minutes=59), ["host:a", "host:forced"]), (timedelta(hours=1), ["host:forced"])):
        found = await look(ledger, NOW + after)
        assert ([rule.key for rule in found.breakers], found.breakers_count) == (told, len(told))


async def test_of_many_lanes_the_first_are_named_and_all_are_counted(ledger: Ledger) -> None:
    for number in range(MOST_NAMED + 5):
        await say(ledger, f"tenant:{number:03}", paused=True)
    found = await look(ledger)
    assert [rule.key for rule in found.lanes] == [f"tenant:{number:03}" for number in range(MOST_NAMED)]
    assert found.lanes_count == MOST_NAMED + 5
