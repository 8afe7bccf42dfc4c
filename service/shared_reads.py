"""Reads shared by simultaneous callers: a thousand callers who look at jobs of one lane ask Redis once."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

from service.errors import LedgerUnavailable

V = TypeVar("V")
_CANCELLED = "The read was cancelled. Ask again."


class SharedReads(Generic[V]):
    """Reads values by name: together for all callers until a read has ended, and not again for `fresh_for_s`.

    If that is 0, no caller gets a value that was read for earlier callers. `read` gets at most `at_once` names, and
    returns a value for each, or raises. An error goes only to the callers that wait for that read.
    """

    def __init__(
        self,
        read: Callable[[Sequence[str]], Coroutine[Any, Any, Mapping[str, V]]],
        *,
        fresh_for_s: float,
        at_once: int | None = None,
    ) -> None:
        self._read = read
        self._fresh_for_s = fresh_for_s
        self._at_once = at_once
        self._asked: dict[str, asyncio.Future[V]] = {}
        self._under_way: Mapping[str, asyncio.Future[V]] = {}
        self._known: dict[str, tuple[float, V]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def of(self, names: Iterable[str]) -> dict[str, V]:
        """Return the values of these names. Raises what `read` raises."""
        now = asyncio.get_running_loop().time()
        told: dict[str, V] = {}
        answers: dict[str, asyncio.Future[V]] = {}
        for name in names:
            known = self._known.get(name)
            if known is not None and now < known[0]:
                told[name] = known[1]
            else:
                answers[name] = self._ask(name)
        for name, answer in answers.items():
            told[name] = await asyncio.shield(answer)
        return told

    def forget(self) -> None:
        """Read again for all later callers, because something has changed."""
        self._known.clear()
        self._under_way = {}

    def _ask(self, name: str) -> asyncio.Future[V]:
        answer = self._asked.get(name) or self._under_way.get(name)
        if answer is None:
            answer = self._asked[name] = asyncio.get_running_loop().create_future()
            answer.add_done_callback(_note_error)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_while_asked(), name="shared-reads")
            self._reading.add_done_callback(self._note_not_begun)
        return answer

    async def _read_while_asked(self) -> None:
        try:
            while self._asked:
                names = list(islice(self._asked, self._at_once))
                await self._answer({name: self._asked.pop(name) for name in names})
        finally:
            self._end_reading()

    def _note_not_begun(self, reading: asyncio.Task[None]) -> None:
        """Give up a reader that was cancelled before its first step; the next caller starts another."""
        if self._reading is reading:
            self._end_reading()

    def _end_reading(self) -> None:
        self._reading = None
        for answer in self._asked.values():  # a cancelled reader leaves some
            answer.set_exception(LedgerUnavailable(_CANCELLED))
        self._asked.clear()

    async def _answer(self, asked: Mapping[str, asyncio.Future[V]]) -> None:
        self._under_way = asked if self._fresh_for_s else {}
        fresh_until = asyncio.get_running_loop().time() + self._fresh_for_s
        try:
            found = await self._read(list(asked))
        except BaseException as error:
            self._under_way = {}
            reason = error if isinstance(error, Exception) else LedgerUnavailable(_CANCELLED)
            for answer in asked.values():
                answer.set_exception(reason)
            if not isinstance(error, Exception):
                raise
            return
        for name, answer in asked.items():
            answer.set_result(found[name])
        if self._under_way is asked:
            self._remember(found, fresh_until)
            self._under_way = {}

    def _remember(self, found: Mapping[str, V], fresh_until: float) -> None:
        now = asyncio.get_running_loop().time()
        self._known = {name: known for name, known in self._known.items() if now < known[0]}
        self._known |= {name: (fresh_until, value) for name, value in found.items()}


def _note_error(answer: asyncio.Future[V]) -> None:
    """Keep asyncio from reporting an error that nobody has seen: the callers may have gone."""
    if not answer.cancelled():
        answer.exception()
