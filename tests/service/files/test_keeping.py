"""Files past their time go, and so do bytes that no row knows."""

import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.kit.files import FileGone
from service.files.bucket import Bucket
from service.files.folder import Folder
from service.files.keeping import expire_some, purge_files, sweep
from service.files.library import FileLibrary
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.files.putting import put

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
DAY = timedelta(days=1)


@pytest.fixture
def library(ledger: Ledger, settings: Settings) -> FileLibrary:
    return FileLibrary(ledger, Folder(settings.files_dir), DAY)


def place_of(settings: Settings, file_id: str) -> Path:
    return settings.files_dir / file_id[-2:] / file_id


def age(path: Path) -> None:
    os.utime(path, (time.time() - 7200,) * 2)


async def test_expired_files_go_with_their_bytes_and_a_dry_run_counts_the_same(
    ledger: Ledger, library: FileLibrary, settings: Settings
) -> None:
    old, young = await put(library, b"old", expires_in=timedelta(0)), await put(library, b"young")
    assert await purge_files(settings, ledger, DAY, dry_run=True) == {"files": 1}
    assert await purge_files(settings, ledger, DAY, dry_run=False) == {"files": 1}
    assert await expire_some(library) == 0
    assert not place_of(settings, old.id).exists()
    assert place_of(settings, young.id).exists()


async def test_sweep_deletes_what_a_crash_has_left_and_nothing_that_has_a_row(
    library: FileLibrary, settings: Settings
) -> None:
    kept, rowless, fresh = [await put(library, name.encode()) for name in ("kept", "rowless", "fresh")]
    for file in (rowless, fresh):
        await library.delete(file.id)
        place_of(settings, file.id).write_bytes(b"left by a crash between the two")
    broken = settings.files_dir / "incoming" / "broken"
    broken.parent.mkdir(exist_ok=True)
    broken.write_bytes(b"half")
    strange = settings.files_dir / "aa" / "not-ours.txt"
    strange.parent.mkdir(exist_ok=True)
    strange.write_bytes(b"whose is it?")
    for path in (place_of(settings, kept.id), place_of(settings, rowless.id), broken, strange):
        age(path)
    assert await sweep(library) == 1
    assert [place_of(settings, one.id).exists() for one in (kept, rowless, fresh)] == [True, False, True]
    assert (broken.exists(), strange.exists()) == (False, True)
    assert await library.find(kept.id) == kept


async def test_file_whose_bytes_are_gone_says_so(library: FileLibrary, settings: Settings) -> None:
    file = await put(library, b"bytes")
    place_of(settings, file.id).unlink()
    with pytest.raises(FileGone):
        _ = [block async for block in library.read(file)]
    assert Folder.rowless_for < Bucket.rowless_for
