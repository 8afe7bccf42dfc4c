"""What a job and housekeeping cost does not grow with the history: every statement finds its rows by an index."""

from collections.abc import Callable
from datetime import datetime

import pytest

from service.ledger.database import Database
from service.ledger.reads import listing
from tests.support.plans import CALLS, LISTS, MERGED, Call, bad_ways_in, fill, plans_of, sent_by, sorts_or_walks, walks


@pytest.mark.parametrize("terminal", [20_000])
async def test_no_statement_walks_through_the_history(database_url: str, terminal: int) -> None:
    database = Database.open(database_url)
    await fill(database, terminal=terminal, waiting=2_000)
    bad = {}
    for name, call in CALLS.items():
        sent = await sent_by(database, call)
        assert sent, name
        for one in sent:
            for plan in await plans_of(database, one, avoid_walks=True):
                if bad_ways_in(plan):
                    bad[name] = f"{one.sql}\n{plan}"
    await database.close()
    assert not bad, "\n\n".join(f"{name}: {plan}" for name, plan in bad.items())


def first_page(wanted: Callable[[datetime], listing.Filter]) -> Call:
    return lambda connection, now: listing.list_jobs(connection, wanted(now), 51)


async def test_the_first_page_of_every_list_is_read_off_an_index(database_url: str) -> None:
    database = Database.open(database_url)
    await fill(database, terminal=20_000, waiting=2_000)
    bad = []
    for lists, is_bad in ((LISTS, sorts_or_walks), (MERGED, walks)):
        for name, wanted in lists.items():
            for sent in await sent_by(database, first_page(wanted)):
                bad += [f"{name}: {sent.sql}\n{plan}" for plan in await plans_of(database, sent) if is_bad(plan)]
    await database.close()
    assert not bad, "\n\n".join(bad)
