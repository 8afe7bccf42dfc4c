"""An application that writes into its outbox, and relays to take its rows without a worker."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from postlude import outbox as client
from pydantic import BaseModel, SecretStr
from sqlalchemy import Connection, NullPool, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from jobs import Context, job
from service.ledger.database import Database
from service.outbox.making import Maker
from service.outbox.relay import Relay
from service.outbox.tables import outbox
from service.tables import jobs
from tests.service.worker.desk import Desk


class NoteArgs(BaseModel):
    text: str = ""
    number: int = 0


class PostArgs(BaseModel):
    url: str
    secret: SecretStr | None = None


@job("note")
async def note(_ctx: Context, args: NoteArgs) -> str:
    return args.text


@job("post")
async def post(_ctx: Context, _args: PostArgs) -> None: ...


@asynccontextmanager
async def transaction(url: str) -> AsyncIterator[AsyncSession]:
    """Open a transaction of the application, committed at the end."""
    # A disk that others use as well may take long to write, and a file without a write-ahead log is locked meanwhile.
    patience = {"timeout": 60} if url.startswith("sqlite") else {}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=patience)
    try:
        async with AsyncSession(engine) as session, session.begin():
            yield session
    finally:
        await engine.dispose()


async def committed(url: str, kind: str, args: Any = None, **options: Any) -> str:
    """Enqueue in a transaction of its own."""
    async with transaction(url) as session:
        return await client.enqueue(session, kind, args, **options)


async def inserted(url: str, row_id: Any, kind: Any = "note", args: Any = "{}", options: Any = "{}") -> None:
    """Insert a row as another language would."""
    values = {"id": row_id, "kind": kind, "args": args, "options": options}
    async with transaction(url) as session:
        await session.execute(
            text("INSERT INTO postlude_outbox (id, kind, args, options) VALUES (:id, :kind, :args, :options)"), values
        )


async def filled(url: str, count: int) -> None:
    """Insert many rows."""
    rows = [{"id": f"019b1f3e-7a52-7cc3-9d10-{number:012x}", "kind": "note", "args": f'{{"number":{number}}}'}
            for number in range(count)]  # fmt: skip
    async with transaction(url) as session:
        await session.execute(insert(outbox), rows)


async def left(url: str) -> int:
    """Count the rows of an outbox."""
    async with transaction(url) as session:
        return (await session.execute(select(func.count()).select_from(outbox))).scalar_one()


async def job_count(desk: Desk) -> int:
    async with desk.ledger.read() as connection:
        return (await connection.execute(select(func.count()).select_from(jobs))).scalar_one()


@contextmanager
def relay_at(desk: Desk, database: Database | None = None) -> Iterator[Relay]:
    """Make a relay of the outbox in a database: by default the ledger's own."""
    with ThreadPoolExecutor(1) as thread:
        maker = Maker(desk.resources)
        yield Relay(database or desk.ledger.database, maker, desk.lifecycle.enqueue, thread)


async def relayed(desk: Desk, database: Database | None = None) -> None:
    """Let a new relay do one round."""
    with relay_at(desk, database) as relay:
        while await relay.relay():
            pass


@asynccontextmanager
async def guest(url: str) -> AsyncIterator[Database]:
    """Open another application's database, which has an outbox."""
    database = Database.open_guest(url, limit_s=5)
    try:
        yield database
    finally:
        await database.close()


async def create_outbox(url: str) -> None:
    """Create the table, as the application's own migrations do."""

    def create(connection: Connection) -> None:
        outbox.create(connection, checkfirst=True)

    async with transaction(url) as session:
        connection: AsyncConnection = await session.connection()
        await connection.run_sync(create)
