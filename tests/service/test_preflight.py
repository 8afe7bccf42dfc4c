"""Whether a configuration is fit to start: an address, a folder, one per data dir, and servers that can be used."""

import base64
import fcntl
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service import preflight
from service.access.keys import Keys
from service.access.principal import Scope
from service.errors import StartRefused
from service.ledger import migrate
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.queue import open_redis
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.support.pgbouncer import PGBOUNCER, PgBouncer
from tests.support.processes import free_port
from tests.support.servers import PostgresServer, RedisServer


def test_a_taken_port_is_refused_with_the_variable_to_set() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartRefused, match=f"port {port} on 127.0.0.1 is taken.*POSTLUDE_PORT"):
            preflight.check_address(Settings(port=port))


def test_a_port_that_a_killed_predecessor_frees_in_time_is_not_refused() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    script = "import socket, sys, time; s = socket.socket(fileno=int(sys.argv[1])); time.sleep(0.5)"
    orphan = subprocess.Popen([sys.executable, "-c", script, str(listener.fileno())], pass_fds=[listener.fileno()])
    listener.close()
    preflight.check_address(Settings(port=port), patience_s=10)
    assert orphan.wait(10) == 0


def test_an_open_address_without_keys_is_refused() -> None:
    with pytest.raises(StartRefused, match=r"POSTLUDE_API_KEYS.*postlude keys create admin --scope admin`"):
        preflight.check_address(Settings(host="0.0.0.0", port=free_port()))
    preflight.check_address(Settings(host="0.0.0.0", port=free_port(), api_keys=("k",)))


@pytest.mark.parametrize("keys", [("k",), ("k" * 24, "s3cret")])
def test_a_short_key_is_refused_where_others_can_try_guesses_with_how_to_make_one(keys: tuple[str, ...]) -> None:
    with pytest.raises(StartRefused, match=r"POSTLUDE_API_KEYS.*guessed.*openssl rand -hex 24") as refused:
        preflight.check_keys(Settings(host="0.0.0.0", port=free_port(), api_keys=keys))
    assert "s3cret" not in str(refused.value)
    with capture_logs() as told:
        preflight.check_keys(Settings(port=free_port(), api_keys=keys))
    assert [one["event"] for one in told] == ["api_keys_are_short"]


def test_long_keys_are_neither_refused_nor_warned_of() -> None:
    with capture_logs() as told:
        preflight.check_keys(Settings(host="0.0.0.0", port=free_port(), api_keys=("k" * 24,)))
        preflight.check_keys(Settings(host="0.0.0.0", port=free_port()))
    assert told == []


def test_an_open_address_without_keys_for_secrets_is_warned_of() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    for host, keys, is_warned in (("0.0.0.0", (), True), ("0.0.0.0", (key,), False), ("127.0.0.1", (), False)):
        with capture_logs() as told:
            preflight.warn_of_clear_secrets(Settings(host=host, port=free_port(), secret_keys=keys))
        assert [one["event"] for one in told] == (["secrets_kept_in_clear"] if is_warned else [])


@on_sqlite
async def test_keys_and_users_of_the_ledger_count_as_those_of_the_settings_do(
    settings: Settings, ledger: Ledger, tmp_path: Path
) -> None:
    everywhere = settings.model_copy(update={"host": "0.0.0.0", "port": free_port()})
    assert not await preflight.knows_somebody(everywhere)
    assert not await preflight.knows_somebody(Settings(data_dir=tmp_path / "nothing"))
    await Keys(ledger.database).create("one", [Scope.READ])
    assert await preflight.knows_somebody(everywhere)
    preflight.check_address(everywhere, knows_somebody=True)
    # An absent ledger may have some: the API starts, and lets nobody in until it is back.
    away = Settings(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    assert await preflight.knows_somebody(away)


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(StartRefused, match=r"192\.0\.2\.1"):
        preflight.check_address(Settings(host="192.0.2.1", port=free_port(), api_keys=("k",)))


def test_a_data_dir_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StartRefused, match=r"cannot be written.*POSTLUDE_DATA_DIR"),
        preflight.only_one(Settings(data_dir=tmp_path / "file" / "data")),
    ):
        pass


