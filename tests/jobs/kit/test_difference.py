import math
from collections import deque
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel

from jobs.kit.difference import difference


class Size(IntEnum):
    ONE = 1


class Part(BaseModel):
    name: str = ""
    parts: list["Part"] = []


class Opaque: ...


BERLIN_TWICE = datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("sent", "again"),
    [
        (math.nan, math.nan),
        (1, 1.0),
        ([1, (2, 3)], (1, deque([2, 3]))),
        (BERLIN_TWICE, BERLIN_TWICE.astimezone(UTC)),
        (Part(name="a", parts=[Part()]), Part(name="a", parts=[Part()])),
    ],
)
def test_values_that_mean_the_same_do_not_differ(sent: Any, again: Any) -> None:
    assert difference(sent, again, same_text=False) is None


@pytest.mark.parametrize(
    ("sent", "again", "place"),
    [
        (1, True, ()),
        (Size.ONE, 1, ()),
        ([1, {"a": 2}], [1, {"a": 3}], (1, "a")),
        ({"a": 1}, {"b": 1}, ()),
        (Part(parts=[Part(name="a")]), Part(parts=[Part(name="b")]), ("parts", 0, "name")),
        (Part(), {"name": "", "parts": []}, ()),
    ],
)
def test_first_difference_is_named_by_its_place(sent: Any, again: Any, place: tuple[Any, ...]) -> None:
    assert difference(sent, again, same_text=False) == place


@pytest.mark.parametrize("same_text", [True, False])
def test_objects_that_cannot_be_compared_are_the_same_when_their_json_is(same_text: bool) -> None:
    assert (difference(Opaque(), Opaque(), same_text=same_text) is None) is same_text
