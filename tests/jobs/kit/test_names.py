"""Unknown names in args: refused at the doors, left out by workers."""

import json
from typing import Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, RootModel, ValidationError

from jobs.kit.names import did_you_mean, nearest
from tests.jobs.kit.declaring import kind_of


class Silent(BaseModel):
    amount: int = 1
    sender: str = Field("", alias="from")
    colour: str = Field("", validation_alias=AliasChoices("colour", "color"))


class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    sender: str = Field("", alias="from")


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sku: str = ""


class Forbidding(BaseModel):
    model_config = ConfigDict(extra="forbid")
    amount: int = 1
    parts: list[Part] = []


class Allowing(BaseModel):
    model_config = ConfigDict(extra="allow")


class Ignoring(BaseModel):
    model_config = ConfigDict(extra="ignore")
    amount: int = 1


class OfIgnoring(Ignoring):
    more: int = 1


class Left(BaseModel):
    model_config = ConfigDict(extra="forbid")
    side: Literal["left"] = "left"


class Right(BaseModel):
    model_config = ConfigDict(extra="forbid")
    side: Literal["right"]


class Sided(BaseModel):
    hand: Left | Right


def door(model: type[BaseModel], args: Any) -> BaseModel:
    read: BaseModel = kind_of(model).door_model.model_validate_json(json.dumps(args))
    return read


@pytest.mark.parametrize("model", [Silent, ByName, Forbidding, RootModel[dict[Literal["a"], int]]])
def test_unknown_name_is_refused_at_the_door(model: type[BaseModel]) -> None:
    with pytest.raises(ValidationError):
        door(model, {"amuont": 1})


@pytest.mark.parametrize(
    ("model", "args"),
    [
        (Silent, {"amount": 1, "from": "ann", "color": "red"}),
        (ByName, {"sender": "ann"}),
        (ByName, {"from": "ann"}),
        (Forbidding, {"amount": 1}),
        (Allowing, {"anything": 1}),
        (Ignoring, {"anything": 1}),
        (OfIgnoring, {"anything": 1}),
        (RootModel[dict[str, int]], {"anything": 1}),
    ],
)
def test_known_names_aliases_and_what_the_model_says_itself_pass(model: type[BaseModel], args: Any) -> None:
    door(model, args)


def test_schema_says_that_no_other_name_is_taken() -> None:
    assert kind_of(Silent).args_schema["additionalProperties"] is False
    assert kind_of(Silent).args_schema["title"] == "Silent"
    assert kind_of(Allowing).args_schema["additionalProperties"] is True
    assert "additionalProperties" not in kind_of(Ignoring).args_schema


@pytest.mark.parametrize("model", [Silent, Forbidding, Ignoring])
def test_worker_leaves_out_names_of_newer_jobs(model: type[BaseModel]) -> None:
    kind = kind_of(model)
    assert kind.load_args('{"amount":7,"newer":[1]}').amount == 7


def test_worker_leaves_out_newer_names_at_any_depth() -> None:
    args = kind_of(Forbidding).load_args('{"newer":1,"parts":[{"sku":"a"},{"sku":"b","newer":{"x":1}}]}')
    assert args == Forbidding(parts=[Part(sku="a"), Part(sku="b")])


def test_worker_does_not_guess_what_else_is_wrong() -> None:
    with pytest.raises(ValidationError):
        kind_of(Forbidding).load_args('{"newer":1,"amount":"many"}')
    with pytest.raises(ValidationError):  # without the newer name it would be another model
        kind_of(Sided).load_args('{"hand":{"side":"up","newer":1}}')


def test_args_get_their_own_class_in_the_function() -> None:
    kind = kind_of(Silent)
    stored = kind.dump_args(door(Silent, {"amount": 2})).whole
    assert type(kind.load_args(stored)) is type(kind.accept({"amount": 2})) is Silent


@pytest.mark.parametrize(
    ("name", "near"), [("amuont", "amount"), ("Amount", "amount"), ("zzz", None), (1, None), ("a" * 10_000, None)]
)
def test_nearest_name_is_found_where_one_is_near(name: object, near: str | None) -> None:
    assert nearest(name, ("amount", "sender")) == near


def test_a_refusal_ends_with_the_name_that_was_meant() -> None:
    assert did_you_mean("amuont", ("amount", "sender")) == " Did you mean 'amount'?"
    assert did_you_mean("zzz", ("amount", "sender")) == ""
