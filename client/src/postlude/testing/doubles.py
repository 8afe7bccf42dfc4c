"""Test doubles: what a test puts in place of the app's own functions and objects.

They cannot travel, and need not: only the test has them. So they are called directly, while anything the app itself
could not send is refused in tests as well.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from postlude.ids import new_id
from postlude.mode import Added

_TEST_FILES = ("test_*.py", "*_test.py", "conftest.py")
_TEST_FOLDERS = {"tests", "test"}
Function = Callable[..., Any]


class Double(NamedTuple):
    """A call that is made as it is."""

    id: str
    function: str
    arguments: dict[str, Any]
    run: Callable[[], Any]


class Doubles:
    """Tells what belongs to the tests, in the files below a folder, from what belongs to the app."""

    def __init__(self, rootpath: Path) -> None:
        self._rootpath = rootpath

    def stand_in(self, function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Added | None:
        """Return the call if a double is in it; None if all of it belongs to the app."""
        if not (self._is_replaced(function) or self._has_double([*args, kwargs])):
            return None
        from starlette.background import BackgroundTask  # not before an app is run

        task = BackgroundTask(function, *args, **kwargs)
        return Double(new_id(), _name_of(function), _arguments_of(function, args, kwargs), task)

    def _is_replaced(self, function: Function) -> bool:
        """Whether it is a double, or was replaced by one while the app still holds the function itself."""
        return any(self._is_double(one) or _is_borrowed(one) for one in (_inner(function), _at_its_place(function)))

    def _has_double(self, value: Any) -> bool:
        if isinstance(value, Mapping):
            return any(map(self._has_double, value.values()))
        if isinstance(value, list | tuple | set | frozenset):
            return any(map(self._has_double, value))
        return self._is_double(value)

    def _is_double(self, value: Any) -> bool:
        return _is_mock(value) or isinstance(value, SimpleNamespace) or self._is_of_tests(value)

    def _is_of_tests(self, value: Any) -> bool:
        is_function = inspect.isroutine(value) or inspect.isclass(value)
        module = sys.modules.get(getattr(value if is_function else type(value), "__module__", None) or "")
        file: str | None = getattr(module, "__file__", None)
        return file is not None and self._is_test_file(Path(file))

    def _is_test_file(self, path: Path) -> bool:
        if any(fnmatch(path.name, pattern) for pattern in _TEST_FILES):
            return True
        return path.is_relative_to(self._rootpath) and not _TEST_FOLDERS.isdisjoint(
            path.relative_to(self._rootpath).parts[:-1]
        )


def _inner(value: Any) -> Any:
    """Return the function of a partial or of a method."""
    while isinstance(value, partial):
        value = value.func
    return value.__func__ if inspect.ismethod(value) else value


def _is_mock(value: Any) -> bool:
    if inspect.isfunction(value):  # made by `autospec=True`, perhaps
        value = vars(value).get("mock")
    mock = sys.modules.get("unittest.mock")
    return mock is not None and isinstance(value, mock.NonCallableMock)


def _is_borrowed(value: Any) -> bool:
    """Whether it is a method such as `list.append` that stands in a module under another name than its own."""
    return inspect.isbuiltin(value) and any(name != value.__name__ for _, name in _places(value))


def _places(value: Any) -> Iterator[tuple[str, str]]:
    """Return the modules that have this very object, and its name there."""
    for module_name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType):
            for name, held in list(vars(module).items()):
                if held is value:
                    yield module_name, name


def _at_its_place(function: Function) -> Any:
    """Return what is now where a function was defined."""
    found: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for part in getattr(function, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found


def _name_of(function: Function) -> str:
    """Return the name of what the double replaces, if that can be seen."""
    for module, place in _places(function):
        if module != getattr(function, "__module__", None):
            return f"{module}.{place}"
    name = getattr(function, "__qualname__", None) or getattr(function, "_mock_name", None)
    return str(name or type(function).__name__)


def _arguments_of(function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by name, as far as known: a mock usually takes `*args, **kwargs`."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):  # no signature, or one that they do not fit: the call itself says so
        return {"args": args, **kwargs}
    arguments = bound.arguments
    for name, parameter in bound.signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments |= arguments.pop(name, {})
    return arguments
