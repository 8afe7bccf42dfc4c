import asyncio
import email
import email.policy
import socket
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
import pytest

from jobs.kit.context import Mailer
from service.errors import StartRefused
from service.mail import smtp
from service.mail.smtp import DeliveryUnknown, SmtpMailer, SmtpServer
from tests.support.smtp_servers import AUTHORITY, HANG_UP, SAY_NOTHING, answering, open_inbox

NOWHERE = Path("/nowhere/inbox.sock")


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trust the test servers' certificate."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


def mailer(url: str | None, socket: Path = NOWHERE) -> Mailer:
    return SmtpMailer.open(url, socket=socket, default_sender="postlude@localhost")


def message(body: str = "hello") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "me@example.com", "ann@example.com", "Hi"
    mail.set_content(body)
    return mail


async def test_without_a_url_mail_goes_to_the_unix_socket(short_dir: Path) -> None:
    path = short_dir / "inbox.sock"
    async with open_inbox(socket=path) as inbox:
        delivery = await mailer(None, path).send(message(), sender="me@example.com", recipients=["ann@example.com"])

    [envelope] = inbox.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("me@example.com", ["ann@example.com"])
    assert (delivery.accepted, delivery.refused) == (("ann@example.com",), {})


async def test_mail_goes_to_the_server_of_the_url_and_the_connection_is_closed_politely() -> None:
    async with answering() as server:
        await mailer(server.url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert len(server.messages) == 1
    assert server.lines[-1] == "QUIT"


async def test_headers_of_a_message_that_a_kind_made_itself_read_back_as_they_were_meant() -> None:
    name, subject = (
        "Müller, Jörg; Verkauf <Nord> @ " * 5,
        "Grüße an größere Gärten, Öfen und Übungen für alle, äöü! " * 3,
    )
    mail = message()
    del mail["To"], mail["Subject"]
    mail["To"], mail["Subject"] = [Address(name.strip(), "ann", "example.com")], subject.strip()
    mail["Bcc"] = "secret@example.com"
    async with answering() as server:
        await mailer(server.url).send(mail, sender="me@example.com", recipients=["ann@example.com"])
    arrived = email.message_from_bytes(server.messages[0], policy=email.policy.default)
    assert [(one.display_name, one.addr_spec) for one in arrived["To"].addresses] == [(name.strip(), "ann@example.com")]
    assert (arrived["Subject"], arrived["Bcc"], arrived["From"]) == (subject.strip(), None, "me@example.com")
    assert mail["Bcc"] == "secret@example.com"


async def test_lines_that_begin_with_a_dot_arrive_whole(short_dir: Path) -> None:
    path = short_dir / "dots.sock"
    async with open_inbox(socket=path) as inbox:
        mail = message(".\n..two\n.end\n")
        await mailer(None, path).send(mail, sender="me@example.com", recipients=["ann@example.com"])
    content = inbox.envelopes[0].content
    assert isinstance(content, bytes)
    assert content.endswith(b"\r\n\r\n.\r\n..two\r\n.end\r\n")


@pytest.mark.usefixtures("trusted")
async def test_smtps_speaks_tls_from_the_start_and_logs_in_with_decoded_credentials() -> None:
    async with open_inbox(implicit_tls=True, auth=True) as inbox:
        url = f"smtps://us%40er:p%2F%3Ass@localhost:{inbox.port}"
        await mailer(url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert inbox.secure == [True]
    assert inbox.logins == [("us@er", "p/:ss")]


@pytest.mark.usefixtures("trusted")
async def test_smtp_is_upgraded_to_tls_where_the_server_offers_it() -> None:
    async with open_inbox(starttls=True) as inbox:
        url = f"smtp://localhost:{inbox.port}"
        await mailer(url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert inbox.secure == [True]


async def test_smtp_stays_plain_where_the_server_offers_no_tls() -> None:
    async with open_inbox() as inbox:
        url = f"smtp://localhost:{inbox.port}"
        await mailer(url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert inbox.secure == [False]


async def test_server_whose_certificate_is_not_trusted_gets_no_mail_and_no_password() -> None:
    async with open_inbox(implicit_tls=True, auth=True) as inbox:
        url = f"smtps://user:pass@localhost:{inbox.port}"
        with pytest.raises(aiosmtplib.SMTPConnectError):
            await mailer(url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert (inbox.envelopes, inbox.logins) == ([], [])


@pytest.mark.parametrize("url", ["smtp://user:pass@mail.example.com:2525", "smtp://user:pass@10.0.0.1"])
def test_credentials_are_sent_to_another_machine_over_tls_only(url: str) -> None:
    assert SmtpServer.from_url(url).start_tls is True


async def test_where_tls_is_required_a_server_without_it_gets_no_password() -> None:
    async with answering({"EHLO": "250-localhost\r\n250 AUTH PLAIN"}) as server:
        required = SmtpServer("127.0.0.1", server.port, username="user", password="pass", start_tls=True)
        with pytest.raises(aiosmtplib.SMTPException, match="STARTTLS extension not supported"):
            await SmtpMailer(required, "me@example.com").send(
                message(), sender="me@example.com", recipients=["ann@example.com"]
            )
    assert not any(line.startswith("AUTH") for line in server.lines)


@pytest.mark.parametrize(
    "url",
    ["smtp://user:pass@localhost", "smtp://user:pass@127.0.0.1", "smtp://user:pass@[::1]", "smtp://mail.example.com"],
)
def test_loopback_and_mail_without_credentials_need_no_tls(url: str) -> None:
    assert SmtpServer.from_url(url).start_tls is None


async def test_wrong_password_raises_the_servers_answer() -> None:
    async with open_inbox(auth=True) as inbox:
        url = f"smtp://user:wrong@127.0.0.1:{inbox.port}"
        with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
            await mailer(url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert refused.value.code == 535
    assert "wrong" not in str(refused.value)


async def test_partial_refusal_names_each_refused_address_with_its_answer() -> None:
    answers = {
        "RCPT TO:<bob@": "550 5.1.1 no such user",
        "RCPT TO:<cy@": "450-4.2.1 mailbox\r\n450 is busy",
        "RCPT TO:<di@": "550 unbekannter Empf\xe4nger",
    }
    recipients = [f"{name}@example.com" for name in ("ann", "bob", "cy", "di")]
    async with answering(answers) as server:
        delivery = await mailer(server.url).send(message(), sender="me@example.com", recipients=recipients)
    assert delivery.accepted == ("ann@example.com",)
    assert delivery.refused == {
        "bob@example.com": "550 5.1.1 no such user",
        "cy@example.com": "450 4.2.1 mailbox is busy",
        "di@example.com": "550 unbekannter Empf\N{REPLACEMENT CHARACTER}nger",
    }


async def test_refusal_of_all_recipients_is_raised() -> None:
    async with answering({"RCPT": "550 no"}) as server:
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
            await mailer(server.url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert server.messages == []


@pytest.mark.parametrize("answer", [HANG_UP, "garbage", SAY_NOTHING])
async def test_no_answer_to_a_sent_message_is_told_as_ambiguous(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "FINAL_DOT_TIMEOUT_S", 0.3)
    async with answering({".": answer}) as server:
        with pytest.raises(DeliveryUnknown, match="ambiguous"):
            await mailer(server.url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert len(server.messages) == 1


@pytest.mark.parametrize("verb", ["", "EHLO", "MAIL", "RCPT"])
async def test_connection_that_breaks_before_the_message_is_not_ambiguous(verb: str) -> None:
    async with answering({verb: HANG_UP}) as server:
        with pytest.raises(ConnectionError) as broken:
            await mailer(server.url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert not isinstance(broken.value, DeliveryUnknown)


async def test_server_that_closes_between_recipients_and_message_is_not_ambiguous() -> None:
    recipients = ["ann@example.com", "bob@example.com"]
    async with answering({"RCPT TO:<bob@": "421 closing"}) as server:
        with pytest.raises(aiosmtplib.SMTPServerDisconnected) as broken:
            await mailer(server.url).send(message(), sender="me@example.com", recipients=recipients)
    assert not isinstance(broken.value, DeliveryUnknown)
    assert server.messages == []


async def test_silent_server_is_left_after_the_command_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "COMMAND_TIMEOUT_S", 0.3)
    async with answering({"MAIL": SAY_NOTHING}) as server:
        with pytest.raises(TimeoutError):
            await mailer(server.url).send(message(), sender="me@example.com", recipients=["ann@example.com"])


@pytest.mark.parametrize("answer", [SAY_NOTHING, HANG_UP, "500 what?"])
async def test_trouble_after_acceptance_changes_nothing(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "QUIT_TIMEOUT_S", 0.3)
    async with answering({"QUIT": answer}) as server:
        delivery = await mailer(server.url).send(message(), sender="me@example.com", recipients=["ann@example.com"])
    assert delivery.accepted == ("ann@example.com",)


async def test_server_that_is_not_there_is_a_connection_error(short_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for nobody in (mailer(f"smtp://127.0.0.1:{taken.getsockname()[1]}"), mailer(None, short_dir / "nothing.sock")):
            with pytest.raises(ConnectionError):
                await nobody.send(message(), sender="me@example.com", recipients=["ann@example.com"])


async def test_no_more_than_ten_connections_are_open_at_once() -> None:
    async with answering() as server:
        shared = mailer(server.url)
        mails = [shared.send(message(), sender="me@example.com", recipients=["ann@example.com"]) for _ in range(40)]
        await asyncio.gather(*mails)
    assert server.connections == 40
    assert server.most_at_once == 10


async def test_failed_sends_close_their_connection_and_give_their_slot_back() -> None:
    async with answering({"MAIL": "450 not now"}) as server:
        shared = mailer(server.url)
        for _ in range(smtp.MAX_CONNECTIONS + 1):
            with pytest.raises(aiosmtplib.SMTPSenderRefused):
                await shared.send(message(), sender="me@example.com", recipients=["ann@example.com"])
        async with asyncio.timeout(5):
            await server.none_open.wait()


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter2@mail.example.com",
        "mail.example.com:25",
        "smtp://",
        "smtp://user:hunter2@",
        "smtp://user:hunter2@mail.example.com:port",
        "smtp://user:hunter2/x@mail.example.com:25",
        "smtp://user:hunter2#x@mail.example.com:25",
        "smtp://user:hunter2@[::1",
        "smtp://user:hunter2@mail.example.com:99999",
        "smtp://:hunter2@mail.example.com",
        "smtp://user@mail.example.com",
        "smtp://mail.example.com/folder",
        "smtp://mail.example.com?verify=no",
        "",
    ],
)
def test_bad_url_is_refused_at_start_without_showing_the_password(url: str) -> None:
    with pytest.raises(StartRefused, match="POSTLUDE_SMTP_URL") as refused:
        mailer(url)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@pytest.mark.parametrize("sender", ["postlude@localhost", "Postlude <post@example.com>", '"Post, Lude" <a@b.example>'])
def test_default_sender_is_an_address_with_or_without_a_name(sender: str) -> None:
    assert SmtpMailer.open(None, socket=NOWHERE, default_sender=sender).default_sender == sender


@pytest.mark.parametrize(
    "sender",
    ["", "postlude", "a@b.example, c@d.example", "a@b.example\r\nBcc: c@d.example", "<>", "ü@b.example", "@b.example"],
)
def test_other_default_senders_are_refused_at_start(sender: str) -> None:
    with pytest.raises(StartRefused, match="POSTLUDE_MAIL_FROM"):
        SmtpMailer.open(None, socket=NOWHERE, default_sender=sender)
