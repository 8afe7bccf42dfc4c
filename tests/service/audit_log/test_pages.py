"""The page of the audit log: its entries, and the ones that were changed after they were written."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from service.audit_log import reads
from service.audit_log.chain import Kept, Keys
from service.audit_log.pages import read_log
from service.audit_log.reads import Wanted
from service.ledger.database import Database
from service.ledger.deadline import in_time
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.service.audit_log.logging import KEY, entry, say
from tests.service.audit_log.test_verifying import run, unguarded
from tests.service.dashboard.places import Browser, looking, words
from tests.support.keyed import bearer, closed, make_key
from tests.support.running import running_api

pytestmark = on_sqlite
Read = Callable[..., Awaitable[Any]]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings) as browser:
        yield browser


async def write(ledger: Ledger, *changes: dict[str, str]) -> None:
    from service.audit_log.capability import LedgerAuditLog

    log = LedgerAuditLog(ledger.database, Keys())
    for number, change in enumerate(changes):
        await log.write(replace(entry(f"job-{number}", {"n": number}), **change))  # type: ignore[arg-type]


async def test_entries_are_shown_with_their_jobs_and_found_by_who_what_and_to_what(
    browser: Browser, ledger: Ledger
) -> None:
    assert "No application has recorded anything yet." in await browser.words("/audit-log")
    await write(ledger, {"actor": HOSTILE}, {"action": "invoice.paid"}, {"target": "invoice:9"})
    page = await browser.page("/audit-log")
    assert HOSTILE not in page
    assert 'href="/jobs/job-1"' in page
    said = await browser.words("/audit-log")
    assert "All entries shown are as they were written, each after the one before." in said
    assert "the whole log: entries 1 to 3." in said
    for query, shown in (
        ("actor=ann", 2),
        ("action=invoice.paid", 1),
        ("target=invoice:9", 1),
        ("after=2030-01-01", 0),
    ):
        assert (await browser.page(f"/audit-log?{query}")).count('id="entry-') == shown
    assert "No entries match" in await browser.words("/audit-log?before=1999-01-01")
    assert "is neither a day nor a moment" in await browser.words("/audit-log?after=soon", status=422)
    lines = (await browser.client.get("/audit-log/export")).text.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [1, 2, 3]


async def test_an_entry_that_was_changed_or_exchanged_is_told(browser: Browser, ledger: Ledger) -> None:
    await say(ledger, *(f"j{n}" for n in range(4)))
    await unguarded(ledger)
    await run(ledger, "UPDATE audit_log SET actor = 'eve' WHERE seq = 2", "DELETE FROM audit_log WHERE seq = 3")
    said = await browser.words("/audit-log")
    assert "2 entries of those shown are not as written. Run postlude audit-log verify" in said
    assert "changed since" in said
    assert "does not follow the one before" in said


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ("DELETE FROM audit_log WHERE seq > 3", "The end of the log is missing: it should end at entry 4."),
        ("DELETE FROM audit_log", "The end of the log is missing: it should end at entry 4."),
        ("DELETE FROM audit_log_head", "The end of the log is missing: nothing says at which entry it should end."),
        ("UPDATE audit_log_head SET seq = 'x'", "The end of the log is missing: nothing says at which entry"),
        ("UPDATE audit_log_head SET seq = 3", "The log goes on beyond its end: it should end at entry 3."),
        ("UPDATE audit_log_head SET hash = repeat_f", "Entry 4, the last, does not have the hash that was noted"),
        ("UPDATE audit_log_head SET hash = CAST(X'ff' AS TEXT)", "Entry 4, the last, does not have the hash"),
    ],
)
async def test_a_log_that_does_not_end_where_it_should_is_told(
    browser: Browser, ledger: Ledger, attack: str, told: str
) -> None:
    await say(ledger, *(f"j{n}" for n in range(4)))
    await unguarded(ledger)
    await run(ledger, attack)
    page = await browser.page("/audit-log")
    assert '<b class="tone is-wrong">' in page
    said = words(page)
    assert f"Audit log {told}" in said
    for calm in ("as they were written", "No application has recorded anything", "No entries yet", "Its end is"):
        assert calm not in said
    # A page without the last entry does not fail over what the head holds.
    await browser.page("/audit-log?actor=nobody")


async def test_what_is_no_text_any_more_is_shown_as_changed(browser: Browser, ledger: Ledger) -> None:
    await say(ledger, *(f"j{n}" for n in range(4)))
    await unguarded(ledger)
    await run(ledger, "UPDATE audit_log SET hash = CAST(X'ff' AS TEXT) WHERE seq = 2")
    said = await browser.words("/audit-log")
    assert "2 entries of those shown are not as written." in said
    assert "Hash \\xff" in said


def then_pruned(read: Read, ledger: Ledger, through: int) -> Read:
    """Delete entries as soon as the read is done."""

    async def read_and_prune(connection: AsyncConnection, *args: Any) -> Any:
        found = await read(connection, *args)
        await connection.rollback()
        await run(ledger, f"DELETE FROM audit_log WHERE seq <= {through}")
        return found

    return read_and_prune


async def test_entries_pruned_while_the_page_is_read_are_not_called_wrong(
    browser: Browser, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(ledger, *(f"j{n}" for n in range(6)))
    await unguarded(ledger)
    for name, through in (("list_entries", 2), ("hashes_of", 4), ("read_ends", 5)):
        with monkeypatch.context() as patched:
            patched.setattr(f"service.audit_log.pages.{name}", then_pruned(getattr(reads, name), ledger, through))
            page = await read_log(ledger, Wanted(), Keys(), sees_args=True)
        assert (page.judged("whole"), page.end) == (len(page.rows), "whole"), name


async def test_an_entry_whose_key_is_not_here_is_not_called_whole(browser: Browser, ledger: Ledger) -> None:
    await say(ledger, "j1", keys=Keys([KEY]))
    assert "1 entry of those shown cannot be checked: the key is not in" in await browser.words("/audit-log")


async def test_a_long_log_has_pages(browser: Browser, ledger: Ledger) -> None:
    await say(ledger, *(f"j{n}" for n in range(60)))
    first = await browser.page("/audit-log")
    [older] = {part.split('"')[0] for part in first.split('href="') if part.startswith("/audit-log?cursor=")}
    assert (first.count('id="entry-'), (await browser.page(older)).count('id="entry-')) == (50, 10)


@pytest.mark.parametrize("at", ["'a'", "'z'", "CAST(X'ff' AS TEXT)"])
async def test_entries_without_a_time_do_not_break_the_way_to_older_ones(
    browser: Browser, ledger: Ledger, at: str
) -> None:
    await say(ledger, *(f"j{n}" for n in range(70)))
    await unguarded(ledger)
    await run(ledger, f"UPDATE audit_log SET at = {at} WHERE seq BETWEEN 16 AND 25")
    shown, path = set[str](), "/audit-log"
    while path:
        page = await browser.page(path)
        shown |= set(re.findall(r'id="entry-(\d+)"', page))
        path = next(iter(re.findall(r'href="(/audit-log\?cursor=[^"]+)"', page)), "")
    assert len(shown) == 70
    await run(ledger, f"UPDATE audit_log SET at = {at}")
    page = await browser.page("/audit-log")
    assert "/audit-log?cursor=" not in page
    assert "There are older entries, but no time on this page can be read." in words(page)


async def test_an_export_that_cannot_begin_is_answered_with_a_page(
    browser: Browser, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hanging(database: Database, *, after: int) -> AsyncIterator[list[Kept]]:
        await asyncio.Event().wait()
        yield []

    with monkeypatch.context() as patched:
        patched.setattr("service.audit_log.exporting.pages", hanging)
        patched.setattr("service.audit_log.exporting.in_time", partial(in_time, within_s=0.1))
        assert "did not answer within 0.1 s" in await browser.page("/audit-log/export", status=503)
    await run(ledger, "ALTER TABLE audit_log RENAME TO away")
    assert "<main" in await browser.page("/audit-log/export", status=503)


async def test_it_is_for_admins_and_who_may_not_see_args_sees_no_data(settings: Settings, ledger: Ledger) -> None:
    await say(ledger, "j1")
    async with running_api(closed(settings)) as api:
        reader = bearer((await make_key(api, "read"))["key"])
        assert (await api.get("/audit-log", headers=reader)).status_code == 403
        assert "/audit-log" not in (await api.get("/", headers=reader)).text
        hidden = bearer((await make_key(api, "read", "admin", sees_args=False))["key"])
        page = (await api.get("/audit-log", headers=hidden)).text
        assert "Origin and data are hidden" in page
        assert (await api.get("/audit-log/export", headers=hidden)).status_code == 403
