"""The kind `send_push`: a message to phones and browsers through Firebase Cloud Messaging (HTTP v1)."""

from pydantic import BaseModel, Field

from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.retry import RetryPolicy
from jobs.push import fcm
from jobs.push.accounts import PushAccounts
from jobs.push.args import SendPushArgs
from jobs.push.dead_token import Dead, give_up

_MINUTE, _HOUR = 60, 3600
# Push services are away for minutes, and now and then for hours; yesterday's message is of little use.
SCHEDULE = RetryPolicy(delays=(10, _MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 3 * _HOUR, 6 * _HOUR))
# All messages go to the one project in the settings, which only workers read.
_LANE = "fcm:default"


class SendPushResult(BaseModel):
    name: str | None = Field(description="What Firebase calls the message: `projects/…/messages/…`.")


@job("send_push", timeout=60, retry=SCHEDULE, lane=_LANE)
async def send_push(ctx: Context, args: SendPushArgs) -> SendPushResult:
    """Send a message through Firebase to a token, a topic or a condition.

    A token that Firebase calls dead fails the job at once, as `DeadToken`, and `on_dead_token` is told of it, once.
    A message that it refuses also fails at once. 429, server errors and missing answers are retried: eight
    attempts within half a day. 429 and 5xx hold back all other messages meanwhile.
    """
    answer = await fcm.ask(ctx, ctx.capability(PushAccounts).fcm, args)
    if answer.response.is_success:
        return SendPushResult(name=fcm.name_of(answer))
    if args.token is not None and (form := answer.error.dead_form) is not None:
        dead = Dead(args.token.get_secret_value(), form, answer.reason)
        raise await give_up(ctx, args.on_dead_token, dead)
    raise fcm.error_of(answer)
