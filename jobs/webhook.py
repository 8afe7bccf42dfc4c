"""The kind `send_webhook`: an event, posted to a URL as Standard Webhooks 1.0.0 says."""

import re
import time
from contextlib import aclosing
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, JsonValue, SecretStr

from jobs.catalogue import job
from jobs.context import Context
from jobs.http_headers import Headers, retry_after
from jobs.outbound import AddressRefused
from jobs.outcomes import Discard, Retry
from jobs.proof import Check
from jobs.standard_webhooks import secret_key, webhook_body, webhook_headers

RESPONSE_CAP_BYTES = 64 * 1024
EXCERPT_BYTES = 2 * 1024
MASK = "**********"
SHORTEST_MASKED = 8  # shorter values are words of their own; to mask "1" would make a text unreadable

# The kind's timeout bounds the whole attempt; only a dead address shall not use all of it.
TIMEOUT = httpx.Timeout(None, connect=10).as_dict()


def _check_url(url: HttpUrl) -> None:
    if url.username is not None or url.password is not None:
        raise ValueError("credentials in the URL are refused; send them as an Authorization header")
    try:
        _url(str(url))
    except httpx.InvalidURL as error:
        raise ValueError(f"the URL cannot be requested: {error}") from error


def _check_data(data: JsonValue) -> None:
    try:
        webhook_body("", datetime.now(UTC), data)
    except UnicodeEncodeError as error:
        raise ValueError("a text in data is not valid Unicode (a lone surrogate)") from error


def _check_secret(secret: SecretStr) -> None:
    secret_key(secret.get_secret_value())


class SendWebhookArgs(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    url: Annotated[HttpUrl, AfterValidator(Check(_check_url))]
    event: str = Field(pattern=r"^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$", max_length=255)
    data: Annotated[JsonValue, AfterValidator(Check(_check_data))]
    headers: Headers = {}
    secret: Annotated[SecretStr, AfterValidator(Check(_check_secret))] | None = None


class SendWebhookResult(BaseModel):
    status: int
    duration_ms: int
    response_excerpt: str
    response_truncated: bool = Field(description="Whether the answer's body is longer than the excerpt.")


@job("send_webhook", timeout=30, max_attempts=15)
async def send_webhook(ctx: Context, args: SendWebhookArgs) -> SendWebhookResult:
    """Post `{type, timestamp, data}` to `url`, signed when a secret is given.

    A 2xx answer succeeds. 5xx, 408, 429 and no answer are tried again, after `Retry-After` where the answer has it.
    Every other answer is final, redirects included.
    """
    started = time.perf_counter()
    try:
        response = await ctx.http.send(_request(ctx, args), stream=True, auth=None, follow_redirects=False)
        body, whole = await _read(response)
    except AddressRefused as error:
        raise Discard(str(error)) from error
    except httpx.TransportError as error:
        raise Retry(f"no answer from {args.url.host}: {type(error).__name__}: {error}") from error
    text = _text(body, args)
    excerpt = text.encode()[:EXCERPT_BYTES].decode(errors="ignore")
    _judge(response, excerpt)
    return SendWebhookResult(
        status=response.status_code,
        duration_ms=round((time.perf_counter() - started) * 1000),
        response_excerpt=excerpt,
        response_truncated=excerpt != text or not whole,
    )


def _request(ctx: Context, args: SendWebhookArgs) -> httpx.Request:
    body = webhook_body(args.event, ctx.created_at, args.data)
    secret = None if args.secret is None else args.secret.get_secret_value()
    headers = {name: value.get_secret_value() for name, value in args.headers.items()}
    headers |= webhook_headers(ctx.job_id, int(time.time()), body, secret)
    # The answer is read raw: half a megabyte of gzip can be half a gigabyte of text.
    headers |= {"content-type": "application/json", "accept": "*/*", "accept-encoding": "identity"}
    headers["user-agent"] = ctx.http.headers["user-agent"]
    url = _url(str(args.url))
    headers |= {"host": url.netloc.decode(), "content-length": str(len(body))}
    as_bytes = [(name.encode(), value.encode()) for name, value in headers.items()]
    # Whole as it is: what the client's `build_request` would merge and add takes longer than the post.
    stream = httpx.ByteStream(body)
    return httpx.Request("POST", url, headers=as_bytes, stream=stream, extensions={"timeout": TIMEOUT})


@lru_cache(maxsize=1024)
def _url(url: str) -> httpx.URL:
    return httpx.URL(url)


async def _read(response: httpx.Response) -> tuple[bytes, bool]:
    """Read up to the cap, and tell whether that was all. Where the body breaks off, the status still counts."""
    body = bytearray()
    try:
        async with aclosing(response):
            async for chunk in _raw(response):
                body += chunk
                if len(body) >= RESPONSE_CAP_BYTES:
                    return bytes(body[:RESPONSE_CAP_BYTES]), False
    except httpx.TransportError:
        return bytes(body), False
    return bytes(body), True


def _raw(response: httpx.Response) -> httpx.AsyncByteStream:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    return response.stream


def _text(body: bytes, args: SendWebhookArgs) -> str:
    """Decode for reading, without control characters and without the secrets that a receiver may echo."""
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "\ufffd", body.decode(errors="replace"))
    for value in args.headers.values():
        whole = value.get_secret_value()
        for secret in (whole, whole.partition(" ")[2]):  # "Bearer abc", and "abc"
            if len(secret) >= SHORTEST_MASKED:
                text = text.replace(secret, MASK)
    return text


def _judge(response: httpx.Response, excerpt: str) -> None:
    """Return when the receiver took the event. Raises `Retry` or `Discard`."""
    if response.is_success:
        return
    reason = f"{response.url.host} answered {response.status_code} {response.reason_phrase}".rstrip()
    if location := response.headers.get("location"):
        reason += f" (to {location[:300]}; redirects are not followed)"
    if excerpt:
        reason += f": {excerpt}"
    if response.is_server_error or response.status_code in (408, 429):
        raise Retry(reason, after=retry_after(response.headers.get("retry-after", ""), datetime.now(UTC)))
    raise Discard(reason)
