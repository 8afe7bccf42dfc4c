"""Validation errors have the API's places and words, whatever code of ours finds them."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from jobs.kit.proof import Check
from service.misfits import shown


class Sort(StrEnum):
    ONE = "one"


class Wanted(BaseModel):
    either: Annotated[int, Field(ge=1)] | Annotated[str, AfterValidator(Check(int))] | tuple[int, int]
    sort: Literal[Sort.ONE]
    named: dict[Annotated[str, Field(max_length=2)], int] = {}


def test_no_place_and_no_words_are_those_of_code() -> None:
    try:
        TypeAdapter(list[Wanted]).validate_python([{"either": "x", "sort": "two", "named": {"abc": 1}}])
    except ValidationError as error:
        told = shown(error.errors())
    assert {tuple(one["loc"]) for one in told} == {(0, "either"), (0, "sort"), (0, "named", "abc")}
    assert not [one["msg"] for one in told if "Value error" in one["msg"] or "<" in one["msg"]]
