"""TLS with mail servers: wherever it works, required, or verified, as the settings say; and passwords stay hidden."""

from base64 import b64encode
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import aiosmtplib
import pytest

from jobs.email.mailer_errors import LoginFailed, TlsFailed
from jobs.kit.context import Delivery
from service.errors import StartRefused
from service.mail import smtp
from service.mail.smtp import SmtpMailer
from service.mail.smtp_server import SmtpServer
from service.settings import Settings
from tests.support.smtp_servers import AUTHORITY, HANG_UP, SAY_NOTHING, answering, open_inbox

NOWHERE = Path("/nowhere/inbox.sock")
OFFERS_TLS = {"EHLO": "250-localhost\r\n250 STARTTLS"}
# What a server may do that offers TLS and has none.
BROKEN_TLS = [
    "454 4.7.0 TLS not available",
    "500 what?",
    "220 go on" + HANG_UP,
    "220 go on\r\nHTTP/1.1 200 OK",
    HANG_UP,
]


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A file with the certificate of the authority that the test servers' certificate is from."""
    path = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait no half minute for servers that say nothing."""
    monkeypatch.setattr(smtp, "COMMAND_TIMEOUT_S", 1.0)


async def send(url: str, **settings: Any) -> Delivery:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "me@example.com", "ann@example.com", "Hi"
    message.set_content("hello")
    mailer = SmtpMailer.open(url, socket=NOWHERE, default_sender="me@example.com", **settings)
    return await mailer.send(message, sender="me@example.com", recipients=["ann@example.com"])


async def test_relay_with_a_certificate_that_nobody_knows_gets_its_mail_over_tls() -> None:
    async with open_inbox(starttls=True) as inbox:
        await send(f"smtp://127.0.0.1:{inbox.port}")
    assert inbox.secure == [True]


@pytest.mark.parametrize("answer", BROKEN_TLS)
async def test_relay_that_offers_tls_and_has_none_gets_its_mail_without(answer: str) -> None:
    async with answering({**OFFERS_TLS, "STARTTLS": answer}) as server:
        await send(server.url)
    assert (len(server.messages), server.connections) == (1, 2)


async def test_relay_that_never_ends_the_handshake_gets_its_mail_without() -> None:
    async with answering({**OFFERS_TLS, "STARTTLS": SAY_NOTHING}) as server:
        await send(server.url)
    assert len(server.messages) == 1


@pytest.mark.parametrize("level", ["encrypt", "verify"])
@pytest.mark.parametrize("answer", [*BROKEN_TLS, "not offered"])
async def test_where_tls_is_required_no_mail_goes_without_it(level: str, answer: str) -> None:
    offers = {} if answer == "not offered" else {**OFFERS_TLS, "STARTTLS": answer}
    async with answering(offers) as server:
        with pytest.raises(TlsFailed, match="POSTLUDE_SMTP_TLS"):
            await send(server.url, tls=level)
    assert not any(line.startswith("MAIL") for line in server.lines)


async def test_answer_to_starttls_is_told_as_the_server_gave_it() -> None:
    async with answering({**OFFERS_TLS, "STARTTLS": "454 4.7.0 TLS not available"}) as server:
        with pytest.raises(TlsFailed, match=r"no TLS with the mail server: 454 4\.7\.0 TLS not available\. "):
            await send(server.url, tls="encrypt")


async def test_where_tls_is_forbidden_it_is_not_asked_for() -> None:
    async with answering({**OFFERS_TLS, "STARTTLS": HANG_UP}) as server:
        await send(server.url, tls="none")
    assert "STARTTLS" not in server.lines


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_certificate_is_verified_where_the_settings_ask_and_the_error_names_the_way_out(scheme: str) -> None:
    async with open_inbox(starttls=scheme == "smtp", implicit_tls=scheme == "smtps") as inbox:
        with pytest.raises(TlsFailed, match=r"not trusted.*POSTLUDE_SMTP_CA_FILE.*POSTLUDE_SMTP_TLS=encrypt"):
            await send(f"{scheme}://localhost:{inbox.port}", tls="verify")
        await send(f"{scheme}://localhost:{inbox.port}", tls="encrypt")
    assert inbox.secure == [True]


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_private_authority_is_trusted_by_its_file(scheme: str, authority: Path) -> None:
    async with open_inbox(starttls=scheme == "smtp", implicit_tls=scheme == "smtps") as inbox:
        await send(f"{scheme}://localhost:{inbox.port}", tls="verify", ca_file=authority)
    assert inbox.secure == [True]


@pytest.mark.parametrize(
    ("url", "settings", "start_tls", "verify"),
    [
        ("smtp://mail.example.com", {}, None, False),
        ("smtp://mail.example.com", {"ca_file": Path("ca.pem")}, True, True),
        ("smtp://mail.example.com", {"tls": "encrypt"}, True, False),
        ("smtp://user:pass@mail.example.com", {}, True, True),
        ("smtp://user:pass@mail.example.com", {"tls": "encrypt"}, True, False),
        ("smtp://user:pass@mail.example.com", {"tls": "none"}, False, False),
        ("smtp://user:pass@localhost", {}, None, False),
        ("smtps://mail.example.com", {}, False, True),
        ("smtps://mail.example.com", {"tls": "may"}, False, False),
    ],
)
def test_how_far_tls_is_asked_for(url: str, settings: Any, start_tls: bool | None, verify: bool) -> None:
    server = SmtpServer.from_url(url, **settings)
    assert (server.start_tls, server.verify, server.use_tls) == (start_tls, verify, url.startswith("smtps"))


@pytest.mark.parametrize(
    ("url", "level", "reason"),
    [
        ("smtps://mail.example.com", "none", "contradicts"),
        ("smtp://user:hunter2@mail.example.com", "may", "in the clear"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_at_start(url: str, level: Any, reason: str) -> None:
    with pytest.raises(StartRefused, match=f"POSTLUDE_SMTP_TLS.*{reason}") as refused:
        SmtpServer.from_url(url, tls=level)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_file_without_certificates_is_refused_at_start(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(StartRefused, match="POSTLUDE_SMTP_CA_FILE"):
        SmtpServer.from_url("smtp://mail.example.com", ca_file=tmp_path / "ca.pem").tls_context()


def test_level_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTLUDE_SMTP_TLS", "encrypt")
    assert Settings().smtp_tls == "encrypt"


ECHOES = ["hunter2", b64encode(b"\0user\0hunter2").decode(), b64encode(b"hunter2").decode()]


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("code", ["535 5.7.8", "454 4.7.0", "AUTH"])
async def test_password_that_the_server_echoes_is_not_shown(method: str, echo: str, code: str) -> None:
    answers = {"EHLO": f"250-localhost\r\n250 AUTH {method}", "AUTH": f"{code} {echo} is wrong"}
    async with answering(answers) as server:
        with pytest.raises(aiosmtplib.SMTPException) as raised:
            await send(server.url.replace("//", "//user:hunter2@"))
    assert "***" in str(raised.value)
    assert not any(form in chained(raised.value) for form in ECHOES)


def chained(error: BaseException | None) -> str:
    """Return the text of an error and of all that it shows as its cause."""
    if error is None:
        return ""
    return repr(error) + chained(error.__cause__ or (None if error.__suppress_context__ else error.__context__))


@pytest.mark.parametrize("offer", ["250 HELP", "250 AUTH GSSAPI", "250 AUTH CRAM-MD5"])
async def test_server_without_a_way_to_log_in_is_a_failed_login(offer: str) -> None:
    async with answering({"EHLO": f"250-localhost\r\n{offer}", "AUTH": "334 no challenge!"}) as server:
        with pytest.raises((LoginFailed, aiosmtplib.SMTPAuthenticationError)):
            await send(server.url.replace("//", "//user:hunter2@"))
    assert not server.messages


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", [HANG_UP, "421 closing" + HANG_UP])
async def test_drop_before_the_go_ahead_is_not_ambiguous(stage: str, answer: str) -> None:
    async with answering({stage: answer}) as server:
        with pytest.raises((aiosmtplib.SMTPException, OSError)) as raised:
            await send(server.url)
    assert not isinstance(raised.value, smtp.DeliveryUnknown)
