"""The kind `send_webhook`: an event, posted to a URL as Standard Webhooks 1.0.0 says."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, JsonValue, SecretStr, StrictInt

from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.http_errors import AddressRefused
from jobs.kit.lane import LONGEST_KEY
from jobs.kit.masking import Masks, credentials_of
from jobs.kit.proof import Check
from jobs.kit.retry import RetryPolicy
from jobs.webhook import failures
from jobs.webhook.answer import EXCERPT_BYTES, RESPONSE_CAP_BYTES, judge, line_of, read_excerpt
from jobs.webhook.headers import Headers
from jobs.webhook.signature import SECRET_PREFIX, secret_key, webhook_body, webhook_headers

__all__ = ["EXCERPT_BYTES", "RESPONSE_CAP_BYTES", "SendWebhookArgs", "SendWebhookResult", "send_webhook"]

# Svix's schedule, as Standard Webhooks 1.0.0 recommends it: three days and a quarter.
HOUR = 3600
SCHEDULE = RetryPolicy(
    delays=(5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR),
)

_OWN_PORTS = {"http": 80, "https": 443}
# The kind's timeout bounds the whole attempt; this one keeps a dead address from using all of it.
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


Status = Annotated[StrictInt, Field(ge=300, le=599)]


class SendWebhookArgs(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    url: Annotated[HttpUrl, AfterValidator(Check(_check_url))]
    event: str = Field(pattern=r"^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$", max_length=255)
    data: Annotated[JsonValue, AfterValidator(Check(_check_data))]
    headers: Headers = {}
    secret: Annotated[SecretStr, AfterValidator(Check(_check_secret))] | None = None
    give_up_on: list[Status] = Field(
        [], max_length=300, description="Answers that end the job at once, as 410 always does; e.g. `[404, 422]`."
    )


class SendWebhookResult(BaseModel):
    status: int
    duration_ms: int
    response_excerpt: str
    response_truncated: bool = Field(description="Whether the answer's body is longer than the excerpt.")


def destination(args: SendWebhookArgs) -> str:
    """Return the lane of a URL: `host:` and the host as it is asked for, with a port that is not its scheme's own."""
    host = (args.url.host or "").rstrip(".")
    port = "" if args.url.port == _OWN_PORTS.get(args.url.scheme) else f":{args.url.port}"
    # No host that can be reached has a star, or is as long as that.
    return f"host:{host}{port}".replace("*", "%2A")[:LONGEST_KEY]


@job("send_webhook", timeout=30, retry=SCHEDULE, lane=destination)
async def send_webhook(ctx: Context, args: SendWebhookArgs) -> SendWebhookResult:
    """Post `{type, timestamp, data}` to `url`, signed when a secret is given.

    A 2xx answer succeeds, whatever becomes of its body. 410 and the statuses of `give_up_on` end the job. Every other
    answer, redirects included, and no answer are tried again: ten attempts over three days, and not before the
    `Retry-After` of the answer.
    """
    started = time.perf_counter()
    masks = Masks(_secrets(args))
    try:
        response = await ctx.http.send(_request(ctx, args), stream=True, auth=None, follow_redirects=False)
    except AddressRefused as error:
        raise failures.AddressRefused(str(error)) from None
    except httpx.TransportError as error:
        # The error may quote a secret, so it is not shown as the cause.
        what = f"{type(error).__name__}: {line_of(str(error).encode(errors='replace'), masks)}"
        raise failures.class_of(error)(f"no answer from {args.url.host}: {what}") from None
    left_s = ctx.timeout.total_seconds() - (time.perf_counter() - started)
    excerpt = await read_excerpt(response, masks, left_s=left_s)
    judge(response, excerpt.text, masks, args.give_up_on)
    return SendWebhookResult(
        status=response.status_code,
        duration_ms=round((time.perf_counter() - started) * 1000),
        response_excerpt=excerpt.text,
        response_truncated=excerpt.is_cut,
    )


def _request(ctx: Context, args: SendWebhookArgs) -> httpx.Request:
    body = webhook_body(args.event, ctx.created_at, args.data)
    secret = None if args.secret is None else args.secret.get_secret_value()
    headers = {name: value.get_secret_value() for name, value in args.headers.items()}
    headers |= webhook_headers(ctx.job_id, int(time.time()), body, secret)
    # The answer is read raw: half a megabyte of gzip can be half a gigabyte of text.
    headers |= {"content-type": "application/json", "accept-encoding": "identity"}
    if not any(name.lower() == "accept" for name in headers):
        headers["accept"] = "*/*"
    headers["user-agent"] = ctx.http.headers["user-agent"]
    url = _url(str(args.url))
    headers |= {"host": url.netloc.decode(), "content-length": str(len(body))}
    as_bytes = [(name.encode(), value.encode()) for name, value in headers.items()]
    # Built whole: the client's `build_request`, which merges its defaults, takes longer than the post.
    stream = httpx.ByteStream(body)
    return httpx.Request("POST", url, headers=as_bytes, stream=stream, extensions={"timeout": TIMEOUT})


@lru_cache(maxsize=1024)
def _url(url: str) -> httpx.URL:
    return httpx.URL(url)


def _secrets(args: SendWebhookArgs) -> Iterator[str | bytes]:
    """Yield the secrets that the receiver knows, and may repeat."""
    for value in args.headers.values():
        yield from credentials_of(value.get_secret_value())
    if args.secret is not None:
        secret = args.secret.get_secret_value()
        yield from (secret, secret.removeprefix(SECRET_PREFIX).rstrip("="), secret_key(secret))
