"""The names of functions and classes, by which another process of the same app finds them again."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from postlude.calling import held
from postlude.calling.refused import CannotTravel
from postlude.policy import place_named, policy_of

Function = Callable[..., Any]

LONGEST = 180
"""The longest name that the service takes."""


def name_of(function: Function) -> str:
    """Return the name by which a function travels. Raises `CannotTravel`."""
    if isinstance(function, partial):
        raise CannotTravel(f"{function!r} cannot travel: pass the function, followed by its arguments.")
    if not inspect.isroutine(function):
        raise CannotTravel(f"{function!r} is not a function: write one that calls it, and pass that.")
    place = _place_of(function)
    if place is None:
        raise CannotTravel(
            f"{function.__qualname__} is bound to an object that no module holds: pass a module's function that"
            " makes the object itself, or make the object in a module."
        )
    if "<" in place:
        raise CannotTravel(
            f"{place} is a lambda or a local function, which cannot be found: move it to its module. If a decorator"
            " made it, the decorator needs functools.wraps."
        )
    if find(place) != function:
        raise CannotTravel(f"{place} is another function, or none: pass one that its module has under its own name.")
    policy = policy_of(function)
    name = policy.name if policy and policy.name else place
    if len(name) > LONGEST:
        raise CannotTravel(f"{name} is longer than {LONGEST} characters: give the function a name with @task(name=…).")
    return name


def find(name: str, *, may_import: bool = False) -> Function | None:
    """Return the function of this name in the modules that are imported; `may_import` imports others, too.

    Functions are found where they are defined, in a module or in one of its classes, not where they are imported.
    Methods of objects that a module holds are found, except those that Python itself calls.
    """
    place = place_named(name) or name
    found = _find(place, may_import=may_import)
    return found if inspect.isroutine(found) and (_place_of(found) == place or _is_held(found, place)) else None


def find_class(name: str) -> type | None:
    """Return the class of this name, in the modules that are imported."""
    found = _find(name, may_import=False)
    is_it = inspect.isclass(found) and f"{found.__module__}.{found.__qualname__}" == name
    return found if is_it else None


def _place_of(function: Function) -> str | None:
    """Return where a function is found; None if it is bound to an object that no module holds."""
    owner: Any = getattr(function, "__self__", None)
    if _is_object(owner):
        place = held.place_of(owner)
        return None if place is None else f"{place}.{function.__name__}"
    if inspect.ismethod(function):  # a class's method, perhaps inherited
        return f"{owner.__module__}.{owner.__qualname__}.{function.__name__}"
    return f"{function.__module__}.{function.__qualname__}"


def _is_object(owner: Any) -> bool:
    return owner is not None and not inspect.isclass(owner) and not inspect.ismodule(owner)


def _is_held(method: Any, place: str) -> bool:
    """Whether a method belongs to the object at its place: other modules may hold the object, too."""
    owner = getattr(method, "__self__", None)
    return _is_object(owner) and _find(place.rpartition(".")[0], may_import=False) is owner


def _find(name: str, *, may_import: bool) -> Any:
    for module, path in _splits(name):
        if may_import:
            _import(module)
        if module in sys.modules:
            found = vars(sys.modules[module]).get(path[0])
            for part in path[1:]:
                may_have_it = inspect.isclass(found) or not (part.startswith("__") or inspect.isroutine(found))
                found = getattr(found, part, None) if may_have_it else None
            if found is not None:
                return found
    return None


def _splits(name: str) -> Iterator[tuple[str, list[str]]]:
    """Return where the module's name may end, longest first."""
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:end]), parts[end:]


def _import(module: str) -> None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
