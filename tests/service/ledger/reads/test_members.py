"""Members of operations: no read looks at more jobs of a large ledger than it was told to."""

import re
from dataclasses import replace
from datetime import timedelta

from service.ledger.database import Database
from service.ledger.reads.listing import Filter
from service.ledger.reads.members import count_members, far_end, members_of
from tests.support.plans import LISTS, MERGED, fill, plans_of, sent_by, walks
from tests.support.writing import writing

_WINDOW = 500


def is_bounded(plan: str) -> bool:
    """Whether a plan reads a range of an index that has two ends in time."""
    on_postgres = re.search(r"Index Cond:.*(?:created|finished)_at <.*(?:created|finished)_at >", plan)
    on_sqlite = re.search(r"(?:created|finished)_at>\? AND (?:created|finished)_at<\?", plan)
    return bool(on_postgres or on_sqlite)


async def test_pages_and_counts_of_any_filter_stay_between_two_places(database_url: str) -> None:
    database = Database.open(database_url)
    # Postgres sorts a shorter history rather than to read a range of it. SQLite plans the same for any.
    await fill(database, terminal=100_000 if database.dialect == "postgresql" else 20_000, waiting=2_000)
    async with writing(database) as connection:
        tagged = "INSERT INTO job_tags (tag, created_at, job_id) SELECT 't', created_at, id FROM jobs"
        await connection.exec_driver_sql(tagged)
        await connection.exec_driver_sql("ANALYZE job_tags")
    async with database.connect() as connection:
        now = await database.now(connection)
    bad = []
    for name, make in {**LISTS, **MERGED}.items():
        wanted = make(now)
        if wanted.ascending:
            continue
        wanted = replace(wanted, created_before=wanted.created_before or now)
        after = (now - timedelta(hours=2), "done-1")
        looked_for = await sent_by(database, lambda c, _: far_end(c, replace(wanted, after=after), _WINDOW))  # noqa: B023
        between = replace(wanted, after=after, until=(now - timedelta(hours=3), "done-2"))
        read = await sent_by(database, lambda c, _: members_of(c, between, 500))  # noqa: B023
        counted = await sent_by(database, lambda c, _: count_members(c, between, 5_000))  # noqa: B023
        for sent in (*looked_for, *read, *counted):
            plans = await plans_of(database, sent, avoid_walks=True)
            is_page = sent not in looked_for
            bad += [f"{name}: {sent.sql}\n{one}" for one in plans if walks(one) or (is_page and not is_bounded(one))]
    await database.close()
    assert not bad, "\n\n".join(bad)


async def test_named_jobs_are_found_by_their_ids(history: Database) -> None:
    ids = [f"done-{number}" for number in range(1, 1_000)]
    [sent] = await sent_by(history, lambda c, now: members_of(c, Filter(ids=ids, created_before=now), 500))
    for plan in await plans_of(history, sent, avoid_walks=True):
        assert re.search("jobs_pkey|sqlite_autoindex_jobs_1", plan), plan
        assert not walks(plan), plan


async def test_the_far_end_is_the_place_of_the_last_job_to_look_at(database_url: str) -> None:
    database = Database.open(database_url)
    await fill(database, terminal=2_000, waiting=100)
    async with database.connect() as connection:
        wanted = Filter(states=("failed", "cancelled"), kinds=("none",))
        end = await far_end(connection, wanted, 50)
        assert end is not None
        seen = await count_members(connection, replace(wanted, kinds=(), until=end), 5_000)
        assert 50 <= seen <= 100
        assert await far_end(connection, wanted, 5_000) is None
        assert await far_end(connection, replace(wanted, after=end), 50) not in (None, end)
    await database.close()
