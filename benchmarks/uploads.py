"""Uploads beside the same uploads to a bare Starlette app, which keeps them as its own `UploadFile` does.

    python -m benchmarks.uploads [--rounds 5] [--megabytes 32] [--at-once 4]

Both are served by uvicorn in a process of its own, and get the same forms from the same client, in turns. Postlude also
hashes each file, looks at what it is, makes it safe on the disk and records it; Starlette copies it to a file. What of
the difference is the disk's is told by a second one, which has each file, and its name, safe before it answers.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_GOAL = 0.7


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
    folder = os.open(os.environ["BARE_FOLDER"], os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


async def _keep(request: Request) -> JSONResponse:
    """Keep an upload as an app would: out of the form into a file."""
    async with request.form() as form:
        upload = form["file"]
        assert not isinstance(upload, str)
        with tempfile.NamedTemporaryFile(dir=os.environ["BARE_FOLDER"], delete=False) as file:
            while chunk := await upload.read(1 << 20):
                await asyncio.to_thread(file.write, chunk)
            if os.environ["BARE_SYNCS"]:
                await asyncio.to_thread(_sync, file)
        return JSONResponse({"size": upload.size}, 201)


bare = Starlette(routes=[Route("/v1/files", _keep, methods=["POST"])])


async def _serve(app: str, environment: dict[str, str]) -> tuple[asyncio.subprocess.Process, str]:
    command = [sys.executable, "-m", "benchmarks.uploads", "--serve", app]
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await process.stdout.readline()
    return process, f"http://127.0.0.1:{int(line)}"


def _run_server(app: str) -> None:
    import socket

    from service.web.one_write import Protocol

    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    print(listening.getsockname()[1], flush=True)
    if app == "postlude":
        from service.app import create_app

        config = uvicorn.Config(create_app(), http=Protocol, log_config=None)
    else:
        config = uvicorn.Config(bare, log_config=None)
    uvicorn.Server(config).run([listening])


async def _rate(client: httpx.AsyncClient, url: str, content: bytes, *, count: int, at_once: int) -> float:
    """Return the megabytes a second of `count` uploads."""
    room = asyncio.Semaphore(at_once)

    async def send() -> None:
        async with room:
            answer = await client.post(f"{url}/v1/files", files={"file": ("load.bin", content)})
            assert answer.status_code == 201, answer.text

    began = time.perf_counter()
    await asyncio.gather(*(send() for _ in range(count)))
    return count * len(content) / 1e6 / (time.perf_counter() - began)


async def _compare(rounds: int, sizes: list[float], at_once: int, folder: Path) -> None:
    data = {"POSTLUDE_DATA_DIR": str(folder / "data"), "POSTLUDE_REDIS_URL": "redis://127.0.0.1:1"}
    data |= {"POSTLUDE_LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-c", "from postlude_command import main; main()", "migrate"]
    migrate = await asyncio.create_subprocess_exec(*command, env=os.environ | data, stdout=asyncio.subprocess.DEVNULL)
    assert await migrate.wait() == 0
    (folder / "bare").mkdir()
    bare = {"BARE_FOLDER": str(folder / "bare"), "BARE_SYNCS": ""}
    servers = [
        await _serve("postlude", data),
        await _serve("bare", bare),
        await _serve("bare", bare | {"BARE_SYNCS": "1"}),
    ]
    try:
        async with httpx.AsyncClient(timeout=120, trust_env=False) as client:
            for megabytes in sizes:
                await _print_ratio(client, [url for _, url in servers], rounds, megabytes, at_once)
    finally:
        for process, _ in servers:
            process.terminate()
            await process.wait()


async def _print_ratio(client: httpx.AsyncClient, urls: list[str], rounds: int, megabytes: float, at_once: int) -> None:
    content = os.urandom(int(megabytes * 1e6))
    count = max(at_once, int(64 / megabytes) if megabytes >= 1 else 100)
    rates: list[list[float]] = [[], [], []]
    for _ in range(rounds + 1):
        for ours, url in zip(rates, urls, strict=True):
            ours.append(await _rate(client, url, content, count=count, at_once=at_once))
    of_postlude, of_bare, of_syncing = (statistics.median(one[1:]) for one in rates)
    ratio = of_postlude / of_bare
    verdict = "reached" if ratio >= _GOAL else "missed"
    print(
        f"{count} files of {megabytes:g} MB, {at_once} at once: {of_postlude:,.0f} MB/s beside {of_bare:,.0f} MB/s of a"
        f" bare Starlette app: {ratio:.2f} (goal {_GOAL}: {verdict}); {of_syncing:,.0f} MB/s of one that syncs:"
        f" {of_postlude / of_syncing:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=float, nargs="*", default=[1, 32])
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--serve")
    asked = parser.parse_args()
    if asked.serve:
        _run_server(asked.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_compare(asked.rounds, asked.megabytes, asked.at_once, Path(folder)))


if __name__ == "__main__":
    main()
