from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from json import dumps, loads
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any
from unittest.mock import Mock
from zoneinfo import ZoneInfo

import pytest
from client.tests.calling.shapes import (
    Address,
    Admin,
    Colour,
    Frozen,
    Level,
    Login,
    Open,
    Plain,
    Point,
    Rights,
    Shouting,
    User,
)
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import HttpUrl
from pydantic_core import from_json, to_json

from postlude.calling import tags
from postlude.calling.refused import CannotTravel
from postlude.calling.same import same
from postlude.calling.scalars import BY_NAME
from postlude.calling.tags import NotReadable, pack, unpack

zones = st.one_of(
    st.none(), st.just(UTC), st.timezones(no_cache=True), st.just(timezone(timedelta(hours=5, minutes=30)))
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(codec=None, categories=None)),
    st.binary(),
    st.binary().map(bytearray),
    st.datetimes(timezones=zones),
    st.times(),
    st.dates(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(allow_nan=False),
    st.ip_addresses(),
    st.sampled_from([Colour.RED, Colour.BLUE, Level.LOW, Rights.READ, Rights.READ | Rights.WRITE, Rights(0)]),
    st.sampled_from([PurePosixPath("/a/b"), PureWindowsPath("c:/x"), ZoneInfo("Europe/Berlin")]),
    st.just(HttpUrl("https://example.com/?a=b")),
)
hashable = st.one_of(st.booleans(), st.integers(), st.text(), st.uuids(), st.tuples(st.integers(), st.text()))


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(st.text() | st.just(tags.TAG), inner),
        st.dictionaries(hashable, inner),
        st.sets(hashable),
        st.frozensets(hashable),
        st.builds(Point, st.integers(), inner),
        st.builds(Address, st.text(), inner, st.lists(inner)),
        st.builds(Frozen, inner),
        st.builds(Open, value=inner, more=inner),
        st.builds(User, name=st.text()),
        st.builds(Admin, name=st.text(), rights=st.sampled_from(Rights)),
    )


@given(st.recursive(scalars, nested, max_leaves=20))
def test_whatever_travels_arrives_as_it_was(value: Any) -> None:
    written = to_json(pack(value))
    assert same(unpack(from_json(written)), value)


@given(st.recursive(scalars, nested, max_leaves=20))
def test_what_travels_is_json_that_every_database_takes(value: Any) -> None:
    written = dumps(pack(value), ensure_ascii=False)
    assert written.encode()
    assert "\\u0000" not in written.replace("\\\\", "")
    loads(written, parse_constant=pytest.fail)


@given(
    st.recursive(st.none() | st.booleans() | st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.lists)
)
def test_plain_json_travels_as_it_is(value: Any) -> None:
    assert pack(value) == value


json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.one_of(
        st.lists(inner),
        st.dictionaries(st.text(), inner),
        st.fixed_dictionaries(
            {
                tags.TAG: st.sampled_from([*tags._OBJECTS, *tags._CONTAINERS, *BY_NAME]) | inner,
                "value": inner,
            },
            optional={"class": st.sampled_from(["os.system", "client.tests.calling.shapes.User"]) | inner},
        ),
    ),
)


@given(json)
@example({tags.TAG: "IPv4Network", "value": False})  # which the class itself takes, with a warning
def test_odd_json_is_read_or_refused_and_nothing_else(packed: Any) -> None:
    with suppress(NotReadable):
        unpack(packed)


def test_zone_is_kept_through_the_change_of_the_clocks() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    late = datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=1)
    arrived = unpack(pack(late))
    assert (arrived.tzinfo, arrived.fold, arrived.utcoffset()) == (berlin, 1, timedelta(hours=1))


def test_no_code_of_a_class_runs_when_it_is_read() -> None:
    shouted = Shouting(text="hey")
    assert unpack(pack(shouted)) == shouted
    assert unpack(pack(shouted)).text == "hey!"


def test_private_attributes_begin_anew() -> None:
    user = User(name="ann")
    user._seen = 9
    assert unpack(pack(user))._seen == 7


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "subprocess.Popen",
        "pathlib.Path",
        "client.tests.calling.shapes.Plain",
        "client.tests.calling.shapes.Mailer.send",
        "client.tests.calling.shapes.User.__init__",
        "client.tests.calling.shapes.tags.TAG",
        "antigravity.Anything",
        "",
        "..",
        None,
        7,
        ["os"],
    ],
)
@pytest.mark.parametrize("tag", ["model", "dataclass", "named tuple", "enum", "flag"])
def test_no_other_class_is_made_and_no_module_imported(name: Any, tag: str) -> None:
    with pytest.raises(NotReadable):
        unpack({tags.TAG: tag, "class": name, "value": [{}, None, []]})
    assert "antigravity" not in __import__("sys").modules


@pytest.mark.parametrize("value", [Plain(), Login(name="ann", password="secret"), print, iter([1]), {1: Plain()}])
def test_what_cannot_travel_is_refused(value: Any) -> None:
    with pytest.raises(CannotTravel):
        pack(value)


def test_class_that_is_not_found_again_is_refused() -> None:
    class Local(User): ...

    with pytest.raises(CannotTravel, match="not found under that name: pass its fields"):
        pack(Local(name="ann"))


@pytest.mark.parametrize("pretended", [Colour, Rights, Point, Address, User])
def test_a_mock_that_says_it_is_of_a_class_does_not_travel(pretended: Any) -> None:
    mock = Mock(spec=pretended)
    assert isinstance(mock, pretended)
    with pytest.raises(CannotTravel, match="a value of type Mock cannot travel"):
        pack(mock)
