"""Secrets on their way through the ledger: sealed in every row, open in the attempt, and bound to their place."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr
from sqlalchemy import select, text, update

from jobs import Context, RetryPolicy, job
from service import agreed_time
from service.access.reads import find_cookie_secret
from service.access.records import record_cookie_secret
from service.access_tables import cookie_secrets
from service.errors import SecretUnreadable
from service.ledger.database import Database
from service.ledger.models import Callback
from service.ledger.reads.flows import callbacks_of
from service.ledger.records.schedules import NewSchedule
from service.ledger.rotation import rotate
from service.ledger.sealed import COOKIE_SECRET
from service.lifecycle.callbacks import Asked, callback_of
from service.lifecycle.change import Wanted
from service.lifecycle.new_job import new_job
from service.options import NO_OPTIONS
from service.settings import Settings
from service.tables import jobs
from service.vault import Vault
from tests.service.worker.desk import Desk, open_desk
from tests.support.running import catalogue_of, eventually, running_worker
from tests.support.writing import writing

SECRET = "c4n4ry-of-the-ledger"
ONE, TWO = (SecretStr(base64.b64encode(bytes([number]) * 32).decode()) for number in (1, 2))


class Args(BaseModel):
    password: SecretStr = SecretStr("")
    note: str = ""


@job("keeps_a_secret", max_attempts=2, retry=RetryPolicy(base=0.001, cap=0.001))
async def keeps_a_secret(_ctx: Context, args: Args) -> bool:
    return args.password.get_secret_value() == SECRET


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"secret_keys": (ONE,)})


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, keeps_a_secret) as opened:
        yield opened


async def kept(database: Database) -> dict[str, Any]:
    """Return everything that the ledger keeps, as text."""
    names = ("jobs", "schedules", "callbacks", "job_listing", "job_tags", "attempts", "idempotency_keys")
    async with database.connect() as connection:
        return {name: str((await connection.execute(text(f"SELECT * FROM {name}"))).all()) for name in names}


async def sealed_args_of(desk: Desk, job_id: str) -> str:
    async with desk.ledger.read() as connection:
        sealed: str | None = await connection.scalar(select(jobs.c.sealed_args).where(jobs.c.id == job_id))
    assert sealed is not None
    return sealed


async def put(desk: Desk, job_id: str, sealed: str) -> None:
    async with writing(desk.ledger.database) as connection:
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(sealed_args=sealed))


def calling(desk: Desk, args: dict[str, str]) -> Callback:
    """Make a callback of the kind for when a job ends."""
    return callback_of("end", Asked(keeps_a_secret.name, args), desk.resources.catalogue, desk.resources.check_queue)


async def all_succeeded(desk: Desk, count: int) -> bool:
    async with desk.ledger.read() as connection:
        return list(await connection.scalars(select(jobs.c.result))) == ["true"] * count


async def test_secrets_are_sealed_in_each_row_and_open_in_the_attempt(desk: Desk, settings: Settings) -> None:
    args, name = {"password": SECRET}, keeps_a_secret.name
    await desk.enqueue(keeps_a_secret, args)
    changed = await desk.enqueue(keeps_a_secret, args, delay=timedelta(hours=1))
    await desk.lifecycle.change(
        changed, name, Wanted(args=Args(password=SecretStr(SECRET), note="changed"), run_at=None)
    )
    held = await desk.enqueue(keeps_a_secret, unique_key="k", delay=timedelta(hours=1))
    assert await desk.enqueue(keeps_a_secret, args, unique_key="k", on_conflict="debounce") == held
    callback = calling(desk, args)
    await desk.lifecycle.enqueue_one(name, args, NO_OPTIONS, callbacks=(callback,))
    await desk.lifecycle.schedules.say(schedule_of(args))
    await desk.lifecycle.schedules.run("nightly")
    assert_sealed(await kept(desk.ledger.database))
    async with running_worker(settings, catalogue_of(keeps_a_secret)):
        await eventually(lambda: all_succeeded(desk, 6))
    assert_sealed(await kept(desk.ledger.database))


def assert_sealed(rows: dict[str, str]) -> None:
    assert [table for table, text in rows.items() if SECRET in text] == []
    assert "v1:" in rows["schedules"]


def schedule_of(args: dict[str, str]) -> NewSchedule:
    job = new_job(keeps_a_secret, Args(**args), NO_OPTIONS, agreed_time.now())
    times: dict[str, Any] = {"cron": "0 3 * * *", "time_zone": "UTC", "start_at": None, "end_at": None}
    rules: dict[str, Any] = {"catch_up": "none", "overlap": "allow", "jitter_s": 0.0, "options": "{}"}
    return NewSchedule("nightly", job.kind, job.args, job.sealed_args, **times, **rules)


async def test_a_secret_that_was_moved_or_changed_fails_its_attempts_and_says_so(
    desk: Desk, settings: Settings
) -> None:
    mine, stolen = [await desk.enqueue(keeps_a_secret, {"password": SECRET}) for _ in range(2)]
    await put(desk, mine, await sealed_args_of(desk, stolen))
    async with running_worker(settings, catalogue_of(keeps_a_secret)):
        row = await desk.ended(mine)
        assert (row["state"], row["error_type"], row["failures"]) == ("failed", "SecretUnreadable", 2)
        assert "belongs to another row" in row["error_message"]
        assert (await desk.ended(stolen))["state"] == "succeeded"


async def test_a_missing_key_fails_attempts_by_its_name_and_nothing_else(desk: Desk, settings: Settings) -> None:
    job_id = await desk.enqueue(keeps_a_secret, {"password": SECRET})
    callback = callback_of(
        "end", Asked(keeps_a_secret.name, {"password": SECRET}), desk.resources.catalogue, desk.resources.check_queue
    )
    owner = await desk.lifecycle.enqueue_one(keeps_a_secret.name, {}, NO_OPTIONS, callbacks=(callback,))
    await desk.lifecycle.schedules.say(schedule_of({"password": SECRET}))
    [key_id] = desk.ledger.vault.key_ids
    other = settings.model_copy(update={"secret_keys": (TWO,)})
    async with open_desk(other, keeps_a_secret) as late, running_worker(other, catalogue_of(keeps_a_secret)):
        row = await late.ended(job_id)
        assert (row["state"], row["error_type"]) == ("failed", "SecretUnreadable")
        assert f"sealed with the key {key_id}" in row["error_message"]
        with pytest.raises(SecretUnreadable, match=key_id):
            await late.lifecycle.replay(job_id)
        assert (await late.ended(owner))["state"] == "failed", "its callback keeps no job from ending"
        async with late.ledger.read() as connection:
            [called] = (await callbacks_of(connection, [owner]))[owner]
        assert (await late.ended(called.job_ids[0]))["error_type"] == "SecretUnreadable"
        [view] = (await late.lifecycle.schedules.page("", 10)).views
        assert key_id in str(view.error)
    await desk.lifecycle.replay(job_id)
    both = settings.model_copy(update={"secret_keys": (TWO, ONE)})
    async with running_worker(both, catalogue_of(keeps_a_secret)):
        assert (await desk.ended(job_id))["state"] == "succeeded"


async def test_rows_from_before_the_keys_stay_readable(settings: Settings) -> None:
    async with open_desk(settings.model_copy(update={"secret_keys": ()}), keeps_a_secret) as early:
        job_id = await early.enqueue(keeps_a_secret, {"password": SECRET})
        assert SECRET in await sealed_args_of(early, job_id)
    async with open_desk(settings, keeps_a_secret) as desk, running_worker(settings, catalogue_of(keeps_a_secret)):
        assert (await desk.ended(job_id))["result"] == "true"


async def test_what_signs_cookies_is_sealed_and_made_anew_once_its_key_is_gone(database_url: str) -> None:
    found: list[str | None] = []
    for keys in ((ONE,), (TWO, ONE), (TWO,), (ONE,)):
        database = Database.open(database_url, vault=Vault(keys))
        record = partial(record_cookie_secret, secret=f"signs-{len(found)}", now=agreed_time.now())
        found.append(await database.run(record))
        async with database.connect() as connection:
            assert await find_cookie_secret(connection) == found[-1]
            row = str((await connection.execute(select(cookie_secrets))).one())
        assert "signs" not in row
        async for _ in rotate(database, COOKIE_SECRET):
            pass
        await database.close()
    assert found == ["signs-0", "signs-0", "signs-0", "signs-3"]
