"""Files of the client: paths, bytes and open files go up, and come down whole; uploads of requests reach functions."""

import asyncio
import hashlib
import io
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, File, Form, UploadFile
from postlude import AsyncClient, FileDamaged, NotRepeatable
from postlude.calling.uploads import describe
from postlude.downloading import Download
from postlude.fastapi import BackgroundTasks, Postlude
from postlude.problems import FileNotFound
from postlude.sources import Source
from starlette.datastructures import Headers

from service.settings import Settings
from tests.client.conftest import InThreads
from tests.support.proxy import FaultProxy, proxying
from tests.support.running import eventually
from tests.support.serving import PromptServer

CONTENT = os.urandom(3_000_000)


async def test_files_go_up_and_come_down_whole(client: AsyncClient, threaded: InThreads, tmp_path: Path) -> None:
    path = tmp_path / "Übung 1.bin"
    path.write_bytes(CONTENT)
    by_path = await client.upload(path, expires_in=3600)
    assert (by_path.name, by_path.size) == ("Übung 1.bin", len(CONTENT))
    by_bytes = await threaded(lambda sync: sync.upload(CONTENT, name="b.bin"))
    with path.open("rb") as file:
        file.seek(100)
        by_file = await threaded(lambda sync: sync.upload(file))
    assert {by_path.sha256, by_bytes.sha256, by_file.sha256} == {by_path.sha256}
    down = tmp_path / f"{'own' * 80}.bin"
    down.write_text("before")
    await client.download(by_path, down)
    assert (down.read_bytes(), down.stat().st_mode) == (CONTENT, path.stat().st_mode)
    out = io.BytesIO()
    await threaded(lambda sync: sync.download(by_file.id, out))
    assert out.getvalue() == CONTENT
    with pytest.raises(FileNotFound):
        await client.download("nothing", down)
    assert down.read_bytes() == CONTENT
    assert sorted(one.name for one in tmp_path.iterdir() if "own" in one.name) == [down.name]


async def test_download_that_breaks_off_goes_on_where_it_was(
    api: httpx.AsyncClient, client: AsyncClient, tmp_path: Path
) -> None:
    made = await client.upload(CONTENT * 4, name="large.bin")
    assert api.base_url.port is not None
    async with (
        proxying(("127.0.0.1", api.base_url.port)) as proxy,
        AsyncClient(f"http://127.0.0.1:{proxy.port}", retry_for=20) as far,
    ):
        out = _Breaking(proxy)
        await far.download(made, out)
        assert out.getvalue() == CONTENT * 4
        assert proxy.accepted > 1


async def test_download_with_other_bytes_than_were_stored_is_damaged(
    client: AsyncClient, settings: Settings, tmp_path: Path
) -> None:
    made = await client.upload(CONTENT, name="large.bin")
    [stored] = settings.files_dir.rglob(made.id)
    stored.chmod(0o600)
    stored.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(FileDamaged):
        await client.download(made, tmp_path / "down.bin")
    assert not (tmp_path / "down.bin").exists()


def test_download_that_begins_again_has_nothing_of_what_came_before() -> None:
    """The file is a different one by now, or the server continues none."""
    out = io.BytesIO(b"own")
    out.seek(3)
    download = Download("f1", out)
    for content, sent in ((b"a longer one", b"a longer"), (b"second", b"second")):
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        assert download.begin(httpx.Response(200, headers={"etag": tag}))
        download.write(sent)
    download.check()
    assert out.getvalue() == b"ownsecond"
    assert download.request().headers["range"] == "bytes=6-"


class _Breaking(io.BytesIO):
    """Resets the connection once, after a megabyte."""

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__()
        self._proxy, self._has_broken = proxy, False
        self._loop = asyncio.get_running_loop()

    def write(self, chunk: Any) -> int:
        written = super().write(chunk)
        if not self._has_broken and self.tell() > 1_000_000:
            self._has_broken = True
            self._loop.call_soon_threadsafe(self._proxy.reset)  # the client writes in a thread
        return written


def test_nul_in_what_a_form_says_of_its_file_keeps_no_task_from_being_sent() -> None:
    headers = Headers({"content-disposition": 'form-data; name="file"; filename="a\0b"'})
    described = describe(UploadFile(io.BytesIO(), filename="a\0b", headers=headers))
    assert described["name"] == "a_b"
    assert "\0" not in str(described["headers"][0][1])


def test_what_cannot_begin_again_says_so() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        source = Source(pipe)
        assert list(source.chunks()) == []
        with pytest.raises(NotRepeatable):
            list(source.chunks())


seen: list[Any] = []


async def take_in(file: UploadFile, more: list[UploadFile], note: str) -> None:
    content = await file.read()
    seen.append((file.filename, file.content_type, file.size, content == CONTENT, note))
    seen.extend([(one.filename, await one.read()) for one in more])


def take_in_thread(file: UploadFile) -> None:
    seen.append((file.filename, file.file.read() == CONTENT))


app = FastAPI(title="uploads")


@app.post("/take")
async def take(
    tasks: BackgroundTasks,
    file: UploadFile,
    more: Annotated[list[UploadFile], File()],
    note: Annotated[str, Form()],
) -> list[str | None]:
    await file.read(10)  # as a reader who looks at its beginning does
    handles = [tasks.add_task(take_in, file, more, note=note), tasks.add_task(take_in_thread, file)]
    return [handle.id for handle in handles]


@asynccontextmanager
async def serving() -> AsyncIterator[httpx.AsyncClient]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    server = PromptServer(uvicorn.Config(app, log_config=None))
    running = asyncio.create_task(server.serve([listening]))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=60) as client:
            yield client
    finally:
        server.stop()
        await running


async def test_uploads_of_a_request_are_stored_before_its_response_and_reach_the_functions(
    url: str, client: AsyncClient, working: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POSTLUDE_URL", url)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    seen.clear()
    Postlude(app)
    async with serving() as caller:
        form: dict[str, Any] = {
            "files": [
                ("file", ("a.bin", CONTENT, "image/png")),
                ("more", ("b.txt", b"b")),
                ("more", ("c.txt", b"c")),
            ],
            "data": {"note": "hello"},
        }
        answer = await caller.post("/take", **form)
        assert answer.status_code == 200, answer.text
        first, second = answer.json()
        assert len((await client.get(first)).args["files"]) == 3
        done = [await client.wait(one, timeout=60) for one in (first, second)]
        assert [one.state for one in done] == ["succeeded", "succeeded"], [one.error for one in done]
    await eventually(_all_seen)
    assert seen == [
        ("a.bin", "image/png", len(CONTENT), True, "hello"),
        ("b.txt", b"b"),
        ("c.txt", b"c"),
        ("a.bin", True),
    ]


async def _all_seen() -> bool:
    return len(seen) == 4


@pytest.mark.postlude("inline")
async def test_in_a_test_of_an_app_each_function_reads_the_upload_from_its_beginning() -> None:
    seen.clear()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as caller:
        files: Any = [("file", ("a.bin", CONTENT, "image/png")), ("more", ("b.txt", b"b"))]
        answer = await caller.post("/take", files=files, data={"note": "here"})
    assert answer.status_code == 200, answer.text
    assert seen == [("a.bin", "image/png", len(CONTENT), True, "here"), ("b.txt", b"b"), ("a.bin", True)]
