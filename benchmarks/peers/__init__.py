"""What each library must offer to take part. `benchmarks.stage` runs these files; the harness never imports them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

Task = Literal["noop", "sleep", "tomorrow"]


class Peer(Protocol):
    """A library with its tasks `noop`, `sleep` (0.2 s) and `stamp`, see `benchmarks.tasks`."""

    async def fill(self, task: Task, count: int) -> None:
        """Enqueue `count` jobs as fast as the library can. Only Postlude knows `tomorrow`: a `noop` due in a day."""
        ...

    async def enqueue_stamp(self, index: int) -> None:
        """Enqueue one job that reports when it starts; return as soon as the library calls it enqueued."""
        ...

    async def done(self) -> int:
        """Count durably ended jobs, up to a constant: the harness takes the difference to the first count."""
        ...


class Caller(Protocol):
    """A library with the task `call`; see `benchmarks.tasks`."""

    async def call(self, key: str, urls: Sequence[str]) -> None:
        """Enqueue a call of each URL, as fast as the library can, held back by what `key` limits."""
        ...


class PeerModule(Protocol):
    """What a file of this package offers."""

    DISTRIBUTION: str

    def opened(self) -> AbstractAsyncContextManager[Peer]:
        """Connect, and make the schema where there is one."""
        ...

    def worker(self, slots: int) -> Sequence[str]:
        """Return the command, found beside the running Python, of one worker for `slots` jobs at once."""
        ...


Opened = AsyncIterator[Peer]
