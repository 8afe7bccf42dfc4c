"""What a mail server's answer means for a recipient: final, temporary, or too many recipients at once."""

import re
from enum import StrEnum
from typing import NamedTuple

_LONGEST_ANSWER = 300
_CODE = re.compile(r"(\d{3})(?: (?P<status>[245]\.\d{1,3}\.\d{1,3})\b)?")
# Authentication required, weak, wrong or not encrypted (RFC 4954, 6).
AUTH_CODES = {530, 534, 535, 538}
# "Bad sequence of commands" is about the conversation, and not about the recipient.
_NOT_ABOUT_THE_MAIL = {*AUTH_CODES, 503}
# RFC 3463: mailbox full, which passes when the mailbox is emptied; too many recipients.
_PASSING_STATUS = {"2.2", "5.3"}


class Word(StrEnum):
    """The status of a recipient."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    WAITING = "waiting"


class Answer(NamedTuple):
    word: Word
    text: str = ""
    too_many: bool = False


ACCEPTED = Answer(Word.ACCEPTED)


def of_recipient(text: str) -> Answer:
    """Read the refusal of one recipient. 552 is "too many recipients" from older servers (RFC 5321, 4.5.3.1.10)."""
    code, status = _read(text)
    too_many = status == "5.3" or (code in (452, 552) and status == "")
    final = code != 552 and is_final(text)
    return Answer(Word.REFUSED if final else Word.WAITING, _short(text), too_many)


def of_message(text: str) -> Answer:
    """Read the refusal of a sender or a message, which affects all recipients."""
    return Answer(Word.REFUSED if is_final(text) else Word.WAITING, _short(text))


def is_final(text: str) -> bool:
    """Whether an answer is the server's last word. It is not if code and enhanced status disagree."""
    code, status = _read(text)
    if code in _NOT_ABOUT_THE_MAIL or status in _PASSING_STATUS:
        return False
    return 500 <= code <= 599 and not re.match(r"\d{3} 4\.", text)


def _read(text: str) -> tuple[int, str]:
    """Return the code, and the enhanced status without its class. A refusal without a code counts as final."""
    read = _CODE.match(text)
    return (int(read[1]), (read["status"] or "")[2:]) if read else (550, "")


def _short(text: str) -> str:
    """Shorten a long answer, and replace characters that no database takes."""
    text = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= _LONGEST_ANSWER else f"{text[:_LONGEST_ANSWER]}…"
