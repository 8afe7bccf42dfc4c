"""A mailbox, with or without a name: read from text, and written back so that it reads the same."""

import re
from typing import NamedTuple

from email_validator import SPECIAL_USE_DOMAIN_NAMES, validate_email

_LONGEST_NAME_BYTES = 700
_LOCAL_DOMAINS = tuple(dot + name for name in SPECIAL_USE_DOMAIN_NAMES for dot in ".@")
_ENDING = ".x"
_NAMED = re.compile(r"(?P<name>\"(?:[^\"\\]|\\.)*\"\s*|[^<>]*)<(?P<address>[^<>]*)>")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"")
# RFC 5322, 3.2.3: what a name may contain without quotes.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\- \x80-\U0010ffff]*")


class Mailbox(NamedTuple):
    name: str
    local_part: str
    domain: str

    @property
    def address(self) -> str:
        return f"{self.local_part}@{self.domain}"

    def __str__(self) -> str:
        if not self.name:
            return self.address
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else quoted(self.name)
        return f"{name} <{self.address}>"


def read_mailbox(text: str) -> Mailbox:
    """Read `ann@example.com` or `Ann <ann@example.com>`; the domain comes out in ASCII. Raises `ValueError`.

    Any well-formed domain will do (`localhost`, `app.test`): the mail server knows where it delivers.
    """
    text = check_line(text).strip()
    named = _NAMED.fullmatch(text)
    name, address = (_name(named["name"]), named["address"]) if named else ("", text)
    # The library refuses names reserved for tests and local networks, with no option to allow them.
    ending = _ENDING if address.lower().endswith(_LOCAL_DOMAINS) else ""
    read = validate_email(
        address + ending, check_deliverability=False, globally_deliverable=False, allow_domain_literal=True
    )
    return Mailbox(name, read.local_part, read.ascii_domain.removesuffix(ending))


def check_line(text: str) -> str:
    """Raise `ValueError` if `text` is not one line, or if mail programs would decode it to something else."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", text):
        raise ValueError("control characters, line ends and lone surrogates are refused here")
    # The email package would decode it, and the decoded text may hold line ends.
    if re.search(r"=\?.*\?=", text):
        raise ValueError(
            "encoded words (=?charset?...?=) are refused here; write plain Unicode, it is encoded on its way"
        )
    return text


def quoted(text: str) -> str:
    """Write `text` as a quoted string (RFC 5322, 3.2.4)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _name(written: str) -> str:
    """Read a name without its quotes, and with single spaces, because parsers differ in how many they keep."""
    text = written.strip()
    if _QUOTED.fullmatch(text):
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    name = " ".join(check_line(text).split())
    if max(len(name.encode()), len(quoted(name))) > _LONGEST_NAME_BYTES:
        raise ValueError(f"a name has at most {_LONGEST_NAME_BYTES} bytes; mail servers refuse longer header lines")
    return name
