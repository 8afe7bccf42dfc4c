from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue
from service.ledger.reads import searching
from service.ledger.reads.listing import Filter
from service.ledger.reads.matching import PathIs, path_is, path_reads
from service.ledger.reads.searching import Search, search
from tests.service.ledger.makers import NOW, new_job


async def make(ledger: Ledger, count: int, **fields: Any) -> list[str]:
    """Make jobs, the newest last: the nth has args {"n": n}."""
    new = [
        new_job(args=f'{{"n":{n}}}', created_at=NOW + timedelta(milliseconds=n), **fields) for n in range(1, count + 1)
    ]
    await ledger.enqueue(Enqueue(jobs=tuple(new), writer="test"))
    return [job.id for job in new]


async def found_by(ledger: Ledger, wanted: Filter, limit: int = 50) -> Search:
    async with ledger.read() as connection:
        return await search(connection, wanted, limit)


async def pages(ledger: Ledger, wanted: Filter, limit: int = 50) -> list[Search]:
    found = [await found_by(ledger, wanted, limit)]
    while (reached := found[-1].reached) is not None:
        found.append(await found_by(ledger, replace(wanted, after=reached), limit))
    return found


def ids_of(some: list[Search]) -> list[str]:
    return [one.id for page in some for one in page.found]


async def test_every_match_is_found_once_in_the_order_of_the_list_whatever_the_pages(ledger: Ledger) -> None:
    ids = await make(ledger, 250)
    wanted = Filter(args=(PathIs(("n",), tuple(range(1, 251, 3))),))
    for limit in (1, 7, 50, 1000):
        assert ids_of(await pages(ledger, wanted, limit)) == list(reversed(ids[0::3]))
    assert ids_of(await pages(ledger, replace(wanted, ascending=True), 9)) == ids[0::3]
    assert sum(page.searched for page in await pages(ledger, wanted, 7)) == 250


async def test_a_search_looks_at_so_many_jobs_of_what_the_indexes_leave_and_says_so(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "MOST_SEARCHED", 300)
    await make(ledger, 500, queue="other")
    wanted_ids = await make(ledger, 700)
    wanted = Filter(queues=("default",), args=(path_is("n", 1),))
    some = await pages(ledger, wanted)
    assert [page.searched for page in some] == [300, 300, 100]
    assert [len(page.found) for page in some] == [0, 0, 1]
    assert ids_of(some) == wanted_ids[:1]


async def test_a_search_among_large_jobs_ends_earlier(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_MOST_BYTES", 1_000_000)
    jobs = [new_job(args=f'{{"text":"{"x" * 50_000}","n":{n}}}', created_at=NOW) for n in range(60)]
    for first in range(0, 60, 20):
        await ledger.enqueue(Enqueue(jobs=tuple(jobs[first : first + 20]), writer="test"))
    some = await pages(ledger, Filter(args=(path_is("n", 0),)))
    assert ids_of(some) == [jobs[0].id]
    assert sum(page.searched for page in some) == 60


async def test_a_search_that_takes_long_goes_on_with_the_next_page(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "_LONGEST_S", -1.0)
    ids = await make(ledger, 250)
    some = await pages(ledger, Filter(args=(path_is("n", 1),)))
    assert len(some) > 1
    assert ids_of(some) == ids[:1]


async def test_all_that_is_asked_for_must_fit(ledger: Ledger) -> None:
    metadata, error = '{"tenant":"acme"}', {"error_type": "OSError", "error_message": "No Route\nto host"}
    one = new_job(args='{"n":1,"deep":{"list":[{"x":"Ünï"}]}}', metadata=metadata, created_at=NOW)
    two = new_job(args='{"n":1}', created_at=NOW + timedelta(seconds=1), **error)
    await ledger.enqueue(Enqueue(jobs=(one, two), writer="test"))
    n, tenant = (path_is("n", 1),), (path_reads("tenant", "acme"),)
    for wanted, found in (
        (Filter(args=n), [two.id, one.id]),
        (Filter(args=n, metadata=tenant), [one.id]),
        (Filter(metadata=tenant, text="nothing"), []),
        (Filter(args=(*n, path_reads("deep.list.0.x", "Ünï"))), [one.id]),
        (Filter(text="üNÏ"), [one.id]),
        (Filter(text="ACME", args=n), [one.id]),
        (Filter(text="no route\nTO"), [two.id]),
        (Filter(text="oserror"), [two.id]),
        (Filter(text='"n":1,'), [one.id]),
    ):
        assert ids_of([await found_by(ledger, wanted)]) == found, wanted
