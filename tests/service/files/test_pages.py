"""The page of files: what there is and what uses it; files are uploaded, downloaded and deleted there."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import update

from service.file_tables import files
from service.settings import Settings
from tests.service.api.driving import on_sqlite
from tests.service.dashboard.places import Browser, looking, words
from tests.support.writing import writing

pytestmark = on_sqlite


@pytest.fixture
async def browser(settings: Settings) -> AsyncIterator[Browser]:
    async with looking(settings.model_copy(update={"jobs": ("tests.support.file_kinds",)})) as browser:
        yield browser


async def upload(browser: Browser, **sent: Any) -> str:
    found = re.search(r'X-CSRF-Token": "([^"]+)"', (await browser.page("/files")).replace("&#34;", '"'))
    assert found is not None
    headers = {"X-CSRF-Token": found[1], "HX-Request": "true"}
    return words((await browser.client.post("/files/upload", headers=headers, **sent)).text)


async def test_files_are_uploaded_shown_with_their_uses_downloaded_and_deleted(browser: Browser) -> None:
    assert "There are no files." in await browser.words("/files")
    assert "a_b.csv is stored." in await upload(browser, files={"file": ("a<b.csv", b"a,b\n1,2\n")})
    assert "The form has no file" in await upload(browser, files={"file": (None, b"no file")})
    [file] = (await browser.call("GET", "/v1/files"))["files"]
    job = await browser.call("POST", "/v1/jobs", {"kind": "shout", "args": {"file": file["id"]}})
    page = await browser.words("/files")
    assert all(part in page for part in (file["name"], file["id"], "text/csv", "1 job", "in 29 d"))
    got = await browser.client.get(f"/files/{file['id']}/content")
    assert (got.content, got.headers["content-disposition"]) == (b"a,b\n1,2\n", 'attachment; filename="a_b.csv"')
    used = await browser.send(f"/files/{file['id']}/delete", {}, HX_Request="true")
    assert (used.status_code, job["id"] in used.text) == (409, True)
    await browser.call("POST", f"/v1/jobs/{job['id']}/cancel")
    assert "a_b.csv is deleted." in await browser.act(f"/files/{file['id']}/delete")
    assert file["id"] not in await browser.page("/files")


async def test_a_form_whose_token_stands_among_its_fields_is_refused_at_once(browser: Browser) -> None:
    refused = await browser.send("/files/upload", {"file": "a,b"}, HX_Request="true")
    assert (refused.status_code, "without a file" in words(refused.text)) == (422, True)


async def test_page_of_a_job_offers_the_files_that_it_was_given_and_those_that_it_made(browser: Browser) -> None:
    await upload(browser, files={"file": ("given.csv", b"a,b\n1,2\n")})
    await upload(browser, files={"file": ("made.txt", b"done")})
    made, given = (await browser.call("GET", "/v1/files"))["files"]
    job = await browser.call("POST", "/v1/jobs", {"kind": "shout", "args": {"file": given["id"]}})
    async with writing(browser.ledger.database) as connection:
        await connection.execute(update(files).where(files.c.id == made["id"]).values(job_id=job["id"], attempt=1))
    page = await browser.page(f"/jobs/{job['id']}")
    assert "Files given.csv Files made made.txt" in words(page)
    assert all(f'href="/files/{file["id"]}/content"' in page for file in (given, made))
    assert "by a job" in await browser.words("/files")
