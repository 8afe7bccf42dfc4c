"""Small programs that stand in for the children, and a supervisor over them in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.forked_process import forked
from tests.support.processes import environment

# Each stand-in notes its pid in `<name>.pid`, and in `ended` its name when SIGTERM ends it. It takes no second one:
# Linux sends one for each thread of a parent that was killed.
OBEDIENT = """
import os, signal, sys, time
name = sys.argv[1]
def end(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with open("ended", "a") as file: file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
with open(f"{name}.pid", "a") as file: file.write(f"{os.getpid()}\\n")
while True: time.sleep(0.05)
"""
STUBBORN = OBEDIENT.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
FAILING = """
import sys
print("the stand-in's reason", file=sys.stderr)
sys.exit(7)
"""


def stand_in(name: str, script: str = OBEDIENT, **fields: object) -> dict[str, object]:
    return {"name": name, "argv": [sys.executable, "-c", script, name], **fields}


class Driver:
    """A supervisor in a process of its own."""

    def __init__(self, folder: Path, *stand_ins: dict[str, object]):
        self.folder = folder
        argv = (sys.executable, "-m", "tests.support.supervising", json.dumps(stand_ins))
        self.process = forked(argv, environment(DATA_DIR=str(folder / "data")), folder)

    def pid_of(self, name: str, start: int = 1) -> int:
        """Wait until the program has been started `start` times; return its newest pid."""
        file = self.folder / f"{name}.pid"
        wait_until(lambda: file.exists() and len(file.read_text().splitlines()) >= start)
        return int(file.read_text().splitlines()[start - 1])

    def end(self) -> str:
        """Wait for its end; return what it printed."""
        return self.process.communicate(timeout=30)[0]

    @property
    def ended(self) -> list[str]:
        file = self.folder / "ended"
        return file.read_text().splitlines() if file.exists() else []


def wait_until(condition: Callable[[], bool], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    if sys.platform != "linux":
        return subprocess.run(["ps", "-p", str(pid)], capture_output=True, check=False).returncode == 0
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def is_stand_in(pid: int) -> bool:
    command = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, check=False).stdout
    return b"signal.signal(signal.SIGTERM" in command


def read_until(driver: Driver, text: str) -> None:
    assert driver.process.stdout is not None
    for line in driver.process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was not printed")


def assert_still_runs_for(driver: Driver, seconds: float) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        driver.process.wait(seconds)
