"""Become another program, which gets SIGTERM when the parent dies, in whatever way.

Usage: tether.py PARENT_PID PROGRAM ...

Run as a script by `child.py`, between fork and exec: a `preexec_fn` is not safe in a process with threads.
Linux only; the signal set here survives exec.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent_pid: int, argv: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
    # A parent that died before the call above sends no signal.
    if os.getppid() != parent_pid:
        sys.exit("the supervisor is gone")
    # Python ignores SIGPIPE, and an ignored signal stays ignored over exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - the whole point
    except OSError as error:
        sys.exit(f"{argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
