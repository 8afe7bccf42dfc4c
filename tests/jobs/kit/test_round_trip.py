"""Args that are accepted are read back by attempts as they were sent; all others are refused at the door."""

import dataclasses
import json
import math
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AliasChoices,
    AliasPath,
    Base64Bytes,
    Base64Str,
    BaseModel,
    ConfigDict,
    EmailStr,
    Field,
    HttpUrl,
    Json,
    PrivateAttr,
    RootModel,
    SecretBytes,
    SecretStr,
    SerializeAsAny,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict

from jobs.kit.round_trip import ArgsChanged
from jobs.kit.times import Time
from tests.jobs.kit.changing import CHANGED, Box, Inner, Open
from tests.jobs.kit.declaring import field, kind_of


def sent(model: type[BaseModel], text: str) -> BaseModel:
    """Send args as the API takes them; return them as an attempt reads them."""
    kind = kind_of(model)
    args: BaseModel = kind.load_args(kind.dump_args(kind.door_model.model_validate_json(text)).whole)
    return args


@pytest.mark.parametrize("case", CHANGED)
def test_args_that_would_be_read_back_as_others_are_refused(case: str) -> None:
    with pytest.raises(ArgsChanged) as refused:
        sent(*CHANGED[case])
    assert refused.value.errors
    assert all(one["msg"] and one["type"] for one in refused.value.errors)


@pytest.mark.parametrize(
    ("model", "text", "loc"),
    [
        (field(float), '{"x": NaN}', ["x"]),
        (field(list[float | None]), '{"x": [1, NaN]}', ["x", 1]),
        (field(list[Inner]), '{"x": [{"value": 0}, {"value": 1}]}', ["x", 1, "value"]),
        (field(dict[str, HttpUrl]), json.dumps({"x": {"home": "http://a/" + "é" * 700}}), ["x", "home"]),
        (create_model("Args", x=(float | None, Field(None, alias="from"))), '{"from": NaN}', ["from"]),
    ],
)
def test_refusal_names_the_field(model: type[BaseModel], text: str, loc: list[Any]) -> None:
    with pytest.raises(ArgsChanged) as refused:
        sent(model, text)
    assert [one["loc"] for one in refused.value.errors] == [loc]


def test_refusal_of_a_nan_says_what_json_cannot_hold() -> None:
    with pytest.raises(ArgsChanged, match="x: is NaN or infinite, which JSON cannot hold"):
        sent(field(float), '{"x": NaN}')


class Colour(Enum):
    RED = "red"


class Cat(BaseModel):
    sort: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    sort: Literal["dog"]
    lives: int = 1


class Size(TypedDict):
    width: int


@dataclasses.dataclass
class Place:
    city: str
    zone: str = dataclasses.field(init=False, default="UTC")


class Tree(BaseModel):
    name: str = ""
    parts: list["Tree"] = []


class Moved(BaseModel):
    new: int = 0

    @model_validator(mode="before")
    @classmethod
    def _take_the_old_name(cls, data: Any) -> Any:
        return {"new": data["old"]} if "old" in data else data


class Counting(BaseModel):
    x: int = 1
    _made_at: str = PrivateAttr(default_factory=lambda: str(uuid.uuid4()))

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def twice(self) -> int:
        return self.x * 2

    @field_validator("x")
    @classmethod
    def _positive(cls, x: int) -> int:
        return abs(x)


