"""Starts our commands, and apps, as forks of a process that has imported them: that takes most of the CPU of a start.

A fork runs what the command's script runs, with its own arguments, settings and folder, and is a process like any
other; only its parent is another one. Linux only.
"""

import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from signal import Signals
from typing import Any

_LONGEST_MESSAGE = 1_000_000
_STARTS_WITHIN_S = 100
_PR_SET_PDEATHSIG = 1
_OUTPUTS_AND_INPUT = (1, 2, 0)
# The features tracing and sentry stand around nothing without these.
_READ_AT_IMPORT = ("OTEL_", "SENTRY_")


class Fork:
    """A running command, with the interface of `subprocess.Popen`."""

    def __init__(self, server: "ForkServer", pid: int) -> None:
        self.pid = pid
        self._server = server

    def poll(self) -> int | None:
        return self._server.status_of(self.pid)

    def send_signal(self, signum: Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)


class ForkServer:
    """The process that has imported our commands from a checkout.

    It ends with this one, and its forks get SIGTERM then.
    """

    def __init__(self, environment: Mapping[str, str], checkout: Path = Path(__file__).parents[2]) -> None:
        self._statuses: dict[int, int] = {}
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv = (sys.executable, "-m", __name__, str(theirs.fileno()))
            self._process = subprocess.Popen(
                argv,
                env=environment,
                cwd=checkout,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._socket.settimeout(_STARTS_WITHIN_S)
        self._news = select.poll()
        self._news.register(self._socket, select.POLLIN)

    def start(self, argv: Sequence[str], environment: Mapping[str, str], folder: Path, *descriptors: int) -> Fork:
        """Run `argv`, whose output, errors and, if it has any, input are the files that have these descriptors here."""
        wanted = {"argv": argv, "environment": environment, "folder": str(folder)}
        socket.send_fds(self._socket, [json.dumps(wanted).encode()], descriptors)
        while (pid := self._hear(json.loads(self._socket.recv(_LONGEST_MESSAGE)))) is None:
            pass
        return Fork(self, pid)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    def status_of(self, pid: int) -> int | None:
        """Return the exit status of a fork; None while it runs."""
        while self._news.poll(0):
            self._hear(json.loads(self._socket.recv(_LONGEST_MESSAGE)))
        return self._statuses.get(pid)

    def _hear(self, told: Mapping[str, int]) -> int | None:
        """Record the end of a fork, or return the id of one that begins."""
        if "started" in told:
            self._statuses.pop(told["started"], None)
            return told["started"]
        self._statuses[told["ended"]] = told["status"]
        return None


@cache
def fork_server(_pid: int) -> ForkServer:
    """Return the one server of a process, without settings of Postlude."""
    others = ("POSTLUDE_", *_READ_AT_IMPORT)
    return ForkServer({name: value for name, value in os.environ.items() if not name.startswith(others)})


def can_fork(argv: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether `argv` is a command that can be forked here, and nothing that it imports reads this environment."""
    is_ours = Path(argv[0]).name in ("postlude", "arq", "uvicorn") or _module_of(argv).startswith("tests.")
    return sys.platform == "linux" and is_ours and not any(name.startswith(_READ_AT_IMPORT) for name in environment)


def _module_of(argv: Sequence[str]) -> str:
    """Return the module that `argv` runs as a script; "" if it is not Python."""
    return argv[2] if tuple(argv[:2]) == (sys.executable, "-m") else ""


def _import_commands() -> Mapping[str, Any]:
    gc.disable()
    import aiosqlite  # noqa: F401 - SQLAlchemy imports it as it opens a database
    import arq.cli
    import uvicorn.protocols.http.httptools_impl  # `postlude api` imports it as it starts

    import jobs
    import postlude_command
    import service.app
    import service.cli
    import service.preflight
    import service.web.one_write
    import service.worker.arq_settings  # noqa: F401

    jobs.load(())
    gc.freeze()
    gc.enable()
    return {"postlude": postlude_command.main, "arq": arq.cli.cli, "uvicorn": uvicorn.main}


def _wanted(server: socket.socket) -> dict[str, Any]:
    """Fork for each request, and report each end; return the request in its fork."""
    rung, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.set_wakeup_fd(bell)
    signal.signal(Signals.SIGCHLD, lambda *_: None)
    sources: list[Any] = [server, rung]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if rung in ready:
            os.read(rung, 1_000)
            _tell_ends(server)
        if server in ready:
            request, descriptors, _, _ = socket.recv_fds(server, _LONGEST_MESSAGE, len(_OUTPUTS_AND_INPUT))
            if not request:
                sys.exit()
            if not (pid := os.fork()):
                _leave_the_server(rung, bell, server.detach())
                _use(descriptors)
                wanted: dict[str, Any] = json.loads(request)
                return wanted
            for one in descriptors:
                os.close(one)
            server.send(json.dumps({"started": pid}).encode())


def _leave_the_server(*descriptors: int) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(Signals.SIGCHLD, signal.SIG_DFL)
    for one in descriptors:
        os.close(one)


def _use(descriptors: Sequence[int]) -> None:
    for standard, one in zip(_OUTPUTS_AND_INPUT, descriptors, strict=False):
        os.dup2(one, standard)
        os.close(one)


def _tell_ends(server: socket.socket) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        server.send(json.dumps({"ended": pid, "status": os.waitstatus_to_exitcode(status)}).encode())


def _prepare(wanted: Mapping[str, Any], parent: int) -> None:
    """Be as a process that was just started."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, Signals.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the tests are gone")
    os.environ.clear()
    os.environ.update(wanted["environment"])
    os.chdir(wanted["folder"])
    sys.argv = list(wanted["argv"])
    sys.path[:0] = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]


def main() -> None:
    commands = _import_commands()
    parent = os.getpid()
    wanted = _wanted(socket.socket(fileno=int(sys.argv[1])))
    _prepare(wanted, parent)
    if module := _module_of(wanted["argv"]):
        sys.argv = wanted["argv"][2:]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.exit(commands[Path(wanted["argv"][0]).name]())


if __name__ == "__main__":
    main()
