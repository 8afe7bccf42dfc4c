"""What a job and housekeeping cost does not grow with the history: every statement finds its rows by an index."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from service.ledger.database import Database
from service.ledger.reads import listing, searching
from service.ledger.reads.matching import path_is
from service.ledger.reads.searching import search
from tests.support.change_plans import CHANGE_CALLS
from tests.support.figure_plans import CALLS as FIGURE_CALLS
from tests.support.figure_plans import fill_figures, reads_all_figures
from tests.support.flow_plans import FLOW_CALLS, FLOW_READS, fill_flows, walks_of_flows
from tests.support.plans import (
    CALLS,
    LISTS,
    MERGED,
    Call,
    Sent,
    bad_ways_in,
    fill,
    plans_of,
    sent_by,
    sorts_or_walks,
    walks,
    whole_walks,
)
from tests.support.schedule_plans import CALLS as SCHEDULE_CALLS
from tests.support.schedule_plans import fill_schedules, reads_all_ticks, reads_others_ticks
from tests.support.writing import writing

# Its last statement is then the same as at the end of a search through 10,000 jobs.
_MOST_SEARCHED = 2_000


async def test_no_statement_walks_through_the_history(history: Database) -> None:
    bad = {}
    for name, call in [*CALLS.items(), *CHANGE_CALLS.items()]:
        sent = await sent_by(history, call)
        assert sent, name
        for one in sent:
            for plan in await plans_of(history, one, avoid_walks=True):
                if bad_ways_in(plan) or walks_beside(plan):
                    bad[name] = f"{one.sql}\n{plan}"
    assert not bad, "\n\n".join(f"{name}: {plan}" for name, plan in bad.items())


@pytest.mark.parametrize("is_tiny", [False, True])
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
async def test_plans_from_when_the_ledger_was_small_walk_through_nothing(database_url: str, is_tiny: bool) -> None:
    """Postgres keeps them while the tables grow, until the next ANALYZE."""
    database = Database.open(database_url)
    await fill(database, terminal=1_000, waiting=20)
    await fill_flows(database)
    await fill_schedules(database, datetime.now(UTC))
    if is_tiny:
        taken_for = "UPDATE pg_class SET reltuples = 5 WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        async with writing(database) as connection:
            await connection.exec_driver_sql(taken_for)
    bad = []
    calls = [CALLS, CHANGE_CALLS, FLOW_CALLS, FLOW_READS, SCHEDULE_CALLS]
    for name, call in [one for some in calls for one in some.items()]:
        for one in await sent_by(database, call):
            plans = await plans_of(database, one, avoid_walks=True)
            bad += [f"{name}: {one.sql}\n{plan}" for plan in plans if whole_walks(plan)]
    await database.close()
    assert not bad, "\n\n".join(bad)


def walks_beside(plan: str) -> bool:
    """Whether a plan walks through all tags, or through all that lists are made of."""
    return re.search(r"Seq Scan on job_|^SCAN job_(tags|listing)$", plan, re.M) is not None


def first_page(wanted: Callable[[datetime], listing.Filter]) -> Call:
    return lambda connection, now: listing.list_jobs(connection, wanted(now), 51)


async def searched(database: Database, wanted: Callable[[datetime], listing.Filter]) -> list[Sent]:
    """Return what a search through a list asks first, and then for the rest of its page."""

    async def call(connection: AsyncConnection, now: datetime) -> object:
        found = await search(connection, replace(wanted(now), text="nowhere", args=(path_is("n", 1),)), 50)
        assert found.searched <= _MOST_SEARCHED
        return found

    sent = await sent_by(database, call)
    return [sent[0], sent[-1]] if sent else []


async def test_a_search_is_read_off_the_same_index_and_bounded(
    history: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert searching.MOST_SEARCHED == 10_000
    monkeypatch.setattr(searching, "MOST_SEARCHED", _MOST_SEARCHED)
    bad = []
    # For such a short history, Postgres sorts the rest of a range instead of reading it in order.
    is_bad_list = sorts_or_walks if history.dialect == "sqlite" else walks
    for lists, is_bad in ((LISTS, is_bad_list), (MERGED, walks)):
        for name, wanted in lists.items():
            for sent in await searched(history, wanted):
                bad += [f"{name}: {sent.sql}\n{plan}" for plan in await plans_of(history, sent) if is_bad(plan)]
    assert not bad, "\n\n".join(bad)


async def test_the_first_page_of_every_list_is_read_off_an_index(history: Database) -> None:
    bad = []
    for lists, is_bad in ((LISTS, sorts_or_walks), (MERGED, walks)):
        for name, wanted in lists.items():
            for sent in await sent_by(history, first_page(wanted)):
                bad += [f"{name}: {sent.sql}\n{plan}" for plan in await plans_of(history, sent) if is_bad(plan)]
    assert not bad, "\n\n".join(bad)


async def test_no_statement_about_flows_walks_through_the_history(history: Database) -> None:
    await fill_flows(history)
    bad = []
    for name, call in FLOW_CALLS.items():
        sent = await sent_by(history, call)
        assert sent, name
        for one in sent:
            plans = await plans_of(history, one, avoid_walks=True)
            bad += [f"{name}: {one.sql}\n{plan}" for plan in plans if bad_ways_in(plan) or walks_of_flows(plan)]
    assert not bad, "\n\n".join(bad)


async def test_no_statement_about_schedules_walks_through_their_ticks(database_url: str) -> None:
    database = Database.open(database_url)
    await fill(database, terminal=5_000, waiting=500)
    await fill_schedules(database, datetime.now(UTC))
    bad = []
    for name, call in SCHEDULE_CALLS.items():
        sent = await sent_by(database, call)
        assert sent, name
        for one in sent:
            plans = await plans_of(database, one, avoid_walks=True)
            bad += [
                f"{name}: {one.sql}\n{plan}"
                for plan in plans
                if bad_ways_in(plan) or reads_all_ticks(plan) or reads_others_ticks(name, plan)
            ]
    await database.close()
    assert not bad, "\n\n".join(bad)


async def test_no_statement_about_figures_walks_through_two_months_of_them(database_url: str) -> None:
    database = Database.open(database_url)
    await fill(database, terminal=5_000, waiting=500)
    await fill_figures(database, datetime.now(UTC))
    bad = []
    for name, call in FIGURE_CALLS.items():
        sent = await sent_by(database, call)
        assert sent, name
        for one in sent:
            plans = await plans_of(database, one, avoid_walks=True)
            bad += [f"{name}: {one.sql}\n{plan}" for plan in plans if bad_ways_in(plan) or reads_all_figures(plan)]
    await database.close()
    assert not bad, "\n\n".join(bad)
