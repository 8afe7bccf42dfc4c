"""The modules that a benchmark's arena runs, as forks of a process that has imported the product; see `forking.py`."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from subprocess import TimeoutExpired
from typing import Any

from benchmarks.arena import Arena
from tests.support.forking import Fork, fork_server

_LOOKS_EVERY_S = 0.02


class ForkedProcess:
    """A fork with the part of the interface of `subprocess.Popen` that an arena uses."""

    def __init__(self, args: Sequence[str], fork: Fork, answers: int | None) -> None:
        self.args = args
        self.pid = fork.pid
        self.poll = fork.poll
        self.send_signal = fork.send_signal
        self.stdout = None if answers is None else os.fdopen(answers)

    def wait(self, timeout: float = 60) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise TimeoutExpired(self.args, timeout)
            time.sleep(_LOOKS_EVERY_S)
        return status


def started_as_fork(start: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands in for an arena's `start`, which starts whatever is no module."""

    def fork(self: Arena, argv: Sequence[object], *, answers: bool = False) -> Any:
        words = [str(part) for part in argv]
        if words[:2] != [sys.executable, "-m"]:
            return start(self, argv, answers=answers)
        read, write = os.pipe() if answers else (None, None)
        with self._log(len(self.processes)).open("ab") as log:
            output = log.fileno() if write is None else write
            server = fork_server(os.getpid())
            forked = server.start(words, self.environment(), self.contender.root, output, log.fileno())
        if write is not None:
            os.close(write)
        self.processes.append(process := ForkedProcess(words, forked, read))  # type: ignore[arg-type]
        return process

    return fork
