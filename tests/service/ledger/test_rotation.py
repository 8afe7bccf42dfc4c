"""Keys are rotated while everything goes on, and whatever is killed meanwhile."""

import asyncio
import base64
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from signal import SIGKILL
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Integer, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from service.features import FEATURES
from service.flow_tables import callbacks
from service.ledger.database import Database
from service.ledger.reads.sealed_rows import page_of
from service.ledger.records.callbacks import insert_callbacks
from service.ledger.records.resealed import record_resealed
from service.ledger.rotation import count_by_key, rotate
from service.ledger.sealed import CALLBACK_ARGS, JOB_ARGS, OF_THE_LEDGER, SealedColumn
from service.settings import Settings
from service.tables import jobs
from service.vault import Vault
from tests.service.ledger.test_sealing import SECRET, calling, keeps_a_secret, schedule_of
from tests.service.worker.desk import Desk, open_desk
from tests.support.plans import bad_ways_in, fill, plans_of, sent_by
from tests.support.processes import ran
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.writing import writing

OLD, NEW = (SecretStr(base64.b64encode(bytes([number]) * 32).decode()) for number in (1, 2))
COLUMNS: list[SealedColumn] = [*OF_THE_LEDGER, *(of for feature in FEATURES for of in feature.sealed)]
ARGS = {"password": SECRET}


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    """A desk that still seals with the old key."""
    async with open_desk(settings.model_copy(update={"secret_keys": (OLD, NEW)}), keeps_a_secret) as opened:
        yield opened


async def rotated(url: str, *keys: SecretStr) -> Counter[str | None]:
    """Rotate, and return how many secrets each key has sealed."""
    database = Database.open(url, vault=Vault(keys))
    counts = Counter[str | None]()
    for of in COLUMNS:
        async for _ in rotate(database, of):
            pass
        counts.update(await count_by_key(database, of))
    await database.close()
    return counts


async def test_every_secret_is_sealed_by_the_new_key_and_reads_as_before(
    desk: Desk, settings: Settings, database_url: str
) -> None:
    job_id = await desk.enqueue(keeps_a_secret, ARGS)
    in_clear = await desk.enqueue(keeps_a_secret, ARGS)
    async with writing(desk.ledger.database) as connection:
        of_it = jobs.c.id == in_clear
        await connection.execute(update(jobs).where(of_it).values(sealed_args=json.dumps(ARGS)))
    owned = [("flow", calling(desk, ARGS)._replace(event=event)) for event in ("success", "end")]
    await desk.ledger.database.run(lambda connection: insert_callbacks(connection, owned))
    await desk.lifecycle.schedules.say(schedule_of(ARGS))
    new = Vault([NEW])
    assert await rotated(database_url, NEW, OLD) == {new.key_id: 5}
    assert await rotated(database_url, NEW, OLD) == {new.key_id: 5}, "it is safe to repeat"
    async with desk.ledger.read() as connection:
        templates = (await connection.execute(select(callbacks))).all()
    for row in templates:
        assert SECRET in CALLBACK_ARGS.opened(new, row.template, row.owner, row.event)
    only_new = settings.model_copy(update={"secret_keys": (NEW,)})
    async with open_desk(only_new, keeps_a_secret) as late, running_worker(only_new, catalogue_of(keeps_a_secret)):
        await late.lifecycle.schedules.run("nightly")
        for one in (job_id, in_clear):
            assert (await late.ended(one))["result"] == "true"


async def test_jobs_run_and_come_in_while_keys_are_rotated(desk: Desk, settings: Settings, database_url: str) -> None:
    both = settings.model_copy(update={"secret_keys": (OLD, NEW)})
    made = [await desk.enqueue(keeps_a_secret, ARGS) for _ in range(100)]
    over = asyncio.Event()

    async def go_on() -> None:
        while not over.is_set():
            made.append(await desk.enqueue(keeps_a_secret, ARGS))

    async with running_worker(both, catalogue_of(keeps_a_secret)):
        going_on = asyncio.create_task(go_on())
        counts = [await rotated(database_url, NEW, OLD) for _ in range(3)]
        over.set()
        await going_on
        await eventually(lambda: all_ended(desk))
    assert counts[-1][Vault([NEW]).key_id] > 100
    async with desk.ledger.read() as connection:
        ends = Counter((await connection.scalars(select(jobs.c.result))).all())
    assert ends == {"true": len(made)}
    assert set(await rotated(database_url, NEW, OLD)) == {Vault([NEW]).key_id}


async def all_ended(desk: Desk) -> bool:
    async with desk.ledger.read() as connection:
        return await connection.scalar(select(jobs.c.id).where(jobs.c.finished_at.is_(None)).limit(1)) is None


async def test_killed_rotation_goes_on_where_it_was(desk: Desk, database_url: str) -> None:
    for _ in range(5):
        await asyncio.gather(*(desk.enqueue(keeps_a_secret, ARGS) for _ in range(50)))
    keys = ",".join(key.get_secret_value() for key in (NEW, OLD))
    variables = {"POSTLUDE_DATABASE_URL": database_url, "POSTLUDE_SECRET_KEYS": keys}
    command = (sys.executable, "-m", "tests.support.mortal_rotation", "secrets", "rotate")
    killed = await asyncio.to_thread(ran, command, variables)
    assert killed.returncode == -SIGKILL, killed.stderr
    old, new = Vault([OLD]).key_id, Vault([NEW]).key_id
    assert await count_by_key(desk.ledger.database, JOB_ARGS) == {new: 100, old: 150}
    assert await rotated(database_url, NEW, OLD) == {new: 250}
    database = Database.open(database_url)
    async with database.connect() as connection:
        for row in await connection.execute(select(jobs.c.id, jobs.c.sealed_args)):
            assert SECRET in JOB_ARGS.open(Vault([NEW]), row.sealed_args, row.id)
    await database.close()


async def test_what_no_key_opens_is_left_as_it_is_and_told(desk: Desk, database_url: str) -> None:
    await desk.enqueue(keeps_a_secret, ARGS)
    database = Database.open(database_url, vault=Vault([NEW]))
    [told] = [progress async for progress in rotate(database, JOB_ARGS)]
    assert (told.looked_at, told.resealed) == (1, (0, 1))
    assert await count_by_key(database, JOB_ARGS) == {Vault([OLD]).key_id: 1}
    await database.close()


async def test_no_page_of_a_rotation_walks_through_a_table(database_url: str) -> None:
    database = Database.open(database_url, vault=Vault([NEW]))
    await fill(database, terminal=5_000, waiting=100)
    calls: dict[str, Any] = {}
    for of in COLUMNS:
        keys: list[Any] = [1 if isinstance(column.type, Integer) else "x" for column in of.key]
        calls[f"page of {of}"] = partial(execute, page_of(of, keys, 50))
        calls[f"rows of {of}"] = partial(reseal, of, keys[:1] * 3)
    for name, call in calls.items():
        for sent in await sent_by(database, call):
            for plan in await plans_of(database, sent, avoid_walks=True):
                assert not bad_ways_in(plan), f"{name}: {sent.sql}\n{plan}"
    await database.close()


async def execute(statement: Select[Any], connection: AsyncConnection, _now: datetime) -> object:
    return await connection.execute(statement)


async def reseal(of: SealedColumn, names: list[Any], connection: AsyncConnection, _now: datetime) -> object:
    return await connection.run_sync(record_resealed, of, names)
