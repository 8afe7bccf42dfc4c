"""What the ledger's types of columns keep."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from service.ledger.ledger import Ledger
from service.outbox.tables import outboxes
from tests.support.writing import writing

FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(("sent", "kept"), [(FIRST, FIRST + INSTANT), (LAST, LAST - INSTANT)])
async def test_no_moment_becomes_an_infinity_that_has_no_zone(ledger: Ledger, sent: datetime, kept: datetime) -> None:
    async with writing(ledger.database) as connection:
        await connection.execute(insert(outboxes).values(name="shop", waiting=1, oldest_at=sent, problem_since=kept))
        [read] = await connection.execute(select(outboxes.c.oldest_at, outboxes.c.problem_since))
    assert set(read) <= {sent, kept}
