"""Headers and bodies read back as what was meant, with both of the email package's parsers."""

import email
import time
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import getaddresses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jobs.email import SendEmailArgs
from jobs.email.headers import mailboxes_header
from jobs.email.mailbox import Mailbox, read_mailbox
from jobs.email.message import message_of
from tests.support.fakes import FakeMailer, fake_context

SPECIALS = list(" ,;:@<>()[]\\\".'=?_-!#&|~%")
LETTERS = [
    "a",
    "Z",
    "9",
    "é",
    "ß",
    "ü",
    "中",
    "א",
    "ب",
    "😀",
    "\u0301",
    "\u200f",
    "\u200d",
    "\u00a0",
    "\u3000",
    "\ufeff",
]
ANY = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
TEXT = st.text(st.one_of(st.sampled_from([*SPECIALS, *LETTERS]), ANY), max_size=120).filter(
    lambda text: "=?" not in text
)
LONG = st.builds(lambda text, times: (text * times)[:150], TEXT, st.integers(1, 40))
FIELDS = ("From", "To", "Cc", "Reply-To")
EXAMPLES = [
    "Meier, Ann; Sales <North> @ Shop " * 4,
    "Müller, Jörg; Verkauf <Nord> " * 4,
    'x"y\\' * 30,
    "x" * 200,
    "é" * 150,
]


def quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def written(**fields: object) -> bytes:
    """Return the mail that the kind makes, as bytes."""
    args = SendEmailArgs.model_validate({"to": ["ann@example.com"], "subject": "Hi", "text": "hello"} | fields)
    message, _ = message_of(fake_context(mailer=FakeMailer()), args)
    return message.as_bytes(policy=SMTP)


def read_new(raw: bytes, name: str) -> list[tuple[str, str]]:
    header = email.message_from_bytes(raw, policy=default)[name]
    assert header.defects == ()
    return [(one.display_name, one.addr_spec) for one in header.addresses]


def read_old(raw: bytes, name: str) -> list[tuple[str, str]]:
    found = getaddresses(email.message_from_bytes(raw).get_all(name, []))
    return [(str(make_header(decode_header(shown))), address) for shown, address in found]


@settings(deadline=None, max_examples=40)  # the email package's own parser is slow
@given(st.one_of(TEXT, LONG))
@example(EXAMPLES[0])
@example(EXAMPLES[1])
@example(EXAMPLES[2])
@example(EXAMPLES[3])
@example(EXAMPLES[4])
def test_any_name_reads_back_as_one_mailbox_in_every_header(name: str) -> None:
    mailbox = f"{quoted(name)} <ann@example.com>"
    raw = written(
        **{"from": mailbox, "to": [mailbox, "bob@example.com"], "cc": [mailbox, mailbox], "reply_to": mailbox}
    )
    shown = " ".join(name.split())
    meant = {"From": 1, "To": 1, "Cc": 2, "Reply-To": 1}
    for header in FIELDS:
        expected = [(shown, "ann@example.com")] * meant[header]
        expected += [("", "bob@example.com")] if header == "To" else []
        assert read_new(raw, header) == expected
        assert read_old(raw, header) == expected


@settings(deadline=None, max_examples=40)
@given(st.one_of(TEXT, st.builds(lambda text, times: (text * times)[:998], TEXT, st.integers(1, 60))))
@example("Ihre Rechnung Nr. 4711 über 1.234,56 € für Oktober - bitte bis zum 30. prüfen, Jörg Müßig")
@example(" leading and trailing ")
@example("a" + " " * 200 + "b")
@example("=?utf-8 is no encoded word")
def test_any_subject_reads_back_as_it_was_written(subject: str) -> None:
    raw = written(subject=subject)
    assert email.message_from_bytes(raw, policy=default)["Subject"] == subject
    assert str(make_header(decode_header(email.message_from_bytes(raw)["Subject"]))) == subject


PIECE = st.one_of(st.sampled_from(["\n", "\r\n", "\r", ".", "From ", " ", "\t", "=", "é", "😀", "x" * 99]), ANY)
BODY = st.lists(PIECE, max_size=100).map("".join)


