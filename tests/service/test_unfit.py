"""Servers that Postlude cannot use are refused at the start, with a sentence; one that is away is not."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import StartRefused
from service.ledger import migrate
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.queue import open_redis
from service.settings import Settings
from service.unfit import refuse_unfit_servers
from tests.support.pgbouncer import PGBOUNCER, PgBouncer
from tests.support.servers import PostgresServer, RedisServer

_numbers = itertools.count(1)
with_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="there is no pgbouncer on this machine")


@pytest.fixture
def pooled(request: pytest.FixtureRequest, short_dir: Path, postgres: PostgresServer) -> Iterator[str]:
    """The URL of a migrated database behind a PgBouncer in the mode that the test names."""
    number = next(_numbers)
    postgres.create_database(f"pooled_{number}", template="template_postlude")
    pooler = PgBouncer(short_dir / f"pooler{number}", postgres, request.param)
    pooler.start()
    yield pooler.url(f"pooled_{number}")
    pooler.stop()
    postgres.drop_database(f"pooled_{number}")


@with_pgbouncer
@pytest.mark.parametrize("pooled", ["transaction", "statement"], indirect=True)
async def test_a_pooler_that_changes_connections_is_refused_with_the_remedy(pooled: str, short_dir: Path) -> None:
    database, redis = Database.open(pooled), open_redis(f"unix://{short_dir}/nobody.sock")
    with pytest.raises(StartRefused, match="pool_mode=session"):
        await refuse_unfit_servers(database, redis)
    with pytest.raises(StartRefused, match="pool_mode=session"):
        await migrate.upgrade(Settings(database_url=pooled, data_dir=short_dir))
    await database.close()


@with_pgbouncer
@pytest.mark.parametrize("pooled", ["session"], indirect=True)
async def test_a_pooler_that_keeps_sessions_is_as_good_as_postgres_itself(pooled: str, short_dir: Path) -> None:
    database, redis = Database.open(pooled), open_redis(f"unix://{short_dir}/nobody.sock")
    await refuse_unfit_servers(database, redis)
    await migrate.upgrade(Settings(database_url=pooled, data_dir=short_dir))
    await database.close()


async def test_servers_that_are_away_are_not_refused(tmp_path: Path) -> None:
    database = Database.open(f"postgresql+asyncpg://ann@/none?host={tmp_path}")
    await refuse_unfit_servers(database, open_redis(f"unix://{tmp_path}/nobody.sock"))
    await database.close()


async def test_the_servers_of_the_tests_are_fit(ledger: Ledger, redis_server: RedisServer) -> None:
    redis = open_redis(redis_server.url)
    await refuse_unfit_servers(ledger.database, redis)
    await redis.aclose(close_connection_pool=True)


async def test_a_redis_cluster_is_refused(short_dir: Path, tmp_path: Path) -> None:
    server = RedisServer(short_dir / "cluster", options=("--cluster-enabled", "yes"))
    server.start()
    database, redis = Database.open(f"sqlite+aiosqlite:///{tmp_path}/x.db"), open_redis(server.url)
    with pytest.raises(StartRefused, match="mode cluster"):
        await refuse_unfit_servers(database, redis)
    await redis.aclose(close_connection_pool=True)
    await database.close()
    server.stop()


async def test_a_redis_without_the_commands_of_6_2_is_too_old(short_dir: Path, tmp_path: Path) -> None:
    renamed = [option for name in ("HELLO", "ZMSCORE") for option in ("--rename-command", name, "")]
    server = RedisServer(short_dir / "old", options=tuple(renamed))
    server.start()
    database, redis = Database.open(f"sqlite+aiosqlite:///{tmp_path}/x.db"), open_redis(server.url)
    with pytest.raises(StartRefused, match=r"6\.2 or newer"):
        await refuse_unfit_servers(database, redis)
    await redis.aclose(close_connection_pool=True)
    await database.close()
    server.stop()
