"""What users do to schedules, and what they see of them."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import IntegrityError

from jobs import Catalogue
from jobs.kit.cron import CronInvalid
from service import agreed_time
from service.errors import ScheduleChanging, ScheduleInvalid, ScheduleNotFound, ScheduleOfCode, SecretUnreadable
from service.ledger.ledger import Ledger
from service.ledger.reads import schedules as reads
from service.ledger.reads.ticks import history, last_ticks
from service.ledger.records.schedules import (
    NewSchedule,
    Pause,
    record_paused,
    record_resumed,
    record_schedule,
    record_schedule_deleted,
)
from service.ledger.records.ticked import Tick
from service.lifecycle.schedules.due import PAUSED, DueTick, due_ticks
from service.lifecycle.schedules.plan import Plan, kinds_with_ticks, plan_of_kind, plan_of_row
from service.lifecycle.schedules.ticking import Ticking
from service.schedule_tables import RUN_NOW

_TRIES = 3
_INSTANT = timedelta(microseconds=1)


class View(NamedTuple):
    """A schedule as it is shown: its `plan`, or why there is none; its row; its last tick."""

    name: str
    plan: Plan | None
    row: RowMapping | None
    last: RowMapping | None
    next: datetime | None
    error: str | None


class Page(NamedTuple):
    """Some schedules, ordered by name. The next page begins `after` this name; None: there are no more."""

    views: Sequence[View]
    after: str | None


class Schedules:
    """Schedules for users.

    Every method raises `LedgerUnavailable`; methods for one schedule raise `ScheduleNotFound`.
    """

    def __init__(self, ledger: Ledger, catalogue: Catalogue, ticking: Ticking, *, writer: str) -> None:
        self._ledger = ledger
        self._catalogue = catalogue
        self._ticking = ticking
        self._writer = writer
        self._of_code = kinds_with_ticks(catalogue)

    async def say(self, said: NewSchedule) -> bool:
        """Make or change a schedule; return whether it is new. Raises `ScheduleOfCode`."""
        self._refuse_of_code(said.name, "changed here")
        record = partial(record_schedule, said=said, now=agreed_time.now())
        try:
            return await self._ledger.database.run(record)
        except IntegrityError:  # somebody else has just made one with this name
            return await self._ledger.database.run(record)

    async def delete(self, name: str) -> None:
        """Delete a schedule. The history of its ticks stays. Raises `ScheduleOfCode`."""
        self._refuse_of_code(name, "deleted")
        if not await self._ledger.database.run(partial(record_schedule_deleted, name=name)):
            raise _not_found(name)

    async def pause(self, name: str, *, by: str | None = None, reason: str | None = None) -> None:
        """Fire no ticks of a schedule until it is resumed.

        If it is already paused, only who paused it and why changes.
        """
        pause = Pause(agreed_time.now(), by, reason)
        record = partial(record_paused, name=name, pause=pause, is_of_code=name in self._of_code)
        if not await self._ledger.database.run(record):
            raise _not_found(name)

    async def resume(self, name: str) -> None:
        """Fire the ticks from now on. Ticks during the pause are missed, whether or not a worker has recorded them."""
        now = agreed_time.now()

        def record(connection: Connection) -> bool:
            missed = partial(self._missed, now=now)
            return record_resumed(connection, name, now, missed=missed, writer=self._writer)

        if not await self._ledger.database.run(record) and name not in self._of_code:
            raise _not_found(name)

    async def run(self, name: str) -> RowMapping:
        """Enqueue the schedule's job now, out of turn; return its tick.

        Raises `ScheduleInvalid` if the job cannot be made.
        """
        for _ in range(_TRIES):
            now = agreed_time.now()
            view = await self.find(name)
            if view.plan is None or view.error is not None:
                raise ScheduleInvalid(f"The schedule's job cannot run: {view.error}.")
            due = DueTick(view.plan, now, reason=RUN_NOW)
            if not await self._ticking.tick([due], now):
                async with self._ledger.read() as connection:
                    [own] = await history(connection, name, now + _INSTANT, 1)
                return own
        raise ScheduleChanging("Somebody is changing the schedule. Send the request again.")

    async def find(self, name: str) -> View:
        async with self._ledger.read() as connection:
            row = await reads.find(connection, name)
            last = await last_ticks(connection, [name], agreed_time.now())
        if name not in self._of_code and (row is None or row["kind"] is None):
            raise _not_found(name)
        return self._view(name, row, last.get(name))

    async def page(self, after: str, limit: int) -> Page:
        """Return schedules by name, including the kinds' own."""
        async with self._ledger.read() as connection:
            made = {row["name"]: row for row in await reads.page(connection, after, limit + 1)}
            names = sorted({name for name in self._of_code if name > after} | made.keys())
            shown = names[:limit]
            rows = {row["name"]: row for row in await reads.rows_of(connection, self._of_code.keys() & set(shown))}
            last = await last_ticks(connection, shown, agreed_time.now())
        views = []
        for name in shown:
            views.append(self._view(name, rows.get(name) or made.get(name), last.get(name)))
            await asyncio.sleep(0)  # finding the next tick of a rare expression takes some milliseconds
        return Page(views, shown[-1] if len(names) > limit else None)

    async def next(self, name: str, count: int) -> list[datetime]:
        """Return the next due times of a schedule, paused or not. Raises `ScheduleInvalid`."""
        view = await self.find(name)
        if view.plan is None:
            raise ScheduleInvalid(f"The schedule never comes due: {view.error}.")
        return list(islice(view.plan.after(agreed_time.now()), count))

    async def ticks(self, name: str, before: datetime | None, limit: int) -> Sequence[RowMapping]:
        """Return the history of a schedule, latest tick first, even after its deletion."""
        async with self._ledger.read() as connection:
            told = await history(connection, name, before, limit)
        if not told:
            await self.find(name)
        return told

    async def upcoming(self, limit: int) -> list[tuple[datetime, str]]:
        """Say which schedules come due next, and when."""
        async with self._ledger.read() as connection:
            rows = {row["name"]: row for row in await reads.rows_of_all(connection)}
        now = agreed_time.now()
        of_code = [plan_of_kind(kind, rows.get(name)) for name, kind in self._of_code.items()]
        made = [row for name, row in rows.items() if row["kind"] is not None and name not in self._of_code]
        coming = []
        for plan in [*of_code, *(self._plan(row["name"], row)[0] for row in made)]:
            if plan is not None and not plan.paused and (due := next(plan.after(now), None)) is not None:
                coming.append((due, plan.name))
            await asyncio.sleep(0)
        return sorted(coming)[:limit]

    def _refuse_of_code(self, name: str, verb: str) -> None:
        if name in self._of_code:
            raise ScheduleOfCode(
                f"{name!r} is the schedule of the kind of that name, so it is not {verb}: change cron= in its code. It"
                " can be paused, resumed and run here."
            )

    def _missed(self, row: RowMapping, now: datetime) -> list[Tick]:
        """Return the ticks of a pause that no worker has recorded."""
        plan, _ = self._plan(row["name"], row)
        if plan is None or row["since"] is None:
            return []
        return [
            Tick(plan.name, plan.kind, one.due_at, plan.cron, "missed", reason=PAUSED, revision=row["revision"])
            for one in due_ticks(plan, row["since"], now)
        ]

    def _view(self, name: str, row: RowMapping | None, last: RowMapping | None) -> View:
        plan, error = self._plan(name, row)
        coming = None
        if plan is not None:
            coming = None if plan.paused else next(plan.after(agreed_time.now()), None)
            error = self._error(plan)
        return View(name, plan, row, last, coming, error)

    def _plan(self, name: str, row: RowMapping | None) -> tuple[Plan | None, str | None]:
        """Return the plan of a schedule, or why there is none."""
        if name in self._of_code:
            return plan_of_kind(self._of_code[name], row), None
        assert row is not None
        try:
            return plan_of_row(row), None
        except CronInvalid as error:
            return None, str(error)

    def _error(self, plan: Plan) -> str | None:
        """Say why the jobs of a schedule could not run, as far as this process knows."""
        kind = self._catalogue.get(plan.kind)
        if kind is None:
            return f"there is no kind {plan.kind!r}"
        try:
            args = plan.opened_args(self._ledger.vault)
        except SecretUnreadable as error:
            return error.detail
        return None if args is None or kind.reads(args) else f"its args no longer fit {plan.kind}"


def _not_found(name: str) -> ScheduleNotFound:
    return ScheduleNotFound(f"There is no schedule {name!r}. It may have been deleted.")
