from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    PlainSerializer,
    ValidationError,
    computed_field,
)
from pydantic_core import PydanticSerializationError

from jobs import Context, job
from tests.jobs.kit.declaring import GreetArgs, greet, plain
from tests.support.fakes import fake_context


async def test_a_kind_is_called_like_its_function() -> None:
    assert await greet(fake_context(), GreetArgs(name="Ann")) == "hello Ann"


def test_a_kind_knows_what_its_declaration_says() -> None:
    assert (greet.name, greet.timeout, greet.max_attempts, greet.queue) == ("greet", timedelta(seconds=10), 2, "slow")
    assert (greet.args_model, greet.description) == (GreetArgs, "Say hello.")
    assert greet.file == "tests/jobs/kit/declaring.py"
    assert greet.args_schema["properties"]["name"]["default"] == "world"


def test_ticks_are_in_utc_and_may_have_seconds() -> None:
    ten = job("ten", cron="*/10 * * * * *")(plain)
    ticks = ten.expression.after(datetime.fromisoformat("2026-03-29T02:30:01+02:00"))
    assert [next(ticks).isoformat() for _ in range(2)] == ["2026-03-29T00:30:10+00:00", "2026-03-29T00:30:20+00:00"]


class Colour(Enum):
    RED = "red"


class Line(BaseModel):
    sku: UUID
    price: Decimal
    parts: list["Line"] = []


class OrderArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: UUID
    at: datetime
    day: date
    wait: timedelta
    total: Decimal
    colour: Colour
    lines: list[Line]
    by_id: dict[UUID, Line]
    path: Path
    payload: Json[dict[str, int]]
    sender: str = Field(alias="from")

    @computed_field
    def size(self) -> int:
        return len(self.lines)


@job("order")
async def order(ctx: Context, args: OrderArgs) -> None: ...


AWARE = st.datetimes(timezones=st.just(UTC))


PRICES = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12)


LINES = st.recursive(
    st.builds(Line, sku=st.uuids(), price=PRICES),
    lambda inner: st.builds(Line, sku=st.uuids(), price=PRICES, parts=st.lists(inner, max_size=2)),
    max_leaves=4,
)


@given(
    fields=st.fixed_dictionaries(
        {
            "id": st.uuids(),
            "at": AWARE,
            "day": st.dates(),
            "wait": st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=999)),
            "total": PRICES,
            "colour": st.sampled_from(Colour),
            "lines": st.lists(LINES, max_size=2),
            "by_id": st.dictionaries(st.uuids(), LINES, max_size=2),
            "path": st.just(Path("a/b")),
            "payload": st.just('{"n":1}'),
            "from": st.text(st.characters(exclude_categories=["Cs"])),
        }
    )
)
def test_args_are_read_back_as_they_were_written(fields: dict[str, Any]) -> None:
    args = OrderArgs.model_validate(fields)
    shown, sealed = order.dump_args(args)
    assert sealed is None
    assert order.load_args(shown) == args


def test_args_are_shown_under_the_names_that_they_came_with() -> None:
    class Mail(BaseModel):
        sender: str = Field(alias="from")

    async def mail(ctx: Context, args: BaseModel) -> None: ...

    mail.__annotations__["args"] = Mail
    assert job("mail")(mail).dump_args(Mail.model_validate({"from": "ann"})) == ('{"from":"ann"}', None)


def test_stored_args_that_no_longer_fit_are_reported() -> None:
    with pytest.raises(ValidationError):
        order.load_args('{"id": 1}')


def test_a_result_is_json_of_the_declared_type_and_nothing_else() -> None:
    assert greet.dump_result("hi") == '"hi"'
    with pytest.raises(PydanticSerializationError):
        greet.dump_result(object())  # type: ignore[arg-type]  # what is tested


def test_nothing_is_written_as_null_unless_the_kind_declares_otherwise() -> None:
    async def say_done(ctx: Context, args: GreetArgs) -> Annotated[None, PlainSerializer(lambda _: "done")]: ...

    assert job("plain")(plain).dump_result(None) == "null"
    assert job("say_done")(say_done).dump_result(None) == '"done"'
