import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from service.ledger.group_commit import GroupCommit
from service.ledger.ledger import Ledger
from service.ledger.models import NewJob
from service.ledger.reads import jobs as queries
from tests.service.ledger.makers import engine_of, enqueue, new_job
from tests.support.running import eventually

BAD = -1


class BadData(ValueError):
    """What a database says about a row that it cannot take."""


@dataclass
class Store:
    """An in-memory database: the rows of a transaction are kept together, or none of them."""

    transactions: list[list[int]] = field(default_factory=list)
    begun: int = 0
    lost: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def transact(self, operations: Sequence[tuple[Any, Sequence[int]]]) -> list[Sequence[Any]]:
        self.begun += 1
        await self.gate.wait()
        if self.lost:
            raise ConnectionError("the database is away")
        results = [operation(None, rows) for operation, rows in operations]
        self.transactions.append([row for _, rows in operations for row in rows])
        return results

    @property
    def rows(self) -> list[int]:
        return [row for rows in self.transactions for row in rows]


def double(_connection: Any, rows: Sequence[int]) -> list[int]:
    if BAD in rows:
        raise BadData
    return [row * 2 for row in rows]


def negate(_connection: Any, rows: Sequence[int]) -> list[int]:
    if BAD in rows:
        raise BadData
    return [-row for row in rows]


def group_commit(store: Store, **options: Any) -> GroupCommit:
    return GroupCommit(store.transact, is_data_error=lambda error: isinstance(error, BadData), **options)


@asynccontextmanager
async def held(store: Store, commit: GroupCommit) -> AsyncIterator[asyncio.Task[Sequence[int]]]:
    """Keep the write of row 0 in flight, so that all others wait for the next group."""
    store.gate.clear()
    begun = store.begun
    first = asyncio.create_task(commit.write(double, [0]))
    await until(lambda: store.begun > begun)
    yield first
    store.gate.set()
    await first


async def until(condition: Any) -> None:
    async def holds() -> bool:
        return bool(condition())

    await eventually(holds, timeout_s=5)


