"""Isolated attempts whose processes are forks of one that has imported the product; see `forking.py`.

For tests of what becomes of such an attempt. A few others start its process as the product does, among them that of a
function in `tests/test_function_kinds.py`.
"""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any

import pytest

from tests.support.forking import fork_server
from tests.support.processes import ForkedChild

_PROGRAM = (sys.executable, "-P", "-m", "service.worker.performing.isolated_child")


class ForkedSuspect(ForkedChild):
    """A process with the part of the interface of asyncio's that an isolated attempt uses."""

    def terminate(self) -> None:
        self.send_signal(Signals.SIGTERM)


@contextmanager
def suspects_forked() -> Iterator[None]:
    start = asyncio.create_subprocess_exec

    async def forked(*argv: str, **options: Any) -> asyncio.subprocess.Process | ForkedSuspect:
        if argv != _PROGRAM:
            return await start(*argv, **options)
        environment: Mapping[str, str] = options["env"]
        command = (sys.executable, *argv[2:])
        return ForkedSuspect(fork_server(os.getpid()).start(command, environment, Path.cwd(), 1, 2, options["stdin"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asyncio.create_subprocess_exec", forked)
        yield
