import sys
from types import ModuleType

import pytest

from postlude.calling.held import place_of


class Thing: ...


def module(monkeypatch: pytest.MonkeyPatch, name: str, **names: object) -> None:
    made = ModuleType(name)
    vars(made).update(names)
    monkeypatch.setitem(sys.modules, name, made)


def test_object_has_the_first_place_by_name_of_all_that_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    thing = Thing()
    assert place_of(thing) is None
    module(monkeypatch, "held_b", thing=thing)
    module(monkeypatch, "held_a", what=thing, thing=thing)
    assert place_of(thing) == "held_a.thing"


def test_equal_objects_are_told_from_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    module(monkeypatch, "held_a", some=[1])
    assert place_of([1]) is None


def test_place_is_looked_for_again_once_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Thing(), Thing()
    module(monkeypatch, "held_a", thing=first)
    assert place_of(first) == "held_a.thing"
    module(monkeypatch, "held_a", thing=second, old=first)
    assert (place_of(first), place_of(second)) == ("held_a.old", "held_a.thing")
