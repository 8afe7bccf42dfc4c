"""The home page: what runs, read from a real ledger; next to nothing where callers need a key."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from pydantic import SecretStr

from jobs import load
from service.ledger.ledger import Ledger
from service.settings import Settings
from tests.service.ledger.makers import enqueue, live_worker, new_job, start
from tests.support.browser import browsing


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(data_dir=tmp_path, database_url=database_url)


@pytest.fixture
def away(tmp_path: Path) -> Settings:
    """Settings that name a database which is not there."""
    return Settings(data_dir=tmp_path, database_url=f"sqlite+aiosqlite:///{tmp_path / 'nowhere' / 'postlude.db'}")


def words(html: str) -> str:
    """Return what a reader sees."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def links(html: str) -> list[str]:
    return re.findall(r'<a href="([^"]+)"', html)


async def test_it_counts_workers_and_jobs_as_the_ledger_does(settings: Settings, ledger: Ledger) -> None:
    jobs = [new_job() for _ in range(3)]
    await enqueue(ledger, *jobs)
    async with ledger.database.connect() as connection:
        now = await ledger.database.now(connection)
    await live_worker(ledger, at=now)
    await start(ledger, jobs[0].id)
    async with browsing(settings) as browser:
        page = words((await browser.get("/")).text)
    assert f"Postlude {version('postlude')}" in page
    assert "worker alive 1 jobs running 1 jobs waiting 2" in page


async def test_it_says_that_no_worker_is_alive(settings: Settings) -> None:
    async with browsing(settings) as browser:
        page = words((await browser.get("/")).text)
    assert "workers alive 0" in page
    assert "No worker is alive" in page


async def test_it_renders_without_the_ledger_and_says_so(away: Settings) -> None:
    async with browsing(away) as browser:
        answer = await browser.get("/")
    assert answer.status_code == 200
    assert "does not answer" in answer.text
    assert "jobs running" not in answer.text


async def test_it_names_the_kinds_with_a_line_of_description_and_their_cron(away: Settings) -> None:
    async with browsing(away) as browser:
        page = words((await browser.get("/")).text)
    for name, kind in load().items():
        first, *rest = kind.description.splitlines()
        assert f"{name} {' '.join(first.replace('`', ' ').split())}" in page
        assert not any(line in page for line in rest if line)
    assert "runs by itself at 17 3 * * * (UTC)" in page


async def test_every_link_leads_somewhere(settings: Settings) -> None:
    async with browsing(settings) as browser:
        found = links((await browser.get("/")).text)
        answers = {link: (await browser.get(link)).status_code for link in found}
    calls = [f"/v1/{name}" for name in ("jobs", "flows", "operations", "schedules", "lanes")]
    expected = ["/docs", *calls, "/inbox", "/readyz", "/metrics"]
    assert answers == dict.fromkeys(expected, 200)


async def test_it_links_to_no_inbox_if_mail_goes_elsewhere(away: Settings) -> None:
    elsewhere = away.model_copy(update={"smtp_url": SecretStr("smtp://127.0.0.1:2525")})
    async with browsing(elsewhere) as browser:
        page = (await browser.get("/")).text
    assert "/inbox" not in links(page)
    assert "/docs" in links(page)


async def test_with_keys_it_shows_neither_counts_nor_kinds(settings: Settings) -> None:
    closed = settings.model_copy(update={"api_keys": (SecretStr("a-secret-key"),)})
    async with browsing(closed) as browser:
        page = (await browser.get("/")).text
    assert f"Postlude {version('postlude')}" in words(page)
    assert "/docs" in links(page)
    assert "/inbox" not in links(page)
    for told in ("alive", "running", "waiting", "send_webhook", "cron", "a-secret-key"):
        assert told not in page


async def test_the_page_may_load_its_stylesheet_and_nothing_else(away: Settings) -> None:
    async with browsing(away) as browser:
        answer = await browser.get("/")
        style = await browser.get("/style.css")
    assert (
        answer.headers["content-security-policy"]
        == "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert '<link rel="stylesheet" href="/style.css">' in answer.text
    assert style.headers["content-type"].startswith("text/css")
    assert not re.search(r"<script|<style|style=|src=| on\w+=", answer.text)


async def test_the_pages_are_not_part_of_the_described_api(away: Settings) -> None:
    async with browsing(away) as browser:
        paths = (await browser.get("/openapi.json")).json()["paths"]
    assert not {"/", "/inbox", "/inbox/{mail_id}", "/style.css"} & set(paths)
