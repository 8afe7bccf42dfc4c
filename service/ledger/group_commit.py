"""Group commit: callers await the writes that they need, and all writes that wait at once are committed together."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection

from service import metrics
from service.gathering import gather

Row = TypeVar("Row")
Result = TypeVar("Result")

# A set-based write: takes the rows of all callers, and returns one result for each row, in the same order.
Operation = Callable[[Connection, Sequence[Row]], Sequence[Result]]
# Operations with their rows.
Operations = Sequence[tuple[Operation[Any, Any], Sequence[Any]]]
# Runs operations in order and in one transaction; returns the results of each.
Transact = Callable[[Operations], Awaitable[Sequence[Sequence[Any]]]]

# Each group costs as much as dozens of rows. A request takes two turns of the loop from its arrival to its write.
_GATHER_WITHIN_S = 0.002
_QUIET_TURNS = 2


@dataclass(eq=False, slots=True)
class _Write:
    operation: Operation[Any, Any]
    rows: Sequence[Any]
    weight: int
    done: asyncio.Future[Sequence[Any]]


class GroupCommit:
    """Commits writes in groups; a single write is committed at once.

    A write is one or more rows for one operation: all are written, or none. A write that fails for its data
    (`is_data_error`) fails alone: its group is halved until the write is found. Any other error, such as a lost
    database, fails the whole group. A cancelled caller withdraws its write, unless the write is being committed
    already. At most `max_waiting` rows wait; further callers wait for room.
    """

    def __init__(
        self,
        transact: Transact,
        *,
        is_data_error: Callable[[BaseException], bool],
        max_group: int = 1_000,
        max_waiting: int = 20_000,
        gap_s: float = 0.0,
    ) -> None:
        self._transact = transact
        self._is_data_error = is_data_error
        self._max_group = max_group
        self._max_waiting = max_waiting
        self._gap_s = gap_s
        self._waiting: deque[_Write] = deque()
        self._waiting_weight = 0
        self._room = asyncio.Event()
        self._committer: asyncio.Task[None] | None = None
        self._closed = False

    async def write(
        self, operation: Operation[Row, Result], rows: Sequence[Row], *, weight: int = 0
    ) -> Sequence[Result]:
        """Write `rows` by `operation`; return their results once they are committed."""
        if not rows:
            return []
        while self._waiting_weight >= self._max_waiting:
            self._room.clear()
            await self._room.wait()
        if self._closed:
            raise RuntimeError("the ledger is closed")
        write = _Write(operation, rows, weight or len(rows), asyncio.get_running_loop().create_future())
        self._waiting.append(write)
        self._waiting_weight += write.weight
        if self._committer is None:
            self._committer = asyncio.create_task(self._commit_all(), name="group-commit")
            self._committer.add_done_callback(self._note_not_begun)
        return await write.done

    async def close(self, *, within_s: float | None = None) -> None:
        """Take no more writes, and commit the waiting ones; those not committed within `within_s` fail."""
        self._closed = True
        if self._committer is not None:
            committer = self._committer
            _, hanging = await asyncio.wait([committer], timeout=within_s)
            if hanging:
                committer.cancel()
                await asyncio.wait([committer], timeout=within_s)

    async def _commit_all(self) -> None:
        group: list[_Write] = []
        try:
            while self._waiting:
                await gather(
                    lambda: self._waiting_weight,
                    enough=self._max_group,
                    quiet_turns=_QUIET_TURNS,
                    within_s=_GATHER_WITHIN_S,
                )
                if group := self._take_group():
                    await self._commit(group)
                # The gap lets another process take SQLite's one write lock while we have more to write.
                if self._waiting and self._gap_s:
                    await asyncio.sleep(self._gap_s)
        except asyncio.CancelledError:
            self._give_up(group)
            raise
        finally:
            self._committer = None

    def _note_not_begun(self, committer: asyncio.Task[None]) -> None:
        """Fail the writes of a committer that was cancelled before its first step; the next write starts another."""
        if self._committer is committer:
            self._committer = None
            self._give_up([])

    def _give_up(self, group: Sequence[_Write]) -> None:
        _fail([*group, *self._waiting], ConnectionError("the ledger was closed before this was written"))
        self._waiting.clear()
        self._waiting_weight = 0
        self._room.set()

    def _take_group(self) -> list[_Write]:
        group: list[_Write] = []
        weight = 0
        while self._waiting and (not group or weight + self._waiting[0].weight <= self._max_group):
            write = self._waiting.popleft()
            self._waiting_weight -= write.weight
            if not write.done.cancelled():
                group.append(write)
                weight += write.weight
        self._room.set()
        return group

    async def _commit(self, group: list[_Write]) -> None:
        began_s = time.perf_counter()
        try:
            results = await self._transact_group(group)
        except Exception as error:  # noqa: BLE001 - passed to the callers that wait for the write
            if len(group) > 1 and self._is_data_error(error):
                middle = len(group) // 2
                await self._commit(group[:middle])
                await self._commit(group[middle:])
            else:
                _fail(group, error)
        else:
            metrics.commit_writes.note(len(group))
            metrics.commit_seconds.note(time.perf_counter() - began_s)
            for write, result in zip(group, results, strict=True):
                if not write.done.done():
                    write.done.set_result(result)

    async def _transact_group(self, group: list[_Write]) -> list[Sequence[Any]]:
        """Join the rows of each operation, run the operations in one transaction, and split the results by write."""
        rows: dict[Operation[Any, Any], list[Any]] = {}
        for write in group:
            rows.setdefault(write.operation, []).extend(write.rows)
        joined = await self._transact(list(rows.items()))
        results = {operation: iter(of_all) for operation, of_all in zip(rows, joined, strict=True)}
        return [list(islice(results[write.operation], len(write.rows))) for write in group]


def _fail(group: Iterable[_Write], error: BaseException) -> None:
    for write in group:
        if not write.done.done():
            write.done.set_exception(error)
