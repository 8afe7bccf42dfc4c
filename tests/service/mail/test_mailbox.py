"""The mailbox: mails in files, found by id, listed newest first, shown whatever is in them."""

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.mail.mailbox import Mail, Mailbox

AN_ID = "01970000-0000-7000-8000-000000000000"


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "inbox")


def keep(mailbox: Mailbox, message: EmailMessage | bytes, recipients: tuple[str, ...] = ("bob@example.com",)) -> str:
    raw = message if isinstance(message, bytes) else message.as_bytes()
    return mailbox.keep(raw, sender="ann@example.com", recipients=recipients)


def read(mailbox: Mailbox, message: EmailMessage | bytes) -> Mail:
    mail = mailbox.read(keep(mailbox, message))
    assert mail is not None
    return mail


def mail_to_bob(subject: str = "Hello") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann Ünal <ann@example.com>"
    message["To"] = "bob@example.com"
    message["Subject"] = subject
    message.set_content("Good day, Bob.\n")
    return message


def test_a_kept_mail_is_a_readable_file_with_its_envelope_in_front(mailbox: Mailbox, tmp_path: Path) -> None:
    mail_id = keep(mailbox, b"Subject: Hi\r\n\r\nGood day.\r\n", ("bob@example.com", "hidden@example.com"))
    assert (tmp_path / "inbox" / f"{mail_id}.eml").read_bytes() == (
        b"X-Envelope-From: ann@example.com\r\n"
        b"X-Envelope-To: bob@example.com,\r\n hidden@example.com\r\n"
        b"Subject: Hi\r\n\r\nGood day.\r\n"
    )
    assert [path.name for path in (tmp_path / "inbox").iterdir()] == [f"{mail_id}.eml"]


def test_a_mail_is_read_with_its_parts(mailbox: Mailbox) -> None:
    message = mail_to_bob("Rechnung für März")
    message.add_alternative("<p>Good day</p>\n", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="März.pdf")
    mail = read(mailbox, message)
    assert (mail.sender, mail.to) == ("Ann Ünal <ann@example.com>", "bob@example.com")
    assert (mail.envelope_from, mail.envelope_to) == ("ann@example.com", "bob@example.com")
    assert mail.subject == "Rechnung für März"
    assert mail.text == "Good day, Bob.\n"
    assert mail.html == "<p>Good day</p>\n"
    assert mail.attachments == [("März.pdf", "application/pdf", 4)]
    assert abs(mail.arrived_at - datetime.now(UTC)) < timedelta(seconds=10)


def test_a_text_file_attached_is_not_taken_for_the_text(mailbox: Mailbox) -> None:
    message = EmailMessage()
    message.add_attachment("a,b\n", subtype="csv", filename="a.csv")
    message.add_attachment("not the text\n", filename="b.txt")
    mail = read(mailbox, message)
    assert mail.text is None
    assert [part.name for part in mail.attachments] == ["a.csv", "b.txt"]


def test_an_attached_mail_stays_an_attachment(mailbox: Mailbox) -> None:
    message = mail_to_bob()
    forwarded = mail_to_bob("Forwarded")
    forwarded.add_alternative("<p>inner</p>", subtype="html")
    message.add_attachment(forwarded)
    mail = read(mailbox, message)
    assert mail.text == "Good day, Bob.\n"
    assert mail.html is None
    assert [part.content_type for part in mail.attachments] == ["message/rfc822"]


def test_the_envelope_is_shown_where_headers_are_missing(mailbox: Mailbox) -> None:
    mail = read(mailbox, b"\r\nonly a body\r\n")
    assert (mail.sender, mail.to, mail.subject) == ("ann@example.com", "bob@example.com", "")
    assert mail.text == "only a body\n"


def test_the_envelope_cannot_be_feigned_by_the_mail_or_by_an_address(mailbox: Mailbox) -> None:
    raw = b"X-Envelope-To: feigned@example.com\r\n\r\nbody\r\n"
    mail = mailbox.read(keep(mailbox, raw, ("bob@example.com\r\nSubject: feigned",)))
    assert mail is not None
    assert mail.envelope_to == "bob@example.com??Subject: feigned"
    assert mail.subject == ""


