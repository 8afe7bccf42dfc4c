"""Each recipient gets a final word of their own, and nobody gets a mail twice."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from jobs import Discard, Retry
from jobs.email import SendEmailArgs, SendEmailResult, send_email, words
from service.ledger.database import Database
from service.ledger.ledger import Ledger
from service.mail.capability import LedgerWords
from service.mail.smtp import SmtpMailer
from service.mail.tables import mail_recipients
from tests.support.fakes import fake_context
from tests.support.smtp_servers import HANG_UP, Script, ScriptedServer, answering, at_first, at_most

# What differs between databases is in the ledger, which has tests of its own.
pytestmark = pytest.mark.short("sqlite")

ANN, BOB, CY, DI = (f"{name}@example.com" for name in ("ann", "bob", "cy", "di"))


class Mail:
    """A job to three recipients, performed attempt by attempt against one mail server."""

    def __init__(self, ledger: Ledger | None, *to: str, **fields: Any) -> None:
        self.args = SendEmailArgs.model_validate({"to": to or [ANN, BOB, CY], "subject": "Hi", "text": "Hi"} | fields)
        self._ledger = ledger
        self._attempt = 0

    async def attempt(self, server: ScriptedServer, *, failures: int | None = None) -> SendEmailResult:
        self._attempt += 1
        ctx = fake_context(
            mailer=SmtpMailer.open(server.url, socket=Path("/nowhere"), default_sender="post@example.com"),
            attempt=self._attempt,
            failures=self._attempt - 1 if failures is None else failures,
            capabilities={words.RecipientWords: LedgerWords(self._ledger)} if self._ledger else {},
        )
        return await send_email(ctx, self.args)


@pytest.fixture
def mail(ledger: Ledger) -> Mail:
    return Mail(ledger)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with answering() as server:
        yield server


def asked_for(server: ScriptedServer) -> list[str]:
    """Return the recipients that were named, and forget them."""
    named = [line.removeprefix("RCPT TO:<").removesuffix(">") for line in server.lines if line.startswith("RCPT")]
    server.lines.clear()
    return named


async def test_recipients_that_can_still_be_reached_are_tried_again_and_the_others_are_not(
    mail: Mail, server: ScriptedServer
) -> None:
    server.answers = {"RCPT TO:<bob@": at_first("450 4.2.0 greylisted"), "RCPT TO:<cy@": "550 5.1.1 no such user"}
    with pytest.raises(Retry) as retry:
        await mail.attempt(server)
    assert type(retry.value).__name__ == "RecipientsDeferred"
    assert str(retry.value) == (
        "not delivered: bob@example.com: 450 4.2.0 greylisted. "
        "refused for good: cy@example.com: 550 5.1.1 no such user. delivered: ann@example.com"
    )
    assert asked_for(server) == [ANN, BOB, CY]

    result = await mail.attempt(server)
    assert asked_for(server) == [BOB]
    assert (result.accepted, result.refused) == ([ANN, BOB], {CY: "550 5.1.1 no such user"})
    assert len(server.messages) == 2


async def test_partial_refusal_names_addresses_and_answers_in_the_log_and_as_the_jobs_error(
    mail: Mail, server: ScriptedServer
) -> None:
    server.answers = {"RCPT TO:<bob@": "550 5.1.1 no such user"}
    with capture_logs() as logs:
        result = await mail.attempt(server)
    assert [(one["event"], one["refused"]) for one in logs] == [("recipients_refused", {BOB: "550 5.1.1 no such user"})]
    assert type(result.shortfall).__name__ == "RecipientsRefused"
    assert str(result.shortfall) == "refused for good: bob@example.com: 550 5.1.1 no such user"
    assert (await Mail(mail._ledger, ANN).attempt(server)).shortfall is None


async def test_replay_tries_recipients_that_were_not_accepted(mail: Mail, server: ScriptedServer) -> None:
    server.answers = {"RCPT TO:<bob@": "450 later", "RCPT TO:<cy@": "550 5.1.1 no such user"}
    for _ in range(2):
        with pytest.raises(Retry):
            await mail.attempt(server)
    assert asked_for(server) == [ANN, BOB, CY, BOB]
    server.answers = {}
    assert (await mail.attempt(server, failures=0)).accepted == [ANN, BOB, CY]
    assert asked_for(server) == [BOB, CY]


@pytest.mark.parametrize(
    "answer",
    [
        *("452 too many recipients", "452 4.5.3 too many", "552 too many recipients", "552 5.5.3 too many"),
        *("451 4.5.3 too many", "550 5.5.3 too many"),
    ],
)
async def test_recipients_beyond_one_transaction_get_the_next_one_at_once(
    ledger: Ledger, server: ScriptedServer, answer: str
) -> None:
    server.answers = at_most(10, answer)
    everybody = [f"a{number}@example.com" for number in range(25)]
    result = await Mail(ledger, *everybody).attempt(server)
    assert (result.accepted, result.refused) == (everybody, {})
    assert len(server.messages) == 3


async def test_server_that_closes_at_a_recipient_gets_a_transaction_for_the_ones_it_had_taken(
    ledger: Ledger, server: ScriptedServer
) -> None:
    mail = Mail(ledger, ANN, BOB, CY, DI)
    server.answers = at_most(2, "421 4.7.0 too many recipients" + HANG_UP)
    with pytest.raises(Retry, match=r"cy.*di.*421 4\.7\.0 too many.*delivered: ann@example.com, bob@example.com"):
        await mail.attempt(server)
    asked_for(server)
    assert (await mail.attempt(server)).accepted == [ANN, BOB, CY, DI]
    assert (asked_for(server), len(server.messages)) == ([CY, DI], 2)


async def test_server_that_takes_one_recipient_at_a_time_gets_a_transaction_for_each(
    mail: Mail, server: ScriptedServer
) -> None:
    server.answers = at_most(1)
    assert (await mail.attempt(server)).accepted == [ANN, BOB, CY]
    assert len(server.messages) == 3


async def test_server_that_breaks_down_between_two_transactions_never_gets_the_first_recipients_again(
    mail: Mail, server: ScriptedServer
) -> None:
    server.answers = {**at_most(2), "": at_first("220 ready", HANG_UP, then="220 ready")}
    with pytest.raises(Retry, match=r"delivered: ann@example.com, bob@example.com$") as retry:
        await mail.attempt(server)
    assert type(retry.value).__name__ == "MailServerUnreachable"
    asked_for(server)
    assert (await mail.attempt(server)).accepted == [ANN, BOB, CY]
    assert asked_for(server) == [CY]


@pytest.mark.parametrize("answer", ["452 4.2.2 mailbox full", "452 4.3.1 no space", "450 4.2.1 busy"])
async def test_other_temporary_refusals_wait_for_the_schedule(mail: Mail, server: ScriptedServer, answer: str) -> None:
    server.answers = {"RCPT TO:<cy@": answer}
    with pytest.raises(Retry, match=answer):
        await mail.attempt(server)
    assert (asked_for(server), server.connections) == ([ANN, BOB, CY], 1)


async def test_refusals_of_recipients_count_even_if_the_message_was_not_taken(
    mail: Mail, server: ScriptedServer
) -> None:
    server.answers = {"RCPT TO:<bob@": "550 5.1.1 no such user", ".": at_first("451 4.3.0 try later")}
    with pytest.raises(Retry, match=r"451 4.3.0 try later.*ann@.*, cy@.*refused for good: bob@") as retry:
        await mail.attempt(server)
    assert type(retry.value).__name__ == "MessageDeferred"
    asked_for(server)
    result = await mail.attempt(server)
    assert (result.accepted, list(result.refused)) == ([ANN, CY], [BOB])
    assert asked_for(server) == [ANN, CY]


async def test_message_refused_in_a_later_transaction_is_refused_only_for_its_recipients(
    mail: Mail, server: ScriptedServer
) -> None:
    server.answers = {**at_most(2), ".": at_first("250 ok", then="554 5.7.1 no more from you")}
    result = await mail.attempt(server)
    assert (result.accepted, result.refused) == ([ANN, BOB], {CY: "554 5.7.1 no more from you"})


async def test_no_answer_to_the_message_is_ambiguous_for_those_it_was_for(mail: Mail, server: ScriptedServer) -> None:
    server.answers = {"RCPT TO:<bob@": "550 5.1.1 no such user", ".": at_first(HANG_UP)}
    with pytest.raises(Retry, match=r"ambiguous.*not delivered: ann@example.com, cy@example.com: no answer") as retry:
        await mail.attempt(server)
    assert type(retry.value).__name__ == "DeliveryUnknown"
    asked_for(server)
    assert (await mail.attempt(server)).accepted == [ANN, CY]
    assert asked_for(server) == [ANN, CY]


async def test_all_refused_for_good_over_several_attempts_ends_the_job(mail: Mail, server: ScriptedServer) -> None:
    server.answers = {"RCPT": "550 5.1.1 no such user", "RCPT TO:<cy@": at_first("450 later", then="550 5.2.1 closed")}
    with pytest.raises(Retry):
        await mail.attempt(server)
    with pytest.raises(Discard) as discard:
        await mail.attempt(server)
    assert type(discard.value).__name__ == "RecipientsRefused"
    assert str(discard.value) == (
        "all recipients were refused: ann@example.com, bob@example.com: 550 5.1.1 no such user; "
        "cy@example.com: 550 5.2.1 closed"
    )


async def test_only_the_recipient_beyond_ascii_is_refused_by_a_server_that_cannot_take_it(
    ledger: Ledger, server: ScriptedServer
) -> None:
    result = await Mail(ledger, ANN, "jörg@example.com", BOB).attempt(server)
    assert result.accepted == [ANN, BOB]
    assert result.refused == {"jörg@example.com": "553 5.6.7 SMTPUTF8 is not supported by this server"}
    assert not any("SMTPUTF8" in line for line in server.lines)
    assert server.messages[0].isascii()


async def test_smtputf8_is_asked_for_only_where_an_address_needs_it(ledger: Ledger, server: ScriptedServer) -> None:
    server.answers = {"EHLO": "250-localhost\r\n250-8BITMIME\r\n250 SMTPUTF8"}
    await Mail(ledger, ANN, "Jörg <joerg@exämple.com>", subject="Grüße").attempt(server)
    assert not any("SMTPUTF8" in line for line in server.lines)
    await Mail(ledger, ANN, "jörg@example.com").attempt(server)
    [begun] = [line for line in server.lines if "SMTPUTF8" in line]
    assert begun.startswith("MAIL FROM:<post@example.com>")
    assert "To: ann@example.com,\r\n jörg@example.com\r\n".encode() in server.messages[-1]


async def test_answers_are_kept_only_while_somebody_waits(ledger: Ledger, server: ScriptedServer) -> None:
    await Mail(ledger).attempt(server)
    assert await kept(ledger) == {}
    server.answers = {"RCPT TO:<bob@": "450 later"}
    with pytest.raises(Retry):
        await Mail(ledger, BOB).attempt(server)
    assert await kept(ledger) == {}
    with pytest.raises(Retry):
        await Mail(ledger).attempt(server)
    assert await kept(ledger) == {ANN: "accepted", CY: "accepted"}


async def test_answers_are_written_however_long_the_database_is_away(
    ledger: Ledger, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "_WRITE_AGAIN_S", 0.01)
    away = iter([OperationalError("INSERT", {}, Exception("gone")), ConnectionRefusedError("away")])

    class SometimesAway:
        @property
        def database(self) -> Database:
            if error := next(away, None):
                raise error
            return ledger.database

    server.answers = {"RCPT TO:<bob@": "450 later"}
    with pytest.raises(Retry), capture_logs() as logs:
        await Mail(SometimesAway()).attempt(server)  # type: ignore[arg-type]
    assert [one["event"] for one in logs] == ["recipients_not_recorded_yet"] * 2
    assert await kept(ledger) == {ANN: "accepted", CY: "accepted"}


async def kept(ledger: Ledger) -> Mapping[str, str]:
    async with ledger.read() as connection:
        rows = await connection.execute(select(mail_recipients.c.address, mail_recipients.c.word))
        return {row.address: row.word for row in rows}


@pytest.mark.parametrize(
    ("stage", "answer", "name"),
    [
        ("", "554 5.7.1 blocked", "MailServerUnreachable"),
        ("EHLO", "421 4.3.2 closing" + HANG_UP, "MailServerUnreachable"),
        ("MAIL", HANG_UP, "MailServerUnreachable"),
        ("MAIL", "503 5.5.1 sender already specified", "SenderDeferred"),
        ("MAIL", "450 4.1.8 unknown sender domain", "SenderDeferred"),
        ("MAIL", "421 4.3.2 closing", "MailServerUnreachable"),
        ("MAIL", "530 5.7.0 authentication required", "MailLoginFailed"),
        ("MAIL", "550 5.7.1 sender rejected", "SenderRefused"),
        ("MAIL", "552 5.3.4 message too big", "MessageRefused"),
        ("RCPT", "421 4.3.2 closing", "MailServerUnreachable"),
        ("RCPT", "450 4.2.1 busy", "RecipientsDeferred"),
        ("RCPT", "450 5.1.1 unknown for now", "RecipientsDeferred"),
        ("RCPT", "550 4.7.1 greylisted by somebody odd", "RecipientsDeferred"),
        ("RCPT", "452 4.2.2 mailbox full", "RecipientsDeferred"),
        ("RCPT", "552 5.2.2 mailbox full", "RecipientsDeferred"),
        ("RCPT", "550 5.2.2 mailbox full", "RecipientsDeferred"),
        ("RCPT", "503 5.5.1 need MAIL", "RecipientsDeferred"),
        ("RCPT", "650 no code of SMTP", "RecipientsDeferred"),
        ("RCPT", "550 5.1.1 no such user", "RecipientsRefused"),
        ("RCPT", "550 5.7.1 relaying denied", "RecipientsRefused"),
        ("RCPT", "551 user not local", "RecipientsRefused"),
        ("RCPT", "553 5.1.3 bad address", "RecipientsRefused"),
        ("RCPT", "556 5.1.10 null MX", "RecipientsRefused"),
        ("DATA", HANG_UP, "MailServerUnreachable"),
        ("DATA", "421 4.3.2 closing" + HANG_UP, "MailServerUnreachable"),
        ("DATA", "451 4.7.1 greylisted", "MessageDeferred"),
        ("DATA", "503 5.5.1 no valid recipients", "MessageDeferred"),
        ("DATA", "554 5.7.1 no", "MessageRefused"),
        (".", HANG_UP, "DeliveryUnknown"),
        (".", "354 what?", "DeliveryUnknown"),
        (".", "421 4.3.2 closing" + HANG_UP, "MailServerUnreachable"),
        (".", "452 4.3.1 no space", "MessageDeferred"),
        (".", "999 no code of SMTP", "MessageDeferred"),
        (".", "552 5.3.4 message too big", "MessageRefused"),
        (".", "554 5.7.1 spam", "MessageRefused"),
    ],
)
async def test_each_failure_has_an_error_type_of_its_own_and_only_5xx_is_final(
    server: ScriptedServer, stage: str, answer: str, name: str
) -> None:
    server.answers = {stage: answer}
    with pytest.raises((Retry, Discard)) as raised:
        await Mail(None, ANN).attempt(server)
    assert type(raised.value).__name__ == name
    assert isinstance(raised.value, Discard) == name.endswith("Refused")


@pytest.mark.parametrize(
    "answer", ["250 ok", "251 will forward", "252 cannot verify, but will take it", "250-a\r\n250 b"]
)
async def test_every_2xx_answer_accepts_a_recipient(server: ScriptedServer, answer: Script) -> None:
    server.answers = {"RCPT": answer}
    assert (await Mail(None).attempt(server)).accepted == [ANN, BOB, CY]


@pytest.mark.parametrize("answer", ["250", "250 2.0.0 queued", "251 ok", "250-a\r\n250-b\r\n250 c", "250 ok" + HANG_UP])
async def test_every_2xx_answer_accepts_a_message(server: ScriptedServer, answer: str) -> None:
    server.answers = {".": answer}
    assert (await Mail(None).attempt(server)).accepted == [ANN, BOB, CY]


async def test_answers_that_no_database_takes_are_still_kept(mail: Mail, server: ScriptedServer) -> None:
    server.answers = {"RCPT TO:<bob@": "550 \0\xff " + "x" * 5000, "RCPT TO:<cy@": at_first("450 later")}
    with pytest.raises(Retry):
        await mail.attempt(server)
    [(_, answer)] = (await mail.attempt(server)).refused.items()
    assert answer.startswith("550 \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} xxx")
    assert len(answer) < 400
