"""Keys of a dict that are the same once they are read are refused: all but one would be lost."""

import json
from collections import OrderedDict
from datetime import date
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints
from typing_extensions import TypedDict

from jobs.kit.keys import keys_of
from jobs.kit.round_trip import ArgsChanged
from tests.jobs.kit.declaring import field, kind_of


class Lines(BaseModel):
    by_number: dict[int, str] = Field({}, alias="from")


class Tree(BaseModel):
    parts: dict[int, "Tree"] = {}


class Lower(BaseModel):
    model_config = ConfigDict(str_to_lower=True)
    x: dict[str, int]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    x: dict[int, int]


class Sizes(TypedDict):
    at: dict[int, int]


CLASHES: dict[str, tuple[type[BaseModel], str, list[Any]]] = {
    "numbers": (field(dict[int, str]), '{"x": {"1": "a", "01": "b"}}', ["x"]),
    "fractions": (field(dict[float, str]), '{"x": {"1": "a", "1.0": "b"}}', ["x"]),
    "days": (field(dict[date, int] | None), '{"x": {"2020-01-01": 1, "2020-01-01T00:00:00": 2}}', ["x"]),
    "UUIDs": (field(dict[UUID, int]), json.dumps({"x": {str(UUID(int=1)): 1, UUID(int=1).hex: 2}}), ["x"]),
    "stripped": (
        field(dict[Annotated[str, StringConstraints(strip_whitespace=True)], int]),
        '{"x": {"a": 1, " a": 2}}',
        ["x"],
    ),
    "in lower case": (Lower, '{"x": {"a": 1, "A": 2}}', ["x"]),
    "ordered": (field(OrderedDict[int, str]), '{"x": {"1": "a", "+1": "b"}}', ["x"]),
    "within a list of models": (field(list[Lines]), '{"x": [{}, {"from": {"1": "a", "01": "b"}}]}', ["x", 1, "from"]),
    "within a dict": (field(dict[str, dict[int, int]]), '{"x": {"a": {"1": 1, "01": 2}}}', ["x", "a"]),
    "within a typed dict": (field(Sizes), '{"x": {"at": {"1": 1, "01": 2}}}', ["x", "at"]),
    "within a tree": (Tree, '{"parts": {"1": {"parts": {"2": {}, "02": {}}}}}', ["parts", "1", "parts"]),
    "of a root": (RootModel[dict[int, str]], '{"1": "a", "01": "b"}', []),
    "strict": (Strict, '{"x": {"1": 1, "01": 2}}', ["x"]),
}
KEPT: list[tuple[type[BaseModel], str]] = [
    (field(dict[int, str]), '{"x": {"1": "a", "02": "b"}}'),
    (field(dict[str, str]), '{"x": {"1": "a", "01": "b"}}'),
    (field(dict[int | str, str]), '{"x": {"1": "a", "01": "b"}}'),
    (field(dict[int, str] | dict[str, str]), '{"x": {"1": "a", "01": "b"}}'),
]


@pytest.mark.parametrize("case", CLASHES)
def test_keys_that_become_equal_when_they_are_read_are_refused(case: str) -> None:
    model, text, loc = CLASHES[case]
    with pytest.raises(ArgsChanged) as refused:
        kind_of(model).check_keys(json.loads(text), from_json=True)
    assert [one["loc"] for one in refused.value.errors] == [loc]


@pytest.mark.parametrize(("model", "text"), KEPT)
def test_keys_that_stay_different_are_accepted(model: type[BaseModel], text: str) -> None:
    kind = kind_of(model)
    kind.check_keys(json.loads(text), from_json=True)
    assert kind.accept(json.loads(text)).x == model.model_validate_json(text).x  # type: ignore[attr-defined]


def test_equal_keys_sent_by_python_code_are_refused_too() -> None:
    with pytest.raises(ArgsChanged, match="x: has keys that are the same once they are read"):
        kind_of(field(dict[int, str])).accept({"x": {1: "a", "1": "b"}})


def test_texts_as_keys_cost_nothing() -> None:
    assert not keys_of(field(dict[str, list[dict[str, Any]]])).may_clash
