"""Starts in lanes count once however often they are written, and a lane's last hold outlives its breaker's row."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from service.ledger.ledger import Ledger
from service.ledger.reads.lane_figures import Hold, last_hold, starts_in_lanes
from service.ledger.records.lane_figures import Starts, record_lane_starts, record_lane_starts_purged
from service.ledger.records.lanes import Breaker, record_breakers, record_forgotten
from tests.service.ledger.makers import NOW

MINUTE = timedelta(minutes=1)


async def starts(ledger: Ledger, since: datetime = NOW - timedelta(hours=1)) -> dict[str, int]:
    async with ledger.read() as connection:
        return await starts_in_lanes(connection, ["a", "b", "quiet"], since)


async def tell(ledger: Ledger, rows: Sequence[Starts]) -> None:
    await ledger.database.run(partial(record_lane_starts, rows=rows))


async def test_starts_are_added_up_over_processes_and_an_hour_and_count_once(ledger: Ledger) -> None:
    rows = [Starts("a", NOW, "w1", 2), Starts("a", NOW, "w2", 3), Starts("b", NOW - timedelta(minutes=50), "w1", 4)]
    await tell(ledger, [*rows, Starts("a", NOW - timedelta(minutes=70), "w1", 100)])
    await tell(ledger, [Starts("a", NOW, "w1", 5)])
    assert await starts(ledger) == {"a": 8, "b": 4}
    assert await ledger.database.run(partial(record_lane_starts_purged, before=NOW - timedelta(hours=1))) == 1
    assert await starts(ledger, NOW - timedelta(days=1)) == {"a": 8, "b": 4}


async def breaker(ledger: Ledger, state: str, after: timedelta, reason: str | None = None) -> Hold | None:
    at = NOW + after
    changed = Breaker("host:a", state, at + MINUTE, 1, reason)  # type: ignore[arg-type]
    await ledger.database.run(partial(record_breakers, breakers=[changed], at=at))
    async with ledger.read() as connection:
        return await last_hold(connection, "host:a")


async def test_a_hold_lasts_from_the_first_opening_to_the_close_and_stays_known(ledger: Ledger) -> None:
    async with ledger.read() as connection:
        assert await last_hold(connection, "host:a") is None
    assert await breaker(ledger, "open", 0 * MINUTE, "refused") == Hold(NOW, None, "refused")
    assert await breaker(ledger, "half_open", 1 * MINUTE, "refused") == Hold(NOW, None, "refused")
    assert await breaker(ledger, "open", 2 * MINUTE, "silent") == Hold(NOW, None, "silent")
    over = Hold(NOW, NOW + 3 * MINUTE, "silent")
    assert [await breaker(ledger, "closed", after * MINUTE) for after in (3, 4)] == [over, over]
    assert await breaker(ledger, "open", 9 * MINUTE, "again") == Hold(NOW + 9 * MINUTE, None, "again")


async def test_a_breaker_that_is_forgotten_holds_no_more(ledger: Ledger) -> None:
    await breaker(ledger, "open", 0 * MINUTE, "refused")
    await ledger.database.run(partial(record_forgotten, before=NOW + 5 * MINUTE))
    async with ledger.read() as connection:
        assert await last_hold(connection, "host:a") == Hold(NOW, NOW + 5 * MINUTE, "refused")
