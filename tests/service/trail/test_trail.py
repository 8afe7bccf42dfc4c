from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from service import agreed_time
from service.errors import LedgerUnavailable, StateForbids
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.trail import Operator, Trail
from service.trail.entries import Ending, Noted, TrailFilter, with_changed
from service.trail.reads import LastChange, last_change, list_actions
from tests.support.plans import plans_of, sent_by, sorts_or_walks


@dataclass(frozen=True)
class Someone:
    id: str = "user:ann"
    name: str = "Ann"


async def read(ledger: Ledger, limit: int = 50, **wanted: Any) -> list[Noted]:
    async with ledger.read() as connection:
        return list(await list_actions(connection, TrailFilter(**wanted), limit))


async def test_an_action_is_on_the_trail_before_it_is_done_and_says_how_it_ended(ledger: Ledger) -> None:
    operator = Operator(Trail(ledger.database), Someone(), "192.0.2.1")
    async with operator.action("pause", "queue", "mail", before={"name": "mail", "paused": False}) as entry:
        [begun] = await read(ledger)
        assert (begun.ending, begun.before, begun.after) == (Ending.UNKNOWN, {"name": "mail", "paused": False}, None)
        entry.after = {"name": "mail", "paused": True}
    with pytest.raises(StateForbids):
        async with operator.action("cancel", "job", "7"):
            raise StateForbids("It has ended.")
    with pytest.raises(LedgerUnavailable):
        async with operator.action("cancel", "job", "8"):
            raise LedgerUnavailable("The database went away.")
    async with operator.action("start", "operation") as entry:
        entry.target = "made within"
    started, cut_off, refused, paused = await read(ledger)
    assert (paused.ending, paused.before, paused.after) == (Ending.DONE, {"paused": False}, {"paused": True})
    assert (paused.principal, paused.principal_name, paused.address) == ("user:ann", "Ann", "192.0.2.1")
    assert (refused.ending, refused.refused) == (Ending.REFUSED, "The job's state forbids this: It has ended.")
    assert (cut_off.ending, cut_off.target, cut_off.refused) == (Ending.UNKNOWN, "8", None)
    assert (started.ending, started.target) == (Ending.DONE, "made within")


async def test_the_last_change_is_one_that_changed_something_whatever_else_went_on_meanwhile(ledger: Ledger) -> None:
    operator = Operator(Trail(ledger.database), Someone())

    async def last() -> LastChange | None:
        async with ledger.read() as connection:
            return await last_change(connection, "replay", "flow", "f")

    async with operator.action("replay", "flow", "f", before={"name": '"changed":', "running": 2}) as entry:
        entry.after = with_changed({"name": '"changed": 1', "running": 1, "succeeded": 1}, 0)
    with pytest.raises(LedgerUnavailable):
        async with operator.action("replay", "flow", "f", before={"failed": 1}):
            raise LedgerUnavailable("The database went away.")
    assert await last() is None
    async with operator.action("replay", "flow", "f", before={"failed": 1}) as entry:
        entry.after = with_changed({"queued": 1}, 1)
    found = await last()
    assert found is not None
    assert found.by == "Ann"
    async with operator.action("replay", "flow", "f") as entry:
        entry.after = with_changed({}, 0)
    assert await last() == found


async def test_what_cannot_be_noted_is_not_done() -> None:
    trail = Trail(Database.open("sqlite+aiosqlite:////nowhere/at/all.db"))
    with pytest.raises(LedgerUnavailable):
        async with trail.action(Someone(), "cancel", "job", "7"):
            pytest.fail("it was done")


async def test_what_was_done_is_answered_as_such_where_only_its_end_cannot_be_noted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise LedgerUnavailable("The database went away.")

    monkeypatch.setattr("service.trail.trail.record_ended", refuse)
    async with Trail(ledger.database).action(Someone(), "cancel", "job", "7"):
        pass
    [noted] = await read(ledger)
    assert noted.ending is Ending.UNKNOWN


async def test_the_trail_is_read_page_by_page_by_who_what_to_what_and_when(ledger: Ledger) -> None:
    trail = Trail(ledger.database)
    for number in range(3):
        async with trail.action(Someone(), "cancel", "job", str(number)):
            pass
    async with trail.action(Someone("key:1", "deploy"), "set", "lane", "1"):
        pass
    newest, second, *_ = everything = await read(ledger)
    assert [one.target for one in everything] == ["1", "2", "1", "0"]
    assert await read(ledger, principal="key:1") == await read(ledger, action="set") == [newest]
    assert await read(ledger, target="1") == [newest, everything[2]]
    assert await read(ledger, target="1", target_type="job") == [everything[2]]
    assert await read(ledger, after=second.at) == [newest, second]
    assert await read(ledger, before=second.at) == everything[2:]
    assert await read(ledger, 1, beyond=(newest.at, newest.id)) == [second]


async def test_the_trail_is_read_off_its_indexes(ledger: Ledger) -> None:
    now = agreed_time.now()
    everything = TrailFilter(after=now - timedelta(days=1), before=now, beyond=(now, "x"))
    names: list[dict[str, Any]] = [{}, {"principal": "a"}, {"action": "a"}, {"target": "a"}]
    for named in names:
        wanted = replace(everything, **named)

        async def call(connection: AsyncConnection, _now: datetime, wanted: TrailFilter = wanted) -> object:
            return await list_actions(connection, wanted, 50)

        for sent in await sent_by(ledger.database, call):
            for plan in await plans_of(ledger.database, sent, avoid_walks=True):
                assert not sorts_or_walks(plan), f"{named}: {plan}"
