"""Servers end with the process that started them, however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import reaper
from tests.support.processes import ROOT
from tests.support.reaper import beginning_of
from tests.support.running import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process is told from a later one by /proc")

# Starts a server in a thread that is gone when the process ends.
_STARTS = """
import pathlib, sys, threading, time
from tests.support.servers import RedisServer
server = RedisServer(pathlib.Path(sys.argv[1]))
starting = threading.Thread(target=server.start)
starting.start()
starting.join()
print(server.process.pid, flush=True)
sys.stdin.read()
"""

# Starts a server in a fork, which ends.
_FORKS = """
import os, signal, subprocess, sys
from tests.support.reaper import end_with_us
def start():
    pid = subprocess.Popen(["sleep", "600"]).pid
    end_with_us(pid, signal.SIGKILL)
    print(pid, flush=True)
start()
fork = os.fork()
if not fork:
    start()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, None])
async def test_process_leaves_no_server_behind_however_it_ends(how: signal.Signals | None, short_dir: Path) -> None:
    argv = [sys.executable, "-c", _STARTS, str(short_dir / f"reaped-{how}")]
    with subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert beginning_of(pid) is not None
        if how is None:
            process.communicate()
        else:
            os.killpg(process.pid, how)

    async def is_gone() -> bool:
        return beginning_of(pid) is None

    await eventually(is_gone)


async def test_fork_has_a_reaper_of_its_own() -> None:
    argv = [sys.executable, "-c", _FORKS]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        of_process, of_fork = (int(process.stdout.readline()) for _ in range(2))

        async def is_gone() -> bool:
            return beginning_of(of_fork) is None

        await eventually(is_gone)
        assert beginning_of(of_process) is not None
        process.communicate()
        of_fork = of_process
        await eventually(is_gone)
    assert process.returncode == 0


def test_only_the_process_that_was_meant_is_ended_and_no_later_one_with_its_id() -> None:
    with subprocess.Popen(["sleep", "600"]) as server, subprocess.Popen(["sleep", "600"]) as another:
        told = f"{another.pid} 1 9\n{server.pid} {beginning_of(server.pid)} 9\n"
        subprocess.run([sys.executable, "-I", "-S", reaper.__file__], input=told, text=True, check=True)
        assert server.wait(60) == -signal.SIGKILL
        assert another.poll() is None
        another.kill()
