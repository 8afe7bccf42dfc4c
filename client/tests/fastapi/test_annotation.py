from typing import Annotated, Any, get_args, get_origin, get_type_hints
from unittest.mock import Mock, patch

import pytest

from postlude.fastapi.annotation import as_class


class Tasks:
    def add(self) -> str:
        return "added"


class Theirs:
    """What `Tasks` takes the place of."""


Alias: Any = as_class(Annotated[Tasks, "how to get them"], instead_of=Theirs)


def test_it_is_the_annotation_that_it_was() -> None:
    def function(one: Alias, other: "Alias | None" = None) -> None: ...

    assert get_origin(Alias) is Annotated
    assert get_args(Alias) == (Tasks, "how to get them")
    assert get_type_hints(function) == {"one": Tasks, "other": Tasks | None, "return": type(None)}
    assert get_type_hints(function, include_extras=True)["one"] == Annotated[Tasks, "how to get them"]


def test_it_is_patched_as_its_class_is() -> None:
    own = Tasks.add
    for _ in range(2):
        with patch.object(Alias, "add") as add:
            Tasks().add()
        add.assert_called_once_with()
        assert Tasks.add is own


def test_it_is_called_and_subclassed_as_its_class_is() -> None:
    class Mine(Alias):  # type: ignore[misc]
        pass

    assert isinstance(Alias(), Tasks)
    assert issubclass(Mine, Tasks)
    assert Mock(spec=Alias).add
    with pytest.raises(AttributeError):
        _ = Mock(spec=Alias).remove


def test_it_knows_the_instances_of_its_class() -> None:
    assert isinstance(Tasks(), Alias)
    assert not isinstance("", Alias)
    assert issubclass(Tasks, Alias)
    assert not issubclass(str, Alias)


def test_what_tests_put_in_the_place_of_an_instance_is_one() -> None:
    assert isinstance(Theirs(), Alias)
    assert isinstance(Mock(spec=Theirs), Alias)
    assert isinstance(Mock(spec=Alias), Alias)
    assert not isinstance(Mock(), Alias)
