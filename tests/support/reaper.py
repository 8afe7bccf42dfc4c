"""Ends servers that this process has started, however it ends itself: a killed pytest tears nothing down.

The reaper is a process of its own, which is told of each server over a pipe. Once the pipe is closed, it ends the ones
that still run. The kernel's own signal at a parent's death is no way: it is sent at the end of the thread that started
the child, and tests start servers in threads that end before them.

Run as a script, this file is the reaper.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

_STOPS_WITHIN_S = 10
_starting = threading.Lock()
_reaper: subprocess.Popen[bytes] | None = None


def end_with_us(pid: int, how: signal.Signals) -> None:
    """Let the reaper send `how` to a process once this one has ended. Does nothing if it is gone already."""
    began = beginning_of(pid)
    if began is not None:
        with suppress(BrokenPipeError):  # somebody has ended the reaper: that is no reason to fail a test
            os.write(_pipe(), f"{pid} {began} {how.value}\n".encode())  # short enough to be written at once


def _pipe() -> int:
    global _reaper
    with _starting:
        if _reaper is None:
            argv = [sys.executable, "-I", "-S", __file__]
            # In a session of its own: what ends all of pytest's processes at once must not end it.
            _reaper = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
            assert _reaper.stdin is not None
            os.register_at_fork(after_in_child=_let_go)
            atexit.register(_close, _reaper)
        assert _reaper.stdin is not None
        return _reaper.stdin.fileno()


def _let_go() -> None:
    """Close a fork's copy of the pipe, which would keep it open. A fork that starts servers has a reaper of its own."""
    global _reaper
    if _reaper is not None and _reaper.stdin is not None:
        _reaper.stdin.close()
    _reaper = None


def _close(reaper: "subprocess.Popen[bytes]") -> None:
    assert reaper.stdin is not None
    reaper.stdin.close()
    reaper.wait(_STOPS_WITHIN_S)


def beginning_of(pid: int) -> str | None:
    """Return when a process began, in the kernel's ticks; None if it has ended. A pid alone may be used again."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *numbers = told.rpartition(")")[2].split()
    return None if state == "Z" else numbers[18]


def _reap() -> None:
    for line in sys.stdin.readlines():
        pid, began, how = line.split()
        if beginning_of(int(pid)) == began:
            with suppress(OSError):
                os.kill(int(pid), int(how))
                os.kill(int(pid), signal.SIGCONT)  # a fault may have stopped it


if __name__ == "__main__":
    _reap()
