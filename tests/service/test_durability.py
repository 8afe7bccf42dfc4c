from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs

from service.durability import Durability, risky_in_postgres, risky_in_redis
from service.ledger.database import Database
from service.queue import open_redis
from service.settings import Settings
from tests.support.running import eventually, running_api
from tests.support.servers import PostgresServer, RedisServer


@pytest.fixture
def evicting_redis(short_dir: Path) -> Iterator[str]:
    server = RedisServer(short_dir / "evicting", options=("--maxmemory-policy", "allkeys-lru"))
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def risky_postgres(short_dir: Path) -> Iterator[str]:
    off = [option for name in ("fsync", "full_page_writes", "synchronous_commit") for option in ("-c", f"{name}=off")]
    server = PostgresServer(short_dir / "risky", options=tuple(off))
    server.start()
    yield server.url("postgres")
    server.stop()


async def test_a_redis_that_may_evict_is_named_with_the_remedy_until_it_may_not(evicting_redis: str) -> None:
    redis = open_redis(evicting_redis)
    assert list(await risky_in_redis(redis)) == ["Redis maxmemory-policy=allkeys-lru"]
    await redis.config_set("maxmemory-policy", "noeviction")
    assert await risky_in_redis(redis) == {}
    await redis.aclose(close_connection_pool=True)


async def test_a_postgres_that_may_forget_is_named_but_our_session_sees_to_its_own_commits(risky_postgres: str) -> None:
    database = Database.open(risky_postgres)
    assert set(await risky_in_postgres(database)) == {"Postgres fsync=off", "Postgres full_page_writes=off"}
    await database.close()


async def test_a_session_that_is_not_let_commit_durably_is_named(risky_postgres: str) -> None:
    engine = create_async_engine(risky_postgres)  # as through a pooler that drops a session's settings
    database = Database(engine, engine, engine)
    assert "Postgres synchronous_commit=off" in await risky_in_postgres(database)
    await database.close()


async def test_each_setting_is_warned_of_once(evicting_redis: str, risky_postgres: str) -> None:
    database, redis = Database.open(risky_postgres), open_redis(evicting_redis)
    durability = Durability(database, redis)
    with capture_logs() as lines:
        await durability.check()
        await durability.check()
    assert sorted(line["setting"] for line in lines) == [
        "Postgres fsync=off",
        "Postgres full_page_writes=off",
        "Redis maxmemory-policy=allkeys-lru",
    ]
    assert all("=on" in line["remedy"] or "CONFIG SET" in line["remedy"] for line in lines)
    await redis.aclose(close_connection_pool=True)
    await database.close()


async def test_servers_that_are_away_are_checked_later(tmp_path: Path, evicting_redis: str) -> None:
    database = Database.open(f"postgresql+asyncpg://ann@/none?host={tmp_path}")
    away, back = open_redis(f"unix://{tmp_path}/nobody.sock"), open_redis(evicting_redis)
    with capture_logs() as lines:
        await Durability(database, away).check()
        assert not [line for line in lines if line["log_level"] == "warning"]
        await Durability(database, back).check()
    assert [line["setting"] for line in lines if "setting" in line] == ["Redis maxmemory-policy=allkeys-lru"]
    await away.aclose(close_connection_pool=True)
    await back.aclose(close_connection_pool=True)
    await database.close()


async def test_the_api_warns_at_its_start(settings: Settings, redis: Redis, capsys: pytest.CaptureFixture[str]) -> None:
    await redis.config_set("maxmemory-policy", "volatile-lru")
    told = ""

    async def is_told() -> bool:
        nonlocal told
        told += capsys.readouterr().err
        return "Redis maxmemory-policy=volatile-lru" in told

    try:
        async with running_api(settings):
            await eventually(is_told)
    finally:
        await redis.config_set("maxmemory-policy", "noeviction")
