"""One timer tells every attempt when its time is up."""

import asyncio

from service.worker.performing.deadlines import Deadlines


class Timed:
    def __init__(self, name: str, told: list[str]) -> None:
        self._name = name
        self._told = told

    def time_out(self) -> None:
        self._told.append(self._name)


async def test_each_is_told_at_its_time_in_whatever_order_they_came() -> None:
    told: list[str] = []
    deadlines, now = Deadlines(), asyncio.get_running_loop().time()
    last, first, removed = Timed("last", told), Timed("first", told), Timed("removed", told)
    deadlines.add(last, now + 0.06)
    deadlines.add(first, now + 0.02)
    deadlines.add(removed, now + 0.04)
    deadlines.remove(removed)
    async with asyncio.timeout(10):
        while len(told) < 2:
            await asyncio.sleep(0.005)
    assert told == ["first", "last"]


async def test_deadline_that_comes_after_all_others_are_over_is_kept() -> None:
    told: list[str] = []
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    early = Timed("early", told)
    deadlines.add(early, loop.time() + 0.01)
    deadlines.add(Timed("late", told), loop.time() + 0.05)
    deadlines.remove(early)
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0.005)
    assert told == ["late"]


class Failing(Timed):
    def time_out(self) -> None:
        super().time_out()
        raise RuntimeError("an error of its own")


async def test_error_of_one_keeps_no_other_from_being_told() -> None:
    told: list[str] = []
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, _context: None)
    for name, timed in (("a", Failing), ("b", Timed), ("c", Timed)):
        deadlines.add(timed(name, told), loop.time() + (0.05 if name == "c" else 0.01))
    async with asyncio.timeout(10):
        while len(told) < 3:
            await asyncio.sleep(0.005)
    assert told == ["a", "b", "c"]
