"""Every change to the table by SQL is found, and reported for the right entries."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.audit_log.capability import LedgerAuditLog
from service.audit_log.chain import Kept, Keys
from service.audit_log.commands import check_all
from service.audit_log.pruning import prune_before
from service.audit_log.reads import pages
from service.audit_log.verifying import Verifier
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from tests.service.audit_log.logging import KEY, OTHER_KEY, entry, say
from tests.support.writing import writing

COPIED = (
    "INSERT INTO audit_log (seq, at, recorded_at, actor, action, job_id, previous_hash, hash)"
    " SELECT {seq}, at, recorded_at, actor, action, 'forged', hash, hash FROM audit_log WHERE seq = 9"
)
MOVED_UP = [f"UPDATE audit_log SET seq = {seq} - 1 WHERE seq = {seq}" for seq in range(5, 10)]
# What is done to a log of 9 entries, and a word of what is found.
ATTACKS: Mapping[str, tuple[Sequence[str], str]] = {
    "actor": (["UPDATE audit_log SET actor = 'eve' WHERE seq = 4"], "entry 4 was changed"),
    "case": (["UPDATE audit_log SET actor = upper(actor) WHERE seq = 4"], "entry 4 was changed"),
    "no target": (["UPDATE audit_log SET target = NULL WHERE seq = 4"], "entry 4 was changed"),
    "empty": (["UPDATE audit_log SET origin = '' WHERE seq = 4"], "entry 4 was changed"),
    "a space in the data": (["UPDATE audit_log SET data = data || ' ' WHERE seq = 4"], "entry 4 was changed"),
    "a name twice": (['UPDATE audit_log SET data = \'{"n":9,"n":3}\' WHERE seq = 4'], "entry 4 was changed"),
    "first": (["UPDATE audit_log SET data = '9' WHERE seq = 1"], "entry 1 was changed"),
    "last": (["UPDATE audit_log SET data = '9' WHERE seq = 9"], "entry 9 was changed"),
    "job": (["UPDATE audit_log SET job_id = NULL WHERE seq = 4"], "entry 4 was changed"),
    "hash": (["UPDATE audit_log SET hash = repeat_f WHERE seq = 4"], "entry 4 was changed"),
    "link": (["UPDATE audit_log SET previous_hash = repeat_f WHERE seq = 4"], "entry 4 does not follow entry 3"),
    "a key of nobody": (["UPDATE audit_log SET key_id = 'abcdef01' WHERE seq = 4"], "the key abcdef01 is not in"),
    "one gone": (["DELETE FROM audit_log WHERE seq = 4"], "entry 4 is missing"),
    "two gone": (["DELETE FROM audit_log WHERE seq IN (4, 5)"], "2 entries, 4 to 5, are missing"),
    "first gone": (["DELETE FROM audit_log WHERE seq = 1"], "nothing in the log says that they were pruned"),
    "first gone, as if pruned": (
        ["DELETE FROM audit_log WHERE seq < 3", "UPDATE audit_log_head SET pruned_through = 2"],
        "2 entries, 1 to 2, are missing: nothing in the log says that they were pruned",
    ),
    "end gone": (["DELETE FROM audit_log WHERE seq > 7"], "2 entries, 8 to 9, are missing at the end"),
    "all gone": (["DELETE FROM audit_log"], "9 entries, 1 to 9, are missing at the end"),
    "one gone, the others moved up": (
        ["DELETE FROM audit_log WHERE seq = 4", *MOVED_UP],
        "entry 4 does not follow entry 3",
    ),
    "exchanged": (
        ["UPDATE audit_log SET seq = 0 WHERE seq = 3", "UPDATE audit_log SET seq = 3 WHERE seq = 7",
         "UPDATE audit_log SET seq = 7 WHERE seq = 0"],
        "entry 7 was changed, or is not in its place",
    ),
    "added at the end": ([COPIED.format(seq=10)], "entry 10 is added"),
    "added in front": ([COPIED.format(seq=0)], "entry 0 does not belong to"),
    "head gone": (["DELETE FROM audit_log_head"], "audit_log_head is missing"),
    "head's hash": (["UPDATE audit_log_head SET hash = repeat_f"], "does not have the hash given by audit_log_head"),
    "head moved on": (["UPDATE audit_log_head SET seq = 11"], "2 entries, 10 to 11, are missing at the end"),
}  # fmt: skip
ON_SQLITE: Mapping[str, tuple[Sequence[str], str]] = {
    "no UTF-8": (["UPDATE audit_log SET actor = CAST(X'ff' AS TEXT) WHERE seq = 4"], "entry 4 was changed"),
    "bytes": (["UPDATE audit_log SET data = X'00ff' WHERE seq = 4"], "entry 4 was changed"),
    "the same bytes, that no search finds": (
        ["UPDATE audit_log SET actor = CAST(actor AS BLOB) WHERE seq = 4"],
        "entry 4 was changed",
    ),
    "no time": (["UPDATE audit_log SET at = 'yesterday' WHERE seq = 4"], "entry 4 was changed"),
    "time": (["UPDATE audit_log SET recorded_at = '2026-03-01T12:00:00.000000Z' WHERE seq = 4"], "entry 4 was changed"),
}  # fmt: skip
ON_POSTGRES: Mapping[str, tuple[Sequence[str], str]] = {
    "no time": (["UPDATE audit_log SET at = 'infinity' WHERE seq = 4"], "entry 4 was changed"),
    "before all time": (["UPDATE audit_log SET at = '4713-01-01 BC' WHERE seq = 4"], "entry 4 was changed"),
    "before Christ": (["UPDATE audit_log SET at = '2026-03-01 12:00:00+00 BC' WHERE seq = 4"], "entry 4 was changed"),
    "a microsecond": (["UPDATE audit_log SET at = at + interval '1 us' WHERE seq = 4"], "entry 4 was changed"),
}  # fmt: skip


async def run(ledger: Ledger, *statements: str) -> None:
    async with writing(ledger.database) as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement.replace("repeat_f", f"'{'f' * 64}'"))


async def unguarded(ledger: Ledger) -> None:
    """Do as one would who means it: take the triggers away."""
    if ledger.database.dialect == "sqlite":
        names = ("audit_log_no_update", "audit_log_no_delete", "audit_log_no_replace")
        await run(ledger, *(f"DROP TRIGGER {name}" for name in names))
    else:
        await run(ledger, "ALTER TABLE audit_log DISABLE TRIGGER ALL")


async def verified(ledger: Ledger, keys: Keys | None = None, noted: Mapping[int, str] | None = None) -> Verifier:
    verifier, _ = await check_all(ledger.database, keys or Keys(), noted or {})
    return verifier


async def found(ledger: Ledger, keys: Keys | None = None, noted: Mapping[int, str] | None = None) -> list[str]:
    return (await verified(ledger, keys, noted)).findings


async def kept(ledger: Ledger) -> list[Kept]:
    return [entry async for page in pages(ledger.database) for entry in page]


async def test_what_was_done_to_the_table_is_found(ledger: Ledger) -> None:
    await say(ledger, *(f"j{n}" for n in range(9)))
    assert await found(ledger) == []
    await unguarded(ledger)
    tables = ("audit_log", "audit_log_head")
    await run(ledger, *(f"CREATE TABLE kept_{name} AS SELECT * FROM {name}" for name in tables))
    of_the_dialect = ON_SQLITE if ledger.database.dialect == "sqlite" else ON_POSTGRES
    for name, (statements, finding) in [*ATTACKS.items(), *of_the_dialect.items()]:
        await run(ledger, *statements)
        told = await found(ledger)
        assert any(finding in one for one in told), (name, told)
        assert len(told) <= 9, name
        for table in tables:
            await run(ledger, f"DELETE FROM {table}", f"INSERT INTO {table} SELECT * FROM kept_{table}")
    assert await found(ledger) == []


async def test_entries_of_the_first_and_the_last_moment_of_the_calendar_are_whole(ledger: Ledger) -> None:
    log = LedgerAuditLog(ledger.database, Keys())
    await log.write(replace(entry("j1"), at=datetime.min.replace(tzinfo=UTC)))
    await log.write(replace(entry("j2"), at=datetime.max.replace(tzinfo=UTC)))
    assert await found(ledger) == []


async def rebuilt(ledger: Ledger, *, last: int) -> None:
    """Rewrite a log with another actor and a valid chain, as anybody can if there is no key."""
    entries = [entry for entry in await kept(ledger) if entry.seq <= last]
    previous = entries[0].previous_hash
    for one in entries:
        new = Keys().sealed(one._replace(actor="eve", previous_hash=previous, key_id=None))
        previous = new.hash
        hashes = f"key_id = NULL, previous_hash = '{new.previous_hash}', hash = '{new.hash}'"
        await run(ledger, f"UPDATE audit_log SET actor = 'eve', {hashes} WHERE seq = {one.seq}")
    await run(ledger, f"DELETE FROM audit_log WHERE seq > {last}")
    await run(ledger, f"UPDATE audit_log_head SET seq = {last}, hash = '{previous}'")


async def test_a_log_made_anew_or_cut_off_is_found_by_a_head_that_was_noted(ledger: Ledger) -> None:
    receipts = await say(ledger, *(f"j{n}" for n in range(5)))
    noted = {receipt.seq: receipt.hash for receipt in receipts}
    assert await found(ledger, noted=noted) == []
    await unguarded(ledger)
    await rebuilt(ledger, last=4)
    assert await found(ledger) == [], "without a key and without a note nobody can tell"
    assert await found(ledger, noted={3: noted[3]}) == [
        "entry 3 does not have the hash that you noted: the log was forged up to there"
    ]
    assert await found(ledger, noted={5: noted[5]}) == ["entry 5, which you noted, is missing"]


async def test_whoever_has_no_key_cannot_make_the_log_anew(ledger: Ledger) -> None:
    keys = Keys([KEY])
    receipts = await say(ledger, *(f"j{n}" for n in range(5)), keys=keys)
    assert await found(ledger, keys) == []
    assert await found(ledger, Keys([OTHER_KEY, KEY])) == [], "an older key"
    assert ["is not in POSTLUDE_AUDIT_LOG_KEYS" in one for one in await found(ledger, Keys([OTHER_KEY]))] == [True]
    await unguarded(ledger)
    await rebuilt(ledger, last=5)
    await say(ledger, "after", keys=keys)
    assert await found(ledger, keys) == [
        "entries 1 to 5: made without a key: anyone who can write to the database can make such an entry"
    ]
    assert len(await found(ledger, keys, {5: receipts[4].hash})) == 1, "a head that was noted does not fit"


async def test_a_head_that_was_noted_vouches_for_what_is_older_than_the_key(ledger: Ledger) -> None:
    [*_, last] = await say(ledger, "j1", "j2")
    await say(ledger, "j3", keys=Keys([KEY]))
    assert len(await found(ledger, Keys([KEY]))) == 1
    assert await found(ledger, Keys([KEY]), {last.seq: last.hash}) == []


async def test_entries_that_are_written_meanwhile_disturb_no_check(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.audit_log.reads.PAGE", 7)
    await say(ledger, *(f"j{n}" for n in range(50)))
    told, _ = await asyncio.gather(verified(ledger), say(ledger, *(f"more{n}" for n in range(30))))
    assert (told.findings, told.wrong) == ([], 0)
    assert told.checked >= 50


async def test_entries_that_are_pruned_meanwhile_are_not_missing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.audit_log.reads.PAGE", 7)
    await say(ledger, *(f"j{n}" for n in range(50)))

    async def prunes_after_a_page(database: Database, through: int | None) -> AsyncIterator[list[Kept]]:
        async for page in pages(database, through=through):
            yield page
            if page[0].seq == 1:
                monkeypatch.undo()
                await prune_before(database, datetime.now(UTC) + timedelta(days=1), "ann", Keys())

    monkeypatch.setattr("service.audit_log.commands.pages", prunes_after_a_page)
    assert await found(ledger) == []
