from service.ledger.ledger import Ledger
from service.ledger.reads.counts import tally_totals
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import finish, running


async def test_tallies_count_what_was_committed(ledger: Ledger) -> None:
    started = await running(ledger)
    await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED))
    async with ledger.read() as connection:
        totals = set(await tally_totals(connection))
    assert totals == {("greet", "enqueued", 1), ("greet", "started", 1), ("greet", "succeeded", 1)}