def test_the_newest_come_first_and_no_more_than_asked_for(mailbox: Mailbox) -> None:
    for number in range(7):
        keep(mailbox, mail_to_bob(f"Mail {number}"))
    assert [mail.subject for mail in mailbox.newest(limit=3)] == ["Mail 6", "Mail 5", "Mail 4"]
    assert len(mailbox) == 7


def test_a_list_has_the_headers_of_a_mail_with_a_large_body(mailbox: Mailbox) -> None:
    message = mail_to_bob("Large")
    message.add_attachment(b"x" * 1_000_000, maintype="application", subtype="zip")
    keep(mailbox, message)
    assert [(mail.subject, mail.to) for mail in mailbox.newest()] == [("Large", "bob@example.com")]


def test_a_mailbox_without_mails_is_empty(mailbox: Mailbox) -> None:
    assert mailbox.newest() == []
    assert mailbox.read(AN_ID) is None


def test_files_that_are_no_mails_are_not_listed(mailbox: Mailbox, tmp_path: Path) -> None:
    mail_id = keep(mailbox, mail_to_bob())
    for name in (f".{AN_ID}.part", "notes.eml", f"{AN_ID}.txt"):
        (tmp_path / "inbox" / name).write_text("Subject: no mail\n\n")
    assert [mail.id for mail in mailbox.newest()] == [mail_id]


@pytest.mark.parametrize("mail_id", ["../secret", "..%2fsecret", "secret", "", ".", f"../inbox/{AN_ID}", f"{AN_ID}\n"])
def test_an_id_cannot_lead_to_another_file(mailbox: Mailbox, tmp_path: Path, mail_id: str) -> None:
    keep(mailbox, mail_to_bob())
    for folder in (tmp_path, tmp_path / "inbox"):
        (folder / "secret.eml").write_text("Subject: secret\n\n")
        (folder / f"{AN_ID}.eml").write_text("Subject: secret\n\n")
        (folder / f"{AN_ID}\n.eml").write_text("Subject: secret\n\n")
    assert mailbox.read(mail_id) is None


@pytest.mark.parametrize("charset", ["klingon", "idna", "hex", "utf-8\x00"])
def test_text_in_an_unknown_charset_is_read_as_utf_8(mailbox: Mailbox, charset: str) -> None:
    mail = read(mailbox, f'Content-Type: text/plain; charset="{charset}"\r\n\r\nGrüße\r\n'.encode())
    assert mail.text == "Grüße\n"


HEADERS = ["From", "To", "Cc", "Subject", "Date", "Message-ID", "Content-Type", "Content-Disposition"]
ODD = ["=?utf-8?q?=", "=?x?q?y?=", "=?utf-8?b?////?=", "<", "<a@b>", "@", "[", '"', ";", ":", "group:;", "\r\n ", "/"]
TYPES = ["multipart/mixed", "message/rfc822", "text/html", "; boundary=x", "charset*=u''%ff", "ü", "\x00", "\udcff"]
HEADER = st.tuples(st.sampled_from(HEADERS), st.lists(st.sampled_from([*ODD, *TYPES]), max_size=6).map("".join))
BODY = st.lists(st.sampled_from(["--x\r\n", "--x--\r\n", "\r\n", "Content-Type: text/html\r\n", "ü", "====\r\n"]))


@given(st.lists(HEADER, min_size=1, max_size=4), BODY)
def test_any_mail_that_arrives_can_be_shown(headers: list[tuple[str, str]], body: list[str]) -> None:
    raw = "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n" + "".join(body)
    mail = Mail(AN_ID, raw.encode(errors="surrogateescape"))
    shown = [mail.sender, mail.to, mail.subject, mail.text, mail.html, mail.attachments, mail.headers]
    repr(shown).encode()
    "".join(text for text in (mail.text, mail.html) if text).encode()
