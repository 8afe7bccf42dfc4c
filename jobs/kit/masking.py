"""Removes secrets from text that somebody else wrote: a receiver's answer, an error's message.

A secret is found as it is, JSON-escaped, percent-encoded, HTML-escaped, broken into lines or in a mixture of these, up
to two layers deep, and in each layer also as base64 and hex; a secret beyond ASCII also if it was taken for Latin-1.
If the text was cut, the beginning of a secret at its end is masked, too.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

MASK = "**********"
SHORTEST_MASKED = 8  # shorter values are ordinary words; masking "1" would make a text unreadable
SHORTEST_BEGINNING = 4

_LAYERS = 2
_ESCAPE = re.compile(
    rb"%[0-9A-Fa-f]{2}|\\x[0-9A-Fa-f]{2}|\\u[dD][89abAB][0-9A-Fa-f]{2}\\u[dD][c-fC-F][0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}"
    rb"|\\[\"\\/'bfnrt]|&#\d{1,7};|&#[xX][0-9A-Fa-f]{1,6};|&[a-z]{2,6};|\r?\n"
)
_HALF_ESCAPE = re.compile(
    rb"(?:%[0-9A-Fa-f]?|(?:\\u[dD][89abAB][0-9A-Fa-f]{2})?\\(?:u[0-9A-Fa-f]{0,3}|x[0-9A-Fa-f]?)?"
    rb"|\\u[dD][89abAB][0-9A-Fa-f]{2}|&#?[0-9A-Za-z]{0,7}|\r)\Z"
)
_LONGEST_ESCAPE = 12
_BASE64_URL = bytes.maketrans(b"-_", b"+/")
_CONTROL_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}

Span = tuple[int, int]


class Masks:
    """Masks `secrets`; the ones shorter than `SHORTEST_MASKED` stay readable."""

    def __init__(self, secrets: Iterable[str | bytes]) -> None:
        self._given = secrets  # not read before there is a text

    def __call__(self, text: str, *, is_cut: bool = False) -> str:
        """Return `text` with each secret masked; with `is_cut`, also the beginning of one at its end."""
        whole = text.encode(errors="replace")
        if len(whole) < (SHORTEST_BEGINNING if is_cut else SHORTEST_MASKED) or not self._secrets:
            return text
        if not is_cut and len(whole) < min(map(len, self._secrets)):
            return text
        spans = [span for layer in _layers(whole, is_cut=is_cut) for span in self._spans_in(layer, is_cut=is_cut)]
        return _masked(whole, spans).decode(errors="replace") if spans else text

    @cached_property
    def _secrets(self) -> list[bytes]:
        raw = {written for secret in self._given for written in _spellings(secret)}
        return [secret for secret in raw if len(secret) >= SHORTEST_MASKED]

    def _spans_in(self, layer: "_Layer", *, is_cut: bool) -> Iterator[Span]:
        text = layer.text
        faces = (text, text.translate(_BASE64_URL), text.lower())
        for face, forms in zip(faces, self._forms, strict=True):
            for form in forms:
                for start, end in _found(face, form):
                    yield layer.starts[start], layer.starts[end]
                if is_cut and (begun := _found_begun(face, form)) is not None:
                    yield layer.starts[begun], layer.end

    @cached_property
    def _forms(self) -> tuple[set[bytes], set[bytes], set[bytes]]:
        """The forms to look for in the text, in the text with base64's URL alphabet translated, and in lower case."""
        plain = {form for secret in self._secrets for form in (secret, secret.replace(b" ", b"+"))}
        as_base64 = {form for secret in self._secrets for form in _base64_forms(secret)}
        return plain, as_base64, {secret.hex().encode() for secret in self._secrets}


class _Layer(NamedTuple):
    """A text with escapes resolved; `starts[n]` is where its byte n begins in the original, which has `end` bytes."""

    text: bytes
    starts: Sequence[int]
    end: int

    def without_half_escape(self) -> "_Layer | None":
        """Return the layer without an escape that was cut in the middle; None if there is none."""
        half = _HALF_ESCAPE.search(self.text, max(0, len(self.text) - _LONGEST_ESCAPE))
        return None if half is None else _Layer(self.text[: half.start()], self.starts[: half.start() + 1], self.end)


