"""How a child dies with its worker, however the worker dies, and outlives signals that only stop the worker."""

import contextlib
import faulthandler
import fcntl
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable

# Asks a child for its stack.
DUMP_SIGNAL = signal.SIGUSR2

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_mask = threading.local()  # any thread may fork


def die_with(worker: socket.socket) -> None:
    """Kill this process and its group, which includes its own children, as soon as the other end of `worker` closes.

    Linux does it even while C code holds the interpreter; elsewhere a thread does it.
    """
    if sys.platform != "linux":
        threading.Thread(target=_wait_for_end, args=(worker,), daemon=True).start()
        return
    fcntl.fcntl(worker, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(worker, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(worker, fcntl.F_SETFL, fcntl.fcntl(worker, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        worker.recv(1)
        _die()  # the worker had already died, which sends no signal


def _wait_for_end(worker: socket.socket) -> None:
    with contextlib.suppress(OSError):
        worker.recv(1)
    _die()


def _die() -> None:
    os.killpg(0, signal.SIGKILL)


def leave_signals_to_worker() -> None:
    """Ignore the signals that stop a worker, which lets attempts finish for a while, then kills its children.

    A supervisor may signal all processes of the worker's group or unit. Processes that a kind starts do not inherit
    this.
    """
    for one in _SIGNALS:
        signal.signal(one, _ignore)  # a handler, not SIG_IGN, which other programs would inherit
    os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals_go, after_in_child=_heed)


def tell_stack_when_asked(file: int, of_tasks: Callable[[], str]) -> None:
    """Write the stacks of all threads at each `DUMP_SIGNAL`, even while C code holds the interpreter.

    The output of `of_tasks` follows once it no longer does.
    """
    signal.signal(DUMP_SIGNAL, lambda _signal, _frame: _write(file, of_tasks))
    faulthandler.register(DUMP_SIGNAL, file, all_threads=True, chain=True)


def _write(file: int, of_tasks: Callable[[], str]) -> None:
    with contextlib.suppress(Exception):  # the signal interrupts an author's code, which must not notice
        os.write(file, of_tasks().encode())


def _ignore(_signal: int, _frame: object) -> None:
    pass


def _hold_signals() -> None:
    """Block the signal until a forked process handles it: before that, it would be ignored and lost."""
    _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _let_signals_go() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _mask.before)


def _heed() -> None:
    if threading.current_thread() is threading.main_thread():
        for one, default in ((signal.SIGTERM, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
            if signal.getsignal(one) is _ignore:
                signal.signal(one, default)
    _let_signals_go()
