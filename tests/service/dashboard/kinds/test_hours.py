"""A kind's hours: what was counted in each, and how long its attempts waited and ran then."""

from datetime import timedelta
from functools import partial

from service.dashboard.kinds.hours import HOUR, read_hours
from service.histogram import SIZE
from service.ledger.ledger import Ledger
from service.ledger.reads.figures import series
from service.ledger.records.durations import Histogram, record_durations
from service.ledger.records.series import record_totals
from tests.service.ledger.makers import NOW


async def test_each_hour_tells_its_counts_and_its_durations_the_latest_first(ledger: Ledger) -> None:
    fast, slow = [7, *[0] * (SIZE - 1)], [*[0] * (SIZE - 2), 3, 0]
    rows = [
        Histogram(NOW - timedelta(minutes=70), "k", "run", "w", fast, 0.7),
        Histogram(NOW - timedelta(minutes=5), "k", "run", "w", slow, 300.0),
        Histogram(NOW - timedelta(minutes=5), "k", "wait", "w", fast, 0.7),
        Histogram(NOW - timedelta(minutes=5), "other", "run", "w", fast, 0.7),
    ]
    await ledger.database.run(partial(record_durations, rows=rows))
    for minutes, total in ((70, 2), (5, 5)):
        totals = {("k", "succeeded"): total}
        await ledger.database.run(partial(record_totals, totals=totals, minute=NOW - timedelta(minutes=minutes)))
    async with ledger.read() as connection:
        counted = await series(connection, ["succeeded"], since=NOW - 3 * HOUR, until=NOW, step=HOUR, kinds=["k"])
        latest, before, first = await read_hours(connection, "k", counted)
    assert [one.at for one in (latest, before, first)] == [NOW - HOUR, NOW - 2 * HOUR, NOW - 3 * HOUR]
    assert [one.counts["succeeded"] for one in (latest, before, first)] == [3, 2, 0]
    assert [(one.wait.count, one.run.count) for one in (latest, before, first)] == [(7, 3), (0, 7), (0, 0)]
    assert first.run.p95 is None
    assert latest.run.p95 is not None
    assert before.run.p95 is not None
    assert latest.run.p95 > before.run.p95
