"""Files in a folder."""

import asyncio
import os
import resource
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uuid_utils

from jobs.kit.files import FileGone
from service.files.folder import Folder
from service.files.storage import Block, StorageUnavailable


async def blocks(*contents: bytes, error: BaseException | None = None) -> AsyncIterator[Block]:
    for content in contents:
        yield [content[:1], b"", content[1:]]
    if error is not None:
        raise error


def new_key() -> str:
    return str(uuid_utils.uuid7())


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_file_is_written_whole_and_read_in_part(tmp_path: Path) -> None:
    folder, key = Folder(tmp_path / "files"), new_key()
    await folder.write(key, blocks(b"one", b"", b"two"))
    assert b"".join([block async for block in folder.read(key, start=1, end=5)]) == b"netw"
    async with folder.local(key, 6, "") as path:
        assert path.read_bytes() == b"onetwo"
        assert not path.stat().st_mode & 0o222
    with pytest.raises(FileGone, match="6 bytes, not the 7"):
        async with folder.local(key, 7, ""):
            pass
    await folder.delete([key, new_key()])
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("contents", [(b"half",), (b"half", b"more", b"and more")])
@pytest.mark.parametrize("error", [KeyError("sender"), asyncio.CancelledError()])
async def test_write_that_breaks_off_leaves_nothing(
    tmp_path: Path, error: BaseException, contents: tuple[bytes, ...]
) -> None:
    with pytest.raises(type(error)):
        await Folder(tmp_path).write(new_key(), blocks(*contents, error=error))
    assert files_in(tmp_path) == []


async def test_file_stands_in_its_place_half_written_only_if_it_is_written_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    folder, keys = Folder(tmp_path), [new_key(), new_key()]

    def sync(_descriptor: int) -> None:
        synced.append(any(folder._place(key).exists() for key in keys))

    monkeypatch.setattr(os, "fsync", sync)
    await folder.write(keys[0], blocks(b"one", b"two"))
    assert synced[-2:] == [False, True]  # the file, then its name
    await folder.delete(keys)
    await folder.write(keys[1], blocks(b"all"))
    assert synced[-2:] == [True, True]


async def test_subfolders_are_made_and_synced_once_and_again_when_one_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink()))
    top = tmp_path / "files"
    for folder in (Folder(top), Folder(top)):  # the second process cannot know whether the first has synced them
        synced.clear()
        for _ in range(2):
            await folder.write(key := new_key(), blocks(b"x"))
        assert (synced[0], synced.count(top)) == (top, 1)
    shutil.rmtree(folder._place(key).parent)
    await folder.write(key, blocks(b"x"))
    assert synced.count(top) == 2


async def test_pieces_of_which_the_disk_takes_a_part_at_a_time_are_written_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, key, real = Folder(tmp_path), new_key(), os.writev
    monkeypatch.setattr(os, "writev", lambda file, pieces: real(file, [b"".join(pieces)[:4]]))
    await folder.write(key, blocks(b"one", b"", b"two", b"three"))
    assert b"".join([block async for block in folder.read(key, start=0, end=11)]) == b"onetwothree"


async def test_block_of_which_the_disk_takes_a_part_is_no_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(StorageUnavailable):
            await Folder(tmp_path).write(new_key(), blocks(bytes(1000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("key", ["../../etc/passwd", "", ".", "incoming", "a\0b", "x" * 36])
async def test_key_that_is_no_id_leads_nowhere(tmp_path: Path, key: str) -> None:
    with pytest.raises(FileGone):
        _ = [block async for block in Folder(tmp_path).read(key, start=0, end=1)]


async def test_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file in its place")
    folder = Folder(tmp_path / "files")
    with pytest.raises(StorageUnavailable):
        await folder.write(new_key(), blocks(b"x"))
