"""The leader keeps the outboxes empty: at once, through outages, and each without regard to the others."""

import asyncio
import itertools
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from service.errors import StartRefused
from service.feature import ChoreTools
from service.outbox import keeping
from service.outbox.keeping import check, open_relays
from service.outbox.listener import Listener
from service.outbox.places import Place
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.service.outbox.writing_rows import committed, create_outbox, guest, inserted, left, note, transaction
from tests.service.worker.desk import Desk
from tests.support.pgbouncer import PGBOUNCER, PgBouncer
from tests.support.proxy import FaultProxy, proxying
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.servers import PostgresServer

_numbers = itertools.count(1)
# 250 ms are promised. A machine that runs other tests takes longer now and then, so the quickest of some counts: the
# slow look alone would take most of a second for each, for the next row comes right after it.
_SOON_S = 0.25


@pytest.fixture(params=["sqlite", "postgres"])
async def app_url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    """The database of an application, with an outbox."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path / 'app.db'}"
        await create_outbox(url)
        yield url
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"app_{next(_numbers)}"
    url = server.create_database(name)
    await create_outbox(url)
    yield url
    server.drop_database(name)


async def relayed_after_s(desk: Desk, url: str) -> float:
    """Commit a row, and wait until the ledger knows it; return how long that took."""
    job_id = await committed(url, "note")
    began = time.monotonic()

    async def is_known() -> bool:
        async with desk.ledger.read() as connection:
            found = await connection.execute(text("SELECT 1 FROM jobs WHERE id = :id"), {"id": job_id})
            return found.first() is not None

    await eventually(is_known)
    return time.monotonic() - began


async def emptied(url: str) -> None:
    async def is_empty() -> bool:
        return await left(url) == 0

    await eventually(is_empty)


def with_outboxes(settings: Settings, *urls: str) -> Settings:
    return Settings(**settings.model_dump() | {"outbox_urls": ",".join(urls)})


async def test_a_row_is_in_the_ledger_within_250_ms(settings: Settings, desk: Desk, database_url: str) -> None:
    async with running_worker(settings, catalogue_of(note)):
        await relayed_after_s(desk, database_url)  # the forms of requests are made
        assert min([await relayed_after_s(desk, database_url) for _ in range(9)]) < _SOON_S


@on_sqlite
async def test_an_outbox_in_another_database_is_emptied_too(settings: Settings, desk: Desk, app_url: str) -> None:
    async with running_worker(with_outboxes(settings, app_url), catalogue_of(note)):
        await relayed_after_s(desk, app_url)
        assert min([await relayed_after_s(desk, app_url) for _ in range(9)]) < _SOON_S
        await emptied(app_url)


@on_sqlite
async def test_a_file_of_others_keeps_its_journal(settings: Settings, desk: Desk, tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'app.db'}"
    await create_outbox(url)
    async with running_worker(with_outboxes(settings, url), catalogue_of(note)):
        await relayed_after_s(desk, url)
    with sqlite3.connect(tmp_path / "app.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


async def test_a_commit_in_a_file_of_others_waits_for_those_who_read(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    await create_outbox(f"sqlite+aiosqlite:///{path}")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM postlude_outbox").fetchall()
    async with guest(f"sqlite+aiosqlite:///{path}") as database:
        deleting = asyncio.create_task(
            database.run(lambda connection: connection.execute(text("DELETE FROM postlude_outbox")))
        )

        async def is_committing() -> bool:
            """Whether nobody else may begin to read, or it has failed."""
            with sqlite3.connect(path, timeout=0) as another:
                try:
                    another.execute("SELECT * FROM postlude_outbox")
                except sqlite3.OperationalError:
                    return True
            return deleting.done()

        await eventually(is_committing)
        reader.close()
        await deleting


@on_sqlite
async def test_without_its_trigger_rows_are_looked_for(
    settings: Settings, desk: Desk, postgres: PostgresServer
) -> None:
    url = postgres.create_database(f"app_{next(_numbers)}")
    await create_outbox(url)
    async with transaction(url) as session:
        await session.execute(text("DROP TRIGGER postlude_outbox_announce ON postlude_outbox"))
    with capture_logs() as logs:
        async with running_worker(with_outboxes(settings, url), catalogue_of(note)):
            await relayed_after_s(desk, url)
            assert min([await relayed_after_s(desk, url) for _ in range(5)]) < _SOON_S
    [told] = [one for one in logs if one["event"] == "outbox_looked_at"]
    assert "no trigger" in told["reason"]


async def listening(url: str, do: Callable[[Listener, asyncio.Event], Awaitable[None]]) -> None:
    """Listen at an outbox while `do` is done."""
    bell = asyncio.Event()
    async with guest(url) as database:
        listener = Listener(database, bell, "app")
        task = asyncio.create_task(listener.listen())
        try:
            await do(listener, bell)
        finally:
            task.cancel()
            await asyncio.wait([task])


async def hears(listener: Listener) -> None:
    async def now() -> bool:
        return listener.hears

    await eventually(now)


async def test_an_insert_by_any_language_rings(postgres: PostgresServer) -> None:
    url = postgres.create_database(f"app_{next(_numbers)}")
    await create_outbox(url)

    async def do(listener: Listener, bell: asyncio.Event) -> None:
        await hears(listener)
        bell.clear()
        await inserted(url, "019b1f3e-7a52-7cc3-9d10-2f6a4c8e5b71")
        await asyncio.wait_for(bell.wait(), 5)

    await listening(url, do)


async def test_a_lost_connection_is_listened_over_again(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.outbox.listener._PROVE_EVERY_S", 0.1)
    url = postgres.create_database(f"app_{next(_numbers)}")
    await create_outbox(url)

    async def do(listener: Listener, bell: asyncio.Event) -> None:
        await hears(listener)
        async with transaction(url) as session:
            await session.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE datname = current_database() AND pid <> pg_backend_pid()")
            )  # fmt: skip

        async def is_deaf() -> bool:
            return not listener.hears

        await eventually(is_deaf)
        await hears(listener)

    await listening(url, do)


@pytest.fixture
def pooler(short_dir: Path, postgres: PostgresServer) -> Iterator[PgBouncer]:
    if PGBOUNCER is None:
        pytest.skip("there is no pgbouncer here")
    made = PgBouncer(short_dir / f"pooler-outbox{next(_numbers)}", postgres, "transaction")
    made.start()
    yield made
    made.stop()


@on_sqlite
async def test_behind_a_pooler_of_transactions_rows_are_looked_for(
    settings: Settings, desk: Desk, postgres: PostgresServer, pooler: PgBouncer
) -> None:
    name = f"app_{next(_numbers)}"
    direct = postgres.create_database(name)
    await create_outbox(direct)
    with capture_logs() as logs:
        async with running_worker(with_outboxes(settings, pooler.url(name)), catalogue_of(note)):
            await relayed_after_s(desk, direct)
            assert min([await relayed_after_s(desk, direct) for _ in range(5)]) < _SOON_S
    assert [one["reason"] for one in logs if one["event"] == "outbox_looked_at"] == [
        "a pooler changes connections between transactions, so nothing can be announced over it"
    ]


@on_sqlite
async def test_an_outbox_that_is_silent_holds_up_no_other_and_goes_on_when_it_is_back(
    settings: Settings, desk: Desk, database_url: str, postgres: PostgresServer
) -> None:
    name = f"app_{next(_numbers)}"
    direct = postgres.create_database(name)
    await create_outbox(direct)
    async with proxying(postgres.folder / ".s.PGSQL.5432") as proxy:
        through = f"postgresql+asyncpg://postgres@127.0.0.1:{proxy.port}/{name}"
        with capture_logs() as logs:
            async with running_worker(with_outboxes(settings, through), catalogue_of(note)):
                await relayed_after_s(desk, direct)
                await _hold_back(proxy, desk, database_url, direct)
                proxy.heal()
                await relayed_after_s(desk, direct)
                await emptied(direct)
    told = [one["event"] for one in logs if one["event"] in ("outbox_away", "outbox_back")]
    assert told in (["outbox_away", "outbox_back"], [])  # nothing, where it did not try within the time


async def _hold_back(proxy: FaultProxy, desk: Desk, own: str, silent: str) -> None:
    proxy.black_hole = True
    await committed(silent, "note")
    for _ in range(3):
        assert await relayed_after_s(desk, own) < 2


@on_sqlite
async def test_an_outbox_that_is_away_at_the_start_is_waited_for(
    settings: Settings, desk: Desk, database_url: str, tmp_path: Path
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'later.db'}"
    with capture_logs() as logs:
        async with running_worker(with_outboxes(settings, url), catalogue_of(note)):
            await relayed_after_s(desk, database_url)
            made = tmp_path / "made.db"
            await create_outbox(f"sqlite+aiosqlite:///{made}")
            shutil.move(made, tmp_path / "later.db")
            await relayed_after_s(desk, url)
    assert [one["event"] for one in logs if one["event"].startswith("outbox_away")] == ["outbox_away"] * 2
    assert len([one for one in logs if one["event"] == "outbox_back"]) == 1


async def test_a_database_without_the_table_refuses_the_start(app_url: str) -> None:
    async with transaction(app_url) as session:
        await session.execute(text("ALTER TABLE postlude_outbox RENAME TO elsewhere"))
    async with guest(app_url) as database:
        with pytest.raises(StartRefused, match="postlude outbox ddl --dialect"):
            await check(Place("app", app_url), database)


async def test_a_user_who_may_not_delete_refuses_the_start(postgres: PostgresServer) -> None:
    name = f"app_{next(_numbers)}"
    url = postgres.create_database(name)
    await create_outbox(url)
    async with transaction(url) as session:
        await session.execute(text(f"CREATE ROLE reader_{name} LOGIN"))
        await session.execute(text(f"GRANT SELECT ON postlude_outbox TO reader_{name}"))
    async with guest(url.replace("postgres@", f"reader_{name}@")) as database:
        with pytest.raises(StartRefused, match="grant it SELECT, UPDATE and DELETE"):
            await check(Place("app", url), database)


@on_sqlite
async def test_only_the_leader_takes_rows(settings: Settings, desk: Desk, database_url: str) -> None:
    leads = False
    tools = ChoreTools(
        settings,
        desk.ledger,
        desk.resources.catalogue,
        desk.resources.check_queue,
        desk.lifecycle.enqueue,
        lambda: leads,
    )
    await committed(database_url, "note")
    async with open_relays(tools) as [chore]:
        for _ in range(3):
            assert not await chore.do()
        assert await left(database_url) == 1
        leads = True

        async def is_empty() -> bool:
            await chore.do()
            return await left(database_url) == 0

        await eventually(is_empty)


def test_a_look_leaves_time_to_record_what_it_finds() -> None:
    assert keeping.LOOK_EVERY_S < 0.2
