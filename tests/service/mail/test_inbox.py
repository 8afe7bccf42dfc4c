"""The dev inbox: a real SMTP conversation over its socket ends in a file."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from jobs.email import SendEmailArgs, send_email
from service.errors import StartRefused
from service.mail import inbox
from service.mail.mailbox import Mail, Mailbox
from service.mail.smtp import SmtpMailer
from service.settings import Settings
from tests.support.fakes import fake_context
from tests.support.forked_process import forked
from tests.support.processes import BIN, ROOT, environment


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[aiosmtplib.SMTP]:
    """Run the inbox until a SIGTERM; return a client that is connected to it."""
    run = asyncio.create_task(inbox.run(settings))
    await until_it_answers(settings, run)
    client = aiosmtplib.SMTP(socket_path=settings.socket_path("inbox.sock"), timeout=20)
    try:
        async with client:
            yield client
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await run


async def until_it_answers(settings: Settings, run: asyncio.Task[None] | None = None) -> None:
    async with asyncio.timeout(20):
        while run is None or not run.done():
            try:
                reader, writer = await asyncio.open_unix_connection(settings.socket_path("inbox.sock"))
            except OSError:
                await asyncio.sleep(0.02)
                continue
            assert (await reader.readline()).startswith(b"220 ")
            writer.close()
            return


def only_mail(settings: Settings) -> Mail:
    mailbox = Mailbox(settings.inbox_dir)
    (listed,) = mailbox.newest()
    mail = mailbox.read(listed.id)
    assert mail is not None
    return mail


def message(subject: str = "Hello", to: str = "bob@example.com") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ann@example.com", to, subject
    made.set_content("Good day.\n")
    return made


async def test_a_mail_is_kept_when_the_server_says_so(settings: Settings) -> None:
    async with running(settings) as client:
        refused, answer = await client.send_message(message(), recipients=["bob@example.com", "hidden@example.com"])
        mail = only_mail(settings)
    assert refused == {}
    assert mail.id in answer
    assert (mail.subject, mail.text) == ("Hello", "Good day.\n")
    assert mail.envelope_to == "bob@example.com, hidden@example.com"


async def test_one_connection_sends_many_mails(settings: Settings) -> None:
    async with running(settings) as client:
        for number in range(20):
            await client.send_message(message(f"Mail {number}"))
    subjects = [mail.subject for mail in Mailbox(settings.inbox_dir).newest()]
    assert subjects == [f"Mail {number}" for number in reversed(range(20))]


async def test_addresses_and_headers_may_be_in_any_script(settings: Settings) -> None:
    async with running(settings) as client:
        await client.send_message(message("Grüße 你好", to="büro@exämple.com"))
    mail = only_mail(settings)
    assert mail.subject == "Grüße 你好"
    assert mail.envelope_to == "büro@exämple.com"


async def test_a_mail_beyond_the_size_limit_is_refused_and_the_next_is_taken(settings: Settings) -> None:
    large = b"x" * 70 + b"\r\n"
    async with running(settings) as client:
        with pytest.raises(aiosmtplib.SMTPResponseException) as refused:
            await client.sendmail("ann@example.com", ["bob@example.com"], large * (inbox.SIZE_LIMIT_BYTES // 72 + 1))
        await client.send_message(message("Small"))
    assert refused.value.code == 552
    assert only_mail(settings).subject == "Small"


async def test_a_mail_that_cannot_be_kept_is_deferred(settings: Settings) -> None:
    async with running(settings) as client:
        settings.inbox_dir.rmdir()
        settings.inbox_dir.write_text("in the way")
        with pytest.raises(aiosmtplib.SMTPDataError) as refused:
            await client.send_message(message())
        settings.inbox_dir.unlink()
        await client.send_message(message())
    assert refused.value.code == 452
    assert only_mail(settings).subject == "Hello"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_cleanly_though_a_client_is_connected(
    settings: Settings, number: signal.Signals
) -> None:
    process = forked((str(BIN / "postlude"), "inbox"), environment(DATA_DIR=str(settings.data_dir)), ROOT)
    await until_it_answers(settings)
    async with aiosmtplib.SMTP(socket_path=settings.socket_path("inbox.sock")) as client:
        await client.send_message(message())
        process.send_signal(number)
        log, _ = await asyncio.to_thread(process.communicate, 20)
        client.close()
    assert process.returncode == 0
    assert "Traceback" not in log
    assert not settings.socket_path("inbox.sock").exists()
    assert only_mail(settings).subject == "Hello"


async def test_the_socket_of_a_killed_inbox_is_replaced(settings: Settings) -> None:
    path = settings.socket_path("inbox.sock")
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    assert path.is_socket()
    async with running(settings) as client:
        await client.send_message(message())
    assert only_mail(settings).subject == "Hello"


async def test_a_second_inbox_on_the_socket_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "_PREDECESSOR_ENDS_S", 0.2)
    async with running(settings) as client:
        with pytest.raises(StartRefused, match="already runs"):
            await inbox.run(settings)
        await client.send_message(message())
    assert only_mail(settings).subject == "Hello"


async def test_a_data_dir_with_a_long_path_gets_a_private_runtime_folder(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / ("deep " * 30))
    folder = settings.socket_path("inbox.sock").parent
    assert folder != settings.data_dir
    async with running(settings) as client:
        assert folder.stat().st_mode & 0o777 == 0o700
        await client.send_message(message())
    assert not folder.exists()
    assert only_mail(settings).subject == "Hello"


async def test_mail_to_test_and_local_addresses_arrives_here(settings: Settings) -> None:
    to = ["ann@app.test", "ann@printer.local", "ann@localhost", "ann@mailhost", "ann@[127.0.0.1]", "jörg@shop.invalid"]
    async with running(settings):
        mailer = SmtpMailer.open(None, socket=settings.socket_path("inbox.sock"), default_sender="postlude@localhost")
        args = SendEmailArgs(to=to, subject="Hello", text="Good day.")
        result = await send_email(fake_context(mailer=mailer), args)
    assert result.accepted == to
    assert only_mail(settings).envelope_to == ", ".join(to)
