"""Reads of keys, users and sessions: each by an index, however many there are."""

import re
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from service.access import reads
from service.ledger.ledger import Ledger
from service.ledger.reads.listing import Filter, list_jobs
from tests.support.plans import Call, fill, plans_of, sent_by, walks

CALLS: dict[str, Call] = {
    "find_keys": lambda connection, _: reads.find_keys(connection, ["a", "b"]),
    "find_key": lambda connection, _: reads.find_key(connection, "x"),
    "find_user": lambda connection, _: reads.find_user(connection, "x"),
    "has_ended": lambda connection, _: reads.has_ended(connection, "x"),
}


async def test_whatever_requests_wait_for_is_found_by_an_index(ledger: Ledger) -> None:
    bad = {}
    for name, call in CALLS.items():
        [sent] = await sent_by(ledger.database, call)
        for plan in await plans_of(ledger.database, sent, avoid_walks=True):
            if re.search(r"Seq Scan|SCAN (api_keys|users|ended_sessions)", plan):
                bad[name] = plan
    assert not bad


async def test_a_limited_list_is_read_along_the_index_of_the_whole_one(ledger: Ledger) -> None:
    await fill(ledger.database, terminal=2_000, waiting=200)

    async def limited(connection: AsyncConnection, _now: datetime) -> object:
        wanted = Filter(within_kinds=("update_*", "send_email"), within_queues=("default",))
        return await list_jobs(connection, wanted, 51)

    [sent] = await sent_by(ledger.database, limited)
    assert [plan for plan in await plans_of(ledger.database, sent, avoid_walks=True) if walks(plan)] == []
