"""What a receiver answered to a webhook: an excerpt to read, without secrets, and what it means for the job."""

import asyncio
import math
import re
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx

from jobs.kit.masking import Masks
from jobs.webhook import failures
from jobs.webhook.headers import retry_after

RESPONSE_CAP_BYTES = 64 * 1024
EXCERPT_BYTES = 2 * 1024
MASKED_BYTES = 8 * 1024  # more than is shown: a secret may cross the excerpt's end
MASKED_LINE_BYTES = 1024
LINE_CHARS = 200
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# If a receiver asks for a wait, its whole lane leaves it alone; but now and then one job checks whether it recovered.
LONGEST_HOLD = timedelta(hours=1)
_OVERLOADED = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)

# The status decides; the body is only for reading.
BODY_WAIT_S = 2.0


class Excerpt(NamedTuple):
    text: str
    is_cut: bool


async def read_excerpt(response: httpx.Response, masks: Masks, *, left_s: float) -> Excerpt:
    """Read the body's beginning, with `left_s` until the attempt's timeout. A body that breaks off is not a failure."""
    # Half of the time left, so that the attempt's timeout cannot come first and undo what the status decided.
    body, whole = await read_body(response, max(0.0, min(BODY_WAIT_S, left_s / 2)))
    is_whole = whole and len(body) <= MASKED_BYTES
    text = masks(readable(body[:MASKED_BYTES]), is_cut=not is_whole)
    excerpt = text.encode()[:EXCERPT_BYTES].decode(errors="ignore")
    return Excerpt(excerpt, not is_whole or excerpt != text)


async def read_body(response: httpx.Response, wait_s: float) -> tuple[bytes, bool]:
    """Read up to the cap, for at most `wait_s`. Return the bytes, and whether they are the whole body."""
    if isinstance(response.stream, httpx.ByteStream):  # it has arrived whole: there is nothing to wait for
        whole = b"".join(response.stream)
        return whole, len(whole) < RESPONSE_CAP_BYTES
    body = bytearray()
    try:
        async with asyncio.timeout(wait_s), aclosing(response):
            async for chunk in _raw(response):
                body += chunk
                if len(body) >= RESPONSE_CAP_BYTES:
                    return bytes(body), False
    except (httpx.TransportError, TimeoutError):
        return bytes(body), False
    return bytes(body), True


def _raw(response: httpx.Response) -> httpx.AsyncByteStream:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return response.stream


def judge(response: httpx.Response, excerpt: str, masks: Masks, give_up_on: Sequence[int]) -> None:
    """Return if the receiver accepted the event. Raises the errors of `failures`."""
    if response.is_success:
        return
    reason = reason_of(response, masks)
    told = f": {excerpt}" if excerpt else ""
    if response.status_code == httpx.codes.GONE:
        raise failures.ReceiverGone(reason + told)
    if response.status_code in give_up_on:
        raise failures.StatusGivenUpOn(reason + told)
    raise to_be_tried_again(response, reason, told)


def reason_of(response: httpx.Response, masks: Masks) -> str:
    """Say who answered with which status, and where it redirects us."""
    reason = status_line(response, masks)
    if location := _field(response, b"location"):
        reason += f" (to {line_of(location, masks)}; redirects are not followed)"
    return reason


def to_be_tried_again(response: httpx.Response, reason: str, told: str) -> failures.HttpStatusError:
    """Return the error of an answer after which the request is retried, not before the time that the answer names."""
    status = response.status_code
    after = retry_after(response.headers.get("retry-after", ""), datetime.now(UTC))
    if after is not None:
        reason += f" (it asks for a wait of {math.ceil(after.total_seconds())} s)"
    hold = min(after, LONGEST_HOLD) if after is not None and status in _OVERLOADED else None
    return failures.HttpStatusError(reason + told, status=status, after=after, hold_lane=hold)


def status_line(response: httpx.Response, masks: Masks) -> str:
    """Say who answered with which status."""
    phrase = line_of(response.extensions.get("reason_phrase", b""), masks)
    return f"{response.url.host} answered {response.status_code} {phrase}".rstrip()


def line_of(told: bytes, masks: Masks) -> str:
    """Return a receiver's text from outside the body as one line, without secrets."""
    text = masks(readable(told[:MASKED_LINE_BYTES]), is_cut=len(told) > MASKED_LINE_BYTES)
    return " ".join(text.split())[:LINE_CHARS]


def readable(told: bytes) -> str:
    """Decode for reading, without control characters."""
    return _CONTROL.sub("\ufffd", told.decode(errors="replace"))


def _field(response: httpx.Response, name: bytes) -> bytes:
    # As bytes: httpx guesses one encoding for all fields, and a wrong guess would hide a secret from the masks.
    return next((value for key, value in response.headers.raw if key.lower() == name), b"")
