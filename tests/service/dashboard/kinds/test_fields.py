"""Which fields a kind's args get: each sort of value has its control, and whatever has none is JSON."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, EmailStr, SecretStr
from pydantic import Field as Described

from jobs.stats import UpdateStatsArgs
from service.dashboard.kinds.fields import NOTHING, Field, fields_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    street: Annotated[str, Described(max_length=100)]
    doors: list[int] = []


class Tree(BaseModel):
    name: Annotated[str, Described(max_length=10)]
    below: list["Tree"] = []


class Many(BaseModel):
    short: Annotated[str, Described(max_length=10, description="A name.\nMore of it.", examples=["ann"])]
    long: str | None = None
    mail: EmailStr
    count: Annotated[int, Described(ge=1, le=9)] = 3
    rate: float | int | None = None
    price: Decimal = Decimal(1)
    yes: bool = False
    maybe: bool | None = None
    colour: Colour = Colour.RED
    mode: Literal["a", 1] | None = "a"
    at: datetime | None = None
    day: date
    secret: SecretStr
    token: SecretStr | None = None
    words: Annotated[list[str], Described(min_length=1, max_length=50)]
    inner: Inner
    perhaps: Inner | None = None
    either: int | str = 1
    free: dict[str, Any] = {}
    headers: dict[str, SecretStr] = {}
    pair: tuple[int, str] = (1, "a")
    anything: Any = None


def controls(*fields: Field) -> dict[str, str]:
    return {field.name: field.control for field in fields}


def test_every_sort_of_value_has_its_control() -> None:
    fields = {field.name: field for field in fields_of(Many.model_json_schema())}
    assert controls(*fields.values()) == {
        "short": "text",
        "long": "area",
        "mail": "text",
        "count": "integer",
        "rate": "number",
        "price": "json",
        "yes": "checkbox",
        "maybe": "select",
        "colour": "select",
        "mode": "select",
        "at": "moment",
        "day": "text",
        "secret": "secret",
        "token": "secret",
        "words": "list",
        "inner": "group",
        "perhaps": "group",
        "either": "json",
        "free": "json",
        "headers": "json",
        "pair": "json",
        "anything": "json",
    }
    assert [name for name, field in fields.items() if field.required] == [
        *("short", "mail", "day", "secret", "words", "inner")
    ]
    assert (fields["mail"].type, fields["day"].type, fields["at"].type) == ("email", "date", "datetime-local")
    assert fields["colour"].choices == ("red", "blue")
    assert (fields["short"].hint, fields["short"].example) == ("A name. At most 10 characters.", "ann")
    assert (fields["count"].hint, fields["count"].default) == ("1 to 9.", 3)
    assert fields["words"].hint == "1 to 50 items."
    assert fields["day"].default is NOTHING
    assert controls(*fields["perhaps"].parts) == {"street": "text", "doors": "list"}
    assert [name for name, field in fields.items() if field.has_secrets] == ["secret", "token", "headers"]


def test_a_field_says_which_others_may_be_given_instead() -> None:
    fields = {field.name: field for field in fields_of(UpdateStatsArgs.model_json_schema())}
    assert {name: field.unless for name, field in fields.items() if field.unless} == {
        "subject": ("events",),
        "event": ("events",),
        "events": ("subject", "event"),
    }


def test_args_that_hold_themselves_end_as_json() -> None:
    [_, field] = fields_of(Tree.model_json_schema())
    depth = 0
    while field.item is not None:
        depth += 1
        [_, field] = field.item.parts or (None, field.item)
    assert 1 < depth < 6
    assert field.control == "json"
