"""The inbox's pages: every mail is shown, and nothing in a mail becomes part of the page."""

import re
import shutil
from email.message import EmailMessage
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.mail.mailbox import Mailbox
from service.settings import Settings
from tests.support.browser import browsing


@pytest.fixture
def settings(tmp_path: Path, sqlite_template: Path) -> Settings:
    shutil.copy(sqlite_template, tmp_path / "postlude.db")
    return Settings(data_dir=tmp_path, database_url=f"sqlite+aiosqlite:///{tmp_path / 'postlude.db'}")


@pytest.fixture
def mailbox(settings: Settings) -> Mailbox:
    return Mailbox(settings.inbox_dir)


def keep(mailbox: Mailbox, message: EmailMessage) -> str:
    return mailbox.keep(message.as_bytes(), sender="ann@example.com", recipients=["bob@example.com"])


def message(subject: str = "Hello") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ann@example.com", "bob@example.com", subject
    made.set_content("Good day, Bob.\n")
    return made


async def test_the_list_has_a_link_to_each_mail_newest_first(settings: Settings, mailbox: Mailbox) -> None:
    ids = [keep(mailbox, message(f"Mail {number}")) for number in range(3)]
    async with browsing(settings) as browser:
        page = (await browser.get("/inbox")).text
        mails = [await browser.get(link) for link in re.findall(r'href="(/inbox/[^"]+)"', page)]
    assert re.findall(r'href="/inbox/([^"]+)">([^<]+)', page) == [
        (mail_id, f"Mail {number}") for number, mail_id in reversed(list(enumerate(ids)))
    ]
    assert "ann@example.com" in page
    assert "bob@example.com" in page
    assert [mail.status_code for mail in mails] == [200, 200, 200]


async def test_a_long_list_is_cut_and_says_so(settings: Settings, mailbox: Mailbox) -> None:
    for number in range(201):
        keep(mailbox, message(f"Mail {number}"))
    async with browsing(settings) as browser:
        page = (await browser.get("/inbox")).text
    assert page.count('href="/inbox/') == 200
    assert "The newest 200 of 201 mails." in page


async def test_an_inbox_without_mails_says_so(settings: Settings) -> None:
    async with browsing(settings) as browser:
        answer = await browser.get("/inbox")
    assert answer.status_code == 200
    assert "No mail yet." in answer.text


async def test_a_mail_is_shown_with_headers_text_html_source_and_attachments(
    settings: Settings, mailbox: Mailbox
) -> None:
    made = message("Grüße")
    made["Message-ID"] = "<42@example.com>"
    made.add_alternative("<p>Good <b>day</b></p>\n", subtype="html")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="bill.pdf")
    mail_id = keep(mailbox, made)
    async with browsing(settings) as browser:
        page = (await browser.get(f"/inbox/{mail_id}")).text
    assert "<h1>Grüße</h1>" in page
    assert "<dt>Message-ID</dt><dd>&lt;42@example.com&gt;</dd>" in page
    assert "<dt>X-Envelope-To</dt><dd>bob@example.com</dd>" in page
    assert ">Good day, Bob.\n</pre>" in page
    assert ">&lt;p&gt;Good &lt;b&gt;day&lt;/b&gt;&lt;/p&gt;\n</pre>" in page
    assert "<dt>bill.pdf</dt><dd>application/pdf, 4 B</dd>" in page


async def test_nothing_in_a_mail_becomes_part_of_a_page(settings: Settings, mailbox: Mailbox) -> None:
    evil = '</pre></td><script>alert(1)</script><img src="x" onerror=alert(1)>'
    made = EmailMessage()
    made["From"], made["To"], made["Subject"], made["X-Evil"] = f'"{evil}" <a@b.c>', f"{evil} <d@e.f>", evil, evil
    made.set_content(evil)
    made.add_alternative(evil, subtype="html")
    made.add_attachment(b"x", maintype="application", subtype="zip", filename=evil)
    raw = f"{evil}: {evil}\r\n".encode() + made.as_bytes()
    mail_id = mailbox.keep(raw, sender=evil, recipients=[evil])
    async with browsing(settings) as browser:
        pages = [await browser.get("/inbox"), await browser.get(f"/inbox/{mail_id}")]
    for page in pages:
        assert page.status_code == 200
        assert page.headers["content-security-policy"].startswith("default-src 'self'; object-src 'none'")
        assert "&lt;script&gt;" in page.text
        assert not re.search(r"<script(?! src=)|<img|onerror=[^a]", page.text)


async def test_a_very_long_text_is_cut_and_says_how_much_is_missing(settings: Settings, mailbox: Mailbox) -> None:
    made = EmailMessage()
    made.set_content(("x" * 60 + "\n") * 5_000)
    mail_id = keep(mailbox, made)
    async with browsing(settings) as browser:
        page = (await browser.get(f"/inbox/{mail_id}")).text
    assert len(page) < 250_000
    assert "105000 characters follow in the file" in page


@pytest.mark.parametrize("mail_id", ["01970000-0000-7000-8000-000000000000", "nonsense", "%2e%2e%2fpostlude"])
async def test_an_unknown_mail_is_404(settings: Settings, mailbox: Mailbox, mail_id: str) -> None:
    keep(mailbox, message())
    async with browsing(settings) as browser:
        assert (await browser.get(f"/inbox/{mail_id}")).status_code == 404


async def test_a_hidden_inbox_shows_a_page_that_names_the_setting(settings: Settings, mailbox: Mailbox) -> None:
    mail_id = keep(mailbox, message("Private"))
    elsewhere = settings.model_copy(update={"smtp_url": SecretStr("smtp://127.0.0.1:2525")})
    async with browsing(elsewhere) as browser:
        answers = [await browser.get("/inbox"), await browser.get(f"/inbox/{mail_id}")]
    for answer in answers:
        assert answer.status_code == 404
        assert "<code>POSTLUDE_SMTP_URL</code> is set" in answer.text
        assert "Private" not in answer.text


async def test_where_keys_are_asked_for_the_inbox_is_for_those_who_signed_in(
    settings: Settings, mailbox: Mailbox
) -> None:
    mail_id = keep(mailbox, message("Private"))
    async with browsing(settings.model_copy(update={"api_keys": (SecretStr("a-secret-key"),)})) as browser:
        for path in ("/inbox", f"/inbox/{mail_id}"):
            refused = await browser.get(path)
            assert (refused.status_code, refused.headers["location"][:9]) == (303, "/sign-in?")
            assert "Private" not in refused.text


async def test_the_page_of_mail_says_where_mail_goes_and_what_failed(settings: Settings) -> None:
    async with browsing(settings) as browser:
        stays = (await browser.get("/mail")).text
        job = {"kind": "send_email", "args": {"to": ["a@b.example"], "subject": "s", "text": "t"}}
        assert (await browser.post("/v1/jobs", json=job)).status_code == 202
        waits = (await browser.get("/mail")).text
    assert "No mail server is set" in stays
    assert 'href="/inbox"' in stays
    assert ">smtp:default</a>" in waits
    url = SecretStr("smtp://user:s3cr3t@mail.example.com:2525")
    async with browsing(settings.model_copy(update={"smtp_url": url})) as browser:
        goes = (await browser.get("/mail")).text
    assert "Mail goes to mail.example.com:2525." in goes
    assert "s3cr3t" not in goes