class Named(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    sender: str = Field("", alias="from")


class Encoded(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    x: bytes
    token: SecretBytes = SecretBytes(b"")


class Worded(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")
    x: float


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    at: datetime
    pair: tuple[int, int]


class Opaque:
    def __init__(self, value: int) -> None:
        self.value = value

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        written = core_schema.plain_serializer_function_ser_schema(lambda opaque: opaque.value)
        return core_schema.no_info_after_validator_function(cls, core_schema.int_schema(), serialization=written)


KEPT: dict[str, tuple[type[BaseModel], str]] = {
    "null beside numbers": (field(Any), '{"x": [1, null, 2.5]}'),
    "URL": (field(HttpUrl), '{"x": "http://bücher.example/é?q=ä#z"}'),
    "address": (field(EmailStr), '{"x": "Ann@EXAMPLE.com"}'),
    "set, in whatever order": (field(set[str]), json.dumps({"x": [str(number) for number in range(99)]})),
    "text that is a number": (field(int | str), '{"x": "1"}'),
    "whole number that may be a fraction": (field(float | int), '{"x": 1}'),
    "moment that may be a day": (field(date | datetime), '{"x": "2020-01-01T00:00:00"}'),
    "bytes that are no text": (field(Base64Bytes), '{"x": "/w=="}'),
    "NUL that stays encoded": (field(Base64Str), '{"x": "AAA="}'),
    "JSON in JSON": (field(Json[dict[str, int]]), '{"x": "{\\"a\\": 1}"}'),
    "long times": (field(timedelta), '{"x": 1500000000.1234567}'),
    "huge number": (field(int), '{"x": ' + "9" * 4000 + "}"),
    "path": (field(Path), '{"x": "a//b/./c"}'),
    "enum": (field(Colour), '{"x": "red"}'),
    "the second of two models": (field(Cat | Dog), '{"x": {"sort": "dog"}}'),
    "told apart by a field": (field(Annotated[Cat | Dog, Field(discriminator="sort")]), '{"x": {"sort": "dog"}}'),
    "typed dict": (field(Size), '{"x": {"width": 1}}'),
    "dataclass": (field(Place), '{"x": {"city": "Rome"}}'),
    "tree": (Tree, '{"name": "a", "parts": [{"name": "b", "parts": [{}]}]}'),
    "numbers as keys": (field(dict[int, str]), '{"x": {"1": "a", "02": "b"}}'),
    "an older name": (Moved, '{"old": 3}'),
    "private and computed": (Counting, '{"x": -3}'),
    "by alias": (Named, '{"from": "ann"}'),
    "by name": (Named, '{"sender": "ann"}'),
    "validation alias": (field(int, Field(1, validation_alias="y")), '{"y": 5}'),
    "alias path": (field(int, Field(1, validation_alias=AliasPath("a", "b"))), '{"a": {"b": 5}}'),
    "alias choices": (field(int, Field(1, validation_alias=AliasChoices("a", "b"))), '{"b": 5}'),
    "base64 by config": (Encoded, '{"x": "/w==", "token": "/w=="}'),
    "infinity as a text": (Worded, '{"x": Infinity}'),
    "strict": (Strict, '{"at": "2020-01-01T00:00:00+14:00", "pair": [1, 2]}'),
    "default of another sort": (field(Decimal, 0), "{}"),
    "whole default of a fraction": (field(float, 1), "{}"),
    "list as a default": (field(tuple[int, ...], []), "{}"),
    "what cannot be compared": (field(Opaque), '{"x": 3}'),
    "what is not declared": (Open, '{"x": {"a": [1, "b", null]}}'),
    "root": (RootModel[dict[str, int]], '{"a": 1}'),
    "generic": (Box[int], '{"inside": 1}'),
}


@pytest.mark.parametrize("case", KEPT)
def test_args_that_are_read_back_as_they_were_are_accepted(case: str) -> None:
    sent(*KEPT[case])


def test_a_default_that_is_made_anew_each_time_is_made_once() -> None:
    kind = kind_of(field(uuid.UUID, Field(default_factory=uuid.uuid4)))
    args = kind.door_model.model_validate_json("{}")
    stored = kind.dump_args(args).whole
    assert kind.load_args(stored).x == kind.load_args(stored).x == args.x


class Animal(BaseModel):
    name: str = ""


class Bird(Animal):
    wings: int = 2


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (field(str), {"x": "\ud800"}),
        (field(SecretStr), {"x": "\ud800"}),
        (field(str), {"x": "a\0b"}),
        (field(bytes), {"x": b"\xff"}),
        (field(Animal), {"x": Bird()}),
        (field(SerializeAsAny[Animal]), {"x": Bird()}),
        (Animal, Bird()),
        (field(datetime), {"x": datetime(1800, 1, 1, tzinfo=ZoneInfo("Europe/Amsterdam"))}),
        (field(int), field(int).model_construct(x="5")),
        (field(float), {"x": math.nan}),
    ],
)
def test_python_values_that_json_would_change_are_refused(model: type[BaseModel], value: Any) -> None:
    if isinstance(value, BaseModel) and not isinstance(value, Animal):
        model = type(value)
    with pytest.raises(ArgsChanged):
        kind_of(model).accept(value)


def test_python_values_nested_deeper_than_json_is_read_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(400):
        deep = [deep]
    with pytest.raises(ArgsChanged):
        kind_of(field(Any)).accept({"x": deep})


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (field(datetime), {"x": datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))}),
        (field(str), {"x": "plain"}),
        (field(frozenset[int]), {"x": {3, 1, 2}}),
        (field(Colour), {"x": Colour.RED}),
        (Animal, Animal(name="a")),
        (Animal, None),
    ],
)
def test_python_values_are_returned_as_attempts_read_them(model: type[BaseModel], value: Any) -> None:
    kind = kind_of(model)
    args = kind.accept(value)
    assert type(args) is model
    assert kind.load_args(kind.dump_args(args).whole) == args


OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)


PLAIN: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (str, TEXT),
    (bool, st.booleans()),
    (float, st.floats()),
    (float | None, st.none() | st.floats()),
    (datetime, st.datetimes(timezones=st.just(UTC)).map(str)),
    (Time, st.datetimes(timezones=OFFSETS).map(str)),
    (date, st.dates().map(str)),
    (uuid.UUID, st.uuids().map(str)),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False).map(str)),
    (int | str, st.integers() | TEXT),
    (Any, st.recursive(st.none() | st.floats() | TEXT | st.integers(), st.lists)),
    (timedelta, st.floats(0, 1e9)),
    (HttpUrl, TEXT.map(lambda text: f"http://example.com/{text}")),
]


def _annotations() -> Iterator[tuple[Any, st.SearchStrategy[Any]]]:
    for annotation, values in PLAIN:
        yield annotation, values
        yield list[annotation], st.lists(values, max_size=3)  # type: ignore[valid-type]  # made at run time
        yield dict[str, annotation], st.dictionaries(TEXT, values, max_size=3)  # type: ignore[valid-type]
        yield annotation | None, st.none() | values


ALL = list(_annotations())


KINDS = [kind_of(field(annotation)) for annotation, _ in ALL]


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_whatever_is_accepted_is_read_back_the_same(data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(ALL) - 1))
    kind, value = KINDS[which], data.draw(ALL[which][1])
    try:
        args = kind.door_model.model_validate_json(json.dumps({"x": value}))
        stored = kind.dump_args(args).whole
    except ValueError:
        return
    assert kind.load_args(stored).x == args.x
