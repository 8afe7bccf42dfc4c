"""The kind `send_webhook`: an event, posted to a URL by Standard Webhooks 1.0.0."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, SecretStr, StrictInt

from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.masking import Masks, credentials_of
from jobs.kit.proof import Check
from jobs.kit.retry import RetryPolicy
from jobs.webhook.answer import EXCERPT_BYTES, RESPONSE_CAP_BYTES, judge, read_excerpt
from jobs.webhook.asking import answer_to, request_to
from jobs.webhook.headers import Headers
from jobs.webhook.signature import SECRET_PREFIX, secret_key, webhook_body, webhook_headers
from jobs.webhook.url import Url, lane_of, parsed

__all__ = ["EXCERPT_BYTES", "RESPONSE_CAP_BYTES", "SendWebhookArgs", "SendWebhookResult", "send_webhook"]

_EVENT = r"^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$"
# Svix's schedule, as Standard Webhooks 1.0.0 recommends it: three days and a quarter.
HOUR = 3600
SCHEDULE = RetryPolicy(
    delays=(5, 300, 1800, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR),
)


def _check_data(data: JsonValue) -> None:
    try:
        webhook_body("", datetime.now(UTC), data)
    except UnicodeEncodeError as error:
        raise ValueError("a text in data is not valid Unicode (a lone surrogate)") from error


def _check_secret(secret: SecretStr) -> None:
    secret_key(secret.get_secret_value())


def _check_event(name: str) -> None:
    if not re.fullmatch(_EVENT, name):
        raise ValueError("an event is named in letters, digits and _, with single dots between, such as user.created")


Event = Annotated[
    str, Field(max_length=255, json_schema_extra={"pattern": _EVENT}), AfterValidator(Check(_check_event))
]
Secret = Annotated[SecretStr, AfterValidator(Check(_check_secret))]
Status = Annotated[StrictInt, Field(ge=300, le=599)]


class SendWebhookArgs(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    url: Url
    event: Event
    data: Annotated[JsonValue, AfterValidator(Check(_check_data))]
    headers: Headers = {}
    secret: Secret | None = None
    give_up_on: list[Status] = Field(
        [], max_length=300, description="Answers that end the job at once, as 410 always does; e.g. `[404, 422]`."
    )


class SendWebhookResult(BaseModel):
    status: int
    duration_ms: int
    response_excerpt: str
    response_truncated: bool = Field(description="Whether the answer's body is longer than the excerpt.")


def destination(args: SendWebhookArgs) -> str:
    return lane_of(args.url)


@job("send_webhook", timeout=30, retry=SCHEDULE, lane=destination)
async def send_webhook(ctx: Context, args: SendWebhookArgs) -> SendWebhookResult:
    """Post `{type, timestamp, data}` to `url`, signed when a secret is given.

    A 2xx answer succeeds, whatever becomes of its body. 410 and the statuses of `give_up_on` end the job. Every other
    answer, redirects included, and a missing answer are retried: ten attempts over three days, and not before the
    `Retry-After` of the answer.
    """
    started = time.perf_counter()
    masks = Masks(_secrets(args))
    response = await answer_to(_request(ctx, args), ctx.http, masks)
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
    headers["content-type"] = "application/json"
    return request_to(parsed(str(args.url)), headers, body, user_agent=ctx.http.headers["user-agent"])


def _secrets(args: SendWebhookArgs) -> Iterator[str | bytes]:
    """Yield the secrets that the receiver knows and may repeat."""
    for value in args.headers.values():
        yield from credentials_of(value.get_secret_value())
    if args.secret is not None:
        secret = args.secret.get_secret_value()
        yield from (secret, secret.removeprefix(SECRET_PREFIX).rstrip("="), secret_key(secret))
