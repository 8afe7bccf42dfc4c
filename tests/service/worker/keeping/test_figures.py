"""Figures of what workers do: durations, lateness, failures by their place in the code, series and levels."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

import jobs
from jobs import Context, Kind, job
from service.insight.levels import level_values, of_queue, unknown_kinds
from service.insight.slo import HOUR, slo_states
from service.insight.troubles import Troubles
from service.ledger.ledger import Ledger
from service.ledger.reads.failures import groups
from service.ledger.reads.figures import levels, levels_now, quantiles, series
from service.ledger.reads.levels import Standing, standing
from service.ledger.records.durations import bucket_of
from service.ledger.records.series import record_levels
from service.settings import Settings
from service.worker.keeping.figures import Figures, MergingOfFigures
from service.worker.performing.attempt import performer_of
from service.worker.worker import Worker
from tests.service.worker.desk import open_desk
from tests.support.running import catalogue_of, eventually, running_worker

MINUTE = timedelta(minutes=1)


@job("prompt", slo="99% in 60s")
async def prompt(_ctx: Context) -> None: ...


@job("tardy", slo="99% in 1ms")
async def tardy(_ctx: Context) -> None:
    await asyncio.sleep(0.005)


@job("broken", max_attempts=2, retry=jobs.RetryPolicy(base=0.001, cap=0.001), slo="50% in 1h")
async def broken(_ctx: Context) -> None:
    raise LookupError("no such order")


@job("foreign")
async def foreign(_ctx: Context) -> None: ...


KINDS: list[Kind[Any, Any]] = [prompt, tardy, broken]


async def test_figures_tell_what_workers_did(settings: Settings) -> None:
    async with open_desk(settings, *KINDS, foreign) as desk:
        async with running_worker(settings, catalogue_of(*KINDS)) as worker:
            ids = [await desk.enqueue(kind) for kind in KINDS]
            for job_id in ids:
                await desk.ended(job_id)
            await desk.enqueue(foreign)
            await eventually(lambda: _idle(worker))
            await Figures(desk.ledger).note_levels()
            async with desk.ledger.read() as connection:
                now = await desk.ledger.database.now(connection)
                noted = await levels_now(connection, now)
        for _ in range(2):  # as two leaders do, one after the other
            await Figures(desk.ledger).note_totals()
        async with desk.ledger.read() as connection:
            span = {"since": now - MINUTE, "until": now + 2 * MINUTE, "step": MINUTE}
            counted = await series(connection, ["succeeded", "failed", "retried", "late"], **span)  # type: ignore[arg-type]
            took = dict(await quantiles(connection, ["tardy", "broken"], since=now - MINUTE))
            took |= await quantiles(connection, None, since=now - MINUTE)
            slos = await slo_states(connection, desk.resources.catalogue, now)
            [group] = await groups(connection, since=now - MINUTE)
        assert {event: sum(counts) for event, counts in counted.counts.items()} == {
            "succeeded": 2,
            "failed": 1,
            "retried": 1,
            "late": 1,
        }
        ran = took["tardy", "run"]
        assert ran.count == 1
        assert ran.p50 is not None
        assert 0.004 < ran.p50 < 2
        assert [took["broken", measure].count for measure in ("wait", "run", "total")] == [2, 2, 0]
        assert [took["", measure].count for measure in ("wait", "run", "total")] == [4, 4, 2]
        assert (slos["prompt"].good, slos["prompt"].total, slos["prompt"].budget_left) == (1, 1, 1.0)
        assert (slos["tardy"].good, slos["tardy"].total) == (0, 1)
        assert round(slos["broken"].burn_rates[HOUR]) == 2
        assert (group.kind, group.error_type, group.message) == ("broken", "LookupError", "no such order")
        assert group.place is not None
        assert group.place.startswith("tests/service/worker/keeping/test_figures.py:")
        assert (group.failures, group.jobs_failed) == (2, 1)
        assert noted["slots"] == settings.max_jobs
        assert noted[of_queue("waiting", "default")] == noted["waiting"] == 1
        assert unknown_kinds(noted) == {"foreign": 1}
        assert noted["unaccounted"] == noted["gap"] == 0
        troubles = await Troubles(desk.resources).now()
        assert troubles[0].headline == "No worker is alive, so no job runs."
        assert str(troubles[0].text[0]) == "1 job waits"


async def _idle(worker: Worker) -> bool:
    return not performer_of(worker.ctx).busy


async def test_old_figures_are_merged_by_whoever_leads(settings: Settings) -> None:
    async with open_desk(settings, prompt) as desk:
        async with desk.ledger.read() as connection:
            now = await desk.ledger.database.now(connection)
        old = bucket_of(now) - timedelta(days=3)
        for at in (old, old + 10 * MINUTE):
            await _note(desk.ledger, at)
        merging = MergingOfFigures(desk.ledger)
        while await merging.merge():
            pass
        assert await merging.merge() is False
        async with desk.ledger.read() as connection:
            found = await levels(connection, ["x"], since=old, until=old + HOUR, step=10 * MINUTE)
        assert [value for value in found.values["x"] if value is not None] == [5.0, 5.0]


async def _note(ledger: Ledger, at: datetime) -> None:
    for seconds, value in ((0, 1.0), (20, 5.0), (70, 3.0)):
        moment = at + timedelta(seconds=seconds)
        await ledger.database.run(partial(record_levels, values={"x": value}, at=moment))


async def test_levels_of_an_empty_ledger_are_nought(settings: Settings) -> None:
    async with open_desk(settings, prompt) as desk, desk.ledger.read() as connection:
        now = await desk.ledger.database.now(connection)
        stands = await standing(connection, now)
        waits = (await quantiles(connection, None, since=now))["", "wait"]
    values = level_values(stands, now, unaccounted=0, waits=waits)
    assert set(values.values()) == {0.0}
    assert "pick_up_p50_s" not in values


async def test_a_count_that_takes_long_is_not_repeated_soon(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[datetime] = []

    async def count_slowly(connection: AsyncConnection, now: datetime) -> Standing:
        counted.append(now)
        await asyncio.sleep(0.1)
        return await standing(connection, now)

    monkeypatch.setattr("service.worker.keeping.figures.standing", count_slowly)
    async with open_desk(settings, prompt) as desk:
        figures = Figures(desk.ledger)
        await figures.note_levels()
        await figures.note_levels()
    assert len(counted) == 1
