"""What housekeeping costs does not grow with the history: every statement finds its rows by an index."""

import pytest

from service.ledger.database import Database
from tests.plans import CALLS, bad_ways_in, fill, plans_of, sent_by


@pytest.mark.parametrize("terminal", [20_000])
async def test_no_statement_of_housekeeping_walks_through_the_history(database_url: str, terminal: int) -> None:
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
