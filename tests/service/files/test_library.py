"""What attempts make: whole, once by a name, and never by an attempt that was taken away."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from jobs.kit.files import FileGone, FileInUse, StoredFile
from service.files.folder import Folder
from service.files.intake import Intake
from service.files.keeping import expire_some
from service.files.library import FileLibrary
from service.files.of_jobs import AttemptFiles
from service.files.records import Maker
from service.files.storage import StorageUnavailable
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, IdempotencyKey
from service.ledger.states import State
from service.lifecycle.new_job import new_job
from service.options import Options
from service.tables import jobs
from tests.service.files.putting import put
from tests.support.file_kinds import report, shout
from tests.support.writing import writing

DAY = timedelta(days=1)


@pytest.fixture
def library(ledger: Ledger, tmp_path: Path) -> FileLibrary:
    return FileLibrary(ledger, Folder(tmp_path / "files"), DAY)


async def begun(ledger: Ledger) -> Maker:
    """Begin the first attempt of a job."""
    job = new_job(report, report.args_model(path="x"), Options(), datetime.now(UTC))
    await ledger.enqueue(Enqueue(jobs=(job,), writer="test"))
    return await go_on(ledger, Maker(job.id, 0))


async def go_on(ledger: Ledger, maker: Maker) -> Maker:
    """Take the attempt away, and begin the next."""
    async with writing(ledger.database) as connection:
        values = {"state": State.RUNNING, "attempt": maker.attempt + 1}
        await connection.execute(update(jobs).where(jobs.c.id == maker.job_id).values(values))
    return maker._replace(attempt=maker.attempt + 1)


async def make(library: FileLibrary, maker: Maker, content: bytes, name: str = "report.txt") -> StoredFile | None:
    async def come() -> AsyncIterator[bytes]:
        yield content

    return await library.make(Intake(name), come(), name, expires_in=None, maker=maker)


async def test_later_attempt_takes_the_place_of_an_earlier_one_and_a_zombie_takes_none(
    ledger: Ledger, library: FileLibrary, tmp_path: Path
) -> None:
    first = await begun(ledger)
    report_1, other_1 = await make(library, first, b"1"), await make(library, first, b"1", "other.txt")
    again_1 = await make(library, first, b"1 again")
    assert report_1
    assert other_1
    assert again_1, "one attempt may store many by one name"
    second = await go_on(ledger, first)
    assert await make(library, first, b"zombie") is None
    report_2 = await make(library, second, b"2")
    assert report_2
    for gone in (report_1, again_1):
        with pytest.raises(FileGone):
            await library.find(gone.id)
    assert await library.find(other_1.id) == other_1
    stored = {path.name for path in (tmp_path / "files").rglob("*") if path.is_file()}
    assert stored == {report_2.id, other_1.id}


async def test_file_of_an_earlier_attempt_stays_where_a_live_job_uses_it(ledger: Ledger, library: FileLibrary) -> None:
    first = await begun(ledger)
    made = await make(library, first, b"1")
    assert made
    user = new_job(shout, shout.args_model(file=made.id), Options(), datetime.now(UTC))
    await ledger.enqueue(Enqueue(jobs=(user,), writer="test"))
    assert await make(library, await go_on(ledger, first), b"2")
    assert await library.find(made.id) == made


async def test_what_a_job_names_itself_goes_when_it_has_ended(ledger: Ledger, library: FileLibrary) -> None:
    file = await put(library, b"given")
    users = [new_job(shout, shout.args_model(file=file.id), Options(), datetime.now(UTC)) for _ in range(2)]
    await ledger.enqueue(Enqueue(jobs=tuple(users), writer="test"))
    files = AttemptFiles(library, Maker(users[0].id, 1))
    with pytest.raises(FileInUse, match=users[1].id):
        await files.delete(file.id)
    for number, user in enumerate(users):
        async with writing(ledger.database) as connection:
            await connection.execute(update(jobs).where(jobs.c.id == user.id).values(state=State.SUCCEEDED))
        if number == 0:
            await AttemptFiles(library, Maker(users[1].id, 1)).delete(file.id)
            assert await library.find(file.id), "it may be tried again"
    with pytest.raises(FileGone):
        await library.find(file.id)
    assert await expire_some(library) == 1


async def test_file_whose_row_is_deleted_is_gone_though_its_bytes_cannot_be_deleted_yet(library: FileLibrary) -> None:
    file = await put(library, b"x")
    away = replace(library, storage=Away(Path()))
    assert (await away.delete(file.id)).is_done
    with pytest.raises(FileGone):
        await library.find(file.id)


class Away(Folder):
    async def delete(self, keys: Sequence[str]) -> None:
        raise StorageUnavailable("gone for lunch")


async def test_uploads_that_are_recorded_at_once_do_not_pass_the_room_for_all(library: FileLibrary) -> None:
    library = replace(library, most_in_all=10)

    async def come() -> AsyncIterator[bytes]:
        yield b"123456"

    kept = [await library.keep(Intake("a.txt"), come(), "a.txt") for _ in range(3)]
    ended = await asyncio.gather(*(library.record_upload(one, owner=None) for one in kept), return_exceptions=True)
    assert [type(one).__name__ for one in ended if one is not None] == ["FilesFull"] * 2
    [there] = [one for one, result in zip(kept, ended, strict=True) if result is None]
    assert await library.record_upload(there, owner=None) is None, "it does not stand in its own way"
    still = [key async for keys in library.storage.written_before(datetime.now(UTC) + DAY) for key in keys]
    assert still == [there.id]


async def test_upload_that_is_recorded_twice_is_one_file(library: FileLibrary) -> None:
    file = await put(library, b"once")
    await library.record_upload(file, owner=None)
    assert await library.find(file.id) == file


async def test_uploads_at_the_same_moment_are_recorded_together_each_key_once(
    library: FileLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    kept = [await library.keep(Intake(f"{number}"), _once(b"x"), f"{number}") for number in range(4)]
    keys = [IdempotencyKey(key, "same", "{}", now, now + DAY) if key else None for key in ("b", "a", "b", None)]
    groups: list[int] = []
    run = library.ledger.database.transact

    async def counted(operations: Any) -> Any:
        groups.append(sum(len(rows) for _, rows in operations))
        return await run(operations)

    monkeypatch.setattr(library.ledger.database, "transact", counted)
    held = await asyncio.gather(
        *(library.record_upload(file, owner=None, key=key) for file, key in zip(kept, keys, strict=True))
    )
    assert groups == [4]
    assert [one and one.job_id for one in held] == [None, None, kept[0].id, None]
    assert [await library.find(file.id) for file in (kept[0], kept[1], kept[3])] == [kept[0], kept[1], kept[3]]
    with pytest.raises(FileGone):
        await library.find(kept[2].id)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
