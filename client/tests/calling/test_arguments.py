import inspect
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from client.tests.calling import shapes
from client.tests.calling.shapes import Address, Admin, Aliased, Colour, Level, Point, Rights, Shouting, User
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from postlude.calling.arguments import ArgumentsUnfit, Function, pack, unpack
from postlude.calling.refused import CannotTravel
from postlude.calling.same import same

KEY = UUID("6f0ff353-0a31-4e9d-9d92-9d29c7d8b0b1")


def travelled(function: Function, *args: Any, **kwargs: Any) -> inspect.BoundArguments:
    return unpack(function, from_json(to_json(pack(function, args, kwargs))))


VALUES: dict[str, Any] = {
    "text": "hé",
    "number": 7,
    "moment": datetime(2026, 1, 31, 12, tzinfo=UTC),
    "day": date(2026, 1, 31),
    "clock": time(12, 30),
    "pause": timedelta(seconds=90, microseconds=5),
    "key": KEY,
    "price": Decimal("1.10"),
    "raw": b"\xff\x00",
    "colour": Colour.RED,
    "level": Level.LOW,
    "point": Point(1, 2),
    "address": Address("Main Street"),
    "user": User(name="ann"),
    "tags": {"a"},
    "pair": (1, "x"),
    "path": Path("/tmp/x"),
    "host": IPv4Address("127.0.0.1"),
    "users": [User(id=KEY, name="ann"), Admin(name="bob", rights=Rights.WRITE)],
    "maybe": None,
}


def test_values_arrive_as_they_were() -> None:
    arrived = travelled(shapes.typed, **VALUES).arguments
    assert list(arrived) == list(VALUES)
    assert [name for name, value in VALUES.items() if not same(arrived[name], value)] == []


def test_what_the_annotation_reads_travels_as_plain_json() -> None:
    packed = pack(shapes.typed, (), VALUES)
    assert packed["moment"] == "2026-01-31T12:00:00Z"
    assert packed["key"] == str(KEY)
    assert packed["colour"] == "red"
    assert packed["address"] == {"street": "Main Street", "number": 1, "made": []}
    assert pack(shapes.a_user, (User(id=KEY, name="ann"),), {}) == {"user": {"id": str(KEY), "name": "ann"}}


def test_which_fields_were_set_is_kept() -> None:
    arrived = travelled(shapes.a_user, User(name="ann", nick=None)).arguments["user"]
    assert arrived.model_dump(exclude_unset=True) == {"name": "ann", "nick": None}


@pytest.mark.parametrize("value", ["5", 5.0, True, None, b"5", [5], {"$postlude": "as is", "value": 5}])
def test_value_is_not_turned_into_what_the_annotation_says(value: Any) -> None:
    def many(*args: int) -> None: ...

    [arrived] = travelled(many, value).args
    assert same(arrived, value)


@pytest.mark.parametrize("value", [Shouting(text="hey"), Aliased(theName="x"), Admin(name="ann")])
def test_models_arrive_as_they_were_whatever_the_annotation(value: Any) -> None:
    for function in (shapes.anything, shapes.unannotated, shapes.a_user):
        [arrived] = travelled(function, value).args
        assert same(arrived, value)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json)
def test_any_json_arrives_as_it_was(value: Any) -> None:
    for function in (shapes.anything, shapes.unannotated, shapes.a_user):
        assert same(travelled(function, value).args, (value,))


def test_later_changes_do_not_travel() -> None:
    value = ["before"]
    packed = pack(shapes.anything, (value,), {})
    value.append("after")
    assert packed == {"value": ["before"]}


def test_every_kind_of_parameter_travels() -> None:
    bound = travelled(shapes.many, 1, 2, a=KEY)
    assert (bound.args, bound.kwargs) == ((1, 2), {"a": KEY})
    bound = travelled(shapes.positional, 1, third=True)
    assert (bound.args, bound.kwargs) == ((1,), {"third": True})
    bound = travelled(shapes.Mailer.send_class, "ann")
    assert (bound.args, bound.kwargs) == (("ann",), {})


def test_wrapper_that_gives_an_argument_itself_is_called_as_it_says() -> None:
    bound = travelled(shapes.takes_one_more, "ann")
    assert (bound.args, bound.kwargs) == (("ann",), {})


def test_annotation_for_type_checkers_alone_hides_no_other() -> None:
    bound = travelled(shapes.hidden, 1, KEY)
    assert bound.args == (1, KEY)
    assert pack(shapes.hidden, (1, KEY), {}) == {"value": 1, "other": str(KEY)}


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((), {}, r"a_user\(\) missing a required argument: 'user'"),
        ((1, 2), {}, r"a_user\(\) too many positional arguments"),
        ((1,), {"user": 1}, r"a_user\(\) multiple values for argument 'user'"),
        ((1,), {"x": 1}, r"a_user\(\) got an unexpected keyword argument 'x'"),
    ],
)
def test_wrong_call_is_told_at_once(args: tuple[Any, ...], kwargs: dict[str, Any], why: str) -> None:
    with pytest.raises(TypeError, match=why):
        pack(shapes.a_user, args, kwargs)


def test_what_cannot_travel_is_told_with_function_and_parameter() -> None:
    with pytest.raises(
        CannotTravel, match=r"a_user\(\), argument 'user': a value of type Plain cannot travel: pass what finds"
    ):
        pack(shapes.a_user, (shapes.Plain(),), {})
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(CannotTravel, match=r"argument 'value': it contains itself"):
        pack(shapes.anything, (endless,), {})
    for depth in (300, 3000):
        deep: Any = None
        for _ in range(depth):
            deep = [deep]
        with pytest.raises(CannotTravel, match=r"nested too deeply"):
            pack(shapes.anything, (deep,), {})
    with pytest.raises(CannotTravel, match="are 300,012 bytes of JSON; at most 256,000 can travel: save large values"):
        pack(shapes.anything, ("x" * 300_000,), {})


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        ({}, r"a_user\(\) missing a required argument: 'user'"),
        ({"user": {"name": "ann"}, "x": 1}, r"a_user\(\) got an unexpected argument 'x'"),
        ({"user": {}}, r"a_user\(\), argument 'user': Field required"),
        ({"user": {"$postlude": "nothing", "value": 1}}, r"a_user\(\), argument 'user': the tag 'nothing'"),
        ({"user": {"$postlude": "UUID"}}, r"a_user\(\), argument 'user': the tag 'UUID'"),
    ],
)
def test_arguments_that_no_longer_fit_are_told(packed: dict[str, Any], why: str) -> None:
    with pytest.raises(ArgumentsUnfit, match=why):
        unpack(shapes.a_user, packed)


@pytest.mark.parametrize("packed", [{"args": 1}, {"args": None}, {"args": {}, "kwargs": []}, {"kwargs": 1}])
def test_odd_shapes_of_many_arguments_are_told(packed: dict[str, Any]) -> None:
    with pytest.raises(ArgumentsUnfit):
        unpack(shapes.many, packed)
