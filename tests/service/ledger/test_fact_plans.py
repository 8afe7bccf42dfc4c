"""No statement about facts of attempts and workers costs more as the history grows."""

from service.ledger.database import Database
from tests.support.fact_plans import FACT_CALLS, fill_facts, walks_of_facts
from tests.support.plans import bad_ways_in, fill, plans_of, sent_by


async def test_no_statement_about_facts_walks_through_those_of_the_history(database_url: str) -> None:
    database = Database.open(database_url)
    await fill(database, terminal=5_000, waiting=500)
    await fill_facts(database)
    bad = []
    for name, call in FACT_CALLS.items():
        sent = await sent_by(database, call)
        assert sent, name
        for one in sent:
            plans = await plans_of(database, one, avoid_walks=True)
            bad += [f"{name}: {one.sql}\n{plan}" for plan in plans if bad_ways_in(plan) or walks_of_facts(plan)]
    await database.close()
    assert not bad, "\n\n".join(bad)
