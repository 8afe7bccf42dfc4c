"""Headers that read back as they were meant. The email package's own folding turns long names into addresses, and
loses characters of some subjects, depending on the version of Python.
"""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from email.headerregistry import Address, AddressHeader, Group, UnstructuredHeader
from email.policy import Policy
from typing import Any, Self

from jobs.email.mailbox import Mailbox, quoted

# RFC 2047, 2: a line with encoded words has at most 76 characters. 39 bytes make 64, beside the header's name.
_WORD_BYTES = 39
_PLAIN_SUBJECT = 60


class Header(str):
    """A header object for `EmailMessage`: reads as its text, and is written as `lines`."""

    name: str
    lines: Sequence[str]
    utf8_lines: Sequence[str]

    @classmethod
    def of(cls, name: str, text: str, lines: Sequence[str], utf8_lines: Sequence[str] | None = None) -> Self:
        """Make a header from lines without line ends. `utf8_lines` go to servers with SMTPUTF8."""
        header = cls(text)
        header.name, header.lines, header.utf8_lines = name, lines, utf8_lines or lines
        return header

    @property
    def needs_utf8(self) -> bool:
        """Whether only servers with SMTPUTF8 can take its addresses."""
        return self.utf8_lines != self.lines

    def fold(self, *, policy: Policy) -> str:
        lines = self.utf8_lines if getattr(policy, "utf8", False) else self.lines
        return f"{self.name}: " + f"{policy.linesep} ".join(lines) + policy.linesep


def line_header(name: str, value: str) -> Header:
    """Write a header whose value is ASCII and fits on one line."""
    return Header.of(name, value, [value])


def text_header(name: str, text: str) -> Header:
    """Write a header of free text, such as the subject."""
    return Header.of(name, text, [text] if _is_plain(text) else list(_encoded_words(text)))


def mailboxes_header(name: str, mailboxes: Sequence[Mailbox]) -> Header:
    """Write a header of one or more mailboxes."""
    text = ", ".join(str(mailbox) for mailbox in mailboxes)
    return Header.of(name, text, _listed(mailboxes, utf8=False), _listed(mailboxes, utf8=True))


def rewritten(name: str, header: Any) -> Any:
    """Rewrite a header of a foreign message if the email package would get it wrong."""
    if isinstance(header, AddressHeader) and _are_mailboxes(header.groups):
        return mailboxes_header(name, [_mailbox_of(address) for address in header.addresses])
    if isinstance(header, UnstructuredHeader) and name.lower() == "subject":
        return text_header(name, str(header))
    return header


def _are_mailboxes(groups: Sequence[Group]) -> bool:
    """Whether all of these are complete addresses, outside of named groups."""
    each = [(group.display_name, address.addr_spec) for group in groups for address in group.addresses or [Address()]]
    return bool(each) and all(name is None and "@" in address for name, address in each)


def _mailbox_of(address: Address) -> Mailbox:
    local_part, _, domain = address.addr_spec.rpartition("@")
    return Mailbox(" ".join(address.display_name.split()), local_part, domain)


def _listed(mailboxes: Sequence[Mailbox], *, utf8: bool) -> list[str]:
    lines = [line for mailbox in mailboxes for line in _ended(_lines_of(mailbox, utf8=utf8))]
    return [*lines[:-1], lines[-1].removesuffix(",")]


def _ended(lines: Sequence[str]) -> list[str]:
    return [*lines[:-1], f"{lines[-1]},"]


def _lines_of(mailbox: Mailbox, *, utf8: bool) -> list[str]:
    if not utf8 and not mailbox.address.isascii():
        # RFC 6857, 3.1.8: an empty group shows the name, but is not an address to reply to.
        return [f"{_phrase(mailbox.address)} :;"]
    return [_phrase(mailbox.name), f"<{mailbox.address}>"] if mailbox.name else [mailbox.address]


def _phrase(name: str) -> str:
    """Write a name on one line, always as one encoded word: several would read back with spaces between them."""
    if name.isascii() and "=?" not in name:
        return name if name.replace(" ", "").isalnum() else quoted(name)
    return _encoded_word(name.encode())


def _is_plain(text: str) -> bool:
    return text.isascii() and len(text) <= _PLAIN_SUBJECT and "=?" not in text and text == text.strip()


def _encoded_words(text: str) -> Iterator[str]:
    """Yield text as encoded words (RFC 2047, whose readers drop the white space between them)."""
    word = b""
    for character in text:
        encoded = character.encode()
        if len(word) + len(encoded) > _WORD_BYTES:
            yield _encoded_word(word)
            word = b""
        word += encoded
    yield _encoded_word(word)


def _encoded_word(text: bytes) -> str:
    return f"=?utf-8?b?{b64encode(text).decode()}?="