def test_the_lock_is_released_at_the_end_and_no_pid_is_left(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with preflight.only_one(settings) as patience_s:
        assert patience_s == 0
        assert (tmp_path / "dev.lock").read_text() == f"{os.getpid()}\n"
    with (tmp_path / "dev.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert lock.read() == ""


def test_the_start_after_a_killed_one_waits_for_what_it_left_behind(tmp_path: Path) -> None:
    (tmp_path / "dev.lock").write_text("4194303\n")
    with preflight.only_one(Settings(data_dir=tmp_path)) as patience_s:
        assert patience_s > 0


MOUNTS = """\
24 1 254:0 / / rw,relatime - ext4 /dev/vda rw
25 24 0:21 / /srv/my\\040data rw,relatime shared:1 - nfs4 files:/data rw,vers=4.2
26 25 254:1 / /srv/my\\040data/local rw,relatime - xfs /dev/vdb rw
27 24 0:22 / /over rw,relatime - ext4 /dev/vdc rw
28 27 0:23 / /over rw,relatime - fuse.sshfs ann@files:/ rw
"""


@pytest.mark.parametrize(
    ("folder", "filesystem"), [("/srv/my data/var", "nfs4"), ("/srv/my data", "nfs4"), ("/over/var", "fuse.sshfs")]
)
def test_sqlite_on_a_network_filesystem_is_refused_with_the_remedy(
    tmp_path: Path, folder: str, filesystem: str
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    with pytest.raises(StartRefused, match=rf"\({filesystem}\).*POSTLUDE_DATABASE_URL"):
        preflight.check_filesystem(Settings(data_dir=Path(folder)), tmp_path / "mountinfo")


@pytest.mark.parametrize("folder", ["/var", "/srv/my data/local/var", "/srv/other"])
def test_sqlite_on_a_disk_is_not_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    preflight.check_filesystem(Settings(data_dir=Path(folder)), tmp_path / "mountinfo")


def test_a_postgres_whose_client_has_its_files_on_the_network_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    settings = Settings(database_url="postgresql://ann@db/postlude", data_dir=Path("/srv/my data"))
    preflight.check_filesystem(settings, tmp_path / "mountinfo")


def test_this_machines_own_disk_is_not_refused(tmp_path: Path) -> None:
    preflight.check_ledger_file(Settings(data_dir=tmp_path))


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
        await preflight.check_servers(database, redis)
    with pytest.raises(StartRefused, match="pool_mode=session"):
        await migrate.upgrade(Settings(database_url=pooled, data_dir=short_dir))
    await database.close()


@with_pgbouncer
@pytest.mark.parametrize("pooled", ["session"], indirect=True)
async def test_a_pooler_that_keeps_sessions_is_as_good_as_postgres_itself(pooled: str, short_dir: Path) -> None:
    database, redis = Database.open(pooled), open_redis(f"unix://{short_dir}/nobody.sock")
    await preflight.check_servers(database, redis)
    await migrate.upgrade(Settings(database_url=pooled, data_dir=short_dir))
    await database.close()


async def test_servers_that_are_away_are_not_refused(tmp_path: Path) -> None:
    database = Database.open(f"postgresql+asyncpg://ann@/none?host={tmp_path}")
    await preflight.check_servers(database, open_redis(f"unix://{tmp_path}/nobody.sock"))
    await database.close()


async def test_the_servers_of_the_tests_are_fit(ledger: Ledger, redis_server: RedisServer) -> None:
    redis = open_redis(redis_server.url)
    await preflight.check_servers(ledger.database, redis)
    await redis.aclose(close_connection_pool=True)


async def test_a_redis_cluster_is_refused(short_dir: Path, tmp_path: Path) -> None:
    server = RedisServer(short_dir / "cluster", options=("--cluster-enabled", "yes"))
    server.start()
    database, redis = Database.open(f"sqlite+aiosqlite:///{tmp_path}/x.db"), open_redis(server.url)
    with pytest.raises(StartRefused, match="mode cluster"):
        await preflight.check_servers(database, redis)
    await redis.aclose(close_connection_pool=True)
    await database.close()
    server.stop()


async def test_a_redis_without_the_commands_of_6_2_is_too_old(short_dir: Path, tmp_path: Path) -> None:
    renamed = [option for name in ("HELLO", "ZMSCORE") for option in ("--rename-command", name, "")]
    server = RedisServer(short_dir / "old", options=tuple(renamed))
    server.start()
    database, redis = Database.open(f"sqlite+aiosqlite:///{tmp_path}/x.db"), open_redis(server.url)
    with pytest.raises(StartRefused, match=r"6\.2 or newer"):
        await preflight.check_servers(database, redis)
    await redis.aclose(close_connection_pool=True)
    await database.close()
    server.stop()


def test_a_ledger_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/none/postlude.db", data_dir=tmp_path)
    with pytest.raises(StartRefused, match=r"none does not exist or cannot be written.*POSTLUDE_DATABASE_URL"):
        preflight.check_ledger_file(settings)
