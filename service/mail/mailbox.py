"""A folder of mails, each a readable `.eml` file. A mail's id begins with its time of arrival, so ids sort by it."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.headerregistry import HeaderRegistry
from email.message import Message
from email.parser import BytesParser
from email.policy import EmailPolicy
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, cast
from uuid import UUID

import uuid_utils

ENVELOPE_FROM = "X-Envelope-From"
ENVELOPE_TO = "X-Envelope-To"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
# A list shows headers only. A mail with longer headers than this is not worth a full read.
_HEADERS_BYTES = 64 * 1024

# The parsers of structured headers raise AttributeError and more for text that only looks like an address.
_LENIENT = EmailPolicy(header_factory=HeaderRegistry(use_default_map=False), refold_source="none")


class Attachment(NamedTuple):
    name: str
    content_type: str
    size_bytes: int


class Mail:
    """A kept mail, read leniently: each part can be shown, whatever was sent."""

    def __init__(self, mail_id: str, raw: bytes, *, headers_only: bool = False) -> None:
        self.id = mail_id
        self._message = BytesParser(policy=_LENIENT).parsebytes(raw, headersonly=headers_only)

    @property
    def arrived_at(self) -> datetime:
        return datetime.fromtimestamp((UUID(self.id).int >> 80) / 1000, UTC)

    @property
    def envelope_from(self) -> str:
        return self._header(ENVELOPE_FROM)

    @property
    def envelope_to(self) -> str:
        return self._header(ENVELOPE_TO)

    @property
    def sender(self) -> str:
        return self._header("From") or self.envelope_from

    @property
    def to(self) -> str:
        return self._header("To") or self.envelope_to

    @property
    def subject(self) -> str:
        return self._header("Subject")

    @cached_property
    def headers(self) -> Sequence[tuple[str, str]]:
        """Return all headers in their order, decoded."""
        return [(_clean(name), self._decoded(name, value)) for name, value in self._message.raw_items()]

    @property
    def text(self) -> str | None:
        """Return the plain text part, if there is one."""
        return self._first("text/plain")

    @property
    def html(self) -> str | None:
        """Return the source of the HTML part, if there is one."""
        return self._first("text/html")

    @property
    def attachments(self) -> Sequence[Attachment]:
        """Return all parts except the text and the HTML part."""
        shown = [self._part("text/plain"), self._part("text/html")]
        rest = [part for part in _leaves(self._message) if not any(part is one for one in shown)]
        return [
            Attachment(_clean(part.get_filename("")), part.get_content_type(), len(_payload(part))) for part in rest
        ]

    def _header(self, wanted: str) -> str:
        return next((value for name, value in self.headers if name.lower() == wanted.lower()), "")

    def _decoded(self, name: str, value: str) -> str:
        return _clean(str(self._message.policy.header_fetch_parse(name, value)))

    def _first(self, content_type: str) -> str | None:
        part = self._part(content_type)
        return None if part is None else _text(part)

    def _part(self, content_type: str) -> Message | None:
        for part in _leaves(self._message):
            if part.get_content_type() == content_type and part.get_content_disposition() != "attachment":
                return part
        return None


class Mailbox:
    """Keeps mails in `folder`, which is made when the first one arrives."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, raw: bytes, *, sender: str, recipients: Sequence[str]) -> str:
        """Write a mail, whole or not at all, with its envelope as headers in front; return its id. Raises `OSError`."""
        mail_id = str(uuid_utils.uuid7())
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        unfinished = self._folder / f".{mail_id}.part"
        try:
            unfinished.write_bytes(_envelope(sender, recipients) + raw)
            unfinished.rename(self._path(mail_id))
        finally:
            unfinished.unlink(missing_ok=True)
        return mail_id

    def newest(self, limit: int = 200) -> Sequence[Mail]:
        """Return the newest mails, newest first, with their headers only."""
        mails = (self._read(mail_id, headers_only=True) for mail_id in self._ids()[:limit])
        return [mail for mail in mails if mail is not None]

    def read(self, mail_id: str) -> Mail | None:
        """Return a mail; None for anything that is not the id of a mail here."""
        return self._read(mail_id) if _ID.fullmatch(mail_id) else None

    def __len__(self) -> int:
        return len(self._ids())

    def _ids(self) -> list[str]:
        return sorted((path.stem for path in self._folder.glob("*.eml") if _ID.fullmatch(path.stem)), reverse=True)

    def _read(self, mail_id: str, *, headers_only: bool = False) -> Mail | None:
        try:
            with self._path(mail_id).open("rb") as file:
                raw = file.read(_HEADERS_BYTES if headers_only else -1)
        except FileNotFoundError:
            return None
        return Mail(mail_id, raw, headers_only=headers_only)

    def _path(self, mail_id: str) -> Path:
        return self._folder / f"{mail_id}.eml"


def _envelope(sender: str, recipients: Sequence[str]) -> bytes:
    # Addresses come from the wire: an address with a line break could add headers of its own.
    addresses = [re.sub(r"[\x00-\x1f\x7f]", "?", address) for address in (sender, *recipients)]
    lines = f"{ENVELOPE_FROM}: {addresses[0]}\r\n{ENVELOPE_TO}: " + ",\r\n ".join(addresses[1:]) + "\r\n"
    return lines.encode(errors="surrogateescape")


def _leaves(message: Message) -> Iterator[Message]:
    """Yield the parts that have content, but not the parts of an attached mail."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.get_payload():
            yield from _leaves(cast(Message, part))
    else:
        yield message


def _payload(part: Message) -> bytes:
    if part.is_multipart():
        return part.as_bytes()
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: Message) -> str:
    payload = _payload(part)
    try:
        text = payload.decode(part.get_content_charset("utf-8"), errors="replace")
    except (LookupError, ValueError):  # the mail names an unknown charset
        text = payload.decode(errors="replace")
    return text.replace("\r\n", "\n")


def _clean(text: str) -> str:
    """Replace what cannot be written as UTF-8: bytes of the mail that are not text."""
    return text.encode("utf-8", errors="replace").decode()
