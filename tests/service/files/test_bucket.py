"""Files in a bucket: whole or not at all, whatever the server behind it does."""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import uuid_utils

from jobs.kit.files import FileGone
from service.files import bucket as buckets
from service.files.bucket import Bucket
from service.files.storage import Block, StorageUnavailable
from service.settings import Settings
from tests.support.bucket import BUCKET, CREDENTIALS, running_bucket
from tests.support.proxy import proxying
from tests.support.running import running_api

LATER = datetime.now(UTC) + timedelta(days=1)
URL = f"s3://{BUCKET}/pre/fix"


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Any]]:
    with running_bucket() as running:
        yield running


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for buckets that do not answer, and for no others: those are given up too soon."""
    for name, limit in {"_CONNECT_WITHIN_S": 1, "_REQUEST_WITHIN_S": 1, "_RETRIES": 1, "_RETRY_WITHIN_S": 1}.items():
        monkeypatch.setattr(buckets, name, limit)


async def blocks(*contents: bytes, error: Exception | None = None) -> AsyncIterator[Block]:
    for content in contents:
        yield [content[:1], b"", content[1:]]
    if error is not None:
        raise error


def new_key() -> str:
    return str(uuid_utils.uuid7())


async def all_keys(bucket: Bucket) -> set[str]:
    return {key async for keys in bucket.written_before(LATER) for key in keys}


async def test_files_of_every_size_are_written_read_in_part_lent_and_deleted(server: tuple[str, Any]) -> None:
    bucket = Bucket(URL, server[0])
    for size in (0, 3, (8 << 20) + 5, 20 << 20):
        content, key = os.urandom(size), new_key()
        await bucket.write(key, blocks(*(content[start : start + (1 << 20)] for start in range(0, size, 1 << 20))))
        assert b"".join([part async for part in bucket.read(key, start=1, end=size)]) == content[1:]
        async with bucket.local(key, size, hashlib.sha256(content).hexdigest()) as path:
            assert path.read_bytes() == content
        assert not path.exists()
        assert key in await all_keys(bucket)
        await bucket.delete([key, new_key()])
        with pytest.raises(FileGone):
            _ = [part async for part in bucket.read(key, start=0, end=1)]
    assert await all_keys(bucket) == set()


async def test_file_whose_sender_breaks_off_leaves_nothing(server: tuple[str, Any]) -> None:
    endpoint, client = server
    bucket = Bucket(URL, endpoint)
    for megabytes, error in ((1, KeyError("sender")), (9, OSError("sender")), (20, FileNotFoundError("sender"))):
        with pytest.raises(type(error), match="sender"):
            await bucket.write(new_key(), blocks(*[bytes(1 << 20)] * megabytes, error=error))
    assert await all_keys(bucket) == set()
    assert "Uploads" not in client.list_multipart_uploads(Bucket=BUCKET)


@contextlib.asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[str]:
    """Answer every request with these bytes, and hang up; with None, never."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                await reader.read()
            writer.write(answer or b"")
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", b"", None],
)
@pytest.mark.usefixtures("hurried")
async def test_bucket_that_fails_cuts_or_hangs_is_told_within_a_bounded_time(answer: bytes | None) -> None:
    async with answering(answer) as endpoint, asyncio.timeout(20):
        bucket = Bucket(URL, endpoint)
        with pytest.raises(StorageUnavailable):
            await bucket.write(new_key(), blocks(b"content"))


async def test_file_of_which_the_bucket_has_a_part_or_that_is_in_no_bucket_is_not_read(server: tuple[str, Any]) -> None:
    key = new_key()
    bucket = Bucket(URL, server[0])
    await bucket.write(key, blocks(b"a part"))
    with pytest.raises(StorageUnavailable, match="6 of 9 bytes"):
        _ = [part async for part in bucket.read(key, start=0, end=9)]
    await bucket.delete([key])
    with pytest.raises(StorageUnavailable, match="NoSuchBucket") as refused:
        _ = [part async for part in Bucket("s3://none", server[0]).read(key, start=0, end=9)]
    assert "\n" not in str(refused.value), "it is shown to people"


async def test_last_part_of_a_file_is_not_given_if_the_bucket_gave_other_bytes(server: tuple[str, Any]) -> None:
    content, key = os.urandom((8 << 20) + 9), new_key()
    bucket, stored = Bucket(URL, server[0]), hashlib.sha256(content).hexdigest()
    await bucket.write(key, blocks(content[:-1] + bytes([content[-1] ^ 1])))
    parts = bucket.read(key, start=0, end=len(content), sha256=stored)
    assert len(await anext(parts)) == 8 << 20
    with pytest.raises(StorageUnavailable, match="other bytes"):
        await anext(parts)
    with pytest.raises(StorageUnavailable, match="other bytes"):
        async with bucket.local(key, len(content), stored):
            pass
    await bucket.delete([key])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_upload_into_a_bucket_that_dies_midway_is_503_and_never_half_a_file(
    settings: Settings, server: tuple[str, Any]
) -> None:
    place = urlsplit(server[0])
    content = os.urandom(20 << 20)

    async def dying() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1 << 20):
            yield content[start : start + (1 << 20)]
            if start == 17 << 20:
                proxy.resets = True
                proxy.reset()

    assert place.hostname is not None
    assert place.port is not None
    async with proxying((place.hostname, place.port)) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}"
        async with running_api(settings.model_copy(update={"files_url": URL, "files_s3_endpoint": endpoint})) as api:
            answer = await api.post("/v1/files", content=dying())
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:postlude:problem:files-unavailable")
            assert (await api.get("/v1/files")).json()["files"] == []
            proxy.resets = False
            await _round_trip(api, content)
    assert len(await all_keys(Bucket(URL, server[0]))) == 1


async def _round_trip(api: httpx.AsyncClient, content: bytes) -> None:
    made = (await api.post("/v1/files", content=content)).json()
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    assert (await api.get(f"/v1/files/{made['id']}")).content == content
    part = await api.get(f"/v1/files/{made['id']}", headers={"Range": "bytes=9000000-9000009"})
    assert part.content == content[9_000_000:9_000_010]
