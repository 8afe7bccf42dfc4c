"""A forked command is as one that was started: its own settings, arguments and output, and an end that is told."""

import os
import sys
from pathlib import Path
from signal import Signals

import pytest

from tests.support.forking import Fork, fork_server
from tests.support.processes import BIN, ROOT, environment
from tests.support.running import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are used on Linux only")


def start(log: Path, *words: str, **settings: str) -> Fork:
    command = (str(BIN / "postlude"), *words)
    with log.open("ab") as written:
        output = written.fileno()
        return fork_server(os.getpid()).start(command, environment(**settings), ROOT, output, output)


async def ended(fork: Fork) -> int | None:
    async def is_over() -> bool:
        return fork.poll() is not None

    await eventually(is_over)
    return fork.poll()


async def test_forks_have_arguments_settings_and_logs_of_their_own(tmp_path: Path) -> None:
    said = start(tmp_path / "said", "--version")
    refused = start(tmp_path / "refused", "migrate", DATABASE_URL="mysql://nobody")
    assert (await ended(said), await ended(refused)) == (0, 1)
    assert "postlude, version" in (tmp_path / "said").read_text()
    assert "POSTLUDE_DATABASE_URL" in (tmp_path / "refused").read_text()


async def test_a_killed_fork_tells_by_which_signal_and_takes_no_other_with_it(tmp_path: Path) -> None:
    one, other = (start(tmp_path / name, "api", DATA_DIR=str(tmp_path)) for name in ("one", "other"))
    for fork in (one, other):
        fork.send_signal(Signals.SIGSTOP)
    assert os.getsid(one.pid) == one.pid != os.getsid(0)
    one.send_signal(Signals.SIGKILL)
    assert await ended(one) == -Signals.SIGKILL
    assert Path(f"/proc/{other.pid}").exists()
    other.send_signal(Signals.SIGKILL)
    assert await ended(other) == -Signals.SIGKILL
