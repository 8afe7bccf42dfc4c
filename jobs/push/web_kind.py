"""The kind `send_web_push`: a push straight to a browser's push service (RFC 8030)."""

import time

import httpx
from pydantic import BaseModel

from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.masking import Masks
from jobs.push import failures
from jobs.push.accounts import PushAccounts
from jobs.push.args import SendWebPushArgs, payload_of
from jobs.push.dead_token import Dead, give_up
from jobs.push.encryption import encrypted
from jobs.push.holding import held, is_overload, refused
from jobs.push.kind import SCHEDULE
from jobs.webhook.answer import read_excerpt, status_line
from jobs.webhook.asking import answer_to, request_to
from jobs.webhook.url import lane_of

# RFC 8030, 7.3 and 5: a subscription that has expired, or never existed.
_DEAD = (httpx.codes.NOT_FOUND, httpx.codes.GONE)


class SendWebPushResult(BaseModel):
    status: int


def destination(args: SendWebPushArgs) -> str:
    """Return the lane of the push service's host."""
    return lane_of(args.subscription.url)


@job("send_web_push", timeout=30, retry=SCHEDULE, lane=destination)
async def send_web_push(ctx: Context, args: SendWebPushArgs) -> SendWebPushResult:
    """Send encrypted data to a browser that has subscribed, signed with the VAPID key of the settings.

    404 and 410 mean that the subscription is dead: the job fails at once, as `DeadToken`, and `on_dead_token` is told
    of it, once. Other statuses from 400 to 499 also fail the job at once. 429, server errors and missing answers are
    retried: eight attempts within half a day. 429 and 5xx hold back all other pushes to the host meanwhile.
    """
    started = time.monotonic()
    endpoint = args.subscription.endpoint.get_secret_value()
    masks = Masks([endpoint, args.subscription.httpx_url.raw_path])
    response = await answer_to(_request(ctx, args, masks), ctx.http, masks)
    left_s = ctx.timeout.total_seconds() - (time.monotonic() - started)
    told = (await read_excerpt(response, masks, left_s=left_s)).text
    status = response.status_code
    if response.is_success:
        return SendWebPushResult(status=status)
    reason = status_line(response, masks) + (f": {told}" if told else "")
    if status in _DEAD:
        raise await give_up(ctx, args.on_dead_token, Dead(endpoint, str(status), reason))
    raise held(response, reason) if is_overload(status) else refused(status, reason)


def _request(ctx: Context, args: SendWebPushArgs, masks: Masks) -> httpx.Request:
    url = args.subscription.httpx_url
    headers = {
        "authorization": ctx.capability(PushAccounts).vapid.authorization_for(url),
        "ttl": str(args.ttl),
        "urgency": args.urgency,
    }
    if args.topic is not None:
        headers["topic"] = args.topic
    body = payload_of(args.data)
    if body:
        body = _encrypted(body, args)
        headers |= {"content-encoding": "aes128gcm", "content-type": "application/octet-stream"}
    return request_to(url, headers, body, user_agent=ctx.http.headers["user-agent"], mask=masks)


def _encrypted(body: bytes, args: SendWebPushArgs) -> bytes:
    try:
        return encrypted(body, args.subscription.keys)
    except ValueError as error:
        raise failures.PushRefused(f"the subscription's p256dh is not a browser's key: {error}") from None
