"""A process writes whole counts, as often as necessary, and none of them counts twice."""

from datetime import timedelta

import pytest

from service.errors import LedgerUnavailable
from service.ledger.ledger import Ledger
from service.ledger.models import Finish, Started
from service.ledger.reads.figures import quantiles
from service.ledger.records.durations import TOLD_WITHIN, bucket_of
from service.ledger.states import Outcome, State
from service.worker.performing import durations
from service.worker.performing.durations import Durations
from tests.service.ledger.makers import NOW
from tests.support.set_clock import SetClock, set_clock

STARTED = Started("j", "k", 2, 1, 0, 5, "{}", None, "default", None, NOW, "w", NOW, NOW, NOW - timedelta(seconds=60))
ENDED = Finish("j", "k", 2, "w", Outcome.SUCCEEDED, State.SUCCEEDED, NOW + timedelta(seconds=7))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return set_clock(monkeypatch, durations)


async def counts(ledger: Ledger, kinds: list[str] | None) -> dict[str, int]:
    async with ledger.read() as connection:
        found = await quantiles(connection, kinds, since=NOW - timedelta(days=1))
    return {measure: one.count for (_, measure), one in found.items()}


async def test_waits_runs_and_the_whole_time_are_told_apart(ledger: Ledger, clock: SetClock) -> None:
    counted = Durations(ledger, "w")
    counted.note(STARTED, ENDED, ran_s=2.0)
    await counted.tell()
    async with ledger.read() as connection:
        found = await quantiles(connection, ["k"], since=NOW)
    assert [found["k", measure].mean for measure in ("wait", "run", "total")] == [5.0, 2.0, 67.0]


async def test_what_is_told_again_or_in_the_next_bucket_counts_once(ledger: Ledger, clock: SetClock) -> None:
    counted = Durations(ledger, "w")
    for _ in range(3):
        counted.note(STARTED, ENDED._replace(outcome=Outcome.FAILED), ran_s=1.0)
        await counted.tell()
        await counted.tell()
        clock.at += timedelta(minutes=7)
    assert await counts(ledger, ["k"]) == {"wait": 3, "run": 3, "total": 0}
    assert await counts(ledger, None) == {"wait": 3, "run": 3, "total": 0}


async def test_what_could_not_be_told_is_told_later_unless_that_is_too_late(
    ledger: Ledger, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Durations(ledger, "w")

    async def away(*_args: object, **_options: object) -> None:
        raise LedgerUnavailable("away")

    for wait, known in ((timedelta(minutes=11), 1), (TOLD_WITHIN + timedelta(minutes=10), 1)):
        counted.note(STARTED, ENDED, ran_s=1.0)
        with monkeypatch.context() as patch:
            patch.setattr(ledger.database, "run", away)
            with pytest.raises(LedgerUnavailable):
                await counted.tell()
        clock.at += wait
        await counted.tell()
        assert (await counts(ledger, ["k"]))["run"] == known


async def test_kinds_beyond_the_first_are_counted_as_one(
    ledger: Ledger, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durations, "_MOST_KINDS", 2)
    counted = Durations(ledger, "w")
    for kind in ("a", "b", "c", "d", "a"):
        counted.note(STARTED, ENDED._replace(kind=kind), ran_s=1.0)
    await counted.tell()
    async with ledger.read() as connection:
        found = await quantiles(connection, ["a", "b", "c", "other"], since=bucket_of(NOW))
    assert [found[kind, "run"].count for kind in ("a", "b", "c", "other")] == [2, 1, 0, 2]
