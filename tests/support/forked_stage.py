"""The modules that a benchmark's arena runs, as forks of a process that has imported the product; see `forking.py`."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.arena import Arena
from tests.support.forked_process import ForkedProcess, forked
from tests.support.forking import fork_server


def started_as_fork(start: Callable[..., Any]) -> Callable[..., Any]:
    """Return what stands in for an arena's `start`, which starts whatever is no module."""

    def fork(self: Arena, argv: Sequence[object], *, answers: bool = False) -> Any:
        words = [str(part) for part in argv]
        if words[:2] != [sys.executable, "-m"]:
            return start(self, argv, answers=answers)
        environment, root = self.environment(), self.contender.root
        with self._log(len(self.processes)).open("ab") as log:
            output = log.fileno()
            if answers:
                process = forked(words, environment, root, output)
            else:
                server = fork_server(os.getpid())
                process = ForkedProcess(words, server.start(words, environment, root, output, output), None)
        self.processes.append(process)  # type: ignore[arg-type]
        return process

    return fork
