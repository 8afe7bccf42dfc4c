import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from client.tests.calling import shapes

from postlude.calling.names import find, find_class, name_of
from postlude.calling.refused import CannotTravel
from postlude.policy import task

HERE = "client.tests.calling.shapes"


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (shapes.a_user, "a_user"),
        (shapes.borrowed, "a_user"),
        (shapes.takes_one_more, "takes_one_more"),
        (shapes.Mailer.send, "Mailer.send"),
        (shapes.Mailer.send_static, "Mailer.send_static"),
        (shapes.Mailer.send_class, "Mailer.send_class"),
        (shapes.LoudMailer.send_class, "LoudMailer.send_class"),
    ],
)
def test_function_travels_by_its_module_and_name(function: object, name: str) -> None:
    assert name_of(function) == f"{HERE}.{name}"  # type: ignore[arg-type]
    assert find(f"{HERE}.{name}") == function


@pytest.mark.parametrize(("method", "name"), [(shapes.mailer.send, "mailer.send"), (shapes.sent.append, "sent.append")])
def test_method_of_an_object_that_a_module_holds_travels_by_the_objects_name(method: object, name: str) -> None:
    assert name_of(method) == f"{HERE}.{name}"  # type: ignore[arg-type]
    assert find(f"{HERE}.{name}") == method


def test_object_that_its_module_gave_up_is_found_where_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    first = shapes.mailer
    monkeypatch.setattr(shapes, "other", first, raising=False)
    assert name_of(first.send) == f"{HERE}.mailer.send"
    monkeypatch.setattr(shapes, "mailer", shapes.Mailer())
    assert name_of(first.send) == f"{HERE}.other.send"
    assert find(f"{HERE}.mailer.send") == shapes.mailer.send


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda: None, "a lambda or a local function"),
        (shapes.local, "the decorator needs functools.wraps"),
        (shapes.Mailer().send, "is bound to an object"),
        ([].append, "is bound to an object"),
        (partial(shapes.anything, 1), "pass the function, followed by its arguments"),
        (shapes.Mailer(), "is not a function: write one that calls it"),
        (shapes.Mailer, "is not a function: write one that calls it"),
        (SimpleNamespace(), "is not a function"),
    ],
)
def test_what_is_not_found_again_is_refused(function: object, why: str) -> None:
    with pytest.raises(CannotTravel, match=why):
        name_of(function)  # type: ignore[arg-type]


def test_function_whose_place_another_took_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    first = shapes.a_user
    monkeypatch.setattr(shapes, "a_user", shapes.anything)
    with pytest.raises(CannotTravel, match="another function, or none"):
        name_of(first)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a_user",
        "nowhere.at_all",
        f"{HERE}",
        f"{HERE}.",
        f"{HERE}.uuid4",  # imported there
        f"{HERE}.borrowed",  # another name of a function
        f"{HERE}.__class__",
        f"{HERE}.a_user.__globals__",
        f"{HERE}.a_user.__call__",
        f"{HERE}.mailer.__init__",
        f"{HERE}.mailer.__class__",
        f"{HERE}.mailer.__class__.send",
        f"{HERE}.sys.exit",
        f"{HERE}.Mailer.__subclasses__",
        f"{HERE}.Mailer.mro",
        f"{HERE}.Mailer",
        f"{HERE}.local",
        "os.path.os.system",
        "importlib.import_module.__globals__",
        "builtins.object.__reduce__.__call__",
    ],
)
def test_only_functions_are_found_where_they_were_defined(name: str) -> None:
    found = find(name)
    assert found is None or f"{found.__module__}.{found.__qualname__}" == name, found


def test_nothing_is_imported_unless_that_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("postlude_late.py").write_text("def greet(): ...")
    monkeypatch.syspath_prepend(tmp_path)
    assert find("postlude_late.greet") is None
    assert "postlude_late" not in sys.modules
    found = find("postlude_late.greet", may_import=True)
    assert found is not None
    assert found.__module__ == "postlude_late"
    assert find("postlude_late.missing.greet", may_import=True) is None


def test_module_that_fails_as_it_is_imported_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.joinpath("postlude_broken.py").write_text("import postlude_missing_dependency\ndef greet(): ...")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="postlude_missing_dependency"):
        find("postlude_broken.greet", may_import=True)


def test_function_with_a_name_of_its_own_travels_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    named = task(name="names.of.its.own")(shapes.anything)
    monkeypatch.delattr(named, "__postlude_task__", raising=False)
    named = task(name="names.of.its.own")(shapes.anything)
    assert named is shapes.anything
    assert name_of(named) == "names.of.its.own"
    assert find("names.of.its.own") is named


def test_class_is_found_by_its_own_name_alone() -> None:
    assert find_class(f"{HERE}.User") is shapes.User
    assert find_class(f"{HERE}.UUID") is None
    assert find_class(f"{HERE}.a_user") is None
