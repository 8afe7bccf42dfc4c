"""Kinds for the client's tests, loaded through `POSTLUDE_JOBS`."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, SecretStr

from jobs import Context, Retry, job


class NoteArgs(BaseModel):
    text: str
    times: int = 1


@job("note")
async def note(_ctx: Context, args: NoteArgs) -> str:
    """Return the text."""
    return args.text * args.times


class HoldArgs(BaseModel):
    seconds: float


@job("hold", max_attempts=1)
async def hold(ctx: Context, args: HoldArgs) -> None:
    """Tell that it runs, and hold on."""
    await ctx.progress(1, 2)
    await asyncio.sleep(args.seconds)


class FailArgs(BaseModel):
    message: str = "no"


@job("fail", max_attempts=1)
async def fail(_ctx: Context, args: FailArgs) -> None:
    """Fail."""
    raise Retry(args.message)


class TypesArgs(BaseModel):
    at: datetime
    lasting: timedelta
    price: Decimal
    secret: SecretStr


@job("types")
async def types(_ctx: Context, args: TypesArgs) -> dict[str, Any]:
    """Return what arrived."""
    shown: dict[str, Any] = args.model_dump(mode="json")
    return shown | {"secret": args.secret.get_secret_value().upper()}  # as it is, it would be masked
