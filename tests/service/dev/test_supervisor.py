"""The supervisor with small stand-in programs: start, restart, stop, and nothing left behind."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from service.dev.child import Program
from service.dev.supervisor import Backoff, Supervisor
from service.errors import StartRefused
from tests.support.stand_ins import (
    FAILING,
    OBEDIENT,
    STUBBORN,
    Driver,
    alive,
    assert_still_runs_for,
    is_stand_in,
    read_until,
    stand_in,
    wait_until,
)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    drivers: list[Driver] = []

    def start(*stand_ins: dict[str, object]) -> Driver:
        drivers.append(Driver(tmp_path, *stand_ins))
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.process.kill()
    for file in tmp_path.glob("*.pid"):
        for pid in filter(is_stand_in, map(int, file.read_text().split())):
            os.kill(pid, signal.SIGKILL)
    for driver in drivers:
        driver.process.communicate()


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def supervisor(*all_programs: Program, is_ready: Callable[[], Awaitable[bool]] = yes) -> Supervisor:
    return Supervisor(all_programs, env=os.environ, is_ready=is_ready)


def program(name: str, script: str, **fields: object) -> Program:
    return Program(**stand_in(name, script, **fields))  # type: ignore[arg-type]  # the test chooses the fields


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all_in_reverse_order_with_exit_code_0(
    drive: Callable[..., Driver], number: signal.Signals
) -> None:
    driver = drive(*map(stand_in, ("redis", "api", "worker")))
    pids = [driver.pid_of(name) for name in ("redis", "api", "worker")]
    driver.process.send_signal(number)
    output = driver.end()
    assert driver.process.returncode == 0, output
    assert driver.ended == ["worker", "api", "redis"]
    assert not any(map(alive, pids))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_children_end_when_the_supervisor_is_killed(drive: Callable[..., Driver]) -> None:
    driver = drive(*map(stand_in, ("redis", "api", "worker")))
    pids = [driver.pid_of(name) for name in ("redis", "api", "worker")]
    driver.process.kill()
    wait_until(lambda: not any(map(alive, pids)))
    assert sorted(driver.ended) == ["api", "redis", "worker"]


def test_children_are_in_sessions_of_their_own(drive: Callable[..., Driver]) -> None:
    driver = drive(stand_in("api"), stand_in("worker"))
    for name in ("api", "worker"):
        pid = driver.pid_of(name)
        assert os.getsid(pid) == pid


def test_a_child_that_dies_is_restarted_and_the_screen_says_how_it_died(drive: Callable[..., Driver]) -> None:
    driver = drive(stand_in("api"), stand_in("worker"))
    api, worker = driver.pid_of("api"), driver.pid_of("worker")
    read_until(driver, "ready for jobs")
    os.kill(worker, signal.SIGKILL)
    second = driver.pid_of("worker", start=2)
    assert alive(second)
    assert alive(api)
    os.kill(driver.process.pid, signal.SIGTERM)
    output = driver.end()
    assert f"worker (pid {worker}) was killed by SIGKILL; restarting it in 0.5 s" in output
    assert driver.ended == ["worker", "api"]


def test_a_signal_during_the_wait_before_a_restart_stops_all(drive: Callable[..., Driver]) -> None:
    driver = drive(stand_in("api"), stand_in("worker"))
    driver.pid_of("api")
    worker = driver.pid_of("worker")
    read_until(driver, "ready for jobs")
    os.kill(worker, signal.SIGKILL)
    read_until(driver, "restarting it")
    driver.process.terminate()
    output = driver.end()
    assert driver.process.returncode == 0, output
    assert driver.ended == ["api"]


def test_a_second_signal_kills_children_that_do_not_end(drive: Callable[..., Driver]) -> None:
    driver = drive(stand_in("redis"), stand_in("worker", STUBBORN, stop_timeout_s=60))
    pids = [driver.pid_of("redis"), driver.pid_of("worker")]
    driver.process.terminate()
    read_until(driver, "stopping")
    assert_still_runs_for(driver, 0.7)
    driver.process.terminate()
    output = driver.end()
    assert driver.process.returncode == 0, output
    assert not any(map(alive, pids))


def test_one_signal_that_arrives_twice_is_one_signal(drive: Callable[..., Driver]) -> None:
    driver = drive(stand_in("redis"), stand_in("worker", STUBBORN, stop_timeout_s=3))
    driver.pid_of("redis")
    driver.pid_of("worker")
    began = time.monotonic()
    driver.process.terminate()
    read_until(driver, "stopping")
    driver.process.terminate()
    driver.end()
    assert time.monotonic() - began >= 3
    assert driver.ended == ["redis"]


def test_a_child_that_ignores_sigterm_is_killed_when_its_time_is_up(drive: Callable[..., Driver]) -> None:
    driver = drive(stand_in("redis"), stand_in("worker", STUBBORN, stop_timeout_s=0.5))
    driver.pid_of("redis")
    worker = driver.pid_of("worker")
    driver.process.terminate()
    assert f"worker (pid {worker}) did not end in time and was killed" in driver.end()
    assert driver.ended == ["redis"]
    assert not alive(worker)


def test_a_second_supervisor_on_a_data_dir_is_refused_with_the_pid_of_the_first(
    drive: Callable[..., Driver], tmp_path: Path
) -> None:
    first = drive(stand_in("api"))
    first.pid_of("api")
    second = drive(stand_in("api"))
    output = second.end()
    assert second.process.returncode == 1
    assert output.startswith("error: ")
    assert "Traceback" not in output
    assert f"{tmp_path / 'data'} (pid {first.process.pid})" in output
    assert alive(first.pid_of("api"))


def test_a_start_after_an_end_or_a_kill_is_not_refused(drive: Callable[..., Driver]) -> None:
    for start, end in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGTERM), start=1):
        driver = drive(stand_in("api"))
        driver.pid_of("api", start)
        driver.process.send_signal(end)
        driver.end()


async def test_a_child_that_dies_before_all_are_ready_stops_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartRefused, match="worker ended with exit code 7 before everything was ready"):
        await supervisor(program("api", OBEDIENT), program("worker", FAILING), is_ready=no).run()
    file = tmp_path / "api.pid"
    assert not any(map(alive, map(int, file.read_text().split() if file.exists() else [])))


async def test_message_gives_the_reason_of_a_program_that_logs_to_a_file(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="the stand-in's reason"):
        await supervisor(program("redis", FAILING, log=tmp_path / "redis.log"), is_ready=no).run()


async def test_nothing_starts_after_a_failed_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartRefused, match="migrations ended with exit code 7"):
        await supervisor(program("migrations", FAILING, once=True), program("api", OBEDIENT)).run()
    assert not (tmp_path / "api.pid").exists()


async def test_a_program_waits_until_the_one_before_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    redis_asked = asyncio.Event()

    async def ready_at_second_asking() -> bool:
        if redis_asked.is_set():
            return True
        assert not (tmp_path / "api.pid").exists()
        redis_asked.set()
        return False

    async def all_ready() -> bool:
        return (tmp_path / "api.pid").exists()

    run = asyncio.create_task(
        supervisor(
            program("redis", OBEDIENT, ready=ready_at_second_asking), program("api", OBEDIENT), is_ready=all_ready
        ).run()
    )
    while not (tmp_path / "api.pid").exists():
        await asyncio.sleep(0.02)
    assert redis_asked.is_set()
    os.kill(os.getpid(), signal.SIGTERM)
    await run


async def test_a_missing_program_is_reported_in_a_sentence() -> None:
    with pytest.raises(StartRefused, match="exit code 1"):
        await supervisor(Program("redis", ["/nowhere/redis-server"]), is_ready=no).run()


def test_waits_before_restarts_double_up_to_ten_seconds_and_fall_back_after_a_long_life() -> None:
    backoff = Backoff()
    assert [backoff.after(lived_s=1) for _ in range(6)] == [0.5, 1, 2, 4, 8, 10]
    assert [backoff.after(lived_s=31), backoff.after(lived_s=1)] == [0.5, 1]
