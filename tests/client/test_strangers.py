"""Whoever reaches something else than Postlude, or nobody, is told which URL was tried and what to check."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trustme
from postlude import AsyncClient, NotPostlude, SettingsInvalid, Unreachable
from postlude.problems import Unauthorized
from pydantic import SecretStr

from service.settings import Settings
from tests.support.running import running_api


@asynccontextmanager
async def answering(
    status: str, body: bytes, sort: str = "text/html", *headers: str, tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Answer every request in the same way."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        lines = [f"HTTP/1.1 {status}", f"content-type: {sort}", f"content-length: {len(body)}", *headers]
        writer.write("\r\n".join([*lines, "connection: close", "", ""]).encode() + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def told(url: str, error: type[Exception] = NotPostlude) -> str:
    async with AsyncClient(url, "key", retry_for=0.3) as client:
        with pytest.raises(error) as raised:
            await client.enqueue("note", {"text": "x"})
        assert url in str(raised.value)
        return str(raised.value)


async def test_a_page_or_another_api_is_not_taken_for_postlude() -> None:
    async with answering("200 OK", b"<html>Welcome</html>") as place:
        assert "is not Postlude's API" in await told(f"http://{place}")
    async with answering("202 Accepted", json.dumps({"ok": True}).encode(), "application/json") as place:
        message = await told(f"http://{place}")
        assert """begins '{"ok": true}'""" in message
        assert "POSTLUDE_URL" in message
    async with answering("422 No", json.dumps({"detail": "no"}).encode(), "application/json") as place:
        assert "answers 422" in await told(f"http://{place}")


async def test_a_redirect_says_where_it_leads() -> None:
    async with answering("308 Moved", b"", "text/html", "location: https://jobs.example.com/v1/jobs") as place:
        assert "leads to https://jobs.example.com/v1/jobs" in await told(f"http://{place}")


async def test_what_proxies_answer_is_told_as_theirs() -> None:
    async with answering("401 No", b"", "text/html", "www-authenticate: Basic") as place:
        assert "not as Postlude does: a proxy" in await told(f"http://{place}")
    async with answering("400 Bad request", b"The plain HTTP request was sent to HTTPS port") as place:
        assert "write https://" in await told(f"http://{place}")
    async with answering("413 Too large", b"") as place:
        assert "let it take 32 MiB" in await told(f"http://{place}")
    async with answering("502 Bad gateway", b"<html>") as place:
        assert "A proxy at" in await told(f"http://{place}", Unreachable)


async def test_nobody_at_the_port_and_a_name_that_nobody_has() -> None:
    assert "Is it running there, and is the port right?" in await told("http://127.0.0.1:9", Unreachable)
    assert "POSTLUDE_URL" in await told("http://nobody.invalid:8000", Unreachable)


async def test_tls_where_there_is_none_and_none_where_there_is(
    api: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(api.base_url).rstrip("/").removeprefix("http://")
    assert "write http:// in place of https://" in await told(f"https://{place}", Unreachable)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with answering("200 OK", b"", tls=context) as place:
        assert "write https:// in place of http://" in await told(f"http://{place}", Unreachable)
        assert "name the authority's file in SSL_CERT_FILE" in await told(f"https://{place}", Unreachable)
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        assert "answers 200" in await told(f"https://{place}")


async def test_a_service_behind_a_path_is_reached_there_alone(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"root_path": "/postlude"})) as api:
        url = str(api.base_url).rstrip("/")
        async with AsyncClient(f"{url}/postlude/") as client:
            job = await client.enqueue("note", {"text": "x"})
            assert (await client.get(job)).id == job.id
    async with answering("404 Not Found", b"<html>nginx</html>") as place:
        assert "If Postlude is behind a path" in await told(f"http://{place}")


async def test_a_service_that_asks_for_a_key_says_so(settings: Settings) -> None:
    async with running_api(settings.model_copy(update={"api_keys": (SecretStr("right"),)})) as api:
        url = str(api.base_url)
        async with AsyncClient(url, "right\n") as client:
            assert (await client.enqueue("note", {"text": "x"})).state == "queued"
        async with AsyncClient(url, "wrong") as client:
            with pytest.raises(Unauthorized, match="Set POSTLUDE_API_KEY, or pass the client its `key`") as refused:
                await client.enqueue("note", {"text": "x"})
        assert refused.value.status == 401


async def test_without_a_url_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTLUDE_URL", raising=False)
    async with AsyncClient() as client:
        with pytest.raises(SettingsInvalid, match="Set POSTLUDE_URL"):
            await client.get("x")
