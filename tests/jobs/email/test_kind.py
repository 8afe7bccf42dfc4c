import email
import email.policy
from collections.abc import AsyncIterator
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from jobs import Context, Discard, Lane, Retry
from jobs.email import SendEmailArgs, send_email
from jobs.email.errors import MailServerUnreachable
from jobs.email.words import RecipientWords
from service.ledger.ledger import Ledger
from service.mail.capability import LedgerWords
from service.mail.smtp import SmtpMailer
from tests.support.fakes import FakeMailer, fake_context
from tests.support.smtp_servers import HANG_UP, Inbox, answering, open_inbox

NOWHERE = Path("/nowhere/inbox.sock")


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with open_inbox() as inbox:
        yield inbox


@pytest.fixture
def ctx(inbox: Inbox) -> Context:
    return context(f"smtp://127.0.0.1:{inbox.port}")


def context(url: str, **overrides: Any) -> Context:
    mailer = SmtpMailer.open(url, socket=NOWHERE, default_sender="postlude@localhost")
    return fake_context(mailer=mailer, **overrides)


def mail(**fields: Any) -> SendEmailArgs:
    return SendEmailArgs.model_validate({"to": ["ann@example.com"], "subject": "Hi", "text": "hello"} | fields)


def received(inbox: Inbox) -> EmailMessage:
    """Return the newest mail as a receiver reads it."""
    content = inbox.envelopes[-1].content
    assert isinstance(content, bytes)
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_mail_arrives_with_its_headers_and_the_result_says_who_took_it(ctx: Context, inbox: Inbox) -> None:
    args = mail(
        to=["ann@example.com", "Bob <bob@example.com>"],
        cc=['"Müller, Jörg" <joerg@example.com>'],
        reply_to="desk@example.com",
        **{"from": "Shop <shop@example.com>"},
        subject="Grüße",
        text="schön\n",
    )
    result = await send_email(ctx, args)

    message = received(inbox)
    assert inbox.envelopes[0].mail_from == "shop@example.com"
    assert inbox.envelopes[0].rcpt_tos == ["ann@example.com", "bob@example.com", "joerg@example.com"]
    assert (message["From"], message["To"]) == ("Shop <shop@example.com>", "ann@example.com, Bob <bob@example.com>")
    assert (message["Cc"], message["Reply-To"]) == ('"Müller, Jörg" <joerg@example.com>', "desk@example.com")
    assert (message["Subject"], message.get_content_type()) == ("Grüße", "text/plain")
    assert message.get_content().replace("\r\n", "\n") == "schön\n"
    assert message["Message-ID"] == result.message_id == f"<{ctx.job_id}@example.com>"
    assert parsedate_to_datetime(message["Date"]) == ctx.created_at
    assert result.accepted == ["ann@example.com", "bob@example.com", "joerg@example.com"]
    assert result.refused == {}


async def test_text_and_html_are_alternatives_with_the_html_last(ctx: Context, inbox: Inbox) -> None:
    await send_email(ctx, mail(text="plain", html="<p>rich ü</p>"))
    message = received(inbox)
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert [part.get_content().strip() for part in message.iter_parts()] == ["plain", "<p>rich ü</p>"]


async def test_html_alone_is_sent_alone(ctx: Context, inbox: Inbox) -> None:
    await send_email(ctx, mail(text=None, html="<p>rich</p>"))
    assert received(inbox).get_content_type() == "text/html"


async def test_without_from_the_sender_is_the_settings(inbox: Inbox) -> None:
    mailer = SmtpMailer.open(
        f"smtp://127.0.0.1:{inbox.port}", socket=NOWHERE, default_sender="Post Lude <post@mail.example>"
    )
    result = await send_email(fake_context(mailer=mailer), mail())
    assert received(inbox)["From"] == "Post Lude <post@mail.example>"
    assert inbox.envelopes[0].mail_from == "post@mail.example"
    assert result.message_id.endswith("@mail.example>")


async def test_bcc_gets_the_mail_and_no_header_names_it(ctx: Context, inbox: Inbox) -> None:
    result = await send_email(ctx, mail(bcc=["secret@example.com"]))
    assert inbox.envelopes[0].rcpt_tos == ["ann@example.com", "secret@example.com"]
    assert "secret" not in received(inbox).as_string()
    assert result.accepted == ["ann@example.com", "secret@example.com"]


async def test_recipient_named_twice_gets_one_mail(ctx: Context, inbox: Inbox) -> None:
    await send_email(ctx, mail(to=["ann@example.com", "Ann <ann@EXAMPLE.com>"], cc=["ann@example.com"]))
    assert inbox.envelopes[0].rcpt_tos == ["ann@example.com"]


async def test_every_attempt_has_the_same_message_id_and_date() -> None:
    async with answering({".": "451 try later"}) as server:
        for attempt in (1, 2):
            with pytest.raises(Retry):
                await send_email(context(server.url, attempt=attempt), mail())
    first, second = (email.message_from_bytes(raw) for raw in server.messages)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]


