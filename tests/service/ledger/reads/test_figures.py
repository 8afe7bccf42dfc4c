"""Series, levels and quantiles: what was written once or twice, by one leader or two, is counted once."""

from datetime import datetime, timedelta
from functools import partial

import pytest

from service.histogram import SIZE, place_of
from service.ledger.ledger import Ledger
from service.ledger.reads.figures import counted_kinds, counts_since, levels, levels_now, quantiles, series
from service.ledger.records.durations import Histogram, bucket_of, record_durations
from service.ledger.records.series import record_levels, record_totals
from tests.service.ledger.makers import NOW

MINUTE = timedelta(minutes=1)
NOON = NOW.replace(hour=12, minute=0, second=0, microsecond=0)


async def note(ledger: Ledger, minute: datetime, total: int, event: str = "succeeded") -> None:
    totals = {("", event): total, ("greet", event): total}
    await ledger.database.run(partial(record_totals, totals=totals, minute=minute))


async def of(ledger: Ledger, since: datetime, until: datetime, step: timedelta = MINUTE) -> list[int]:
    async with ledger.read() as connection:
        found = await series(connection, ["succeeded"], since=since, until=until, step=step)
    return list(found.counts["succeeded"])


async def test_a_series_is_what_totals_grew_by_whoever_wrote_them_and_how_often(ledger: Ledger) -> None:
    await note(ledger, NOON, 100)
    await note(ledger, NOON + MINUTE, 130)
    await note(ledger, NOON + MINUTE, 130)  # a new leader, which has noted nothing yet
    await note(ledger, NOON + MINUTE, 120)  # one that had been frozen
    await note(ledger, NOON + 3 * MINUTE, 125)  # the same, a while later
    await note(ledger, NOON + 4 * MINUTE, 150)
    assert await of(ledger, NOON + MINUTE, NOON + 5 * MINUTE) == [30, 0, 0, 20]
    assert await of(ledger, NOON - MINUTE, NOON + 5 * MINUTE) == [0, 100, 30, 0, 0, 20]
    assert await of(ledger, NOON, NOON + 5 * MINUTE, 5 * MINUTE) == [150]
    async with ledger.read() as connection:
        found = await counts_since(connection, ["greet", "never"], ["succeeded"], NOON + MINUTE)
        assert found == {("greet", "succeeded"): 50, ("never", "succeeded"): 0}
        assert await counted_kinds(connection) == ["greet"]


async def test_levels_are_the_highest_of_each_step_and_unknown_where_nobody_looked(ledger: Ledger) -> None:
    for seconds, value in ((0, 3.0), (10, 9.0), (60, 4.0), (180, 5.0)):
        at = NOON + timedelta(seconds=seconds)
        await ledger.database.run(partial(record_levels, values={"waiting": value, "running": 1.0}, at=at))
    await ledger.database.run(partial(record_levels, values={"waiting": 6.0}, at=NOON + 3 * MINUTE))
    async with ledger.read() as connection:
        found = await levels(connection, ["waiting", "none"], since=NOON, until=NOON + 4 * MINUTE, step=MINUTE)
        assert found.values == {"waiting": [9.0, 4.0, None, 6.0], "none": [None] * 4}
        assert await levels_now(connection, NOON + 3 * MINUTE) == {"waiting": 6.0, "running": 1.0}
        assert await levels_now(connection, NOON + 5 * MINUTE) == {}


async def test_quantiles_are_of_what_all_processes_have_told_however_often(ledger: Ledger) -> None:
    for writer, seconds in (("w1", 0.010), ("w2", 4.0)):
        counts = [0] * SIZE
        counts[place_of(seconds)] = 50
        rows = [Histogram(bucket_of(NOON), kind, "run", writer, list(counts), 50 * seconds) for kind in ("greet", "")]
        for _ in range(2):
            await ledger.database.run(partial(record_durations, rows=rows))
    async with ledger.read() as connection:
        told = await quantiles(connection, ["greet", "never"], since=NOON - MINUTE)
        later = await quantiles(connection, None, since=NOON + 11 * MINUTE)
    ran = told["greet", "run"]
    assert ran.count == 100
    assert ran.mean == pytest.approx(2.005)
    assert ran.p50 == pytest.approx(0.010)
    assert ran.p95 == pytest.approx(4.8)
    assert (told["never", "run"].count, told["never", "run"].p50) == (0, None)
    assert later["", "run"].count == 0
