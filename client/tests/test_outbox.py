"""A job in one's own transaction: one row, which is there when the transaction has committed, and only then."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from inspect import iscoroutine
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr
from sqlalchemy import Engine, MetaData, create_engine, select, text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.schema import CreateTable

from postlude import NotJson, outbox
from postlude.outbox import OutboxRefused

METADATA = MetaData()
TABLE = outbox.table(METADATA)


class Mail(BaseModel):
    to: str
    at: datetime


@dataclass
class Count:
    subject: str
    number: int = 1


class Post(BaseModel):
    url: str
    secret: SecretStr


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = create_engine(f"sqlite:///{tmp_path / 'app.db'}")
    METADATA.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
async def async_engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    made = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'app.db'}")
    async with made.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield made
    await made.dispose()


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(select(TABLE).order_by(TABLE.c.id)))


def row_of(engine: Engine, kind: str, args: Any = None, **options: Any) -> tuple[Any, Any]:
    """Return args and options as they lie in the row of a job."""
    with Session(engine) as session, session.begin():
        outbox.enqueue(session, kind, args, **options)
    return json.loads(rows(engine)[-1].args), json.loads(rows(engine)[-1].options)


def test_a_committed_row_has_the_id_that_was_returned_and_the_time(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        job_id = outbox.enqueue(session, "send_welcome", {"email": "ann@example.com"})
    [row] = rows(engine)
    assert (row.id, row.kind, json.loads(row.args), row.options) == (
        job_id,
        "send_welcome",
        {"email": "ann@example.com"},
        "{}",
    )
    assert UUID(job_id).version == 7
    assert abs(datetime.fromisoformat(row.created_at.replace("Z", "+00:00")) - datetime.now(timezone.utc)) < timedelta(
        minutes=1
    )


def test_a_rolled_back_row_is_not_there(engine: Engine) -> None:
    with Session(engine) as session:
        outbox.enqueue(session, "send_welcome")
        session.rollback()
    assert rows(engine) == []


def test_any_session_and_any_connection_takes_it(engine: Engine) -> None:
    made = sessionmaker(engine)
    scoped = scoped_session(made)
    outbox.enqueue(scoped, "by_scoped_session")
    scoped.commit()
    scoped.remove()
    with engine.begin() as connection:
        outbox.enqueue(connection, "by_connection")
    with made.begin() as session:
        outbox.enqueue(session, "by_session")
    assert [row.kind for row in rows(engine)] == ["by_scoped_session", "by_connection", "by_session"]


async def test_an_asynchronous_session_is_awaited(engine: Engine, async_engine: AsyncEngine) -> None:
    made = async_sessionmaker(async_engine)
    async with made.begin() as session:
        by_session = await outbox.enqueue(session, "by_session")
    async with async_engine.begin() as connection:
        by_connection = await outbox.enqueue(connection, "by_connection")
        await connection.run_sync(lambda sync: outbox.enqueue(sync, "by_its_sync_side"))
    scoped = async_scoped_session(made, scopefunc=lambda: 1)
    await outbox.enqueue(scoped, "by_scoped_session")
    await scoped.commit()
    await scoped.remove()
    found = rows(engine)
    assert [row.kind for row in found] == ["by_session", "by_connection", "by_its_sync_side", "by_scoped_session"]
    assert [by_session, by_connection] == [row.id for row in found[:2]]


async def test_an_asynchronous_rollback_leaves_nothing(engine: Engine, async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as session:
        await outbox.enqueue(session, "by_session")
        await session.rollback()
    assert rows(engine) == []


async def test_python_warns_whoever_forgets_to_await(async_engine: AsyncEngine) -> None:
    async with AsyncSession(async_engine) as session:
        enqueuing = outbox.enqueue(session, "by_session")
        assert iscoroutine(enqueuing)  # of which Python itself says that it was never awaited
        await enqueuing


def test_models_dataclasses_and_options_are_written_as_in_a_request(engine: Engine) -> None:
    at = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)
    args, options = row_of(
        engine, "send_mail", Mail(to="ann@example.com", at=at), delay=timedelta(minutes=5), tags=["a"]
    )
    assert args == {"to": "ann@example.com", "at": "2026-01-31T12:00:00Z"}
    assert options == {"delay": 300.0, "tags": ["a"]}
    assert row_of(engine, "count", Count("page"), run_at=at) == (
        {"subject": "page", "number": 1},
        {"run_at": "2026-01-31T12:00:00Z"},
    )
    assert row_of(engine, "none", None, priority=None) == ({}, {})


def test_the_id_of_the_caller_is_kept(engine: Engine) -> None:
    mine = "019b1f3e-7a52-7cc3-9d10-2f6a4c8e5b71"
    with Session(engine) as session, session.begin():
        assert outbox.enqueue(session, "send_welcome", id=mine) == mine
    assert rows(engine)[0].id == mine


@pytest.mark.parametrize(
    ("args", "options", "told"),
    [
        ({}, {"prioritty": 1}, "do you mean 'priority'"),
        ({}, {"id": "7"}, "not a UUIDv7"),
        ({}, {"run_at": datetime(2026, 1, 31)}, "no time zone"),  # noqa: DTZ001
        ({}, {"run_at": datetime.now(timezone.utc), "delay": 1}, "not both"),
        (["a"], {}, "not an object"),
        ({"text": "x" * 262_144}, {}, "at most 262,144"),
        ({"text": "a\x00b"}, {}, "NUL"),
        ({"prices": [float("nan")]}, {}, "JSON cannot hold NaN"),
        ({}, {"metadata": {"price": float("-inf")}}, "JSON cannot hold -Infinity"),
        (Post(url="https://example.com", secret=SecretStr("s")), {}, r"args\.secret is a secret"),
        ({"posts": [{"secret": SecretStr("s")}]}, {}, r"args\.posts\.secret is a secret"),
        ({}, {"on_end": {"url": "https://example.com", "secret": "whsec_x"}}, "secret of on_end"),
    ],
)
def test_what_can_be_seen_to_make_no_job_is_refused_before_anything_is_written(
    engine: Engine, args: Any, options: dict[str, Any], told: str
) -> None:
    with Session(engine) as session, session.begin(), pytest.raises(OutboxRefused, match=told):
        outbox.enqueue(session, "send_welcome", args, **options)
    assert rows(engine) == []


@pytest.mark.parametrize("kind", ["", "k" * 101])
def test_a_kind_has_a_name_of_100_characters_at_most(engine: Engine, kind: str) -> None:
    with Session(engine) as session, pytest.raises(OutboxRefused, match="1 to 100"):
        outbox.enqueue(session, kind)


def test_what_json_cannot_hold_is_refused(engine: Engine) -> None:
    with Session(engine) as session, pytest.raises(NotJson):
        outbox.enqueue(session, "send_welcome", {"connection": object()})


def test_texts_and_options_of_any_sort_are_left_to_the_service(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        untyped: dict[str, Any] = {"on_end": "send_welcome"}
        outbox.enqueue(session, "send_welcome", {"text": "NaN, Infinity"}, **untyped)
    assert [row.args for row in rows(engine)] == ['{"text":"NaN, Infinity"}']


def test_the_table_is_in_the_schema_of_the_connection_whatever_the_metadata_say() -> None:
    made = str(CreateTable(outbox.table(MetaData(schema="app"))))
    assert "CREATE TABLE postlude_outbox" in made


def test_options_that_are_left_out_have_their_default(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO postlude_outbox (id, kind, args) VALUES ('i', 'k', '{}')"))
    assert rows(engine)[0].options == "{}"