@settings(deadline=None, max_examples=40)
@given(BODY, BODY)
@example("x" * 5000, "é" * 3000)
@example("trailing \n.\n..\nFrom me\n", "tab\t\n")
@example("\n\n", "")
def test_any_body_reads_back_as_it_was_written(text: str, html: str) -> None:
    message = email.message_from_bytes(written(text=text, html=html), policy=default)
    assert isinstance(message, EmailMessage)
    for part, meant in zip(message.iter_parts(), (text, html), strict=True):
        assert _lines(part.get_content()) == _lines(meant)


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")


@settings(deadline=None, max_examples=40)
@given(st.one_of(TEXT, LONG))
def test_no_line_is_longer_than_mail_servers_take(text: str) -> None:
    raw = written(to=[f"{quoted(text)} <ann@example.com>"], subject=text, text=text * 20)
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()


@settings(deadline=None, max_examples=40)
@given(st.one_of(TEXT, LONG))
def test_an_address_that_is_kept_reads_as_itself(name: str) -> None:
    mailbox = read_mailbox(f"{quoted(name)} <ann@example.com>")
    assert read_mailbox(str(mailbox)) == mailbox


@pytest.mark.parametrize("name", ["x" * 701, "é" * 351, '"' * 350])
def test_a_name_too_long_for_a_header_line_is_refused_at_the_door(name: str) -> None:
    with pytest.raises(ValueError, match="a name has at most 700 bytes"):
        read_mailbox(f"{quoted(name)} <ann@example.com>")


def test_an_address_that_grows_too_long_by_its_quotes_is_refused_at_the_door() -> None:
    with pytest.raises(ValueError, match="with its quotes"):
        written(to=["a," * 235 + "\\" * 10 + " <ann@example.com>"])


@pytest.mark.parametrize("subject", ["=?utf-8?q?x?=", "a =?utf-8?q?x?= b"])
def test_encoded_words_are_refused_in_quoted_names_too(subject: str) -> None:
    with pytest.raises(ValueError, match="encoded words"):
        read_mailbox(f'"{subject.replace("?", chr(92) + "?")}" <ann@example.com>')


def test_an_address_beyond_ascii_is_shown_as_plain_text_if_the_server_cannot_take_it() -> None:
    message = EmailMessage()
    both = [Mailbox("Jörg", "jörg", "example.com"), Mailbox("Ann", "ann", "example.com")]
    message["To"] = mailboxes_header("To", both)
    assert read_new(message.as_bytes(policy=SMTP), "To") == [("Ann", "ann@example.com")]
    assert "jörg@example.com" in email.message_from_bytes(message.as_bytes(policy=SMTP), policy=default)["To"]
    assert "Jörg <jörg@example.com>" in message["To"]


def test_a_long_domain_does_not_break_the_message_id() -> None:
    domain = ".".join(["x" * 60] * 4)
    raw = written(**{"from": f"a@{domain}"})
    assert email.message_from_bytes(raw)["Message-ID"] == f"<018f0000-0000-7000-8000-000000000001@{domain}>"


def test_fifty_long_names_hardly_hold_up_the_loop() -> None:
    began = time.process_time()
    raw = written(to=[f'"{"ü, Ann; " * 25}{number}" <a{number}@example.com>' for number in range(50)])
    assert time.process_time() - began < 1.0
    assert len(read_old(raw, "To")) == 50


@pytest.mark.parametrize(
    "address",
    [
        *("ann@app.test", "ann@printer.local", "ann@localhost", "ann@mail.localhost", "ann@x.internal", "ann@mailhost"),
        *("ann@shop.example", "ann@shop.invalid", "ann@[127.0.0.1]", "ann@[IPv6:::1]", "jörg@app.test"),
    ],
)
def test_test_and_local_addresses_are_for_the_mail_server_to_judge(address: str) -> None:
    assert read_mailbox(address).address == address


@pytest.mark.parametrize("address", ["ann@.local", "@localhost", "ann@local host", "ann@b@localhost", "ann@-.test"])
def test_addresses_of_local_networks_are_still_addresses(address: str) -> None:
    with pytest.raises(ValueError, match=r"email address|@-sign"):
        read_mailbox(address)
