"""`ctx.files` in attempts on the loop, in threads and in processes: the same everywhere."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

import jobs
from jobs.kit.files import FileGone
from service.files.library import FileLibrary
from service.files.opening import library_of
from service.settings import Settings
from tests.service.files.putting import put
from tests.service.worker.desk import Desk, open_desk
from tests.support import file_kinds as kinds
from tests.support.running import running_worker

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MODULE = "tests.support.file_kinds"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (MODULE,), "processes": 1, "grace_s": 0.2})


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    catalogue = jobs.load((MODULE,))
    async with open_desk(settings, *catalogue.values()) as opened, running_worker(settings, catalogue):
        yield opened


@pytest.fixture
def library(settings: Settings, desk: Desk) -> FileLibrary:
    return library_of(settings, desk.ledger)


async def test_files_are_read_stored_and_deleted_wherever_a_kind_runs(desk: Desk, library: FileLibrary) -> None:
    given = await put(library, b"one\ntwo\n", name="words.txt")
    for kind in (kinds.shout, kinds.shout_in_thread, kinds.shout_in_process, kinds.shout_at_once_in_process):
        row = await desk.ended(await desk.enqueue(kind, {"file": given.id}))
        assert row["state"] == "succeeded", (kind.name, row["error_message"])
        await _check_made(library, json.loads(row["result"]))


async def _check_made(library: FileLibrary, made: dict[str, Any]) -> None:
    loud, again = await library.find(made["loud"]), await library.find(made["again"])
    assert (loud.name, loud.size, loud.content_type) == ("loud words.txt", 8, "text/plain")
    assert (again.sha256, again.content_type) == (loud.sha256, "text/x-loud")
    assert again.expires_at is not None
    assert again.expires_at - again.created_at == timedelta(seconds=60)
    assert [block async for block in library.read(again)] == [b"ONE\nTWO\n"]
    with pytest.raises(FileGone):
        await library.find(made["gone"])


async def test_attempt_that_finds_its_file_gone_is_discarded_and_says_so(desk: Desk, library: FileLibrary) -> None:
    for kind in (kinds.shout, kinds.shout_in_process):
        row = await desk.ended(await desk.record_suspect(kind, {"file": "nowhere"}, crashes=0))
        assert (row["state"], row["error_type"], row["attempt"]) == ("failed", "FileGone", 1)
        assert row["error_message"] == "There is no file 'nowhere': it expired, was deleted, or never existed."
