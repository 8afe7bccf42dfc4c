"""A file on its way in."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.files.folder import Folder
from service.files.intake import Intake
from service.files.storage import BLOCK_BYTES, Block

KEY = "0195e2a4-0000-7000-8000-000000000000"


async def stored(intake: Intake, chunks: AsyncIterator[bytes | memoryview], folder: Folder) -> bytes:
    await folder.write(KEY, intake.blocks(chunks), at_end=intake.hash_last)
    return b"".join([block async for block in folder.read(KEY, start=0, end=intake.size)])


@pytest.mark.parametrize("sizes", [[1], [1, 20_000, 1, 1], [5_000, 9_000], [BLOCK_BYTES - 1, 1, 7], [3 * BLOCK_BYTES]])
async def test_file_is_the_same_in_whatever_chunks_it_comes(sizes: list[int], folder: Folder) -> None:
    content = os.urandom(sum(sizes))

    async def chunks() -> AsyncIterator[bytes | memoryview]:
        start = 0
        for size in sizes:
            yield memoryview(content)[start : start + size]
            yield b""
            start += size

    intake = Intake("a.bin")
    assert await stored(intake, chunks(), folder) == content
    assert (intake.size, intake.sha256) == (len(content), hashlib.sha256(content).hexdigest())


async def test_bytes_that_come_one_by_one_are_few_pieces() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for number in range(5_000):
            yield b"%d\n" % (number % 10)

    blocks: list[Block] = [block async for block in Intake("a.csv").blocks(chunks())]
    assert [len(block) for block in blocks] == [1]


async def test_chunks_may_share_a_buffer(folder: Folder) -> None:
    async def chunks() -> AsyncIterator[memoryview]:
        buffer = bytearray(2 * BLOCK_BYTES)
        for letter in b"abc":
            buffer[:] = bytes([letter]) * len(buffer)
            yield memoryview(buffer)

    intake = Intake("a.txt")
    content = b"".join(letter * (2 * BLOCK_BYTES) for letter in (b"a", b"b", b"c"))
    assert await stored(intake, chunks(), folder) == content
    assert intake.sha256 == hashlib.sha256(content).hexdigest()


async def test_type_is_seen_across_pieces() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"\x89P"
        yield b"NG\r\n\x1a\n" + bytes(BLOCK_BYTES)

    intake = Intake("a.txt")
    assert [block async for block in intake.blocks(chunks())]
    assert intake.content_type == "image/png"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "files")
