"""Fills an empty ledger with the demo's day."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, select

from jobs import Catalogue
from service.demo.day import Day
from service.demo.figures import record_durations_of, record_events, record_lane_starts_of, record_levels_of
from service.demo.flows import flows
from service.demo.operations import record_operations, record_trail
from service.demo.recording import record_stories
from service.demo.schedules import record_schedules
from service.demo.staff import QUEUE, SLOTS, Staff
from service.demo.story import Author, Story
from service.demo.waiting import CAMPAIGN_LANE, ORDERS_LANE, campaign, waiting_for_orders
from service.errors import Conflict
from service.lanes.lanes import Lanes
from service.ledger.clock import now_by
from service.ledger.ledger import Ledger
from service.ledger.records.lanes import Said
from service.ledger.records.workers import record_ended, record_heartbeat, record_registered
from service.queue import Queue
from service.tables import jobs

_SHOP = "app:shop"
LANES = (ORDERS_LANE, CAMPAIGN_LANE, _SHOP)
_AT_ONCE = 200

Say = Callable[[str], None]
T = TypeVar("T")


class Filling:
    """Lanes come first, so that every waiting job is held before a worker can see it."""

    def __init__(self, ledger: Ledger, queue: Queue, catalogue: Catalogue, say: Say) -> None:
        self._ledger = ledger
        self._run = ledger.database.run
        self._lanes = Lanes(ledger, queue)
        self._catalogue = catalogue
        self._say = say
        self._stories: list[Story] = []

    async def fill(self) -> int:
        """Return how many jobs there are now. Raises `Conflict` for a ledger that is not empty."""
        await self._refuse_unless_empty()
        async with self._ledger.read() as connection:
            staff = Staff(await self._ledger.database.now(connection))
        author = Author(self._catalogue, staff)
        await self._hold_lanes()
        await self._run(partial(_record_begun, staff=staff))
        await self._tell_day(author)
        await self._tell_others(author)
        await self._run(partial(_record_over, staff=staff))
        self._say("figures: each minute, levels, durations")
        await self._record_figures(staff)
        return len(self._stories)

    async def _refuse_unless_empty(self) -> None:
        async with self._ledger.read() as connection:
            if (await connection.execute(select(jobs.c.id).limit(1))).first() is not None:
                raise Conflict(
                    "The ledger already has jobs, and the demo needs an empty one: give it a place of its own,"
                    " POSTLUDE_DATA_DIR=./demo, or take an earlier demo away by `postlude demo --remove`."
                )

    async def _hold_lanes(self) -> None:
        await self._lanes.say(ORDERS_LANE, Said(breaker_forced="open"))
        await self._lanes.pause(CAMPAIGN_LANE, None)
        await self._lanes.say(_SHOP, Said(concurrency=20))

    async def _tell_day(self, author: Author) -> None:
        left = Day(author).stories()
        while some := list(islice(left, _AT_ONCE)):
            await self._record(author, some)
            if len(self._stories) % 1_000 == 0:
                self._say(f"jobs: {len(self._stories):,}")

    async def _tell_others(self, author: Author) -> None:
        self._say("what waits, flows, schedules, operations")
        await self._record(author, [*waiting_for_orders(author), *campaign(author)])
        for flow, stories in flows(author):
            await self._run_alive(author.staff, partial(record_stories, stories=stories, flow=flow))
            self._stories += stories
        for record in (record_schedules, record_operations):
            self._stories += await self._run_alive(author.staff, partial(record, author=author))
        await self._run(partial(record_trail, author=author, stories=self._stories))

    async def _record(self, author: Author, stories: Sequence[Story]) -> None:
        await self._run_alive(author.staff, partial(record_stories, stories=stories))
        self._stories += stories

    async def _run_alive(self, staff: Staff, record: Callable[[Connection], T]) -> T:
        def write(connection: Connection) -> T:
            _keep_alive(connection, staff)
            recorded = record(connection)
            _keep_alive(connection, staff)  # counted from the commit, even if that took long
            return recorded

        return await self._run(write)

    async def _record_figures(self, staff: Staff) -> None:
        await self._run(partial(record_events, stories=self._stories, staff=staff))
        await self._run(partial(record_levels_of, stories=self._stories, staff=staff))
        await self._run(partial(record_durations_of, stories=self._stories))
        await self._run(partial(record_lane_starts_of, stories=self._stories, staff=staff))


def _record_begun(connection: Connection, staff: Staff) -> None:
    for worker in staff.workers:
        told = {"pid": worker.pid, "hostname": worker.hostname, "version": worker.version}
        record_registered(connection, worker.started_at, id=worker.id, queues=QUEUE, kinds="[]", slots=SLOTS, **told)
    _keep_alive(connection, staff)


def _keep_alive(connection: Connection, staff: Staff) -> None:
    """Renew the workers' leases: jobs of dead ones would be left to real workers, and be sent."""
    for worker in staff.workers:
        if not record_heartbeat(connection, worker.id, now_by(connection), 0.003, 0, worker.memory_bytes):
            raise Conflict(
                "The demo was written too slowly: its workers were taken for dead. Nothing was sent. Remove"
                " what there is with `postlude demo --remove`, and try again when the machine is less busy."
            )


def _record_over(connection: Connection, staff: Staff) -> None:
    for worker in staff.workers:
        record_heartbeat(connection, worker.id, worker.ended_at, 0.003, 0, worker.memory_bytes)
        record_ended(connection, worker.id, worker.ended_at)
