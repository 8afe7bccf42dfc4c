"""Housekeeping: chores go on side by side through outages, and end their pass before the worker stops."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import RowMapping
from structlog.testing import capture_logs

from service import agreed_time
from service.chore import Chore
from service.errors import LedgerUnavailable, StartRefused
from service.feature import ChoreTools, Feature, OpenChores
from service.ledger.reads.workers import living_workers
from service.queue import open_redis
from service.settings import Settings
from service.worker.performing.durations import Durations
from service.worker.startup import Startup
from tests.service.api.driving import on_sqlite
from tests.service.worker.desk import Desk
from tests.service.worker.keeping.sweeping import rest
from tests.support.running import catalogue_of, eventually, running_worker

pytestmark = on_sqlite

Do = Callable[[], Awaitable[bool | None]]


def chores(monkeypatch: pytest.MonkeyPatch, **do: Do) -> None:
    """Have workers do these chores, and no others."""
    listed = [Chore(name, 0.01, one) for name, one in do.items()]
    monkeypatch.setattr("service.worker.keeping.housekeeping.chores_of", lambda *_: listed)


async def test_outage_in_one_chore_is_reported_once_and_holds_up_no_other(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, others = 0, 0

    async def needs_a_server() -> None:
        nonlocal tried
        tried += 1
        if tried < 4:
            raise LedgerUnavailable("away")

    async def other() -> None:
        nonlocal others
        others += 1

    chores(monkeypatch, needs_a_server=needs_a_server, other=other)
    with capture_logs() as logs:
        async with running_worker(settings, catalogue_of(rest)):

            async def is_over() -> bool:
                return tried >= 5

            await eventually(is_over)
    told = [one["event"] for one in logs if one.get("chore") == "needs_a_server"]
    assert told == ["outage", "outage_over"]
    assert others > tried


async def test_failing_chore_is_logged_and_runs_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    done = 0

    async def fails_first() -> None:
        nonlocal done
        done += 1
        if done == 1:
            raise ZeroDivisionError

    async def is_done_again() -> bool:
        return done >= 3

    chores(monkeypatch, fails_first=fails_first)
    with capture_logs() as logs:
        async with running_worker(settings, catalogue_of(rest)):
            await eventually(is_done_again)
    assert [one["chore"] for one in logs if one["event"] == "chore_failed"] == ["fails_first"]


async def test_chore_with_more_to_do_is_done_again_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    left = 100
    listed: list[Chore] = []

    async def full_passes() -> bool:
        nonlocal left
        left -= 1
        return left > 0

    async def all_is_done() -> bool:
        return left <= 0

    listed.append(Chore("full passes", 3600.0, full_passes))
    monkeypatch.setattr("service.worker.keeping.housekeeping.chores_of", lambda *_: listed)
    async with running_worker(settings, catalogue_of(rest)):
        await eventually(all_is_done)
    assert left == 0


async def test_chore_that_waits_begins_after_its_interval(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def noting(name: str, every_s: float, *, waits: bool) -> Chore:
        async def note() -> None:
            done.append(name)

        return Chore(name, every_s, note, waits=waits)

    listed = [
        noting("in an hour", 3600.0, waits=True),
        noting("soon", 0.01, waits=True),
        noting("now", 3600.0, waits=False),
    ]
    monkeypatch.setattr("service.worker.keeping.housekeeping.chores_of", lambda *_: listed)

    async def has_begun() -> bool:
        return {"soon", "now"} <= {*done}

    async with running_worker(settings, catalogue_of(rest)):
        await eventually(has_begun)
    assert "in an hour" not in done
    assert done[0] == "now"


async def test_worker_that_stops_lets_a_chore_end_its_pass(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        begun.set()
        await asyncio.sleep(0.3)
        ended.set()

    chores(monkeypatch, slow=slow)
    async with running_worker(settings, catalogue_of(rest)):
        await begun.wait()
        begun.clear()
        ended.clear()
        await begun.wait()
    assert ended.is_set()


async def test_worker_that_cannot_tell_its_figures_signs_off_all_the_same(
    desk: Desk, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_durations: Durations) -> None:
        raise LedgerUnavailable("lost")

    chores(monkeypatch)
    monkeypatch.setattr(Durations, "tell", fails)
    async with running_worker(settings, catalogue_of(rest)):
        await eventually(lambda: living_at_desk(desk))
        assert heartbeats()
    assert not await living_at_desk(desk)
    assert not heartbeats()


async def living_at_desk(desk: Desk) -> Sequence[RowMapping]:
    async with desk.ledger.read() as connection:
        return await living_workers(connection, agreed_time.now())


def heartbeats() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def with_chores(monkeypatch: pytest.MonkeyPatch, opened: OpenChores) -> None:
    monkeypatch.setattr("service.worker.startup.FEATURES", (Feature("tried", chores=opened),))


async def test_chores_of_a_feature_are_done_while_what_they_need_is_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_open, led = False, asyncio.Event()

    @asynccontextmanager
    async def opened(tools: ChoreTools) -> AsyncIterator[Sequence[Chore]]:
        nonlocal is_open
        is_open = True

        async def do() -> None:
            assert is_open
            if tools.leads():
                led.set()

        yield [Chore("tried", 0.01, do)]
        is_open = False

    with_chores(monkeypatch, opened)
    async with running_worker(settings, catalogue_of(rest)):
        await asyncio.wait_for(led.wait(), 10)
        assert is_open
    assert not is_open


async def test_a_feature_that_cannot_keep_house_refuses_the_start(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def opened(tools: ChoreTools) -> AsyncIterator[Sequence[Chore]]:
        if not tools.leads():
            raise StartRefused("the table is missing")
        yield []

    with_chores(monkeypatch, opened)
    async with open_redis(settings.redis_dsn) as redis:
        with pytest.raises(SystemExit, match="error: the table is missing"):
            await Startup(settings, catalogue_of(rest)).start_up({"redis": redis})
