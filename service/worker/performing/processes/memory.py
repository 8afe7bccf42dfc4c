"""The limit of `memory_mb=`, and how much memory a child has kept."""

import contextlib
import resource
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobs import Context, Kind
from jobs.kit.kind import is_async

_MB = 1024 * 1024
# A child that has kept this much more memory than after its first attempt is leaking.
_MOST_KEPT_MB = 256


# Of 1,000: the kernel adds this to a process's share of memory when it looks for one to kill.
_OOM_SCORE = 500


class MemoryExceeded(MemoryError):
    """An attempt needed more memory than its kind allows."""


def die_before_worker() -> None:
    """Have the kernel kill this process rather than its worker when the machine has no memory left."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE))


def limited(kind: Kind[Any, Any]) -> Kind[Any, Any]:
    """Return the kind with its memory limit around its function, for a process that performs nothing else."""
    if kind.memory_mb is None:
        return kind

    def invoke(ctx: Context, args: Any) -> Any:
        with limit(kind.memory_mb):
            return kind.invoke(ctx, args)

    async def invoke_async(ctx: Context, args: Any) -> Any:
        with limit(kind.memory_mb):
            return await kind.invoke(ctx, args)

    return replace(kind, invoke=invoke_async if is_async(kind.function) else invoke)


@contextlib.contextmanager
def limit(memory_mb: int | None) -> Iterator[None]:
    """Let the process have `memory_mb` megabytes more than it has now. Raises `MemoryExceeded` from a `MemoryError`.

    Private, writable memory counts (RLIMIT_DATA): what an attempt allocates, in C too. The address space (RLIMIT_AS)
    would count libraries, and what allocators only reserve: 64 MiB for each thread.
    """
    if memory_mb is None or sys.platform != "linux":
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _status_kb("VmData") * 1024 + memory_mb * _MB
    hard = before[1]
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    except MemoryError as error:
        resource.setrlimit(resource.RLIMIT_DATA, before)  # reporting it takes some memory
        raise MemoryExceeded(
            f"the attempt wanted more than the {memory_mb} MB of memory_mb, which the kind allows it"
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


class Leaks:
    """Whether a child has kept more and more memory."""

    def __init__(self) -> None:
        self._first_kb: int | None = None

    def found(self) -> bool:
        """Look, after an attempt. The first attempt loads what the kinds import late, which is no leak."""
        if sys.platform != "linux":
            return False
        held_kb = _status_kb("VmRSS")
        if self._first_kb is None:
            self._first_kb = held_kb
        return held_kb > self._first_kb + _MOST_KEPT_MB * 1024


def _status_kb(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split(maxsplit=1)[0])
