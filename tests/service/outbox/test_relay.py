"""Each committed row becomes one job, whatever dies in between; none is skipped, and none holds up others."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from postlude import outbox as client
from postlude.ids import new_id
from sqlalchemy import delete, text
from structlog.testing import capture_logs

from service.ledger.database import Database
from service.ledger.reads.figures import counts_since
from service.ledger.states import State
from service.outbox import relay as relays
from service.outbox.reads import next_rows
from service.outbox.tables import outbox
from service.settings import Settings
from service.tables import jobs
from service.worker.keeping.figures import Figures
from tests.service.outbox.writing_rows import (
    committed,
    filled,
    inserted,
    job_count,
    left,
    relay_at,
    relayed,
    transaction,
)
from tests.service.worker.desk import Desk
from tests.support.running import running_api
from tests.support.writing import writing


async def test_a_committed_row_becomes_a_job_with_its_options_and_leaves_the_outbox(
    desk: Desk, database_url: str
) -> None:
    job_id = await committed(
        database_url, "note", {"text": "ä"}, priority=3, tags=["a"], lane="tenant:1", metadata={"n": 1}
    )
    await relayed(desk)
    row = await desk.row(job_id)
    assert (row["kind"], row["args"], row["state"], row["priority"]) == ("note", '{"text":"ä","number":0}', "queued", 3)
    assert (row["tags"], row["lane"], row["metadata"]) == ('["a"]', "tenant:1", '{"n":1}')
    assert await left(database_url) == 0


async def test_a_rolled_back_row_becomes_nothing(desk: Desk, database_url: str) -> None:
    async with transaction(database_url) as session:
        await client.enqueue(session, "note")
        await session.rollback()
    await relayed(desk)
    assert await job_count(desk) == 0


async def test_delay_and_expiry_count_from_when_the_row_was_written(desk: Desk, database_url: str) -> None:
    job_id = await committed(database_url, "note", delay=60, expires_in=timedelta(hours=1))
    hour_ago = datetime.now(UTC) - timedelta(minutes=30)
    moment: Any = hour_ago if database_url.startswith("postgresql") else hour_ago.isoformat()
    async with transaction(database_url) as session:
        await session.execute(text("UPDATE postlude_outbox SET created_at = :at"), {"at": moment})
    await relayed(desk)
    row = await desk.row(job_id)
    assert (row["run_at"], row["expires_at"]) == (hour_ago + timedelta(seconds=60), hour_ago + timedelta(hours=1))


async def test_two_relays_at_once_make_one_job_of_each_row(desk: Desk, database_url: str) -> None:
    await filled(database_url, 500)
    await asyncio.gather(relayed(desk), relayed(desk), relayed(desk))
    assert (await job_count(desk), await left(database_url)) == (500, 0)


async def test_a_relay_that_dies_before_it_deletes_leaves_nothing_to_run_twice(
    desk: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await committed(database_url, "note", {"text": "once"})

    async def dies(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(relays.Relay, "_delete", dies)
        with pytest.raises(SystemExit):
            await relayed(desk)
    assert (await job_count(desk), await left(database_url)) == (1, 1)
    async with desk.ledger.read() as connection:
        before = (await connection.execute(text("SELECT id, state, created_at FROM jobs"))).all()
    await relayed(desk)
    async with desk.ledger.read() as connection:
        assert (await connection.execute(text("SELECT id, state, created_at FROM jobs"))).all() == before
    assert await left(database_url) == 0


async def test_what_was_recorded_is_not_recorded_again_while_it_cannot_be_deleted(
    desk: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await committed(database_url, "note")
    with relay_at(desk) as relay:
        with monkeypatch.context() as patch:
            patch.setattr(relays, "delete_rows", lambda _connection, ids: set())
            while await relay.relay():
                pass
        async with writing(desk.ledger.database) as connection:  # it has ended, and somebody has deleted it
            await connection.execute(delete(jobs))
        while await relay.relay():
            pass
    assert (await job_count(desk), await left(database_url)) == (0, 0)


async def test_a_row_that_commits_late_with_a_smaller_id_is_not_skipped(desk: Desk, database_url: str) -> None:
    early, late = new_id(), new_id()
    with relay_at(desk) as relay:
        await committed(database_url, "note", id=late)
        while await relay.relay():
            pass
        await committed(database_url, "note", id=early)
        while await relay.relay():
            pass
    assert {(await desk.row(one))["state"] for one in (early, late)} == {"queued"}


async def test_jobs_that_come_after_others_of_their_transaction_wait_for_them(desk: Desk, database_url: str) -> None:
    async with transaction(database_url) as session:
        first = await client.enqueue(session, "note")
        second = await client.enqueue(session, "note", after=[first])
        third = await client.enqueue(session, "note", after=[second, first])
    await relayed(desk)
    assert [(await desk.row(one))["state"] for one in (first, second, third)] == ["queued", "blocked", "blocked"]


async def test_a_row_waits_for_the_job_that_it_names_and_fails_when_none_comes(
    desk: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = new_id()
    waits = await committed(database_url, "note", after=[parent])
    other = await committed(database_url, "note")
    with relay_at(desk) as relay:
        while await relay.relay():
            pass
        assert (await desk.row(other))["state"] == "queued"
        assert await left(database_url) == 1
        await committed(database_url, "note", id=parent)
        while await relay.relay():
            pass
        assert (await desk.row(waits))["state"] == "blocked"
        monkeypatch.setattr(relays, "PATIENCE_S", 0.0)
        lost = await committed(database_url, "note", after=[new_id()])
        while await relay.relay():
            pass
    row = await desk.row(lost)
    assert (row["state"], row["error_type"]) == ("failed", "ParentUnknown")
    assert await left(database_url) == 0


async def test_a_unique_key_that_is_held_makes_no_second_job(desk: Desk, database_url: str) -> None:
    held = await committed(database_url, "note", unique_key="k")
    await relayed(desk)
    await committed(database_url, "note", unique_key="k")
    changed = await committed(database_url, "note", {"text": "new"}, unique_key="k", on_conflict="replace")
    await relayed(desk)
    assert (await job_count(desk), await left(database_url)) == (1, 0)
    assert (await desk.row(held))["args"] == '{"text":"new","number":0}'
    assert changed != held


async def test_an_id_that_another_job_has_becomes_a_failed_job_beside_it(desk: Desk, database_url: str) -> None:
    taken = await committed(database_url, "note", {"text": "first"})
    good = await committed(database_url, "note")
    await relayed(desk)
    for _ in range(2):  # the relay died in between
        await inserted(database_url, taken, args='{"text":"second"}')
        await relayed(desk)
    assert (await desk.row(taken))["args"] == '{"text":"first","number":0}'
    assert (await desk.row(good))["state"] == "queued"
    async with desk.ledger.read() as connection:
        [failed] = (await connection.execute(text("SELECT * FROM jobs WHERE state = 'failed'"))).mappings()
    assert (failed["error_type"], failed["tags"]) == ("IdTaken", f'["outbox:{taken}"]')
    assert await left(database_url) == 0


async def test_the_outbox_is_read_in_bounded_pieces(
    desk: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "_BYTES_AT_ONCE", 500_000)
    await filled(database_url, 2_500)
    for _ in range(3):
        await committed(database_url, "note", {"text": "x" * 200_000})
    read: list[int] = []

    async def counted(*arguments: Any) -> Any:
        rows = await next_rows(*arguments)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(relays, "next_rows", counted)
    await relayed(desk)
    assert read == [1_000, 1_000, 502, 1]
    assert (await job_count(desk), await left(database_url)) == (2_503, 0)


async def test_rows_that_were_moved_stay_in_no_memory_while_others_wait(
    desk: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "BATCH", 50)
    await filled(database_url, 300)
    with relay_at(desk) as relay:
        while await relay.relay():
            assert [len(kept) for kept in vars(relay).values() if isinstance(kept, set | dict)] == [0, 0, 0]
    assert await left(database_url) == 0


async def test_one_row_that_is_refused_late_keeps_no_other_of_its_batch(desk: Desk, database_url: str) -> None:
    running = await committed(database_url, "note")
    await relayed(desk)
    good = [await committed(database_url, "note", {"number": number}) for number in range(3)]
    await committed(database_url, "note", {"number": 1}, id=running)
    await relayed(desk)
    assert {(await desk.row(one))["state"] for one in good} == {State.QUEUED}
    assert await left(database_url) == 0


async def test_rows_that_others_have_locked_are_left_and_the_rest_goes_on(desk: Desk, database_url: str) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite locks no rows")
    locked = await committed(database_url, "note")
    with relay_at(desk) as relay:
        async with transaction(database_url) as session:
            await session.execute(delete(outbox).where(outbox.c.id == locked))
            free = await committed(database_url, "note")
            async with asyncio.timeout(15):
                while await relay.relay():
                    pass
            assert await left(database_url) == 1
        assert {(await desk.row(one))["state"] for one in (locked, free)} == {"queued"}
        while await relay.relay():
            pass
    assert (await job_count(desk), await left(database_url)) == (2, 0)


async def test_what_is_refused_is_told_once_in_the_log(desk: Desk, database_url: str) -> None:
    for number in range(3):
        await inserted(database_url, f"bad-{number}", kind="nobody_knows")
    with capture_logs() as logs:
        await relayed(desk)
        await relayed(desk)
    [told] = [one for one in logs if one["event"] == "outbox_rows_refused"]
    assert (told["rows"], told["job_ids"]) == (3, ["bad-0", "bad-1", "bad-2"])


async def test_rows_that_are_refused_are_counted_as_failures_wherever_failures_are_told(
    desk: Desk, database_url: str, settings: Settings
) -> None:
    good = await committed(database_url, "note")
    mistyped, bad_args, bad_priority, bad_json = (new_id() for _ in range(4))
    await inserted(database_url, mistyped, kind="noet")
    await inserted(database_url, bad_args, args='{"number":"many"}')
    await inserted(database_url, bad_priority, options='{"priority":5000}')
    await inserted(database_url, bad_json, args="{")
    with relay_at(desk) as relay:  # it dies before it deletes
        await relay._record(await relay._made_of((await relay._next_rows())[0]))
    await relayed(desk)
    await Figures(desk.ledger).note_totals()
    async with running_api(settings) as api:
        metrics = (await api.get("/metrics")).text
        told = (await api.get("/v1/failures")).json()["failures"]
        of_groups = {one["fingerprint"]: await failed_jobs(api, one["fingerprint"]) for one in told}
    assert 'postlude_jobs_failed_total{kind="noet"} 1.0' in metrics
    assert 'postlude_jobs_failed_total{kind="note"} 3.0' in metrics
    assert 'postlude_jobs_enqueued_total{kind="note"} 4.0' in metrics
    counted = [(one["kind"], one["error_type"], one["count"], one["jobs_failed"]) for one in told]
    assert sorted(counted) == [
        ("noet", "KindUnknown", 1, 1), ("note", "ArgsInvalid", 2, 2), ("note", "BodyMalformed", 1, 1)
    ]  # fmt: skip
    assert sorted(of_groups.values()) == sorted([[bad_args, bad_priority], [bad_json], [mistyped]])
    async with desk.ledger.read() as connection:
        now = await desk.ledger.database.now(connection)
        assert await counts_since(connection, ["", "note"], ["failed"], now - timedelta(hours=1)) == {
            ("", "failed"): 4, ("note", "failed"): 3
        }  # fmt: skip
    assert (await desk.row(good))["fingerprint"] is None


async def failed_jobs(api: httpx.AsyncClient, fingerprint: str) -> list[str]:
    found = (await api.get("/v1/jobs", params={"state": "failed", "fingerprint": fingerprint})).json()
    return sorted(one["id"] for one in found["jobs"])


async def test_an_outbox_that_is_away_is_told_apart_from_a_ledger_that_is(desk: Desk, short_dir: Any) -> None:
    gone = Database.open_guest(f"sqlite+aiosqlite:///{short_dir}/nowhere.db", limit_s=1)
    with relay_at(desk, gone) as relay, pytest.raises(relays.OutboxAway, match="unable to open"):
        await relay.relay()
    await gone.close()
    assert not (short_dir / "nowhere.db").exists()


async def test_a_stream_of_new_rows_does_not_keep_a_late_one_waiting(desk: Desk, database_url: str) -> None:
    early = new_id()
    with relay_at(desk) as relay:
        await committed(database_url, "note")
        assert not await relay.relay()
        await committed(database_url, "note", id=early)
        await committed(database_url, "note")
        assert not await relay.relay()
    assert (await desk.row(early))["state"] == "queued"
    assert (await job_count(desk), await left(database_url)) == (3, 0)
