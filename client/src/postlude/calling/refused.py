"""Says what to pass instead of a value that cannot travel. Other packages' classes are known by name."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import ModuleType
from typing import Any

from postlude.errors import PostludeError

_BY_CLASS = {
    "starlette.requests.HTTPConnection": "pass what the function needs of it",
    "starlette.responses.Response": "pass what the function needs of it",
    "starlette.background.BackgroundTask": "let the function take one itself: `tasks: BackgroundTasks`",
    "sqlalchemy.orm.session.Session": "let the function open one, or take one with `Depends`",
    "sqlalchemy.orm.scoping.scoped_session": "let the function open one, or take one with `Depends`",
    "sqlalchemy.ext.asyncio.session.AsyncSession": "let the function open one, or take one with `Depends`",
    "sqlalchemy.engine.base.Connection": "let the function open one, or take one with `Depends`",
    "sqlalchemy.ext.asyncio.engine.AsyncConnection": "let the function open one, or take one with `Depends`",
    "pydantic.types._SecretBase": "a secret would be shown: pass what finds it, such as a user's id",
    "pydantic.types._SecretField": "a secret would be shown: pass what finds it, such as a user's id",
}
_BY_KIND: list[tuple[Any, str]] = [
    (str, "pass `str(…)` of it"),
    (dict, "pass `dict(…)` of it"),
    (list, "pass `list(…)` of it"),
    (io.IOBase, "pass its path"),
    (Awaitable, "pass the function and its arguments, without calling it"),
    (Iterator, "pass its values as a list"),
    (AsyncIterator, "pass its values as a list"),
    (ModuleType, "import it in the function"),
    (Callable, "let the function find it itself, and pass its name if there are several"),
]
_ANYTHING = "pass what finds or makes it, such as an id, a path or a URL"


class CannotTravel(PostludeError, TypeError):
    """A function, or a value, cannot be run later in another process; the message says what to pass instead."""


def instead_of(value: Any) -> str:
    """Return what to pass instead of a value."""
    if is_of_a_database(value):
        return "pass its id, and load it in the function"
    for base in type(value).__mro__:
        if advice := _BY_CLASS.get(f"{base.__module__}.{base.__qualname__}"):
            return advice
    return next((advice for kind, advice in _BY_KIND if isinstance(value, kind)), _ANYTHING)


def is_of_a_database(value: Any) -> bool:
    """Whether a value is an object that SQLAlchemy loaded, or will save."""
    return hasattr(type(value), "__mapper__") and hasattr(value, "_sa_instance_state")
