"""A fork, as `forking.py` makes it, for those who start and end it as a process of `subprocess`."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import Signals
from subprocess import TimeoutExpired
from typing import TextIO

from tests.support.forking import Fork, fork_server

_LOOKS_EVERY_S = 0.02


class ForkedProcess:
    """A fork with a part of the interface of `subprocess.Popen`."""

    def __init__(self, args: Sequence[str], fork: Fork, stdout: TextIO | None) -> None:
        self.args = args
        self.pid = fork.pid
        self.poll = fork.poll
        self.stdout = stdout
        self._fork = fork

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def send_signal(self, number: int) -> None:
        self._fork.send_signal(Signals(number))

    def terminate(self) -> None:
        self.send_signal(Signals.SIGTERM)

    def kill(self) -> None:
        self.send_signal(Signals.SIGKILL)

    def wait(self, timeout: float = 60) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutExpired(self.args, timeout)
            time.sleep(_LOOKS_EVERY_S)
        return status

    def communicate(self, timeout: float = 60) -> tuple[str, None]:
        assert self.stdout is not None
        printed = self.stdout.read()
        self.wait(timeout)
        return printed, None


def forked(
    argv: Sequence[str], environment: Mapping[str, str], folder: Path, errors: int | None = None
) -> ForkedProcess:
    """Fork a command whose output is read here, and its errors unless a file has this descriptor for them."""
    read, write = os.pipe()
    fork = fork_server(os.getpid()).start(argv, environment, folder, write, write if errors is None else errors)
    os.close(write)
    return ForkedProcess(argv, fork, os.fdopen(read))
