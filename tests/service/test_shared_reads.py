"""Many who ask at once are one read; an answer is kept for a moment, and no longer than what it says is true."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from service.errors import LedgerUnavailable
from service.shared_reads import SharedReads
from tests.support.cancelling import cancel_all_named, cancel_unbegun


class Source:
    """Reads numbers, and notes what it was asked; the first `fails` reads raise."""

    def __init__(self, fails: int = 0) -> None:
        self.asked: list[Sequence[str]] = []
        self.fails = fails
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def read(self, names: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(names)
        number = len(self.asked)
        await self.may_answer.wait()
        if number <= self.fails:
            raise OSError("away")
        return dict.fromkeys(names, number)


async def test_all_who_ask_at_the_same_moment_share_one_read() -> None:
    source = Source()
    reads = SharedReads(source.read, fresh_for_s=60)
    told = await asyncio.gather(*(reads.of([str(number % 10), "all"]) for number in range(1_000)))
    assert len(source.asked) == 1
    assert sorted(source.asked[0]) == sorted([*map(str, range(10)), "all"])
    assert told[13] == {"3": 1, "all": 1}


async def test_who_asks_while_a_read_is_under_way_shares_it() -> None:
    source = Source()
    reads = SharedReads(source.read, fresh_for_s=60)
    source.may_answer.clear()
    first = asyncio.create_task(reads.of(["a"]))
    while not source.asked:
        await asyncio.sleep(0)
    second = asyncio.create_task(reads.of(["a", "b"]))
    await asyncio.sleep(0)
    source.may_answer.set()
    assert (await first, await second) == ({"a": 1}, {"a": 1, "b": 2})


async def test_who_must_see_what_was_written_before_shares_no_read_that_has_begun() -> None:
    source = Source()
    reads = SharedReads(source.read, fresh_for_s=0)
    source.may_answer.clear()
    first = asyncio.create_task(reads.of(["a"]))
    while not source.asked:
        await asyncio.sleep(0)
    later = [asyncio.create_task(reads.of(["a"])) for _ in range(2)]
    await asyncio.sleep(0)
    source.may_answer.set()
    assert (await first, await later[0], await later[1]) == ({"a": 1}, {"a": 2}, {"a": 2})


async def test_a_read_is_given_so_many_names_and_the_next_one_the_others() -> None:
    source = Source()
    reads = SharedReads(source.read, fresh_for_s=0, at_once=4)
    told = await asyncio.gather(*(reads.of([str(number)]) for number in range(10)))
    assert [len(names) for names in source.asked] == [4, 4, 2]
    assert told[9] == {"9": 3}


async def test_an_answer_is_read_anew_once_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, source = asyncio.get_running_loop(), Source()
    reads = SharedReads(source.read, fresh_for_s=1)
    began, later_s = loop.time(), [0.0]
    monkeypatch.setattr(loop, "time", lambda: began + later_s[0])
    told = []
    for later_s[0] in (0.0, 0.9, 1.0, 1.9):
        told.append((await reads.of(["a"]))["a"])
    assert told == [1, 1, 2, 2]


async def test_an_answer_is_kept_for_its_time_alone() -> None:
    source = Source()
    kept, unkept = SharedReads(source.read, fresh_for_s=60), SharedReads(source.read, fresh_for_s=0)
    assert [await kept.of(["a"]) for _ in range(3)] == [{"a": 1}] * 3
    assert [await unkept.of(["a"]) for _ in range(3)] == [{"a": 2}, {"a": 3}, {"a": 4}]


async def test_what_was_read_before_a_change_is_told_to_nobody_who_asks_after_it() -> None:
    source = Source()
    reads = SharedReads(source.read, fresh_for_s=60)
    source.may_answer.clear()
    before = asyncio.create_task(reads.of(["a"]))
    while not source.asked:
        await asyncio.sleep(0)
    reads.forget()
    after = asyncio.create_task(reads.of(["a"]))
    source.may_answer.set()
    assert (await before, await after, await reads.of(["a"])) == ({"a": 1}, {"a": 2}, {"a": 2})


async def test_an_error_is_told_to_those_who_wait_for_it_and_not_kept() -> None:
    source = Source(fails=1)
    reads = SharedReads(source.read, fresh_for_s=60)
    failed = await asyncio.gather(reads.of(["a"]), reads.of(["a", "b"]), return_exceptions=True)
    assert [str(error) for error in failed] == ["away", "away"]
    assert await reads.of(["a"]) == {"a": 2}


async def test_who_gives_up_takes_the_answer_from_nobody() -> None:
    source = Source()
    reads = SharedReads(source.read, fresh_for_s=60)
    source.may_answer.clear()
    asking = [asyncio.create_task(reads.of(["a"])) for _ in range(2)]
    while not source.asked:
        await asyncio.sleep(0)
    asking[0].cancel()
    source.may_answer.set()
    assert await asking[1] == {"a": 1}
    with pytest.raises(asyncio.CancelledError):
        await asking[0]


async def test_a_reader_that_is_cancelled_before_its_first_step_leaves_nobody_waiting() -> None:
    source = Source()
    reads = SharedReads(source.read, fresh_for_s=0)
    asking = asyncio.create_task(reads.of(["a"]))
    await asyncio.sleep(0)
    await cancel_unbegun("shared-reads")
    with pytest.raises(LedgerUnavailable, match="cancelled"):
        await asking
    assert await reads.of(["a"]) == {"a": 1}


async def test_a_reader_that_is_cancelled_while_it_reads_leaves_nobody_waiting() -> None:
    source = Source()
    source.may_answer.clear()
    reads = SharedReads(source.read, fresh_for_s=0)
    asking = [asyncio.create_task(reads.of([name])) for name in "a"]
    while not source.asked:
        await asyncio.sleep(0)
    asking.append(asyncio.create_task(reads.of(["b"])))
    await asyncio.sleep(0)
    cancel_all_named("shared-reads")
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in ended] == [LedgerUnavailable, LedgerUnavailable]
    assert {str(one) for one in ended} == {"The read was cancelled. Ask again."}
