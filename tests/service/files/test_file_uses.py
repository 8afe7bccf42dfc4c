"""A file that a live job names is not deleted, and a new job cannot name a file that is being deleted."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from jobs.kit.files import FileGone, StoredFile
from service.file_tables import file_uses
from service.files.folder import Folder
from service.files.library import FileLibrary
from service.files.records import record_expired
from service.ledger.ledger import Ledger
from service.ledger.models import Enqueue, NewJob
from service.ledger.records.changed import Change
from service.lifecycle.new_job import new_job
from service.options import Options
from tests.service.files.putting import put
from tests.support.file_kinds import shout

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def library(ledger: Ledger, tmp_path: Path) -> FileLibrary:
    return FileLibrary(ledger, Folder(tmp_path / "files"), DAY)


def job_with(*files: StoredFile, **options: Any) -> NewJob:
    job = new_job(shout, shout.args_model(file=files[0].id), Options(**options), datetime.now(UTC))
    assert job.files == (files[0].id,)
    job.files = tuple(file.id for file in files)
    return job


async def enqueue(ledger: Ledger, *jobs: NewJob) -> None:
    await ledger.enqueue(Enqueue(jobs=jobs, writer="test"))


async def uses_of(ledger: Ledger, job_id: str) -> set[str]:
    async with ledger.read() as connection:
        found = select(file_uses.c.file_id).where(file_uses.c.job_id == job_id)
        return set((await connection.execute(found)).scalars())


async def test_file_is_kept_for_its_live_job_past_its_time_and_goes_when_that_has_ended(
    ledger: Ledger, library: FileLibrary
) -> None:
    used = await put(library, b"used", expires_in=timedelta(0))
    idle = await put(library, b"idle", expires_in=timedelta(0))
    job = job_with(used)
    await enqueue(ledger, job)
    assert (await library.delete(used.id)).used_by == job.id
    assert await library.find(used.id)
    with pytest.raises(FileGone):
        await library.find(idle.id)
    later = datetime.now(UTC) + DAY
    assert await ledger.database.run(lambda connection: record_expired(connection, later, 100)) == [idle.id]
    await ledger.cancel(job.id, "test", NOW)
    assert await ledger.database.run(lambda connection: record_expired(connection, later, 100)) == [used.id]
    assert await uses_of(ledger, job.id) == set()


async def test_changed_args_change_what_is_used(ledger: Ledger, library: FileLibrary) -> None:
    one, two = await put(library, b"1"), await put(library, b"2")
    job = job_with(one, delay=DAY)
    await enqueue(ledger, job)
    await ledger.change([Change(job.id, NOW, {"args": f'{{"file": "{two.id}"}}'}, files=(two.id,))])
    assert await uses_of(ledger, job.id) == {two.id}
    replacing = job_with(one, delay=DAY, unique_key="k", on_conflict="replace")
    await enqueue(ledger, replacing)
    await enqueue(ledger, job_with(two, delay=DAY, unique_key="k", on_conflict="replace"))
    assert await uses_of(ledger, replacing.id) == {two.id}


async def test_of_an_enqueue_and_a_delete_at_the_same_moment_one_wins(ledger: Ledger, library: FileLibrary) -> None:
    for _ in range(10):
        file = await put(library, b"contended")
        job = job_with(file)
        deleted, _ = await asyncio.gather(library.delete(file.id), enqueue(ledger, job))
        assert (deleted.used_by == job.id) == (await uses_of(ledger, job.id) == {file.id})
        assert (deleted.used_by is None) == (file.id not in await uses_of(ledger, job.id))
