"""The kind `call_http`: any HTTP request, retried until its answer is as expected."""

import time
from collections.abc import Iterator

import httpx
from pydantic import BaseModel, Field, JsonValue

from jobs.http.answer import judge, read_answer
from jobs.http.args import CallHttpArgs
from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.masking import Masks, credentials_of
from jobs.kit.retry import RetryPolicy
from jobs.webhook.asking import answer_to, request_to
from jobs.webhook.signature import message_id
from jobs.webhook.url import lane_of, parsed

_MINUTE, _HOUR = 60, 3600
SCHEDULE = RetryPolicy(delays=(5, 30, 2 * _MINUTE, 10 * _MINUTE, _HOUR, 3 * _HOUR))
# These are safe to repeat without a key.
_SAFE = ("GET", "HEAD", "OPTIONS")
# Headers that are not secrets: an answer that contains `application/json` is kept as it is.
_PLAIN = {
    "accept",
    "accept-language",
    "cache-control",
    "content-type",
    "if-match",
    "if-none-match",
    "pragma",
    "user-agent",
}


class CallHttpResult(BaseModel):
    status: int
    duration_ms: int
    body: JsonValue = Field(description="The answer's body: JSON if it is JSON, otherwise text.")
    truncated: bool = Field(description="Whether the body is longer, or broke off: then it is text.")


def destination(args: CallHttpArgs) -> str:
    return lane_of(args.url)


@job("call_http", timeout=60, retry=SCHEDULE, lane=destination)
async def call_http(ctx: Context, args: CallHttpArgs) -> CallHttpResult:
    """Send a request, and return the answer.

    An answer with a status of `expect`, and with the JSON of `expect_json`, succeeds. 408, 425, 429, 5xx and no answer
    are retried, as is other JSON: seven attempts within five hours, and not before the `Retry-After` of the answer.
    Any other status fails the job at once; redirects are not followed. Every attempt has the job's id as its
    `Idempotency-Key`, unless the method is GET, HEAD or OPTIONS, or `headers` has another.
    """
    started = time.perf_counter()
    masks = Masks(_secrets(args))
    response = await answer_to(_request(ctx, args), ctx.http, masks)
    answer = await read_answer(response, masks, left_s=ctx.timeout.total_seconds() - (time.perf_counter() - started))
    judge(args, response, answer, masks)
    return CallHttpResult(
        status=response.status_code,
        duration_ms=round((time.perf_counter() - started) * 1000),
        body=answer.body,
        truncated=answer.is_cut,
    )


def _request(ctx: Context, args: CallHttpArgs) -> httpx.Request:
    given = {name: value.get_secret_value() for name, value in args.headers.items()}
    names = {name.lower() for name in given}
    content = args.content()
    if content and "content-type" not in names:
        given["content-type"] = "text/plain; charset=utf-8" if args.json_ is None else "application/json"
    if args.method not in _SAFE and "idempotency-key" not in names:
        given["idempotency-key"] = message_id(ctx.job_id)
    user_agent = ctx.http.headers["user-agent"]
    return request_to(parsed(str(args.url)), given, content, user_agent=user_agent, method=args.method)


def _secrets(args: CallHttpArgs) -> Iterator[str | bytes]:
    for name, value in args.headers.items():
        if name.lower() not in _PLAIN:
            yield from credentials_of(value.get_secret_value())
