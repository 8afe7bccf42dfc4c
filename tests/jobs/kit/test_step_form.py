import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field

from jobs.kit.step_errors import StepTooLarge, StepUnwritable
from jobs.kit.step_form import MOST_BYTES, StepForm


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: float
    at: datetime


class Row(BaseModel):
    model_config = ConfigDict(populate_by_name=False)

    name: str = Field(alias="Name")
    points: list[Point]
    colour: Colour | None = None


AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
ROW = Row(Name="ann", points=[Point(1.5, AT)], colour=Colour.RED)


@pytest.mark.parametrize(
    ("returns", "value"),
    [
        (Row, ROW),
        (list[Row], [ROW, ROW]),
        (Point, Point(0.1, AT)),
        (datetime, AT),
        (date, date(2026, 1, 2)),
        (timedelta, timedelta(seconds=3.5)),
        (Decimal, Decimal("1.10")),
        (UUID, UUID(int=7)),
        (dict[int, tuple[str, ...]], {1: ("a", "b")}),
        (set[int], {1, 2}),
        (Colour, Colour.RED),
        (Row | None, None),
        (int | str, "1"),
        (None, None),
        (Annotated[list[int], ["cannot be hashed"]], [1]),
        (Any, {"a": [1, None, "ä"]}),
    ],
)
def test_a_result_is_read_back_as_what_was_returned(returns: Any, value: Any) -> None:
    def function() -> None: ...

    function.__annotations__["return"] = returns
    form = StepForm.of("s", function)
    read = form.read(form.write(value))
    assert (type(read), read) == (type(value), value)


def test_without_an_annotation_a_model_is_read_as_plain_json() -> None:
    form = StepForm.of("s", lambda: ROW)
    assert form.read(form.write(ROW))["Name"] == "ann"


class Source:
    async def rows(self) -> list[Row]:
        return [ROW]

    def __call__(self) -> Point:
        return Point(1, AT)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (Source().rows, [ROW]),
        (functools.partial(functools.partial(Source.rows), Source()), [ROW]),
        (Source(), Point(1, AT)),
        (Row, ROW),
    ],
    ids=["method", "partial", "callable", "class"],
)
def test_the_annotation_is_found_on_all_that_can_be_called(function: Any, value: Any) -> None:
    form = StepForm.of("s", function)
    assert form.read(form.write(value)) == value


@pytest.mark.parametrize(
    ("returns", "value"),
    [(Any, object()), (int, "one"), (str, "\ud800"), (Row, {"Name": 1})],
)
def test_what_json_cannot_hold_or_the_annotation_does_not_say_is_refused_by_its_name(returns: Any, value: Any) -> None:
    def function() -> None: ...

    function.__annotations__["return"] = returns
    with pytest.raises(StepUnwritable, match="step 's': its result cannot be written as JSON"):
        StepForm.of("s", function).write(value)


def test_a_number_that_json_has_not_is_nothing_and_that_is_no_float() -> None:
    def function() -> float:
        return float("nan")

    assert StepForm.of("s", lambda: [float("inf")]).write([float("inf")]) == "[null]"
    form = StepForm.of("s", function)
    with pytest.raises(StepUnwritable, match="does not fit"):
        form.read(form.write(function()))


def test_an_annotation_that_json_cannot_hold_is_refused_before_the_step_runs() -> None:
    def function() -> Source: ...  # type: ignore[empty-body]

    with pytest.raises(StepUnwritable, match=r"step 's': what its function returns.*Source"):
        StepForm.of("s", function)


def test_a_result_may_have_so_many_bytes_and_no_more() -> None:
    form = StepForm.of("s", lambda: "")
    assert form.read(form.write("x" * (MOST_BYTES - 2))) == "x" * (MOST_BYTES - 2)
    with pytest.raises(
        StepTooLarge, match=rf"it has {MOST_BYTES + 1} bytes of JSON, but may have at most {MOST_BYTES}"
    ):
        form.write("x" * (MOST_BYTES - 1))


def test_a_kept_result_that_no_longer_fits_says_so_and_what_to_do() -> None:
    with pytest.raises(StepUnwritable, match=r"step 's': its kept result does not fit.*replay the job from its start"):
        StepForm.of("s", Row).read('{"name": 1}')
