"""What attempts log is kept for readers: from wherever it is logged, bounded, without secrets, in nobody's way."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from pydantic import BaseModel, SecretStr
from sqlalchemy import func, select
from structlog.testing import capture_logs

import jobs
from jobs import Context, job
from service import logs
from service.attempt_lines import KeptLine, KeptLines
from service.errors import LedgerUnavailable
from service.fact_tables import log_lines
from service.ledger.reads.log_lines import LogLine, lines_of
from service.settings import Settings
from service.worker.performing.attempt import performer_of
from service.worker.performing.recorded_log import RecordedLog
from tests.service.worker.desk import Desk, open_desk
from tests.support import journey_kinds
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.worker_process import worker_process

SECRET = "whsec_canary0123456789"
library = logging.getLogger("a.library")
said = structlog.get_logger("said.elsewhere")


class Args(BaseModel):
    key: SecretStr = SecretStr(SECRET)
    count: int = 3


@job("talk")
async def talk(ctx: Context, args: Args) -> None:
    ctx.log.info("begun", rows=args.count, nested={"password": "hunter2hunter2", "deep": [1, None, "x"]})
    library.warning("by a library: %s", args.key.get_secret_value())
    await asyncio.to_thread(library.error, "in a thread")
    said.info(f"token={SECRET}x and\0 \ud800 odd", url=f"https://h/?k={SECRET}")
    ctx.log.debug("below the level")
    try:
        int(f"no number: {args.key.get_secret_value()}")
    except ValueError:
        ctx.log.exception("failed")


@job("talk_in_thread")
def talk_in_thread(ctx: Context) -> None:
    ctx.log.info("from a def")
    library.info("from its library")


@job("flood")
async def flood(ctx: Context, args: Args) -> None:
    for number in range(args.count):
        library.info("line %d", number + 1)
        if number % 1_000 == 0:
            await asyncio.sleep(0)


@job("talk_and_wait")
async def talk_and_wait(ctx: Context) -> None:
    ctx.log.info("waiting")
    await asyncio.sleep(60)


@job("be_quiet")
async def be_quiet(_ctx: Context) -> None:
    pass


KINDS = (talk, talk_in_thread, flood, talk_and_wait, be_quiet)


@pytest.fixture(autouse=True)
def logging_is_set_up() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.configure("INFO", "json")
    root.handlers = []
    yield
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, *KINDS) as opened:
        yield opened


async def kept(desk: Desk, job_id: str) -> Sequence[LogLine]:
    async with desk.ledger.read() as connection:
        return await lines_of(connection, job_id)


async def test_lines_are_kept_from_wherever_they_are_logged_and_without_secrets(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(*KINDS)):
        talked = await desk.enqueue(talk)
        in_thread = await desk.enqueue(talk_in_thread)
        quiet = await desk.enqueue(be_quiet)
        for one in (talked, in_thread, quiet):
            assert (await desk.ended(one))["state"] == "succeeded"
    lines = await kept(desk, talked)
    assert [(line.number, line.level, line.left_out) for line in lines] == [
        (1, "info", 0),
        (2, "warning", 0),
        (3, "error", 0),
        (4, "info", 0),
        (5, "error", 0),
    ]
    masked = {"rows": 3, "nested": {"password": "**********", "deep": [1, None, "x"]}}
    assert (lines[0].text, lines[0].names) == ("begun", masked)
    assert (lines[1].text, lines[1].names) == ("by a library: **********", {"logger": "a.library"})
    assert lines[2].text == "in a thread"
    assert lines[3].text == "token=********** and\N{REPLACEMENT CHARACTER} ? odd"
    assert lines[4].text.startswith("failed\nTraceback")
    assert "'no number: **********'" in lines[4].text
    assert SECRET not in repr(lines)
    assert [line.text for line in await kept(desk, in_thread)] == ["from a def", "from its library"]
    assert not await kept(desk, quiet)


async def test_of_a_flood_the_first_and_the_latest_lines_are_kept(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings, catalogue_of(*KINDS)) as worker:
        job_id = await desk.enqueue(flood, {"count": 30_000})
        assert (await desk.ended(job_id))["state"] == "succeeded"
        keeping = performer_of(worker.ctx).recorded_log.keeping

        async def is_forgotten() -> bool:
            return not keeping.has_any

        await eventually(is_forgotten)
    lines = await kept(desk, job_id)
    assert [line.text for line in lines] == [f"line {n}" for n in (*range(1, 101), *range(29_901, 30_001))]
    assert [line.left_out for line in lines if line.left_out] == [29_800]


async def test_lines_of_a_running_attempt_are_there_while_it_runs(desk: Desk, settings: Settings) -> None:
    async with running_worker(settings.model_copy(update={"grace_s": 0}), catalogue_of(*KINDS)):
        job_id = await desk.enqueue(talk_and_wait)
        lines = await eventually(lambda: kept(desk, job_id))
        assert [line.text for line in lines] == ["waiting"]
        assert (await desk.row(job_id))["state"] == "running"


def line(text: str) -> KeptLine:
    return KeptLine(1, datetime.now(UTC), "info", text, None)


async def test_without_the_database_lines_wait_bounded_and_are_recorded_when_it_is_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded_log, run, most = RecordedLog(desk.ledger, catalogue_of()), desk.ledger.database.run, 200
    monkeypatch.setattr("service.worker.performing.recorded_log.MOST_HEARD_LINES", most)

    async def away(_write: object) -> None:
        raise LedgerUnavailable("away")

    job_id = await desk.record_only(be_quiet)
    monkeypatch.setattr(desk.ledger.database, "run", away)
    for number in range(most + 5):
        recorded_log.hear(KeptLines(job_id, number, [line(f"line {number}")]))
    with pytest.raises(LedgerUnavailable):
        await recorded_log.record()
    assert recorded_log.keeping.dropped == 5
    monkeypatch.setattr(desk.ledger.database, "run", run)
    with capture_logs() as said:
        await recorded_log.record()
    assert [(one["event"], one["lines"]) for one in said] == [("log_lines_dropped", 5)]
    async with desk.ledger.read() as connection:
        counted = await connection.execute(select(func.count()).select_from(log_lines))
        assert counted.scalar_one() == most


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_line_that_the_database_refuses_is_dropped_alone(desk: Desk) -> None:
    recorded_log = RecordedLog(desk.ledger, catalogue_of())
    good, bad = await desk.record_only(be_quiet), await desk.record_only(be_quiet)
    for job_id, text in ((bad, "a\0b"), (good, "good")):
        recorded_log.hear(KeptLines(job_id, 1, [line(text)]))
    await recorded_log.record()
    await recorded_log.record()
    assert [one.text for one in await kept(desk, good)] == ["good"]
    assert not await kept(desk, bad)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_killed_worker_leaves_the_lines_until_then(settings: Settings, tmp_path: Path) -> None:
    module = "tests.support.journey_kinds"
    changed = settings.model_copy(update={"jobs": (module,)})
    async with open_desk(changed, *jobs.load((module,)).values()) as at_work:
        job_id = await at_work.enqueue(journey_kinds.talk, {"first_seconds": 60})
        async with worker_process(changed, tmp_path):  # killed at the end
            await eventually(lambda: kept(at_work, job_id))
        assert [one.text for one in await kept(at_work, job_id)] == ["talking alone"]