@pytest.mark.parametrize("job_id", ["a.b", "line\r\nX-Injected: 1", "ümlaut", "x" * 255, "<a@b>", "with space"])
async def test_any_adopted_job_id_becomes_a_valid_message_id(inbox: Inbox, job_id: str) -> None:
    ctx = context(f"smtp://127.0.0.1:{inbox.port}", job_id=job_id)
    first, second = [(await send_email(ctx, mail())).message_id for _ in range(2)]
    assert first == second == received(inbox)["Message-ID"]
    assert len(first) < 60
    assert received(inbox)["X-Injected"] is None


async def test_domain_beyond_ascii_is_sent_in_ascii_to_any_server() -> None:
    async with answering() as server:  # offers no SMTPUTF8
        result = await send_email(context(server.url), mail(to=["Ann <ann@exämple.com>"]))
    assert result.accepted == ["ann@xn--exmple-cua.com"]
    assert "RCPT TO:<ann@xn--exmple-cua.com>" in server.lines


async def test_name_beyond_ascii_before_the_at_sign_needs_a_server_that_knows_it(ctx: Context, inbox: Inbox) -> None:
    assert (await send_email(ctx, mail(to=["jörg@example.com"]))).accepted == ["jörg@example.com"]
    async with answering() as server:
        with pytest.raises(Discard, match="SMTPUTF8 is not supported"):
            await send_email(context(server.url), mail(to=["jörg@example.com"]))


@pytest.mark.parametrize("text", ["x" * 5000, ".\n..\n", "tab\tand \N{PILE OF POO}\n", "no end", "", "a\r\nb\rc\n"])
async def test_any_text_arrives_as_it_was_written(ctx: Context, inbox: Inbox, text: str) -> None:
    await send_email(ctx, mail(text=text))
    assert received(inbox).get_content().splitlines() == (text.splitlines() or [""])


@pytest.mark.parametrize("stage", ["", "EHLO", "MAIL", "RCPT", "DATA", "."])
async def test_connection_that_breaks_at_any_stage_is_tried_again(stage: str) -> None:
    async with answering({stage: HANG_UP}) as server:
        with pytest.raises(Retry) as retry:
            await send_email(context(server.url), mail())
    assert retry.value.after is None


async def test_connection_that_breaks_after_the_final_dot_is_reported_as_ambiguous() -> None:
    async with answering({".": HANG_UP}) as server:
        with pytest.raises(Retry, match=r"ambiguous.*may have taken it.*same Message-ID"):
            await send_email(context(server.url), mail())
    assert len(server.messages) == 1


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("answer", ["421 4.3.2 closing", "450 4.2.1 busy", "451 4.7.1 greylisted", "452 4.2.2 full"])
async def test_temporary_refusal_at_any_stage_is_tried_again(stage: str, answer: str) -> None:
    async with answering({stage: answer}) as server:
        with pytest.raises(Retry, match=answer):
            await send_email(context(server.url), mail())


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize("answer", ["550 5.1.1 no such user", "553 5.1.8 bad sender", "554 5.7.1 spam"])
async def test_final_refusal_at_any_stage_discards_with_the_servers_answer(stage: str, answer: str) -> None:
    async with answering({stage: answer}) as server:
        with pytest.raises(Discard, match=answer):
            await send_email(context(server.url), mail())


@pytest.mark.parametrize(
    ("stage", "answer"),
    [
        ("", "554 5.7.1 your address is blocked"),
        ("MAIL", "530 5.7.0 authentication required"),
        ("RCPT", "530 5.7.0 authentication required"),
        ("MAIL", "538 5.7.11 encryption required"),
        ("RCPT", "552 too many recipients"),
    ],
)
async def test_refusal_that_is_not_the_messages_fault_is_tried_again(stage: str, answer: str) -> None:
    async with answering({stage: answer}) as server:
        with pytest.raises(Retry, match=answer):
            await send_email(context(server.url), mail())


async def test_wrong_password_is_tried_again_and_not_shown() -> None:
    async with open_inbox(auth=True) as inbox:
        with pytest.raises(Retry, match=r"535 5\.7\.8") as retry:
            await send_email(context(f"smtp://user:wrong@127.0.0.1:{inbox.port}"), mail())
    assert "wrong" not in str(retry.value)


async def test_server_that_closes_instead_of_a_login_is_not_reported_as_wrong_credentials() -> None:
    async with answering({"EHLO": "250-me\r\n250 AUTH PLAIN", "AUTH": "421 4.3.2 closing" + HANG_UP}) as server:
        url = server.url.replace("//", "//user:pass@")
        with pytest.raises(MailServerUnreachable, match=r"421 4\.3\.2 closing"):
            await send_email(context(url), mail())


async def test_server_without_login_is_tried_again() -> None:
    async with answering() as server:
        url = server.url.replace("//", "//user:pass@")
        with pytest.raises(Retry, match="AUTH extension is not supported"):
            await send_email(context(url), mail())


