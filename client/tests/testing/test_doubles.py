import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec, patch

import pytest

from postlude.mode import Added
from postlude.testing.doubles import Doubles


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of an app: `send`, and things that no app may add."""
    source = """
class Mailer:
    def send(self, email): ...

def send(email, name="you"): ...

def make():
    def local(email): ...
    return local

local, bound, known = make(), Mailer().send, {}
nameless = lambda email: None
"""
    module = ModuleType("mailing")
    module.__file__ = str(tmp_path / "src" / "mailing.py")
    monkeypatch.setitem(sys.modules, "mailing", module)
    exec(compile(source, module.__file__, "exec"), vars(module))
    return module


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., Added | None]:
    def ask(function: Any, *args: Any, **kwargs: Any) -> Added | None:
        return Doubles(tmp_path).stand_in(function, args, kwargs)

    return ask


class Recorder:
    def send(self, email: str) -> None: ...

    def __call__(self, email: str) -> None: ...


def local_function() -> Any:
    def fake(email: str) -> None: ...

    return fake


@pytest.mark.parametrize(
    "double",
    [
        Mock(),
        MagicMock(),
        AsyncMock(),
        Mock().deliver,
        create_autospec(local_function),
        local_function(),
        lambda email: email,
        Recorder().send,
        Recorder(),
        partial(local_function(), "ann"),
        partial(Mock(), "ann"),
    ],
)
def test_what_tests_put_in_the_place_of_a_function_stands_in(stand_in: Any, app: ModuleType, double: Any) -> None:
    with patch.object(app, "send", double):
        assert stand_in(double, "ann@example.com") is not None


def test_method_of_a_list_stands_in_where_a_test_put_it(stand_in: Any, app: ModuleType) -> None:
    sent: list[str] = []
    assert stand_in(sent.append, "ann@example.com") is None
    with patch.object(app, "send", sent.append):
        assert stand_in(app.send, "ann@example.com").function == "mailing.send"


async def test_double_is_called_as_it_is(stand_in: Any, app: ModuleType) -> None:
    fake, answering, given = Mock(), AsyncMock(), object()
    await stand_in(fake, given, name=given).run()
    await stand_in(answering, given).run()
    fake.assert_called_once_with(given, name=given)
    answering.assert_awaited_once_with(given)


def test_function_that_a_test_replaced_elsewhere_stands_in_for_itself(stand_in: Any, app: ModuleType) -> None:
    send = app.send
    with patch("mailing.send"):
        assert stand_in(send, "ann@example.com").function == "send"
    assert stand_in(send, "ann@example.com") is None


@pytest.mark.parametrize(
    "value", [Mock(), SimpleNamespace(id=1), Recorder(), [Mock()], {"user": [Mock()]}, (1, {2: Mock()})]
)
def test_values_of_tests_stand_in(stand_in: Any, app: ModuleType, value: Any) -> None:
    assert stand_in(app.send, value) is not None
    assert stand_in(app.send, "ann", name=value) is not None


@pytest.mark.parametrize("name", ["send", "local", "bound", "nameless"])
def test_what_the_app_itself_adds_is_no_double(stand_in: Any, app: ModuleType, name: str) -> None:
    assert stand_in(getattr(app, name), "ann", [{"a": object()}]) is None
    assert stand_in(app.known.update, "ann") is None
    assert stand_in(partial(app.local), "ann") is None


def test_folder_of_tests_counts_below_the_root_alone(app: ModuleType, tmp_path: Path) -> None:
    app.__file__ = str(tmp_path / "tests" / "helpers" / "mailing.py")
    assert Doubles(tmp_path).stand_in(app.local, (), {}) is not None
    assert Doubles(tmp_path / "tests").stand_in(app.local, (), {}) is None


def test_double_is_known_by_what_it_replaces_and_its_arguments_by_their_names(stand_in: Any, app: ModuleType) -> None:
    fake = local_function()
    with patch.object(app, "send", fake):
        added = stand_in(fake, "ann@example.com")
    assert (added.function, added.arguments) == ("mailing.send", {"email": "ann@example.com"})
    with patch.object(app, "send", autospec=True) as send:
        assert stand_in(send, "ann", name="Ann").arguments == {"email": "ann", "name": "Ann"}
    with patch.object(app, "send") as send:
        added = stand_in(send, "ann", name="Ann")
    assert (added.function, added.arguments) == ("mailing.send", {"args": ("ann",), "name": "Ann"})