async def settle() -> None:
    """Let everything that can go on without the database go on."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_writes_that_wait_together_are_one_transaction() -> None:
    store = Store()
    commit = group_commit(store)
    async with held(store, commit):
        others = [asyncio.create_task(commit.write(double, [n])) for n in range(1, 501)]
        await settle()
        store.gate.set()
        assert await asyncio.gather(*others) == [[n * 2] for n in range(1, 501)]
    assert store.transactions == [[0], list(range(1, 501))]


async def test_writes_that_come_turn_after_turn_are_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ledger.group_commit._GATHER_WITHIN_S", 60.0)  # a busy machine takes long for a turn
    store = Store()
    commit = group_commit(store)
    writing = []
    for number in range(20):
        writing.append(asyncio.create_task(commit.write(double, [number])))
        await asyncio.sleep(0)
    await asyncio.gather(*writing)
    assert store.transactions == [list(range(20))]


async def test_newcomers_without_end_do_not_keep_a_write_waiting() -> None:
    store = Store()
    commit = group_commit(store)
    first, others = asyncio.create_task(commit.write(double, [0])), []
    while not first.done():
        others.append(asyncio.create_task(commit.write(double, [1])))
        await asyncio.sleep(0)
        assert len(others) < 100_000
    await asyncio.gather(*others)


async def test_different_operations_share_a_transaction() -> None:
    store = Store()
    commit = group_commit(store)
    writes = [(double, [1]), (negate, [2]), (double, [3]), (negate, [4, 5])]
    results = await asyncio.gather(*(commit.write(operation, rows) for operation, rows in writes))
    assert results == [[2], [-2], [6], [-4, -5]]
    assert len(store.transactions) == 1


async def test_a_group_is_no_larger_than_allowed_unless_one_write_is() -> None:
    store = Store()
    commit = group_commit(store, max_group=10)
    await asyncio.gather(*(commit.write(double, [n, n]) for n in range(12)), commit.write(double, list(range(25))))
    assert [len(rows) for rows in store.transactions] == [10, 10, 4, 25]


async def test_a_write_that_says_its_weight_is_grouped_by_it() -> None:
    store = Store()
    commit = group_commit(store, max_group=10)
    await asyncio.gather(*(commit.write(double, [n], weight=6) for n in range(3)))
    assert [len(rows) for rows in store.transactions] == [1, 1, 1]


async def test_a_lone_write_is_handed_over_at_once() -> None:
    store = Store()
    commit = group_commit(store, gap_s=3600)
    for expected in (1, 2, 3):
        writing = asyncio.create_task(commit.write(double, [1]))
        turns = 0
        while store.begun < expected:
            await asyncio.sleep(0)
            turns += 1
            assert turns <= 4  # two of them without a newcomer
        assert await writing == [2]


async def test_no_rows_are_no_transaction() -> None:
    store = Store()
    assert await group_commit(store).write(double, []) == []
    assert store.begun == 0


async def test_bad_writes_fail_alone_among_a_hundred() -> None:
    store = Store()
    commit = group_commit(store)
    bad = {0, 7, 8, 50, 99}
    writes = (commit.write(double, [BAD] if n in bad else [n]) for n in range(100))
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert {n for n, result in enumerate(results) if isinstance(result, BadData)} == bad
    assert sorted(store.rows) == [n for n in range(100) if n not in bad]


async def test_rows_of_one_write_are_recorded_all_or_none() -> None:
    store = Store()
    commit = group_commit(store)
    before, refused, after = await asyncio.gather(
        commit.write(double, [1, 2]),
        commit.write(double, [3, BAD, 4]),
        commit.write(double, [5, 6]),
        return_exceptions=True,
    )
    assert (before, after) == ([2, 4], [10, 12])
    assert isinstance(refused, BadData)
    assert sorted(store.rows) == [1, 2, 5, 6]


async def test_a_caller_cancelled_before_its_write_is_taken_withdraws_it_and_no_other() -> None:
    store = Store()
    commit = group_commit(store)
    async with held(store, commit):
        waiting = [asyncio.create_task(commit.write(double, [n])) for n in (1, 2, 3)]
        await settle()
        waiting[1].cancel()
        await settle()
        store.gate.set()
        assert await waiting[0] == [2]
        assert await waiting[2] == [6]
    assert store.rows == [0, 1, 3]


async def test_a_group_of_withdrawn_writes_is_no_transaction() -> None:
    store = Store()
    commit = group_commit(store)
    async with held(store, commit):
        waiting = asyncio.create_task(commit.write(double, [1]))
        await settle()
        waiting.cancel()
    await commit.close()
    assert store.begun == 1


async def test_a_caller_cancelled_after_its_write_is_taken_has_it_committed_and_loses_no_neighbour() -> None:
    store = Store()
    commit = group_commit(store)
    store.gate.clear()
    writing = [asyncio.create_task(commit.write(double, [n])) for n in (1, 2, 3)]
    await until(lambda: store.begun)
    writing[0].cancel()
    await settle()
    store.gate.set()
    assert await writing[1] == [4]
    assert await writing[2] == [6]
    assert writing[0].cancelled()
    assert store.transactions == [[1, 2, 3]]


async def test_a_lost_database_fails_all_who_wait_and_later_writes_work_again() -> None:
    store = Store(lost=True)
    commit = group_commit(store, max_group=4)
    results = await asyncio.gather(*(commit.write(double, [n]) for n in range(10)), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError] * 10
    assert store.begun == 3, "a group that failed with the database is not taken apart"
    store.lost = False
    assert await commit.write(double, [1]) == [2]


async def test_callers_wait_for_room_and_go_on_when_there_is_some() -> None:
    store = Store()
    commit = group_commit(store, max_group=5, max_waiting=10)
    async with held(store, commit):
        writing = [asyncio.create_task(commit.write(double, [n])) for n in range(1, 31)]
        await settle()
        assert commit._waiting_weight == 10
        writing[20].cancel()
        store.gate.set()
        results = await asyncio.gather(*writing, return_exceptions=True)
    expected = [n for n in range(31) if n != 21]
    assert sorted(store.rows) == expected
    assert [result for result in results if not isinstance(result, BaseException)] == [[n * 2] for n in expected[1:]]
    assert commit._waiting_weight == 0


async def test_closing_writes_what_waits_and_refuses_more() -> None:
    store = Store()
    commit = group_commit(store, max_group=5, max_waiting=10)
    async with held(store, commit):
        writing = [asyncio.create_task(commit.write(double, [n])) for n in range(1, 13)]
        await settle()
        closing = asyncio.create_task(commit.close())
        await settle()
        assert not closing.done()
        store.gate.set()
        await closing
        results = await asyncio.gather(*writing, return_exceptions=True)
    assert results[:10] == [[n * 2] for n in range(1, 11)]
    assert [type(result) for result in results[10:]] == [RuntimeError, RuntimeError]
    with pytest.raises(RuntimeError, match="closed"):
        await commit.write(double, [1])


async def test_nobody_waits_for_ever_when_the_loop_ends_during_a_commit() -> None:
    store = Store()
    commit = group_commit(store)
    store.gate.clear()
    taken = asyncio.create_task(commit.write(double, [1]))
    await until(lambda: store.begun)
    waiting = asyncio.create_task(commit.write(double, [2]))
    await settle()
    (committer,) = (task for task in asyncio.all_tasks() if task.get_name() == "group-commit")
    committer.cancel()
    results = await asyncio.wait_for(asyncio.gather(taken, waiting, return_exceptions=True), 5)
    assert [type(result) for result in results] == [ConnectionError, ConnectionError]
    store.gate.set()
    assert await commit.write(double, [3]) == [6]


async def test_nobody_waits_for_ever_when_all_tasks_are_cancelled_before_the_commit_begins() -> None:
    commit = group_commit(Store())
    writing = asyncio.ensure_future(commit.write(double, [1]))
    await asyncio.sleep(0)
    (committer,) = (task for task in asyncio.all_tasks() if task.get_name() == "group-commit")
    committer.cancel()
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(writing, 5)
    assert await asyncio.wait_for(commit.write(double, [3]), 5) == [6]


Write = tuple[bool, list[int]]


@given(
    writes=st.lists(st.tuples(st.booleans(), st.lists(st.integers(BAD, 9), min_size=1, max_size=4)), max_size=30),
    max_group=st.integers(1, 40),
    turns=st.lists(st.integers(0, 2), min_size=30, max_size=30),
)
def test_results_reach_those_who_wait_for_them(writes: list[Write], max_group: int, turns: list[int]) -> None:
    asyncio.run(_assert_results_reach_their_callers(writes, max_group, turns))


async def _assert_results_reach_their_callers(writes: list[Write], max_group: int, turns: list[int]) -> None:
    store = Store()
    commit = group_commit(store, max_group=max_group, max_waiting=10)

    async def write(negated: bool, rows: list[int], after_turns: int) -> Sequence[int]:
        for _ in range(after_turns):
            await asyncio.sleep(0)
        return await commit.write(negate if negated else double, rows)

    results = await asyncio.gather(
        *(write(negated, rows, turn) for (negated, rows), turn in zip(writes, turns, strict=False)),
        return_exceptions=True,
    )
    for (negated, rows), result in zip(writes, results, strict=True):
        if BAD in rows:
            assert isinstance(result, BadData)
        else:
            assert result == [-row if negated else row * 2 for row in rows]
    assert sorted(store.rows) == sorted(row for _, rows in writes if BAD not in rows for row in rows)


async def recorded(ledger: Ledger, jobs: Sequence[NewJob]) -> set[str]:
    async with ledger.read() as connection:
        return set(await queries.states_of(connection, [job.id for job in jobs]))


async def test_two_hundred_callers_of_the_ledger_take_a_few_transactions(ledger: Ledger) -> None:
    commits: list[Any] = []
    event.listen(engine_of(ledger.database), "commit", commits.append)
    jobs = [new_job() for _ in range(200)]
    await asyncio.gather(*(enqueue(ledger, job) for job in jobs))
    assert len(await recorded(ledger, jobs)) == 200
    assert len(commits) <= 5


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"args": None}, id="constraint"),
        pytest.param({"args": '"\ud800"'}, id="surrogate"),
        pytest.param({"args": '"\0"'}, id="nul"),
    ],
)
async def test_data_that_a_database_refuses_fails_alone_among_a_hundred(ledger: Ledger, wrong: Any) -> None:
    if wrong["args"] == '"\0"' and ledger.database.dialect == "sqlite":
        pytest.skip("SQLite takes NUL")
    good = [new_job() for _ in range(97)]
    bad = [new_job(**wrong) for _ in range(3)]
    jobs = [*good[:30], bad[0], *good[30:80], bad[1], bad[2], *good[80:]]
    results = await asyncio.gather(*(enqueue(ledger, job) for job in jobs), return_exceptions=True)
    failed = {job.id for job, result in zip(jobs, results, strict=True) if isinstance(result, Exception)}
    assert failed == {job.id for job in bad}
    assert await recorded(ledger, jobs) == {job.id for job in good}


async def test_a_request_with_one_bad_job_records_none_of_its_jobs(ledger: Ledger) -> None:
    request = [new_job(), new_job(args=None), new_job()]
    neighbour = new_job()
    results = await asyncio.gather(enqueue(ledger, *request), enqueue(ledger, neighbour), return_exceptions=True)
    assert isinstance(results[0], Exception)
    assert await recorded(ledger, [*request, neighbour]) == {neighbour.id}
