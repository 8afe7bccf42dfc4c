"""How the outboxes are doing, for /metrics and /readyz."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from service.feature import Gauge, Report
from service.outbox.places import LEDGER, places_of
from service.outbox.reads import Standing, backlog, standings
from service.settings import Settings

_STUCK_AFTER = timedelta(seconds=60)


async def report(settings: Settings, connection: AsyncConnection, now: datetime) -> Report:
    """Read the ledger's own outbox, and what the leader has recorded of the others."""
    own = await backlog(connection)
    names = [place.name for place in places_of(settings) if place.name != LEDGER]
    noted = {one.name: one for one in await standings(connection)} if names else {}
    all_of_them = {LEDGER: Standing(LEDGER, *own, None, None)}
    all_of_them |= {name: noted.get(name, Standing(name, 0, None, None, None)) for name in names}
    ages = {name: _age(one, now) for name, one in all_of_them.items()}
    return Report(
        gauges=(
            Gauge("postlude_outbox_rows", "Rows that waited in an outbox when they were last counted", "outbox",
                  {name: one.waiting for name, one in all_of_them.items()}),
            Gauge("postlude_outbox_age_seconds", "How long the oldest row of an outbox has waited", "outbox",
                  {name: age.total_seconds() for name, age in ages.items()}),
        ),
        complaint=_complaint(all_of_them, ages, now),
    )  # fmt: skip


def _age(one: Standing, now: datetime) -> timedelta:
    return max(timedelta(0), now - one.oldest_at) if one.oldest_at is not None else timedelta(0)


def _complaint(found: Mapping[str, Standing], ages: Mapping[str, timedelta], now: datetime) -> str | None:
    told = []
    for name, one in found.items():
        if one.problem and one.problem_since is not None and one.problem_since < now - _STUCK_AFTER:
            told.append(f"{name} has been away since {one.problem_since:%Y-%m-%d %H:%M:%S}Z ({one.problem})")
        elif ages[name] > _STUCK_AFTER:
            told.append(f"{name} has a row that has waited for {ages[name].total_seconds():.0f} s")
    return f"rows are not taken: {'; '.join(told)}; the log of the worker that leads says why" if told else None
