from datetime import timedelta

from service.ledger.ledger import Ledger
from service.ledger.models import Start
from service.ledger.reads.counts import tally_totals
from service.ledger.states import Outcome, State
from tests.service.ledger.makers import NOW, build_lanes, enqueue, finish, live_worker, new_job, running, start_in_lane

LABELLED = {"kind_lane": "app:shop", "lane_limits": '{"app:shop":{"label":"shop.mail","from":"kind"}}'}


async def test_tallies_count_what_was_committed(ledger: Ledger) -> None:
    started = await running(ledger)
    await ledger.finish(finish(started, Outcome.SUCCEEDED, State.SUCCEEDED))
    async with ledger.read() as connection:
        totals = set(await tally_totals(connection))
    assert totals == {("greet", "enqueued", 1), ("greet", "started", 1), ("greet", "succeeded", 1)}


async def test_starts_count_by_the_label_of_a_job_that_has_one(ledger: Ledger) -> None:
    await live_worker(ledger)
    await build_lanes(ledger)
    labelled = [new_job(**LABELLED, label="shop.mail") for _ in range(2)]
    plain = [new_job() for _ in range(3)]
    await enqueue(ledger, *labelled, *plain)
    assert len(await start_in_lane(ledger, *(job.id for job in labelled))) == 2
    for at, some in ((NOW, plain[:2]), (NOW + timedelta(seconds=1), plain[1:])):  # one of them is running by then
        await ledger.start(Start(tuple(job.id for job in some), "w1", ("greet",), at))
    async with ledger.read() as connection:
        started = {kind: count for kind, event, count in await tally_totals(connection) if event == "started"}
    assert started == {"shop.mail": 2, "greet": 3}


async def test_an_end_counts_as_what_it_became_and_once(ledger: Ledger) -> None:
    ends = [finish(await running(ledger), Outcome.SUCCEEDED, State.SUCCEEDED) for _ in range(4)]
    await ledger.cancel(ends[0].id, "w1", NOW)
    await ledger.finish_all([*ends[:3], ends[3]._replace(attempt=2)])
    await ledger.finish_all(ends[:3])  # sent again, as if its answer had been lost
    async with ledger.read() as connection:
        counted = {event: count for _, event, count in await tally_totals(connection)}
    assert counted == {"enqueued": 4, "started": 4, "succeeded": 2, "cancelled": 1, "refused": 1}
