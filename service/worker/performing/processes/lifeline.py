"""How a child dies with its worker, by whatever the worker died, and outlives the signals that only stop it."""

import contextlib
import fcntl
import os
import signal
import socket
import sys
import threading


def die_with(worker: socket.socket) -> None:
    """Kill this process and its group, which its own children are in, as soon as the other end of `worker` closes.

    Linux does it, even where C code holds the interpreter; elsewhere a thread does.
    """
    if sys.platform != "linux":
        threading.Thread(target=_wait_for_end, args=(worker,), daemon=True).start()
        return
    fcntl.fcntl(worker, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(worker, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(worker, fcntl.F_SETFL, fcntl.fcntl(worker, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        worker.recv(1)
        _die()  # the worker had died before, which sends no signal


def _wait_for_end(worker: socket.socket) -> None:
    with contextlib.suppress(OSError):
        worker.recv(1)
    _die()


def _die() -> None:
    os.killpg(0, signal.SIGKILL)


def leave_signals_to_worker() -> None:
    """Outlive the signals that stop a worker: it lets attempts finish for a while, then it kills its children.

    Whoever stops it may tell all processes of its group or its unit. Processes that a kind starts know nothing of this.
    """
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, _ignore)  # a handler, and not SIG_IGN, which would be inherited by other programs
    os.register_at_fork(after_in_child=_heed)


def _ignore(_signal: int, _frame: object) -> None:
    pass


def _heed() -> None:
    if threading.current_thread() is threading.main_thread():
        for one, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if signal.getsignal(one) is _ignore:
                signal.signal(one, default)