async def test_partial_refusal_succeeds_and_says_who_was_refused() -> None:
    async with answering({"RCPT TO:<bob@": "550 5.1.1 no such user"}) as server:
        result = await send_email(context(server.url), mail(to=["ann@example.com", "bob@example.com"]))
    assert result.accepted == ["ann@example.com"]
    assert result.refused == {"bob@example.com": "550 5.1.1 no such user"}
    assert len(server.messages) == 1


async def test_refusal_of_all_recipients_is_final_only_if_each_one_is(ledger: Ledger) -> None:
    both = mail(to=["ann@example.com", "bob@example.com"])
    answers = {"RCPT TO:<ann@": "550 no", "RCPT TO:<bob@": "550-5.1.1 never\r\n550 ever"}
    async with answering(answers) as server:
        with pytest.raises(Discard, match=r"ann@example.com: 550 no; bob@example.com: 550 5.1.1 never ever"):
            await send_email(context(server.url), both)
    async with answering(answers | {"RCPT TO:<bob@": "450 later"}) as server:
        with pytest.raises(Retry, match=r"not delivered: bob@.*: 450 later. refused for good: ann@example.com: 550 no"):
            await send_email(context(server.url, capabilities={RecipientWords: LedgerWords(ledger)}), both)


@pytest.mark.parametrize(
    "character", ["\0", "\r", "\n", "\r\nBcc: eve@example.com\r\n", "\t", "\x1b", "\x7f", "\x85", "\u2028"]
)
@pytest.mark.parametrize("field", ["subject", "to", "cc", "bcc", "from", "reply_to"])
def test_control_characters_are_refused_at_the_door(field: str, character: str) -> None:
    for bad in (f"ann{character}@example.com", f"Ann{character}x <ann@example.com>", f"ann@example.com{character}"):
        with pytest.raises(ValidationError):
            mail(**{field: [bad] if field in ("to", "cc", "bcc") else bad})


@pytest.mark.parametrize("text", ["=?utf-8?q?a=0D=0ABcc:_eve=40example.com?=", "Re: =?utf-8?b?DQo=?= x"])
def test_encoded_words_cannot_smuggle_line_ends(text: str) -> None:
    for fields in ({"subject": text}, {"to": [f"{text} <ann@example.com>"]}, {"from": f'"{text}" <ann@example.com>'}):
        with pytest.raises(ValidationError, match="encoded words"):
            mail(**fields)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@example..com",
        "ann@example.com, bob@example.com",
        "ann@example.com <bob@example.com",
        "<ann@example.com> <bob@example.com>",
        "ann@example.com> SIZE=1 <x",
        "a" * 260 + "@example.com",
        "ann@" + "x" * 300 + ".com",
        None,
        7,
    ],
)
def test_text_that_is_not_an_address_is_refused_at_the_door(address: Any) -> None:
    with pytest.raises(ValidationError):
        mail(to=[address])


@pytest.mark.parametrize(
    "fields",
    [
        {"text": None},
        {"to": []},
        {"to": ["ann@example.com"] * 30, "cc": ["bob@example.com"] * 10, "bcc": ["cy@example.com"] * 11},
        {"to": "ann@example.com"},
        {"subject": "x" * 999},
        {"subject": None},
        {"text": "\ud800"},
        {"html": "a\0b"},
        {"subject": "\ud800"},
        {"attachment": "x"},
        {"sender": "ann@example.com"},
    ],
)
def test_args_that_do_not_make_a_mail_are_refused_at_the_door(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        mail(**fields)


def test_fifty_recipients_are_allowed_and_they_may_all_be_bcc() -> None:
    assert len(mail(to=[], bcc=[f"a{number}@example.com" for number in range(50)]).bcc) == 50


def test_from_is_taken_by_both_its_names_and_kept_as_from() -> None:
    for name in ("from", "from_"):
        shown, whole = send_email.dump_args(mail(**{name: "shop@example.com"}))
        assert whole is None
        assert '"from":"shop@example.com"' in shown
        assert send_email.load_args(shown).from_ == "shop@example.com"
    assert "from" in send_email.args_schema["properties"]


async def test_stored_args_make_the_same_mail() -> None:
    args = mail(to=['"Müller, Jörg" <j@exämple.com>', "jörg@exämple.com"], **{"from": "Shöp <s@exämple.com>"})
    mailer = FakeMailer()
    await send_email(fake_context(mailer=mailer), args)
    await send_email(fake_context(mailer=mailer), send_email.load_args(send_email.dump_args(args)[0]))
    first, second = mailer.sent
    assert first.as_bytes() == second.as_bytes()


def test_all_mail_runs_in_the_lane_of_the_one_transport() -> None:
    args = SendEmailArgs.model_validate({"to": ["a@example.com"], "subject": "s", "text": "t"})
    assert send_email.lane_of(args) == Lane("smtp:default")
