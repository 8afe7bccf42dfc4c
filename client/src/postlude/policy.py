"""`@task`: how to run a function in the background, where the defaults do not fit."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, overload

if TYPE_CHECKING:
    from postlude.options import Duration, Lane, Retry

Function = TypeVar("Function", bound=Callable[..., Any])

_KEPT_AS = "__postlude_task__"
_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_places: dict[str, str] = {}


class Policy(NamedTuple):
    """What `@task` says about a function."""

    name: str | None
    unique: Callable[..., str] | bool
    options: Mapping[str, Any]
    """As the service takes them."""


@overload
def task(function: Function, /) -> Function: ...


@overload
def task(
    *,
    timeout: Duration | None = None,
    max_attempts: int | None = None,
    retry: Retry | None = None,
    unique: Callable[..., str] | bool = False,
    lane: str | Lane | None = None,
    name: str | None = None,
) -> Callable[[Function], Function]: ...


def task(
    function: Function | None = None,
    /,
    *,
    unique: Callable[..., str] | Literal[True, False] = False,
    name: str | None = None,
    **options: Any,
) -> Any:
    """Say how to run a function in the background. Returns the function itself, unchanged.

    `timeout` is for each of its `max_attempts`. `retry` says when to retry, and `lane` what it shares limits
    with. `unique` lets only one of its jobs wait or run with the same arguments (True), or with the same text that
    `unique`, called with the arguments, returns. `name`, such as `"mail.welcome"`, is its name when it travels: with
    one, it may be moved and renamed while its jobs wait.
    """
    if name is not None and not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a task name: write names separated by dots, such as 'mail.welcome'")
    policy = Policy(name, unique, {option: value for option, value in options.items() if value is not None})

    def decorated(function: Function) -> Function:
        setattr(function, _KEPT_AS, policy)
        if name is not None:
            _keep_name(name, function)
        return function

    return decorated if function is None else decorated(function)


def policy_of(function: Callable[..., Any]) -> Policy | None:
    policy = getattr(function, _KEPT_AS, None)
    return policy if isinstance(policy, Policy) else None


def place_named(name: str) -> str | None:
    """Return the place of the function that `@task(name=…)` gave this name."""
    return _places.get(name)


def _keep_name(name: str, function: Callable[..., Any]) -> None:
    place = f"{function.__module__}.{function.__qualname__}"
    if _places.setdefault(name, place) != place:
        raise ValueError(f"{_places[name]} and {place} are both named {name!r}")
