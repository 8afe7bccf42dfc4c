"""A row that cannot become a job becomes a failed one, which shows the reason; whatever lies in its columns."""

import json

import pytest
from postlude.ids import new_id
from sqlalchemy import text
from structlog.testing import capture_logs

from service.ledger.models import NewJob
from service.outbox import making
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.service.outbox.writing_rows import committed, inserted, left, post, relayed, transaction
from tests.service.worker.desk import Desk, open_desk

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

GOOD = '{"text":"good"}'
# The first is longer than what is read of so many.
VERY_MANY_MISTAKES = json.dumps({"x" * 150_000: 1} | {f"k{number}": 1 for number in range(1_200)})


@pytest.mark.parametrize(
    ("columns", "error_type", "told"),
    [
        ({"kind": "nobody_knows"}, "KindUnknown", "Known kinds: note, post"),
        ({"args": '{"number": "many"}'}, "ArgsInvalid", "args.number: Input should be a valid integer"),
        ({"args": '{"txet": "a"}'}, "ArgsInvalid", "did you mean 'text'?"),
        ({"args": '{"text": '}, "BodyMalformed", "The args of the row are not valid JSON"),
        ({"args": "[]"}, "ArgsInvalid", "args: "),
        ({"args": '{"text": "a\\u0000b"}'}, "ArgsInvalid", "NUL"),
        ({"args": f'{{"text": "{"x" * 300_000}"}}'}, "ArgsInvalid", "larger than 256 KiB"),
        ({"args": f'{{"text": "{"x" * 3_000_000}"}}'}, "ArgsInvalid", "larger than 1024 KiB"),
        ({"options": '{"priority": 99}'}, "ArgsInvalid", "The body is not valid: priority: Input should be"),
        ({"options": '{"prio": 9}'}, "ArgsInvalid", "The body is not valid: prio: "),
        ({"options": "{"}, "BodyMalformed", "The options of the row are not valid JSON"),
        ({"options": "null"}, "ArgsInvalid", "not a JSON object"),
        ({"options": '{"kind": "post"}'}, "ArgsInvalid", "has columns for"),
        ({"options": '{"queue": "nowhere"}'}, "QueueUnknown", "The queue is unknown"),
        ({"options": '{"on_end": {"kind": "nobody_knows"}}'}, "KindUnknown", "on_end"),
        ({"kind": "post", "args": '{"url": "u", "secret": "s3cr3t"}'}, "ArgsInvalid", "over HTTP"),
        ({"options": '{"on_end": {"kind": "post", "args": {"url": "u", "secret": "s"}}}'}, "ArgsInvalid", "over HTTP"),
        ({"args": VERY_MANY_MISTAKES}, "ArgsInvalid", "too long to show"),
        ({"kind": ""}, "KindUnknown", "The kind is unknown"),
        ({"kind": "k" * 300}, "KindUnknown", "The kind is unknown"),
        ({"options": '{"after": ["ID"]}'}, "FlowInvalid", "a job cannot come after itself"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bad_row_becomes_a_failed_job_under_its_id(
    desk: Desk, database_url: str, columns: dict[str, str], error_type: str, told: str
) -> None:
    bad, good = new_id(), new_id()
    await inserted(database_url, bad, **{name: value.replace("ID", bad) for name, value in columns.items()})
    await inserted(database_url, good, args=GOOD)
    for _ in range(2):  # the second time it makes nothing new
        await relayed(desk)
        row = await desk.row(bad)
        assert (row["state"], row["error_type"]) == ("failed", error_type)
        assert told in row["error_message"]
        assert "`errors`" not in row["error_message"]
        assert row["error_message"].count("The kind is unknown") <= 1
        assert row["finished_at"] is not None
        assert "s3cr3t" not in str(dict(row))
        await inserted(database_url, bad, **{name: value.replace("ID", bad) for name, value in columns.items()})
    await relayed(desk)
    assert (await desk.row(good))["state"] == "queued"
    assert await left(database_url) == 0


@pytest.mark.parametrize(
    "row_id",
    ["42", "", "../../etc", "a b", "7f4f5b1e-5a0a-4c0e-9d10-2f6a4c8e5b71", "ffffffff-ffff-7cc3-9d10-2f6a4c8e5b71"],
)
async def test_an_id_that_no_job_can_have_is_told(desk: Desk, database_url: str, row_id: str) -> None:
    await inserted(database_url, row_id)
    await relayed(desk)
    async with desk.ledger.read() as connection:
        [failed] = (await connection.execute(text("SELECT * FROM jobs"))).mappings()
    assert failed["state"] == "failed"
    assert "UUIDv7" in failed["error_message"]
    assert row_id in failed["id"] or failed["tags"] == f'["outbox:{row_id}"]'
    assert await left(database_url) == 0


async def test_a_row_on_which_the_relay_fails_holds_up_nobody(
    desk: Desk, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = await committed(database_url, "note", {"text": "bad"})
    good = await committed(database_url, "note", {"text": "good"})

    def fail(jobs: list[NewJob]) -> None:
        if jobs[0].id == bad:
            raise IndexError("s3cr3t")

    monkeypatch.setattr(making, "check_parents", fail)
    with capture_logs() as logs:
        await relayed(desk)
    row = await desk.row(bad)
    assert (row["state"], row["error_type"]) == ("failed", "Refused")
    assert row["error_message"] == "The row could not be made into a job (IndexError); the log of the worker says why."
    assert (await desk.row(good))["state"] == "queued"
    assert await left(database_url) == 0
    [told] = [one for one in logs if one["event"] == "outbox_row_failed"]
    assert (told["row_id"], type(told["exc_info"])) == (bad, IndexError)


async def test_an_id_in_capitals_is_the_same_id(desk: Desk, database_url: str) -> None:
    job_id = new_id()
    await inserted(database_url, job_id.upper())
    await relayed(desk)
    assert (await desk.row(job_id))["state"] == "queued"
    assert await left(database_url) == 0


@on_sqlite
async def test_what_only_sqlite_lets_in_holds_up_nobody(desk: Desk, database_url: str) -> None:
    await inserted(database_url, b"blob-id")
    await inserted(database_url, new_id(), args=b'{"text": "\xff"}')
    await inserted(database_url, b"\xff\xfe", kind=b"\xff")
    good = await committed(database_url, "note")
    await relayed(desk)
    assert (await desk.row(good))["state"] == "queued"
    async with desk.ledger.read() as connection:
        states = list((await connection.execute(text("SELECT state FROM jobs ORDER BY state"))).scalars())
    assert states.count("failed") >= 2
    assert await left(database_url) == 0


@on_sqlite
async def test_created_at_that_cannot_be_read_is_now(desk: Desk, database_url: str) -> None:
    job_id = await committed(database_url, "note")
    async with transaction(database_url) as session:
        await session.execute(text("UPDATE postlude_outbox SET created_at = 'yesterday'"))
    await relayed(desk)
    assert (await desk.row(job_id))["state"] == "queued"


async def test_decimals_of_args_arrive_as_they_were_written(desk: Desk, database_url: str) -> None:
    job_id = new_id()
    await inserted(database_url, job_id, args='{"number": 12345678901234567890123}')
    await relayed(desk)
    assert '"number":12345678901234567890123' in (await desk.row(job_id))["args"]


async def test_an_optional_secret_that_is_not_given_is_no_secret(desk: Desk, database_url: str) -> None:
    job_id = await committed(database_url, "post", {"url": "u"}, on_end={"kind": "post", "args": {"url": "u"}})
    await relayed(desk)
    assert (await desk.row(job_id))["state"] == "queued"


async def test_a_job_whose_kind_came_later_can_be_replayed(settings: Settings, desk: Desk, database_url: str) -> None:
    async with open_desk(settings, post) as older:
        job_id = await committed(database_url, "note", {"text": "kept"})
        await relayed(older)
        assert (await older.row(job_id))["error_type"] == "KindUnknown"
    await desk.lifecycle.replay(job_id)
    row = await desk.row(job_id)
    assert (row["state"], row["args"]) == ("queued", '{"text":"kept"}')
