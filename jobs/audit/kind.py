"""`write_audit`: an entry of the audit log, written once although a job may run more than once."""

import json
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from jobs.audit.log import AuditLog, Entry
from jobs.kit.context import Context
from jobs.kit.declaration import job
from jobs.kit.times import Time

OWN_ACTIONS = "audit_log."
"""The prefix of the actions that the log records itself."""

Name = Annotated[str, Field(min_length=1, max_length=255)]


def _not_of_the_log(action: str) -> str:
    if action.startswith(OWN_ACTIONS):
        raise ValueError(f"actions that begin with {OWN_ACTIONS!r} are the log's own: choose another name")
    return action


def _in_utc(at: datetime) -> datetime:
    try:
        at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be between the years 1 and 9999 in UTC") from error
    return at


class Origin(BaseModel):
    """Where a request came from."""

    model_config = ConfigDict(extra="forbid")

    address: Name | None = None
    user_agent: Annotated[str, Field(max_length=1_024)] | None = None
    request_id: Name | None = None


class WriteAuditArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    action: Annotated[Name, AfterValidator(_not_of_the_log)] = Field(description="What was done, e.g. `invoice.paid`.")
    actor: Name = Field(description="Who did it, e.g. a user's id.")
    target: Name | None = Field(None, description="What it was done to, e.g. `invoice:42`.")
    origin: Origin | None = Field(None, description="Where the request came from.")
    at: Annotated[Time, AfterValidator(_in_utc)] | None = Field(
        None, description="When it was done. Default: when the job was created."
    )
    data: JsonValue = Field(None, description="Anything else about it: any JSON.")


class WriteAuditResult(BaseModel):
    """A receipt: its holder can prove later that the log up to this entry is unchanged."""

    seq: int = Field(description="The entry's number: entries are numbered without gaps.")
    hash: str = Field(description="The entry's hash, which depends on all entries before it.")


@job("write_audit", timeout=30, max_attempts=20)
async def write_audit(ctx: Context, args: WriteAuditArgs) -> WriteAuditResult:
    """Append an entry to the audit log, once for each job, however often it runs."""
    entry = Entry(
        job_id=ctx.job_id,
        at=args.at or ctx.created_at,
        actor=args.actor,
        action=args.action,
        target=args.target,
        origin=None if args.origin is None else written(args.origin.model_dump(exclude_none=True)),
        data=None if args.data is None else written(args.data),
    )
    receipt = await ctx.capability(AuditLog).write(entry)
    return WriteAuditResult(seq=receipt.seq, hash=receipt.hash)


def written(value: JsonValue) -> str:
    """Write JSON so that the same value is always the same text, with all digits of integers."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
