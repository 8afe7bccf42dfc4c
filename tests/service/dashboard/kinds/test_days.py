"""What happened on each day, of a kind and of all."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial

from service.dashboard.kinds.days import DAYS, read_days
from service.ledger.ledger import Ledger
from service.ledger.records.series import record_totals
from tests.service.ledger.makers import NOW

DAY = timedelta(days=1)
MIDNIGHT = NOW.replace(hour=0, minute=0)


async def test_days_are_told_from_midnight_to_midnight_back_to_the_first_with_a_job(ledger: Ledger) -> None:
    async def happened(totals: Mapping[str, int], before: timedelta) -> None:
        told = {("k", event): total for event, total in totals.items()}
        await ledger.database.run(partial(record_totals, totals=told, minute=MIDNIGHT - before))

    await happened({"enqueued": 3}, 3 * DAY)
    await happened({"enqueued": 5, "failed": 1}, timedelta(minutes=1))
    await happened({"enqueued": 12}, timedelta(0))
    async with ledger.read() as connection:
        days = await read_days(connection, "k", ["enqueued", "failed"], NOW)
        assert await read_days(connection, "other", ["enqueued"], NOW) == []
        later = await read_days(connection, "k", ["enqueued"], NOW + DAYS * DAY)
    assert [one.at for one in days] == [MIDNIGHT - number * DAY for number in range(4)]
    assert [tuple(one.counts.values()) for one in days] == [(7, 0), (2, 1), (0, 0), (3, 0)]
    assert later == [], "all of it is longer ago"
