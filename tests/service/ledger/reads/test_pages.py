from dataclasses import replace

from service.ledger.database import Database
from service.ledger.reads.listing import Filter
from service.ledger.reads.pages import read_page
from tests.support.plans import fill


async def test_a_page_that_may_look_at_few_jobs_says_so_and_goes_on_where_it_ended(database_url: str) -> None:
    database = Database.open(database_url)
    await fill(database, terminal=2_000, waiting=100)
    for ascending in (False, True):
        async with database.connect() as connection:
            everything = Filter(states=("failed",), kinds=("k0",), lane="tenant:0", ascending=ascending)
            expected = [row["id"] for row in (await read_page(connection, everything, 500)).rows]
            wanted, found, pages = everything, list[str](), 0
            while True:
                page = await read_page(connection, wanted, 500, looks=50)
                found += [row["id"] for row in page.rows]
                pages += 1
                assert page.searched == (None if page.last is None else 50)
                if page.last is None:
                    break
                wanted = replace(wanted, after=page.last)
        assert found == expected
        assert len(expected) >= 10
        assert pages >= 4
        # What its index tells alone needs no look.
        async with database.connect() as connection:
            plain = await read_page(connection, Filter(states=("failed",), ascending=ascending), 500, looks=50)
            assert (len(plain.rows), plain.searched) == (200, None)
    await database.close()
