from typing import Any

import pytest
from pydantic import (
    BaseModel,
    Field,
    FutureDatetime,
)

from jobs import Context
from tests.jobs.kit.declaring import refusal


class Unwritten(BaseModel):
    shown: int = 1
    hidden: int = Field(1, exclude=True)


class Order(BaseModel):
    lines: list[dict[str, Unwritten | None]] = []


class NoNumber(BaseModel):
    count: int = Field(0, ge=1)


class NoText(BaseModel):
    name: str = None  # type: ignore[assignment]  # what is tested


class Ahead(BaseModel):
    at: FutureDatetime | None = None


async def of_unwritten(ctx: Context, args: Unwritten) -> None: ...


async def of_order(ctx: Context, args: Order) -> None: ...


async def of_no_number(ctx: Context, args: NoNumber) -> None: ...


async def of_no_text(ctx: Context, args: NoText) -> None: ...


async def of_ahead(ctx: Context, args: Ahead) -> None: ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (of_unwritten, "field 'hidden' has exclude=True"),
        (of_order, "field 'lines.hidden' has exclude=True"),
        (of_no_number, "the default of field 'count' does not fit the field: Input should be greater than"),
        (of_no_text, "the default of field 'name' does not fit the field: Input should be a valid string"),
        (of_ahead, "field 'at' must lie in the future"),
    ],
)
def test_a_field_that_lets_no_job_run_as_sent_is_refused_at_declaration(function: Any, reason: str) -> None:
    message = refusal(function)
    assert ": kind 'bad': " in message
    assert reason in message
    assert "\n" not in message
