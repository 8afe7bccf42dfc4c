"""What an attempt sent to others, and what came back: noted as it happens, and written down if the attempt fails.

Of HTTP:  {"request": {"method", "url", "address", "port", "signed"},
           "answer": {"status", "reason", "took_ms", "bytes", "content_type", "body", "is_cut"} or null}
Of SMTP:  {"server", "address", "recipients": n, "answers": [{"verb", "code", "text"}]}

The values of a query are left out of `url`, and the secrets of the job's args out of everything. `address` and `port`
are null if nothing was connected, `answer` if none came, `code` if a command had no answer. `body` is text of
2 KiB at most, and null if the answer has none. `bytes` is how many bytes of it were read. Of several requests, the last
failed one is kept or, without a failure, the last one.
"""

import re
import time
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

MOST_BODY_BYTES = 2 * 1024
# More than is shown: a secret may lie across the end.
READ_BODY_BYTES = 8 * 1024
_MOST_ANSWERS = 40
_LONGEST_LINE = 500
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# A body with a larger percentage of them is not text.
_MOST_UNREADABLE = 10
_SIGNED_BY = "webhook-signature"


class Mask(Protocol):
    """Takes secrets out of a text; with `is_cut`, also the beginning of a secret at its end."""

    def __call__(self, text: str, *, is_cut: bool = False) -> str: ...


class _Both(NamedTuple):
    one: Mask
    other: Mask

    def __call__(self, text: str, *, is_cut: bool = False) -> str:
        return self.other(self.one(text, is_cut=is_cut), is_cut=is_cut)


class HttpExchange:
    """A request of an `httpx.Request`, and its answer, an `httpx.Response`, if there was one."""

    __slots__ = ("_answer", "_began_s", "_body", "_request", "_size", "_took_s", "_whole", "peer", "went_wrong")

    def __init__(self, request: Any) -> None:
        self.peer: Any = None  # what the socket calls the other end
        self.went_wrong = False  # there was no answer, or one that says so
        self._request = request
        self._began_s = time.perf_counter()
        self._took_s = 0.0
        self._answer: Any = None
        self._body = b""
        self._size = 0
        self._whole = False

    def note_answer(self, answer: Any) -> None:
        self._answer = answer
        self._took_s = time.perf_counter() - self._began_s

    def note_body(self, part: bytes, *, whole: bool = False) -> None:
        """Note what was read of the body: its next part or, with `whole`, all of it."""
        if len(self._body) < READ_BODY_BYTES:
            self._body += part[: READ_BODY_BYTES - len(self._body)]
        self._size += len(part)
        self._whole = whole

    def told(self, mask: Mask) -> dict[str, Any]:
        """Return the exchange as it is kept, without the secrets that the request's extension `mask` finds, too."""
        if (own := self._request.extensions.get("mask")) is not None:
            mask = _Both(mask, own)
        address, port = (*self.peer[:2],) if isinstance(self.peer, tuple) else (None, None)
        request = {
            "method": self._request.method,
            "url": mask(_without_query_values(self._request.url)),
            "address": address,
            "port": port,
            "signed": _SIGNED_BY in self._request.headers,
        }
        return {"request": request, "answer": None if self._answer is None else self._told_answer(mask)}

    def _told_answer(self, mask: Mask) -> dict[str, Any]:
        body, is_cut = self._told_body(mask)
        reason = self._answer.extensions.get("reason_phrase", b"")
        return {
            "status": self._answer.status_code,
            "reason": _line(reason, mask) or None,
            "took_ms": round(self._took_s * 1000),
            "bytes": self._size,
            "content_type": _line(_field(self._answer, b"content-type"), mask) or None,
            "body": body,
            "is_cut": is_cut,
        }

    def _told_body(self, mask: Mask) -> tuple[str | None, bool]:
        is_cut = not self._whole or self._size > len(self._body)
        text = _readable(self._body)
        if not text or text.count("\N{REPLACEMENT CHARACTER}") * 100 > len(text) * _MOST_UNREADABLE:
            return None, is_cut
        masked = mask(text, is_cut=is_cut)
        shown = masked.encode(errors="replace")[:MOST_BODY_BYTES].decode(errors="ignore")
        return shown, is_cut or shown != masked


class SmtpExchange:
    """The commands to a mail server and its answers: the first ones and the last ones."""

    __slots__ = ("_answers", "_recipients", "_server", "peer")

    def __init__(self, server: str, recipients: int) -> None:
        self.peer: Any = None
        self._server = server
        self._recipients = recipients
        self._answers: list[tuple[str, int | None, str]] = []

    def note(self, verb: str, code: int | None, text: str) -> None:
        if len(self._answers) >= _MOST_ANSWERS:
            del self._answers[_MOST_ANSWERS // 2]
        self._answers.append((verb, code, text))

    def told(self, mask: Mask) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            "server": self._server,
            "address": self.peer[0] if isinstance(self.peer, tuple) else None,
            "recipients": self._recipients,
            "answers": [
                {"verb": verb, "code": code, "text": _line(text.encode(errors="replace"), mask)}
                for verb, code, text in self._answers
            ],
        }


Exchange = HttpExchange | SmtpExchange
# The request under way in this task.
asking: ContextVar[HttpExchange | None] = ContextVar("asking", default=None)


def _without_query_values(url: Any) -> str:
    pairs = [piece.partition(b"=") for piece in url.query.split(b"&")] if url.query else []
    names = [name + b"=..." if equals else b"..." for name, equals, _ in pairs]
    return str(url.copy_with(query=b"&".join(names) or None, username=None, password=None))


def _line(told: bytes, mask: Mask) -> str:
    is_cut = len(told) > 2 * _LONGEST_LINE
    text = mask(_readable(told[: 2 * _LONGEST_LINE]), is_cut=is_cut)
    return " ".join(text.split())[:_LONGEST_LINE]


def _readable(told: bytes) -> str:
    """Decode for reading, without control characters."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", told.decode(errors="replace"))


def _field(answer: Any, name: bytes) -> bytes:
    found: bytes = next((value for key, value in answer.headers.raw if key.lower() == name), b"")
    return found