def credentials_of(header: str) -> set[str | bytes]:
    """Return what is secret in a header's value: all of it, what follows a scheme, the pairs of a list, a password."""
    rest = header.partition(" ")[2].strip()
    found: set[str | bytes] = {header, rest}
    found |= {piece.partition("=")[2].strip('"') for piece in re.split(r"[;,\s]+", header)}
    try:
        login = base64.b64decode(rest + "=" * (-len(rest) % 4), validate=True)
    except (binascii.Error, ValueError):
        return found
    return found | {login, login.partition(b":")[2]} if b":" in login else found


def _layers(text: bytes, *, is_cut: bool) -> Iterator[_Layer]:
    layer: _Layer | None = _Layer(text, range(len(text) + 1), len(text))
    for _ in range(_LAYERS + 1):
        if layer is None:
            return
        yield layer
        if is_cut and (shorter := layer.without_half_escape()):
            layer = shorter
            yield layer
        layer = _resolved(layer)


def _resolved(layer: _Layer) -> _Layer | None:
    """Resolve one layer of escapes; None if there are none."""
    text, starts, at = bytearray(), list[int](), 0
    for escape in _ESCAPE.finditer(layer.text):
        text += layer.text[at : escape.start()]
        starts += layer.starts[at : escape.start()]
        meant = _meaning(escape[0])
        text += meant
        starts += [layer.starts[escape.start()]] * len(meant)
        at = escape.end()
    if not at:
        return None
    text += layer.text[at:]
    starts += layer.starts[at:]
    return _Layer(bytes(text), starts, layer.end)


def _meaning(escape: bytes) -> bytes:
    if escape.endswith(b"\n"):  # MIME and PEM break base64 into lines
        return b""
    if escape.startswith(b"&"):
        return html.unescape(escape.decode()).encode(errors="replace")
    if escape.startswith((b"%", b"\\x")):
        return bytes([int(escape[-2:], 16)])
    if escape.startswith(b"\\u"):
        meant: str = json.loads(b'"' + escape + b'"')
        return meant.encode(errors="replace")
    return _CONTROL_ESCAPES.get(escape[1:], escape[1:])


def _spellings(secret: str | bytes) -> Iterator[bytes]:
    """Yield a secret's bytes, and what they become at a receiver that reads them as Latin-1, as many read headers."""
    if isinstance(secret, bytes):
        yield secret
        return
    yield (sent := secret.encode(errors="replace"))
    if not sent.isascii():
        yield sent.decode("latin-1").encode()
        written = secret.encode("latin-1", errors="replace")
        yield from (written, written.decode(errors="replace").encode())


def _base64_forms(secret: bytes) -> Iterator[bytes]:
    """Yield the forms of `secret` inside base64: three offsets, and ends that mix with their neighbours."""
    yield base64.b64encode(secret).rstrip(b"=")
    for offset in (0, 1, 2):
        encoded = base64.b64encode(bytes(offset) + secret)
        first, last = -(-offset * 8 // 6), (offset + len(secret)) * 8 // 6
        yield encoded[first:last]


def _found(text: bytes, form: bytes) -> Iterator[Span]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + 1)


def _found_begun(text: bytes, form: bytes) -> int | None:
    """Return where the beginning of `form` starts at the end of `text`, or None."""
    begin = form[:SHORTEST_BEGINNING]
    at = text.find(begin, max(0, len(text) - len(form) + 1))
    while at >= 0:
        if form.startswith(text[at:]):
            return at
        at = text.find(begin, at + 1)
    return None


def _masked(text: bytes, spans: list[Span]) -> bytes:
    kept, at = list[bytes](), -1
    for start, end in sorted(spans):
        if start > at:
            kept += [text[max(at, 0) : start], MASK.encode()]
        at = max(at, end)
    return b"".join([*kept, text[at:]])
