from service.ledger.ledger import Ledger
from service.ledger.records.edges import mark_parents
from tests.service.ledger.linking import enqueue_all, rows_of
from tests.service.ledger.makers import new_job


async def test_more_parents_are_marked_than_a_statement_may_have_parameters(ledger: Ledger) -> None:
    """Four requests that name 10,000 each may be one group."""
    one = new_job()
    await enqueue_all(ledger, one)
    many = [one.id, *(f"job-{number}" for number in range(40_000))]
    await ledger.database.run(lambda connection: mark_parents(connection, many))
    assert (await rows_of(ledger, [one]))[one.id].traits == 2
