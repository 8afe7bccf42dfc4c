"""Who is told of a dead token, and how: once, however often the job runs."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from jobs.kit.asking import AsksForJob
from jobs.kit.context import Context
from jobs.push import failures
from jobs.webhook.kind import Secret
from jobs.webhook.url import Url

EVENT = "push.token_dead"
# An attempt may die between the enqueue and the step that remembers it: the next one comes within this time.
_HELD_FOR = timedelta(days=30)


class TellUrl(BaseModel):
    """`url` gets a webhook of the event `push.token_dead`, signed if there is a secret."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    secret: Secret | None = None


class TellKind(BaseModel):
    """A job of the kind gets the args, and the token as `token`; with `call_app`, the function gets both."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    kind: str = Field(min_length=1, max_length=100)
    args: dict[str, JsonValue] = {}


OnDeadToken = Annotated[
    TellUrl | TellKind | None,
    Field(description="Who is told of a dead token: `{url, secret?}` or `{kind, args?}`."),
    AsksForJob(),
]


class Dead(NamedTuple):
    """A token, or a subscription's endpoint, that no message will ever reach; `form` is the answer that says so."""

    token: str
    form: str
    reason: str


async def give_up(ctx: Context, on_dead_token: TellUrl | TellKind | None, dead: Dead) -> failures.DeadToken:
    """Report the dead token, and return the error that ends the job. Raises `NobodyTold`."""
    error = failures.DeadToken(f"{dead.form}: {dead.reason}")
    if on_dead_token is None:
        return error
    try:
        await ctx.step("on_dead_token", _enqueue, ctx, on_dead_token, dead)
    except Exception as problem:
        what = f"{type(problem).__name__}: {problem}"
        raise failures.NobodyTold(f"{error}; the job for on_dead_token could not be enqueued: {what}") from problem
    return error


async def _enqueue(ctx: Context, to: TellUrl | TellKind, dead: Dead) -> str:
    kind, args = ("send_webhook", _post(ctx, to, dead)) if isinstance(to, TellUrl) else (to.kind, _args(to, dead))
    return await ctx.enqueue(kind, args, unique_key=f"dead-token:{ctx.job_id}"[:255], unique_for=_HELD_FOR)


def _post(ctx: Context, to: TellUrl, dead: Dead) -> Mapping[str, Any]:
    data = {"token": dead.token, "form": dead.form, "reason": dead.reason, "job": ctx.job_id}
    signed = {} if to.secret is None else {"secret": to.secret.get_secret_value()}
    return {"url": str(to.url), "event": EVENT, "data": data, **signed}


def _args(to: TellKind, dead: Dead) -> Mapping[str, Any]:
    if to.kind != "call_app":
        return {**to.args, "token": dead.token}
    arguments = to.args.get("arguments")
    return {**to.args, "arguments": {**(arguments if isinstance(arguments, dict) else {}), "token": dead.token}}
