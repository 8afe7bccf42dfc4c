"""Files over HTTP: what comes in, what goes out, and what is refused."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.files.names import NAMELESS
from service.files.receiving import Upload
from service.settings import Settings
from tests.support.keyed import BOOTSTRAP, bearer, closed, make_key
from tests.support.running import eventually, running_api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
MODULE = "tests.support.file_kinds"
TEXT = b"one,two\n1,2\n3,4\n"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"jobs": (MODULE,), "files_max_bytes": 3 << 20, "files_types": ()})


async def upload(api: httpx.AsyncClient, content: Any = TEXT, **more: Any) -> dict[str, Any]:
    answer = await api.post("/v1/files", content=content, **more)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/files/{made['id']}"
    return made


def stored_in(settings: Settings) -> list[Path]:
    return [path for path in settings.files_dir.rglob("*") if path.is_file()]


def problem(answer: httpx.Response, status: int, name: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:postlude:problem:{name}"), answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_raw_upload_is_told_by_its_bytes_and_comes_back_as_it_was(
    api: httpx.AsyncClient, settings: Settings
) -> None:
    headers = {"X-File-Name": "../../Übung.csv".encode(), "Content-Type": "image/png"}
    made = await upload(api, headers=headers, params={"expires_in": 60})
    assert (made["name"], made["size"], made["content_type"]) == ("Übung.csv", len(TEXT), "text/csv")
    assert made["sha256"] == hashlib.sha256(TEXT).hexdigest()
    answer = await api.get(f"/v1/files/{made['id']}")
    assert (answer.content, answer.headers["content-type"]) == (TEXT, "text/csv")
    assert (
        answer.headers["content-disposition"] == "attachment; filename=\"_bung.csv\"; filename*=UTF-8''%C3%9Cbung.csv"
    )
    assert (answer.headers["x-content-type-options"], answer.headers["etag"]) == ("nosniff", f'"{made["sha256"]}"')
    assert "sandbox" in answer.headers["content-security-policy"]
    assert (await api.get(f"/v1/files/{made['id']}/info")).json() == made
    assert (await api.get("/v1/files")).json() == {"files": [made], "next_cursor": None}
    assert len(stored_in(settings)) == 1


async def test_form_upload_streams_its_file_and_reads_fields_on_either_side(api: httpx.AsyncClient) -> None:
    content = os.urandom(2_500_000)
    form: dict[str, Any] = {"files": {"file": ("a.bin", content, "text/html")}, "data": {"expires_in": "60"}}
    answer = await api.post("/v1/files", **form)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["name"], made["size"], made["sha256"]) == ("a.bin", len(content), hashlib.sha256(content).hexdigest())
    assert made["created_at"][:16] <= made["expires_at"][:16]
    late = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.txt"\r\n\r\nhello\r\n'
        b'--b\r\nContent-Disposition: form-data; name="expires_in"\r\n\r\n-5\r\n--b--\r\n'
    )
    as_form = {"Content-Type": "multipart/form-data; boundary=b"}
    problem(await api.post("/v1/files", content=late, headers=as_form), 422, "upload-refused")
    assert (await upload(api, late.replace(b"-5", b"50"), headers=as_form))["name"] == "x.txt"
    # Programs send a file without a name so; browsers, but without content, where nobody chose a file.
    nameless = late.replace(b"-5", b"50").replace(b"x.txt", b"")
    made = await upload(api, nameless, headers=as_form)
    assert (made["name"], made["size"]) == (NAMELESS, 5)


async def test_name_is_read_as_clients_write_it_and_one_that_contradicts_itself_is_refused(
    api: httpx.AsyncClient,
) -> None:
    as_form = {"Content-Type": "multipart/form-data; boundary=b"}
    for sort, status in (
        (b"filename*=UTF-8''%C3%9Cbung.csv", 201),
        ('filename="Übung.csv"'.encode(), 201),
        ('filename="Übung.csv"'.encode("latin-1"), 201),
        (b"filename*=a; filename*0=b", 400),
    ):
        body = b'--b\r\nContent-Disposition: form-data; name="f"; %b\r\n\r\na,b\n1,2\n\r\n--b--\r\n' % sort
        raw = {b"Content-Disposition": b"attachment; " + sort}
        for answer in (
            await api.post("/v1/files", content=body, headers=as_form),
            await api.post("/v1/files", content=TEXT, headers=raw),
        ):
            assert answer.status_code == status, answer.text
            assert status != 201 or answer.json()["name"] == "Übung.csv"


async def test_form_that_has_no_whole_file_leaves_nothing(api: httpx.AsyncClient, settings: Settings) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n1\r\n'
    as_form = {"Content-Type": "multipart/form-data; boundary=b"}
    for body, status, name in (
        (b"", 400, "upload-malformed"),
        (b"--b--\r\n", 422, "upload-refused"),
        (part.replace(b'; filename="a"', b"") + b"--b--\r\n", 422, "upload-refused"),
        # What a browser sends for an input in which nobody chose a file.
        (part.replace(b'filename="a"\r\n\r\n1', b'filename=""\r\n\r\n') + b"--b--\r\n", 422, "upload-refused"),
        (part[:-4] + b"cut", 400, "upload-malformed"),
        (part * 2 + b"--b--\r\n", 422, "upload-refused"),
        (b"--b\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", 400, "upload-malformed"),
        (b"garbage", 400, "upload-malformed"),
    ):
        problem(await api.post("/v1/files", content=body, headers=as_form), status, name)
        assert stored_in(settings) == []


async def test_what_is_too_large_is_refused_before_it_is_read_or_as_soon_as_it_is_passed(
    api: httpx.AsyncClient, settings: Settings
) -> None:
    head = b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\n%b\r\n\r\n"
    reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    writer.write(head % b"Content-Length: 99999999999")
    assert b" 413 " in await reader.readline()
    writer.close()
    reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    writer.write(head % b"Transfer-Encoding: chunked")
    for _ in range(4):
        writer.write(b"100000\r\n" + bytes(1 << 20) + b"\r\n")
    assert b" 413 " in await reader.readline()
    writer.close()
    await eventually(lambda: _is_empty(settings))


@pytest.mark.parametrize("before", [b"", b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\n1\r\n--b--\r\n'])
async def test_form_that_never_ends_is_refused_as_what_is_too_large(
    api: httpx.AsyncClient, settings: Settings, before: bytes
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield before
        for _ in range(50):
            yield b"\r\n" * (1 << 16)

    as_form = {"Content-Type": "multipart/form-data; boundary=b"}
    problem(await api.post("/v1/files", content=endless(), headers=as_form), 413, "file-too-large")
    assert stored_in(settings) == []


async def _is_empty(settings: Settings) -> bool:
    return stored_in(settings) == []


async def test_client_that_goes_away_or_falls_silent_leaves_nothing(
    api: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upload, "idle_within_s", 0.2)
    head = b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf"
    reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    writer.write(head)
    assert b" 408 " in await reader.readline()
    writer.close()
    monkeypatch.setattr(Upload, "idle_within_s", 30)
    _, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port)
    writer.write(head.replace(b"1000", b"3000000") + bytes(2_500_000))
    await eventually(lambda: _holds_some(settings))
    writer.close()
    await eventually(lambda: _is_empty(settings))
    assert (await api.get("/v1/files")).json()["files"] == []


async def _holds_some(settings: Settings) -> bool:
    return stored_in(settings) != []


async def test_ranges_and_conditions(api: httpx.AsyncClient) -> None:
    made = await upload(api, b"0123456789", headers={"X-File-Name": "digits.bin"})
    path, tag = f"/v1/files/{made['id']}", f'"{made["sha256"]}"'

    async def get(status: int, content: bytes, **headers: str) -> httpx.Response:
        answer = await api.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert (answer.status_code, answer.content) == (status, content), headers
        return answer

    whole = await get(200, b"0123456789")
    modified = whole.headers["last-modified"]
    ranged = await get(206, b"234", range="bytes=2-4", accept_encoding="gzip")
    assert (ranged.headers["content-range"], ranged.headers["content-length"]) == ("bytes 2-4/10", "3")
    await get(206, b"89", range="bytes=-2")
    await get(206, b"89", range="bytes=8-99")
    await get(206, b"56789", range="bytes=5-")
    for ignored in ("bytes=0-1,3-4", "bytes=4-2", "items=0-1", "bytes=-", "bytes=a-b"):
        await get(200, b"0123456789", range=ignored)
    beyond = await api.get(path, headers={"Range": "bytes=10-"})
    problem(beyond, 416, "range-unsatisfiable")
    assert beyond.headers["content-range"] == "bytes */10"
    await get(304, b"", if_none_match=f'"other", {tag}')
    twice = await api.get(path, headers=[("If-None-Match", '"other"'), ("If-None-Match", tag)])
    assert twice.status_code == 304
    await get(200, b"0123456789", if_none_match='"other"', if_modified_since=modified)
    await get(304, b"", if_modified_since=modified)
    await get(200, b"0123456789", if_modified_since="no date")
    await get(206, b"0", range="bytes=0-0", if_range=tag)
    await get(206, b"0", range="bytes=0-0", if_range=modified)
    await get(200, b"0123456789", range="bytes=0-0", if_range='"other"')
    for wanted in ({"if_match": f'"other", {tag}'}, {"if_match": "*"}, {"if_unmodified_since": modified}):
        await get(200, b"0123456789", **wanted)
    for other in (
        {"if_match": '"other"'},
        {"if_match": f"W/{tag}"},
        {"if_unmodified_since": "Sat, 01 Jan 2000 00:00:00 GMT"},
    ):
        refused = await api.get(path, headers={name.replace("_", "-"): value for name, value in other.items()})
        problem(refused, 412, "file-not-wanted")
    for no_date in ("Mon, 01 Jan 2024 00:00:00 +" + "9" * 20, "Mon, 01 Jan " + "9" * 30 + " 00:00:00 GMT"):
        await get(200, b"0123456789", if_modified_since=no_date)
    head = await api.head(path, headers={"Range": "bytes=2-4"})
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")
    empty = await upload(api, b"")
    assert (await api.get(f"/v1/files/{empty['id']}")).content == b""


async def test_json_has_the_tag_of_its_bytes_and_the_page_of_files_sends_them_plain(api: httpx.AsyncClient) -> None:
    made = await upload(api, b'{"a": 1}' + b" " * 5000)
    path, tag = f"/v1/files/{made['id']}", f'"{made["sha256"]}"'
    assert made["content_type"] == "application/json"
    head, whole = await api.head(path), await api.get(path)
    assert (head.headers["etag"], whole.headers["etag"]) == (tag, tag)
    asked = {"Accept-Encoding": "gzip", "Range": "bytes=0-3999"}
    part = await api.get(f"/files/{made['id']}/content", headers=asked)
    assert (part.status_code, part.headers.get("content-encoding"), len(part.content)) == (206, None, 4000)


async def test_same_upload_with_the_same_idempotency_key_is_one_file(
    api: httpx.AsyncClient, settings: Settings
) -> None:
    key = {"Idempotency-Key": "once"}
    first = await api.post("/v1/files", content=TEXT, headers=key)
    again = await api.post("/v1/files", content=TEXT, headers=key)
    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (201, first.json(), "true")
    assert again.headers["location"] == first.headers["location"]
    problem(await api.post("/v1/files", content=b"other", headers=key), 422, "idempotency-key-reused")
    assert len(stored_in(settings)) == 1


async def test_file_that_a_live_job_names_is_not_deleted_and_one_that_is_gone_is_not_named(
    api: httpx.AsyncClient, settings: Settings
) -> None:
    made = await upload(api)
    sent = {"kind": "shout", "args": {"file": made["id"]}}
    job = (await api.post("/v1/jobs", json=sent)).json()
    told = problem(await api.delete(f"/v1/files/{made['id']}"), 409, "file-still-used")
    assert job["id"] in told["detail"]
    assert (await api.get(f"/v1/files/{made['id']}/info")).json()["used_by"] == 1
    await api.post(f"/v1/jobs/{job['id']}/cancel")
    assert (await api.delete(f"/v1/files/{made['id']}")).status_code == 204
    assert stored_in(settings) == []
    problem(await api.get(f"/v1/files/{made['id']}"), 404, "file-not-found")
    told = problem(await api.post("/v1/jobs", json=sent), 422, "args-invalid")
    assert [one["loc"] for one in told["errors"]] == [["args", "file"]]
    for path, body, place in (
        ("/v1/jobs/batch", {"jobs": [{"kind": "update_stats", "args": {"subject": "a", "event": "b"}}, sent]}, 1),
        ("/v1/flows", {"jobs": [{"name": "one", **sent}]}, 0),
    ):
        told = problem(await api.post(path, json=body), 422, "args-invalid")
        assert [one["loc"] for one in told["errors"]] == [["jobs", place, "args", "file"]]


async def test_only_types_of_the_settings_are_taken_and_only_while_there_is_room(settings: Settings) -> None:
    limited = settings.model_copy(update={"files_types": ("text/*",), "files_max_total_bytes": 30})
    async with running_api(limited) as api:
        problem(await api.post("/v1/files", content=b"\x89PNG\r\n\x1a\n" + bytes(20)), 415, "file-type-refused")
        await upload(api)
        problem(await api.post("/v1/files", content=TEXT), 507, "files-full")
    assert len(stored_in(settings)) == 1


async def test_keys_see_their_own_files_and_need_scopes(settings: Settings) -> None:
    async with running_api(closed(settings)) as api:
        mine = bearer((await make_key(api, "enqueue", "operate", kinds=["shout"]))["key"])
        others = bearer((await make_key(api, "read"))["key"])
        hidden = bearer((await make_key(api, "read", sees_args=False))["key"])
        made = await upload(api, headers=mine)
        secret = await upload(api, headers=bearer(BOOTSTRAP))
        assert [one["id"] for one in (await api.get("/v1/files", headers=mine)).json()["files"]] == [made["id"]]
        assert len((await api.get("/v1/files", headers=others)).json()["files"]) == 2
        for path in (f"/v1/files/{secret['id']}", f"/v1/files/{secret['id']}/info"):
            problem(await api.get(path, headers=mine), 404, "file-not-found")
        problem(await api.delete(f"/v1/files/{secret['id']}", headers=mine), 404, "file-not-found")
        stolen = {"kind": "shout", "args": {"file": secret["id"]}}
        later = {"kind": "shout", "args": {"file": made["id"]}, "on_end": stolen}
        sender = bearer((await make_key(api, "enqueue"))["key"])
        for thief in (mine, sender):
            problem(await api.post("/v1/jobs", json=stolen, headers=thief), 422, "args-invalid")
        flow = {"jobs": [{"name": "a", "kind": "shout", "args": {"file": made["id"]}}], "on_end": stolen}
        for path, body, place in (
            ("/v1/jobs", later, ["on_end", "args", "file"]),
            ("/v1/jobs/batch", {"jobs": [later]}, ["jobs", 0, "on_end", "args", "file"]),
            ("/v1/flows", {"jobs": [{"name": "a", **later}]}, ["jobs", 0, "on_end", "args", "file"]),
            ("/v1/flows", flow, ["on_end", "args", "file"]),
        ):
            told = problem(await api.post(path, json=body, headers=mine), 422, "args-invalid")
            assert [one["loc"] for one in told["errors"]] == [place]
        problem(await api.get(f"/v1/files/{made['id']}", headers=hidden), 403, "args-hidden")
        problem(await api.post("/v1/files", content=TEXT, headers=others), 403, "scope-missing")
        problem(await api.post("/v1/files", content=TEXT), 401, "unauthorized")
        problem(await api.delete(f"/v1/files/{made['id']}", headers=others), 403, "scope-missing")
        assert (await api.delete(f"/v1/files/{made['id']}", headers=mine)).status_code == 204


async def test_files_are_listed_page_by_page(api: httpx.AsyncClient) -> None:
    made = [(await upload(api, str(number).encode()))["id"] for number in range(3)]
    first = (await api.get("/v1/files", params={"limit": 2})).json()
    second = (await api.get("/v1/files", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [one["id"] for one in first["files"] + second["files"]] == made[::-1]
    assert second["next_cursor"] is None
