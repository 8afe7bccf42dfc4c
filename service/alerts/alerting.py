"""Looks for troubles every few seconds, and reports the ones that last.

The leader of the sweep looks. If no worker is alive, or the ledger is away, each API looks as well. The ledger decides
who reports; without it, a trouble may be reported twice.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from jobs.kit.masking import Masks
from service.alerts.direct import perform_directly
from service.alerts.rules import Rules
from service.alerts.telling import errands, secrets_in
from service.errors import LedgerUnavailable, PostludeError
from service.insight.troubles import Trouble, Troubles
from service.ledger.clock import now_by
from service.ledger.deadline import in_time
from service.ledger.reads.jobs import states_of
from service.ledger.records import alerts as records
from service.ledger.records.alerts import Alert
from service.ledger.states import State
from service.lifecycle.lifecycle import Lifecycle
from service.options import HIGHEST_PRIORITY, Options
from service.resources import Resources

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 5.0
# An alert's job that has not succeeded by then is part of the trouble.
_JOB_WITHIN = timedelta(minutes=2)
_EXPIRES_IN = timedelta(hours=1)
# Troubles during which no job goes out, and troubles during which nothing is recorded.
_NO_JOBS = ("workers", "redis")
_NO_LEDGER = "ledger"
_DIRECTLY = "Sent directly, not through the queue"


class Alerting:
    """Reports troubles."""

    def __init__(self, resources: Resources, lifecycle: Lifecycle, troubles: Troubles) -> None:
        settings = resources.settings
        self._targets = [one.get_secret_value() for one in settings.alert_to]
        self._masks = Masks(secrets_in(self._targets))
        self._rules = Rules(settings.alert_on)
        self._after = timedelta(seconds=settings.alert_after_s)
        self._where = " ".join(filter(None, ("Postlude", settings.environment)))
        self._resources = resources
        self._lifecycle = lifecycle
        self._troubles = troubles
        self._away_since: datetime | None = None
        self._told_of_away: Alert | None = None

    async def look_if(self, leads: Callable[[], bool]) -> None:
        """Do what is due now, in the worker that leads."""
        if leads():
            await self._look(await self._troubles.now())

    async def look_where_no_worker_does(self) -> None:
        """Do what is due now if no worker can: there is none, or none reaches the ledger."""
        troubles = await self._troubles.now()
        if self._away_since is not None or any(one.key in ("workers", _NO_LEDGER) for one in troubles):
            await self._look(troubles)

    async def _look(self, troubles: Sequence[Trouble]) -> None:
        wanted = {one.key: one for one in troubles if self._rules.want(one)}
        no_jobs = next((one for one in troubles if one.key in _NO_JOBS), None)
        is_all = all(one.key != _NO_LEDGER for one in troubles)  # else nobody could look for others
        try:
            direct = await in_time(self._tell(wanted, no_jobs, is_all=is_all), writes=True)
        except LedgerUnavailable:
            await self._tell_of_away(wanted.get(_NO_LEDGER))
            return
        if self._told_of_away is not None:
            await self._tell_by_jobs(self._told_of_away._replace(over_at=datetime.now(UTC)), None)
        self._away_since = self._told_of_away = None
        for alert, why in direct:
            if not await self._send(alert, wanted.get(alert.key), why):
                await self._resources.ledger.database.run(partial(records.record_not_told, alert=alert))

    async def _tell(
        self, wanted: Mapping[str, Trouble], no_jobs: Trouble | None, *, is_all: bool
    ) -> list[tuple[Alert, str]]:
        """Record the troubles, and enqueue the jobs that report them. Return what to report directly, and why."""
        database = self._resources.ledger.database
        seen = {key: trouble.headline for key, trouble in wanted.items()}
        await database.run(
            lambda connection: records.record_troubles(connection, seen, now_by(connection), is_all=is_all)
        )
        new = await database.run(lambda connection: records.untold(connection, now_by(connection), self._after))
        over = await database.run(records.untold_ends)
        late = await database.run(lambda connection: records.told_by_jobs(connection, now_by(connection), _JOB_WITHIN))
        direct = [(alert, why) for alert in late if (why := await self._why_not_told(alert)) is not None]
        if no_jobs is None:
            for alert in (*new, *over):
                await self._tell_by_jobs(alert, wanted.get(alert.key))
        else:
            direct += [(alert, f"{_DIRECTLY}: {no_jobs.headline}") for alert in (*new, *over)]
        return [(alert, why) for alert, why in direct if await self._is_ours(alert)]

    async def _is_ours(self, alert: Alert) -> bool:
        """Claim the direct report of an alert; False if another process has claimed it."""
        return await self._resources.ledger.database.run(
            lambda connection: records.record_direct(connection, alert, now_by(connection))
        )

    async def _tell_by_jobs(self, alert: Alert, trouble: Trouble | None) -> None:
        """Enqueue the jobs under ids made from the alert, so that doing it again enqueues nothing."""
        ids = []
        for number, errand in enumerate(
            errands(self._targets, alert, trouble, now=datetime.now(UTC), where=self._where)
        ):
            job_id = _id_of(alert, number)
            options = Options(priority=HIGHEST_PRIORITY, expires_in=_EXPIRES_IN, tags=("alert",))
            try:
                await self._lifecycle.enqueue_one(errand.kind, errand.args, options, id=job_id)
            except LedgerUnavailable:
                raise
            except PostludeError as error:
                log.error("alert_not_enqueued", key=alert.key, reason=self._masks(str(error)))
            else:
                ids.append(job_id)
        await self._resources.ledger.database.run(
            lambda connection: records.record_told(connection, alert, ids, now_by(connection))
        )
        log.info("alert_told", key=alert.key, headline=alert.headline, over=alert.is_over, jobs=ids)

    async def _why_not_told(self, alert: Alert) -> str | None:
        """Say why none of an alert's jobs has reported it; None if one has."""
        async with self._resources.ledger.read() as connection:
            states = await states_of(connection, alert.job_ids)
        if any(state is State.SUCCEEDED for state, _ in states.values()):
            return None
        told = ", ".join(sorted({str(state) for state, _ in states.values()})) or "gone"
        return f"{_DIRECTLY}: the job that should have reported it is {told}."

    async def _tell_of_away(self, trouble: Trouble | None) -> None:
        """Report once from this process while the ledger, and with it the record of reports, is away."""
        now = datetime.now(UTC)
        self._away_since = self._away_since or now
        if trouble is not None and self._told_of_away is None and now - self._away_since >= self._after:
            alert = Alert(trouble.key, self._away_since, trouble.headline)
            if await self._send(alert, trouble, f"{_DIRECTLY}: there is no ledger to record a job in."):
                self._told_of_away = alert

    async def _send(self, alert: Alert, trouble: Trouble | None, why: str) -> bool:
        """Report an alert directly; False if nobody could be reached, which is tried again."""
        now, anybody = datetime.now(UTC), False
        told = errands(self._targets, alert, trouble, now=now, where=self._where, why_directly=why)
        for number, errand in enumerate(told):
            names = {"key": alert.key, "headline": alert.headline, "over": alert.is_over, "kind": errand.kind}
            try:
                await perform_directly(self._resources, errand, _id_of(alert, number))
            except Exception as error:  # noqa: BLE001 - the other targets must still be told
                log.error("alert_not_sent", error=self._masks(repr(error)), **names)
            else:
                anybody = True
                log.info("alert_sent_directly", **names)
        return anybody


@asynccontextmanager
async def open_alerting(resources: Resources, lifecycle: Lifecycle) -> AsyncIterator[Alerting | None]:
    """Open the alerting; None if the settings name nobody."""
    if not resources.settings.alert_to:
        yield None
        return
    troubles = Troubles(resources)
    try:
        yield Alerting(resources, lifecycle, troubles)
    finally:
        await troubles.close()


def _id_of(alert: Alert, number: int) -> str:
    named = f"{alert.key}\n{alert.seen_at.isoformat()}\n{alert.is_over}\n{number}"
    return f"alert-{hashlib.sha256(named.encode()).hexdigest()[:32]}"
